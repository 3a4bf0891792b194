"""A table file without a schema.yaml: each column gets the type that its cells show."""

import atexit
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from esteira.adopt import spread
from esteira.adopt.cells import conventions
from esteira.adopt.detect import guess
from esteira.adopt.sniff import sniff
from esteira.line import parts, table
from esteira.line.schema import Column, Schema


def read(
    path: str | Path, types: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[pd.DataFrame | Path, list[str]]:
    """Read a table; its columns have the `types` (and `allowed`) given by name, or what they show.

    Returns the table, or a Parquet file of it where memory does not hold all, and a sentence for
    each column that holds cells of another type. Raises UserError for a file that cannot be read.
    """
    with warnings.catch_warnings(action="ignore"):  # of libraries, which say nothing to the user
        return _read(path, types or {})


def _read(
    path: str | Path, types: Mapping[str, Mapping[str, Any]]
) -> tuple[pd.DataFrame | Path, list[str]]:
    form = sniff(path).form
    looked_at = spread.read(path, form)
    written = conventions(looked_at.rows, form)
    columns = {name: guess(written, name).column for name in written.table.columns}
    for name, wanted in types.items():
        if name not in columns:
            continue
        seen = columns[name].type.replace("integer", "number")
        if seen != wanted["type"]:
            columns[name] = Column(**wanted)
    schema = Schema.model_construct(file=written.form, columns=columns)
    if looked_at.step == 1:
        typed, rejects = table.parse(written.table, schema)
        return typed, table.says(rejects["column"].value_counts(sort=False).to_dict())
    return _file_of(path, schema)


def _file_of(path: str | Path, schema: Schema) -> tuple[Path, list[str]]:
    """Write the cells of a large table with their types, into a file that goes at the end."""
    folder = Path(tempfile.mkdtemp(prefix="esteira-table-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    out = folder / "table.parquet"
    lost: Counter[str] = Counter()
    with parts.writing(out) as target:
        for part in parts.read_typed(path, schema):
            lost += part.lost
            target.write(part.cells)
    return out, table.says({name: lost[name] for name in schema.columns if lost[name]})
