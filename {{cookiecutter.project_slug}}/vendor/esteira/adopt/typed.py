"""A table file without a schema.yaml: each column gets the type that its cells show."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from esteira.line import table
from esteira.adopt.cells import conventions
from esteira.adopt.detect import guess
from esteira.adopt.sniff import sniff
from esteira.line.schema import Column, Schema


def read(
    path: str | Path, types: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Read a table; its columns have the `types` (and `allowed`) given by name, or what they show.

    Returns the table and a sentence for each column that holds cells of another type. Raises
    UserError for a file that cannot be read.
    """
    form, _ = sniff(path)
    raw, form, _ = conventions(table.read_raw(path, form), form)
    columns = {name: guess(raw[name], form).column for name in raw}
    for name, wanted in (types or {}).items():
        if name in columns and columns[name].type.replace("integer", "number") != wanted["type"]:
            columns[name] = Column(**wanted)
    typed, rejects = table.parse(raw, Schema.model_construct(file=form, columns=columns))
    return typed, table.says(rejects)
