"""A table file without a schema.yaml: each column gets the type that its cells show."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from esteira.adopt.cells import conventions
from esteira.adopt.detect import guess
from esteira.adopt.sniff import sniff
from esteira.line import table
from esteira.line.schema import Column, Schema


def read(
    path: str | Path, types: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Read a table; its columns have the `types` (and `allowed`) given by name, or what they show.

    Returns the table and a sentence for each column that holds cells of another type. Raises
    UserError for a file that cannot be read.
    """
    with warnings.catch_warnings(action="ignore"):  # of libraries, which say nothing to the user
        return _read(path, types or {})


def _read(
    path: str | Path, types: Mapping[str, Mapping[str, Any]]
) -> tuple[pd.DataFrame, list[str]]:
    form = sniff(path).form
    written = conventions(table.read_raw(path, form), form)
    columns = {name: guess(written, name).column for name in written.table.columns}
    for name, wanted in types.items():
        if name not in columns:
            continue
        seen = columns[name].type.replace("integer", "number")
        if seen != wanted["type"]:
            columns[name] = Column(**wanted)
    schema = Schema.model_construct(file=written.form, columns=columns)
    typed, rejects = table.parse(written.table, schema)
    return typed, table.says(rejects["column"].value_counts(sort=False).to_dict())
