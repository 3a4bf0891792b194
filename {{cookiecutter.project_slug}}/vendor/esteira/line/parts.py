"""Tables part by part, so that a table larger than memory can be read, asked about and written.

What comes of a table does not depend on the size of its parts: a cell means the same whatever
cells stand beside it in a part.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from esteira.line import engine, table
from esteira.line.files import replacing, require_of_the_line
from esteira.line.schema import FileFormat, Schema

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS = 10_000  # of a part
CELLS = 1_000_000  # of a part: a wide table has fewer rows in one
ROW_GROUP = 100_000  # rows that are written at once, whatever the parts
ROW_GROUP_CELLS = 5_000_000  # of a wide table fewer
ROWS_SORTED = 100_000  # at once, where a table is put into another order


def read(
    path: str | Path, rows: int | None = None, columns: list[str] | None = None
) -> Iterator[pd.DataFrame]:
    """Read a Parquet table of the line, at most `rows` rows at once; at least one part.

    Raises UserError if it is absent.
    """
    require_of_the_line(path)
    with _opened(path) as source:
        for part in _batches(source, rows, columns):
            yield part.to_pandas()


def count(path: str | Path) -> int:
    """Return how many rows a Parquet table of the line has. Raises UserError if it is absent."""
    import pyarrow.parquet as pq

    require_of_the_line(path)
    return pq.read_metadata(path).num_rows


def take(path: str | Path, places: np.ndarray, columns: list[str] | None = None) -> pd.DataFrame:
    """Read the rows at `places` of a table of the line, in this order, with an index of their own.

    Raises UserError if it is absent.
    """
    sought = np.unique(places)
    found, start = [], 0
    for part in read(path, columns=columns):
        first, end = np.searchsorted(sought, [start, start + len(part)])
        found.append(part.iloc[sought[first:end] - start])
        start += len(part)
    rows = pd.concat(found, ignore_index=True)
    return rows.iloc[np.searchsorted(sought, places)].reset_index(drop=True)


def in_order(path: str | Path, order: np.ndarray) -> Iterator[pd.DataFrame]:
    """Read a table of the line so that row `order[i]` comes as the i-th. Raises UserError.

    A table that is in another order goes through files of ROWS_SORTED rows each, which are then
    put in order one by one.
    """
    if (order[1:] > order[:-1]).all():  # of all places there is one such order
        yield from read(path)
        return
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    files = range(-(-len(order) // ROWS_SORTED))
    with tempfile.TemporaryDirectory(prefix="esteira-sort-", dir=Path(path).parent) as folder:
        names = [Path(folder) / f"{number}.arrow" for number in files]
        _deal_out(path, rank, names)
        for number, name in enumerate(names):
            rows = pd.read_feather(name)
            first = number * ROWS_SORTED
            places = np.sort(order[first : first + ROWS_SORTED])  # the file has them as they came
            yield rows.iloc[np.argsort(rank[places])].reset_index(drop=True)


def _deal_out(path: str | Path, rank: np.ndarray, names: list[Path]) -> None:
    """Write each row of a table into the file that its rank belongs to, in the order they come.

    A few large pieces for each file: of small ones there would be as many as parts times files.
    """
    import pyarrow as pa

    require_of_the_line(path)
    with ExitStack() as opened:
        writers: dict[int, pa.ipc.RecordBatchFileWriter] = {}
        source = opened.enter_context(_opened(path))
        start = 0
        for cells in _batches(source, ROWS_SORTED):
            of_file = rank[start : start + len(cells)] // ROWS_SORTED
            start += len(cells)
            cells = cells.take(np.argsort(of_file, kind="stable"))
            numbers, counts = np.unique(of_file, return_counts=True)
            for number, end, count in zip(numbers, np.cumsum(counts), counts, strict=True):
                if number not in writers:
                    writer = pa.ipc.new_file(names[number], cells.schema)
                    writers[number] = opened.enter_context(writer)
                writers[number].write_table(cells.slice(end - count, count))


def read_raw(path: str | Path, form: FileFormat, rows: int | None = None) -> Iterator[pd.DataFrame]:
    """Read a raw table as `table.read_raw` does, at most `rows` rows at once; at least one part.

    JSON is read whole: only all of its lines tell which columns there are, and of which type.
    Raises UserError for a file that is absent, empty or malformed, when it comes to the fault.
    """
    path = Path(path)
    table.require(path)
    with table.told(path, form):
        cells = engine.mapped(partial(table.plain, form=form), _raw(path, form, rows))
        yield from _without_notes(cells, form.footer)


def _raw(path: Path, form: FileFormat, rows: int | None) -> Iterator[pd.DataFrame]:
    """Read the cells of a file as they stand."""
    found = table.kind(path)
    if found == "parquet":
        yield from _raw_parquet(path, form, rows)
    elif found == "jsonl":
        yield from _sliced(table.read_json(path, form), rows)
    else:
        with table.open_bytes(path) as source:
            yield from table.csv_parts(source, form, rows or ROWS)


def _sliced(frame: pd.DataFrame, rows: int | None) -> Iterator[pd.DataFrame]:
    """Cut a table into parts, at least one."""
    size = rows or _rows_of(frame.shape[1])
    for start in range(0, max(len(frame), 1), size):
        yield frame.iloc[start : start + size]


def _rows_of(columns: int) -> int:
    """Return how many rows a part has."""
    return max(1, min(ROWS, CELLS // max(columns, 1)))


def _opened(path: str | Path) -> "pq.ParquetFile":
    """Open a Parquet file. With buffers ahead, Arrow would keep all of it that was read."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, pre_buffer=False)


def _batches(
    source: "pq.ParquetFile", rows: int | None, columns: list[str] | None = None
) -> Iterator["pa.Table"]:
    """Read a Parquet file, at least one part."""
    import pyarrow as pa

    size = rows or _rows_of(len(columns or source.schema_arrow))
    batches = source.iter_batches(size, columns=columns)
    parts = (pa.Table.from_batches([batch]) for batch in batches)
    empty = source.schema_arrow.empty_table()
    first = next(parts, empty if columns is None else empty.select(columns))
    yield from chain([first], parts)


def _raw_parquet(path: Path, form: FileFormat, rows: int | None) -> Iterator[pd.DataFrame]:
    """Read a squad's Parquet file: objects in cells become columns, an index becomes one."""
    with _opened(path) as source:
        gaps = _with_gaps(source) | _with_sentinels(source, form)
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


def _with_sentinels(source: "pq.ParquetFile", form: FileFormat) -> set[str]:
    """Return the columns of whole numbers in which one of them stands for a missing value."""
    import pyarrow as pa

    sentinels = table.sentinels(form)
    whole = [field.name for field in source.schema_arrow if pa.types.is_integer(field.type)]
    if sentinels.empty or not whole:
        return set()
    found: set[str] = set()
    for part in _batches(source, None, whole):
        there = part.to_pandas().isin(sentinels.to_list()).any()
        found |= set(there.index[there])
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


@dataclass(frozen=True)
class Typed:
    """A part of a raw table."""

    raw: pd.DataFrame
    cells: pd.DataFrame  # with the schema's types
    lost: Counter[str]  # by column: how many cells could not have its type


def read_typed(path: str | Path, schema: Schema) -> Iterator[Typed]:
    """Read a raw table, and give each part the schema's types. Raises UserError as `read_raw`."""
    for raw in read_raw(path, schema.file):
        schema = with_formats(schema, raw)
        cells, rejects = table.parse(raw, schema)
        yield Typed(raw, cells, Counter(rejects["column"]))


class Writer(Protocol):
    """A table that is being written."""

    rows: int  # that it was given

    def write(self, part: pd.DataFrame) -> None:
        """Write a part below what was written before."""


def write(parts: Iterable[pd.DataFrame], out: str | Path) -> int:
    """Write a table as Parquet or CSV, as the name says, whole or not at all; return its rows.

    The bytes are the same whatever the size of the parts, of which there is at least one.
    """
    with writing(out) as target:
        for part in parts:
            target.write(part)
    return target.rows


@contextmanager
def writing(out: str | Path) -> Iterator[Writer]:
    """Open a table, Parquet or CSV as the name says, to be written part by part, at least one.

    It takes its place when all is written, and not at all where anything is raised. The bytes are
    the same whatever the size of the parts.
    """
    out = Path(out)
    with replacing(out) as temporary:
        target = _Grouped(_Csv(temporary) if table.kind(out) == "csv" else _Parquet(temporary))
        try:
            yield target
            target.finish()
        finally:
            target.groups.close()


class _Groups(Protocol):
    """A file that takes groups of rows."""

    def write(self, group: pd.DataFrame) -> None: ...

    def close(self) -> None: ...


class _Grouped:
    """Makes of parts groups of as many rows as a group has, the last of what is left."""

    def __init__(self, groups: _Groups) -> None:
        self.groups = groups
        self.rows = 0
        self._waiting: list[pd.DataFrame] = []
        self._count = 0  # rows that wait
        self._written = False

    def write(self, part: pd.DataFrame) -> None:
        """Keep a part, and write the groups that are full."""
        self.rows += len(part)
        self._waiting.append(part)
        self._count += len(part)
        size = min(ROW_GROUP, max(1, ROW_GROUP_CELLS // max(part.shape[1], 1)))
        if self._count < size:
            return
        known = pd.concat(self._waiting, ignore_index=True)
        full = self._count - self._count % size
        for start in range(0, full, size):
            self._put(known.iloc[start : start + size])
        self._waiting, self._count = [known.iloc[full:].copy()], self._count - full

    def finish(self) -> None:
        """Write what is left, and of a table without rows its columns."""
        if self._count or not self._written:
            self._put(pd.concat(self._waiting, ignore_index=True))

    def _put(self, group: pd.DataFrame) -> None:
        self.groups.write(group)
        self._written = True


class _Parquet:
    """Row groups of a Parquet file; the first says which types the columns have."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._writer: pq.ParquetWriter | None = None

    def write(self, group: pd.DataFrame) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._writer is None:
            cells = pa.Table.from_pandas(group, preserve_index=False)
            self._writer = pq.ParquetWriter(self._out, cells.schema, compression="zstd")
        else:
            cells = pa.Table.from_pandas(group, schema=self._writer.schema, preserve_index=False)
        self._writer.write_table(cells)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Csv:
    """Lines of a CSV file, below its header."""

    def __init__(self, out: Path) -> None:
        self._target = out.open("w", encoding="utf-8", newline="")
        self._header = True

    def write(self, group: pd.DataFrame) -> None:
        group.to_csv(self._target, index=False, header=self._header, lineterminator="\n")
        self._header = False

    def close(self) -> None:
        self._target.close()
