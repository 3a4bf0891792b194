"""Tables part by part, so that a table larger than memory can be read, asked about and written.

What comes of a table does not depend on the size of its parts: a cell means the same whatever
cells stand beside it in a part.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from esteira.line import table
from esteira.line.files import replacing
from esteira.line.schema import FileFormat, Schema

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS = 10_000  # of a part
ROW_GROUP = 100_000  # rows that are written at once, whatever the parts


def read(path: str | Path, rows: int = ROWS) -> Iterator[pd.DataFrame]:
    """Read a Parquet table of the line, at most `rows` rows at once; at least one part.

    Raises UserError if it is absent.
    """
    import pyarrow.parquet as pq

    table.require_of_the_line(path)
    with pq.ParquetFile(path) as source:
        for part in _batches(source, rows):
            yield part.to_pandas()


def read_raw(path: str | Path, form: FileFormat, rows: int = ROWS) -> Iterator[pd.DataFrame]:
    """Read a raw table as `table.read_raw` does, at most `rows` rows at once; at least one part.

    JSON is read whole: only all of its lines tell which columns there are, and of which type.
    Raises UserError for a file that is absent, empty or malformed, when it comes to the fault.
    """
    path = Path(path)
    table.require(path)
    with table.told(path, form):
        cells = (table.plain(part, form) for part in _raw(path, form, rows))
        yield from _without_notes(cells, form.footer)


def _raw(path: Path, form: FileFormat, rows: int) -> Iterator[pd.DataFrame]:
    """Read the cells of a file as they stand."""
    found = table.kind(path)
    if found == "parquet":
        yield from _raw_parquet(path, rows)
    elif found == "jsonl":
        yield from _sliced(table.read_json(path, form), rows)
    else:
        with table.open_bytes(path) as source:
            yield from table.csv_parts(source, form, rows)


def _sliced(frame: pd.DataFrame, rows: int) -> Iterator[pd.DataFrame]:
    """Cut a table into parts, at least one."""
    for start in range(0, max(len(frame), 1), rows):
        yield frame.iloc[start : start + rows]


def _batches(source: "pq.ParquetFile", rows: int) -> Iterator["pa.Table"]:
    """Read a Parquet file, at least one part."""
    import pyarrow as pa

    parts = (pa.Table.from_batches([batch]) for batch in source.iter_batches(rows))
    first = next(parts, source.schema_arrow.empty_table())
    yield from chain([first], parts)


def _raw_parquet(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    """Read a squad's Parquet file: objects in cells become columns, an index becomes one."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as source:
        gaps = _with_gaps(source)
        for part in _batches(source, rows):
            frame = _flattened(part).to_pandas()
            frame = table.index_as_column(frame)
            yield frame.astype(_types_with_gaps(frame, gaps))


def _with_gaps(source: "pq.ParquetFile") -> set[str]:
    """Return the columns in which a cell is missing, or of which the file does not say."""
    found = set()
    for group in range(source.metadata.num_row_groups):
        columns = source.metadata.row_group(group)
        for place in range(columns.num_columns):
            column = columns.column(place)
            counts = column.statistics
            if counts is None or not counts.has_null_count or counts.null_count:
                found.add(column.path_in_schema)
    return found


def _types_with_gaps(frame: pd.DataFrame, gaps: set[str]) -> dict[str, str]:
    """Say which type NumPy's columns have in a whole file with gaps, where this part has none."""
    instead = {"b": "object", "i": "float64", "u": "float64"}
    dtypes = {name: frame[name].dtype for name in gaps.intersection(frame)}
    return {
        name: instead[dtype.kind]
        for name, dtype in dtypes.items()
        if isinstance(dtype, np.dtype) and dtype.kind in instead
    }


def _flattened(part: "pa.Table") -> "pa.Table":
    """Make columns of the objects in cells: `account` becomes `account.tenure`, `account.fee`."""
    import pyarrow as pa

    for _ in range(table.DEEPEST):
        if not any(pa.types.is_struct(field.type) for field in part.schema):
            break
        part = part.flatten()
    return part


def _without_notes(parts: Iterator[pd.DataFrame], footer: int) -> Iterator[pd.DataFrame]:
    """Leave out the notes below a table, of which there are at most `footer`.

    Rows wait until enough came after them to know that they are none.
    """
    if not footer:
        yield from parts
        return
    waiting = next(parts)
    for part in parts:
        known = pd.concat([waiting, part], ignore_index=True)
        sure = max(len(known) - table.MOST_NOTES, 0)
        if sure:
            yield known.iloc[:sure]
        waiting = known.iloc[sure:].reset_index(drop=True)
    notes = min(footer, table.notes_below(waiting))
    yield waiting.iloc[: len(waiting) - notes]


def with_formats(schema: Schema, part: pd.DataFrame) -> Schema:
    """Settle how dates are written that schema.yaml gives no format of, by the first one seen.

    pandas does so for the cells that it is given at once; all parts must be read by the same.
    """
    from pandas.tseries.api import guess_datetime_format  # type: ignore[attr-defined] # stubs lack it

    columns = dict(schema.columns)
    for name, column in schema.columns.items():
        if column.type != "datetime" or column.format is not None or name not in part:
            continue
        written = part[name].dropna()
        if len(written) and isinstance(written.iloc[0], str):
            found = guess_datetime_format(written.iloc[0])
            columns[name] = column.model_copy(update={"format": found})
    return schema.model_copy(update={"columns": columns})


def write(parts: Iterable[pd.DataFrame], out: str | Path) -> int:
    """Write a table as Parquet or CSV, as the name says, whole or not at all; return its rows.

    The bytes are the same whatever the size of the parts, of which there is at least one.
    """
    out = Path(out)
    writing = _write_csv if table.kind(out) == "csv" else _write_parquet
    with replacing(out) as temporary:
        return writing(_grouped(parts), temporary)


def _grouped(parts: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Make parts of ROW_GROUP rows, the last of what is left; at least one."""
    waiting: list[pd.DataFrame] = []
    count = written = 0
    for part in parts:
        waiting.append(part)
        count += len(part)
        if count < ROW_GROUP:
            continue
        known = pd.concat(waiting, ignore_index=True)
        full = count - count % ROW_GROUP
        for start in range(0, full, ROW_GROUP):
            yield known.iloc[start : start + ROW_GROUP]
        waiting, count, written = [known.iloc[full:]], count - full, written + full
    if count or not written:
        yield pd.concat(waiting, ignore_index=True)


def _write_parquet(groups: Iterator[pd.DataFrame], out: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = pa.Table.from_pandas(next(groups), preserve_index=False)
    rows = first.num_rows
    with pq.ParquetWriter(out, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for group in groups:
            cells = pa.Table.from_pandas(group, schema=first.schema, preserve_index=False)
            writer.write_table(cells)
            rows += cells.num_rows
    return rows


def _write_csv(groups: Iterator[pd.DataFrame], out: Path) -> int:
    rows = 0
    with out.open("w", encoding="utf-8", newline="") as target:
        for group in groups:
            group.to_csv(target, index=False, header=rows == 0, lineterminator="\n")
            rows += len(group)
    return rows
