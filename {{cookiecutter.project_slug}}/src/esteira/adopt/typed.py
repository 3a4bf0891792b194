"""A table file without a schema.yaml: each column gets the type that its cells show."""

from pathlib import Path

import pandas as pd

from esteira import table
from esteira.adopt.cells import conventions
from esteira.adopt.detect import guess
from esteira.adopt.sniff import sniff
from esteira.schema import Schema


def read(path: str | Path, like: Schema | None = None) -> tuple[pd.DataFrame, Schema, list[str]]:
    """Read a table with types: those of `like`, if it is given, or its own.

    Returns the table, its schema (types alone, no roles) and a sentence for each column that holds
    cells of another type. Raises UserError for a file that cannot be read.
    """
    form, _ = sniff(path)
    if like is not None:
        written = form.model_dump(include={"encoding", "delimiter", "quote"})
        form = like.file.model_copy(update=written)
    raw = table.read_raw(path, form)
    if like is None:
        raw, form, _ = conventions(raw, form)
        columns = {name: guess(raw[name], form).column for name in raw}
        like = Schema.model_construct(file=form, columns=columns)
    typed, rejects = table.parse(raw, like)
    return typed[[name for name in typed if name in raw]], like, table.says(rejects)
