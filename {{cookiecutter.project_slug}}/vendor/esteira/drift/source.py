"""A table, read column by column and piece by piece in Arrow, without pandas."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
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
ROWS_COMPARED = 50_000  # the first ones, with each other

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
        self.drawn = sampled(self.rows)

    def _open(self, path: str | Path) -> None:
        """Open a Parquet file, to be read piece by piece."""
        # texts as dictionaries: a tenth of the time
        words = [
            column.name for column in pq.read_schema(path) if kind_of(column.type) == "category"
        ]
        file = pq.ParquetFile(path, read_dictionary=words, pre_buffer=False)
        self.rows: int = file.metadata.num_rows
        self._form: pa.Schema = file.schema_arrow
        self._batches = lambda names, rows=None: file.iter_batches(
            rows or ROWS_AT_A_TIME, columns=names
        )

    def _hold(self, table: Any) -> None:
        """Take a table that is in memory."""
        ready = isinstance(table, pa.Table)
        whole = table if ready else pa.Table.from_pandas(table, preserve_index=False)
        self.rows = whole.num_rows
        self._form = whole.schema
        self._batches = lambda names, rows=None: whole.select(names).to_batches(rows)

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

    def repeated(self, names: Sequence[str]) -> float:
        """Share of the rows that are the same as an earlier one in these columns.

        Of the first ROWS_COMPARED rows. Columns that are neither numbers, words nor dates are
        passed over.
        """
        rows = min(self.rows, ROWS_COMPARED)
        prints = np.zeros(rows, np.uint64)
        compared = [name for name in names if self.kinds[name] in ("number", "category", "date")]
        for done, name in enumerate(compared, start=1):
            start = 0
            for batch in self._batches([name], ROWS_COMPARED):
                cells = batch[name][: rows - start]
                here = slice(start, start + len(cells))
                prints[here] = mix(prints[here], fingerprints(cells, self.kinds[name]))
                start += len(cells)
                if start == rows:
                    break
            looks_now = done.bit_count() == 1  # after 1, 2, 4, 8 … columns
            if looks_now and len(np.unique(prints)) == rows:
                return 0.0  # rows that differ in some columns differ in all
        if not (rows and compared):
            return 0.0
        return 1 - len(np.unique(prints)) / rows


def sampled(rows: int) -> np.ndarray:
    """Draw the rows of a sample, ascending: at most ROWS_IN_SAMPLE, the same of as many rows."""
    draw = np.random.default_rng(rows)
    size = min(rows, ROWS_IN_SAMPLE)
    return np.sort(draw.choice(rows, size, replace=False))


def fingerprints(cells: pa.Array, kind: Kind) -> np.ndarray:
    """A number for each cell, the same for the same value: 64 bits, unsigned."""
    if kind == "number":
        values = numbers(cells)
        values = np.where(np.isnan(values), np.nan, values + 0.0)  # -0.0 is 0.0
        return values.view(np.uint64)
    if kind == "date":
        values = cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells
        width = pa.int32() if values.type == pa.date32() else pa.int64()
        return numbers(values.view(width)).view(np.uint64)
    coded = cells.dictionary_encode()
    words = np.array([hash(word) for word in texts(coded.dictionary)] + [0], np.int64)
    places = filled(coded.indices.cast(pa.int64()), len(words) - 1)
    return words[places].view(np.uint64)


def mix(prints: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Fingerprints of rows from those so far and one more column's (by the steps of splitmix64)."""
    spread = (more ^ (more >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (prints ^ spread ^ (spread >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def kind_of(form: pa.DataType) -> Kind:
    """What the check does with an Arrow type."""
    name = str(form.value_type if pa.types.is_dictionary(form) else form)
    return next(kind for kind, names in ARROW_NAMES.items() if re.match(names, name))


def numbers(cells: pa.Array) -> np.ndarray:
    """Cells as float64, missing as NaN."""
    return filled(cells.cast(pa.float64(), safe=False), np.nan)


def filled(cells: pa.Array, missing: float) -> np.ndarray:
    """Cells of numbers as NumPy has them, the missing ones filled.

    Neither to_numpy() nor fill_null(): both would import pandas.
    """
    if not cells.null_count:
        return np.from_dlpack(cells)
    there = np.from_dlpack(cells.is_valid().cast(pa.uint8())).astype(bool)
    known = np.from_dlpack(cells.drop_null())
    values = np.full(len(cells), missing, known.dtype)
    values[there] = known
    return values


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
