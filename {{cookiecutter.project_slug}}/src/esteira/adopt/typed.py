"""A table file without a schema.yaml: each column gets the type that its cells show."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from esteira import table
from esteira.adopt.cells import conventions
from esteira.adopt.detect import guess
from esteira.adopt.sniff import sniff
from esteira.schema import Column, Schema, Type


def read(
    path: str | Path, types: Mapping[str, Type] | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Read a table; its columns have the `types` given by name, and else the ones they show.

    Returns the table and a sentence for each column that holds cells of another type. Raises
    UserError for a file that cannot be read.
    """
    form, _ = sniff(path)
    raw, form, _ = conventions(table.read_raw(path, form), form)
    columns = {name: guess(raw[name], form).column for name in raw}
    for name, wanted in (types or {}).items():
        if name in columns and columns[name].type.replace("integer", "number") != wanted:
            columns[name] = Column(type=wanted)
    typed, rejects = table.parse(raw, Schema.model_construct(file=form, columns=columns))
    return typed, table.says(rejects)
