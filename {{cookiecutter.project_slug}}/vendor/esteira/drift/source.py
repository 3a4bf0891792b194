"""A table, read column by column and piece by piece in Arrow, without pandas."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from esteira.drift.records import Kind
from esteira.line.errors import UserError

ROWS_AT_A_TIME = 2**20
ROWS_IN_SAMPLE = 2000  # for what needs whole rows

# Arrow's names of the types of each kind; the first that matches holds. Categories of which there
# are too many become "text": see columns.describe.
ARROW_NAMES: dict[Kind, str] = {
    "number": "u?int|half|float|double|decimal",
    "category": "(large_)?string(_view)?$|bool",
    "date": "timestamp|date",
    "empty": "null",
    "other": "",
}


@dataclass(frozen=True)
class Piece:
    """Cells of one column that follow each other, and those among them that are in the sample."""

    cells: pa.Array
    drawn: pa.Array


class Source:
    """One table: a pandas or an Arrow one, or the path of a Parquet file.

    `rows` is their number, `kinds` the kind of each column by name, `drawn` the numbers of the
    rows in the sample, ascending: at most ROWS_IN_SAMPLE, always the same ones for as many rows.
    Raises UserError for a table that cannot be read, or names two columns alike.
    """

    def __init__(self, table: Any) -> None:
        is_path = isinstance(table, str | Path)
        try:
            if is_path:
                self._open(table)
            else:
                self._hold(table)
        except (pa.ArrowException, ValueError, TypeError, OverflowError, OSError) as error:
            called = table if is_path else "the table"
            raise UserError(f"{called} cannot be read as a table: {error.args[-1]}") from None
        twice = [name for name, times in Counter(self._form.names).items() if times > 1]
        if twice:
            raise UserError(f"more than one column is called `{twice[0]}`: rename all but one.")
        self.kinds = {column.name: kind_of(column.type) for column in self._form}
        draw = np.random.default_rng(self.rows)
        size = min(self.rows, ROWS_IN_SAMPLE)
        self.drawn = np.sort(draw.choice(self.rows, size, replace=False))

    def _open(self, path: str | Path) -> None:
        """Open a Parquet file, to be read piece by piece."""
        # texts as dictionaries: a tenth of the time
        words = [
            column.name for column in pq.read_schema(path) if kind_of(column.type) == "category"
        ]
        file = pq.ParquetFile(path, read_dictionary=words)
        self.rows: int = file.metadata.num_rows
        self._form: pa.Schema = file.schema_arrow
        self._batches = lambda names: file.iter_batches(ROWS_AT_A_TIME, columns=names)

    def _hold(self, table: Any) -> None:
        """Take a table that is in memory."""
        ready = isinstance(table, pa.Table)
        whole = table if ready else pa.Table.from_pandas(table, preserve_index=False)
        self.rows = whole.num_rows
        self._form = whole.schema
        self._batches = lambda names: whole.select(names).to_batches()

    def pieces(self, name: str) -> Iterator[Piece]:
        """Read one column piece by piece."""
        start = 0
        for batch in self._batches([name]):
            cells = batch[name]
            end = start + len(cells)
            here = self.drawn[(self.drawn >= start) & (self.drawn < end)] - start
            # pa.array() would import pandas to look at its argument
            places = pa.Array.from_buffers(pa.int64(), len(here), [None, pa.py_buffer(here)])
            yield Piece(cells, cells.take(places))
            start = end

    def sample(self, name: str) -> pa.Array:
        """The cells of one column in the rows of the sample."""
        return pa.chunked_array([piece.drawn for piece in self.pieces(name)]).combine_chunks()


def kind_of(form: pa.DataType) -> Kind:
    """What the check does with an Arrow type."""
    name = str(form.value_type if pa.types.is_dictionary(form) else form)
    return next(kind for kind, names in ARROW_NAMES.items() if re.match(names, name))


def numbers(cells: pa.Array) -> np.ndarray:
    """Cells as float64, missing as NaN."""
    cells = cells.cast(pa.float64(), safe=False)
    # to_numpy() would import pandas
    return np.from_dlpack(cells.fill_null(np.nan) if cells.null_count else cells)


def texts(cells: pa.Array) -> list[str | None]:
    """Cells as text, missing as None."""
    return cells.cast(pa.string()).to_pylist()


def tally(cells: pa.Array) -> Counter[str]:
    """Count the categories of one piece."""
    coded = cells.dictionary_encode()  # of coded cells, themselves
    names = texts(coded.dictionary)
    # a third of the time of Arrow's own value_counts
    places = np.from_dlpack(coded.indices.drop_null())
    rows = np.bincount(places, minlength=len(names)).tolist()
    return Counter({n: r for n, r in zip(names, rows, strict=True) if r and n is not None})
