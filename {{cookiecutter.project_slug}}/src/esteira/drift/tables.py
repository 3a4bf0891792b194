"""A table as the drift check reads it: in Arrow, a column and a row group at a time, no pandas."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from esteira.errors import UserError

SAMPLE = 2000  # rows drawn for the questions that need whole rows
PIECE = 2**20  # rows read at a time
KINDS = {  # what the check does with a type, by Arrow's name of it; all else is `other`
    "number": "u?int|half|float|double|decimal",
    "category": "(large_)?string(_view)?$|bool",
    "date": "timestamp|date",
    "empty": "null",
}
Rows = NDArray[np.int64]


class Source:
    """One table: a pandas or an Arrow one, or the path of a Parquet file.

    `rows` is their number, `kinds` the kind of each column by name, `drawn` the numbers of the
    rows in the sample, ascending: at most SAMPLE, always the same ones for as many rows.
    Raises UserError for a table that cannot be read, or names two columns alike.
    """

    def __init__(self, table: Any) -> None:
        path = isinstance(table, str | Path)
        try:
            if path:
                # texts as dictionaries: a tenth of the time
                words = [f.name for f in pq.read_schema(table) if kind_of(f.type) == "category"]
                self.table = pq.ParquetFile(table, read_dictionary=words)
            else:
                ready = isinstance(table, pa.Table)
                self.table = table if ready else pa.Table.from_pandas(table, preserve_index=False)
        except (pa.ArrowException, ValueError, TypeError, OverflowError, OSError) as error:
            named, why = table if path else "the table", error.args[-1]
            raise UserError(f"{named} cannot be read as a table: {why}") from None
        self.rows = self.table.metadata.num_rows if path else self.table.num_rows
        form = self.table.schema_arrow if path else self.table.schema
        if twice := [name for name, n in Counter(form.names).items() if n > 1]:
            raise UserError(f"more than one column is called `{twice[0]}`: rename all but one.")
        self.kinds = {field.name: kind_of(field.type) for field in form}
        draw = np.random.default_rng(self.rows)
        self.drawn = np.sort(draw.choice(self.rows, min(self.rows, SAMPLE), replace=False))

    def pieces(self, name: str) -> Iterator[tuple[pa.Array, pa.Array]]:
        """Read one column piece by piece: the piece, and its rows that are in the sample."""
        start, table = 0, self.table
        whole = isinstance(table, pa.Table)
        parts = table[name].chunks if whole else table.iter_batches(PIECE, columns=[name])
        for piece in parts if whole else (batch[name] for batch in parts):
            here = self.drawn[(self.drawn >= start) & (self.drawn < start + len(piece))] - start
            # pa.array() would import pandas to look at its argument
            at = pa.Array.from_buffers(pa.int64(), len(here), [None, pa.py_buffer(here)])
            yield piece, piece.take(at)
            start += len(piece)

    def sample(self, name: str) -> pa.Array:
        """The cells of one column in the rows of the sample."""
        return pa.chunked_array([drawn for _, drawn in self.pieces(name)]).combine_chunks()


def kind_of(form: pa.DataType) -> str:
    """What the check does with an Arrow type: one of KINDS, or `other`."""
    name = str(form.value_type if pa.types.is_dictionary(form) else form)
    return next((kind for kind, names in KINDS.items() if re.match(names, name)), "other")


def numbers(cells: pa.Array) -> NDArray[np.float64]:
    """Cells as float64, missing as NaN."""
    cells = cells.cast(pa.float64(), safe=False)
    # to_numpy() would import pandas
    return np.from_dlpack(cells.fill_null(np.nan) if cells.null_count else cells)


def texts(cells: pa.Array) -> list[str | None]:
    """Cells as text, missing as None."""
    return cells.cast(pa.string()).to_pylist()


def tally(cells: pa.Array) -> Counter[str]:
    """Count the categories of one piece."""
    coded = cells if pa.types.is_dictionary(cells.type) else cells.dictionary_encode()
    names = texts(coded.dictionary)
    # a third of the time of Arrow's own value_counts
    counts = np.bincount(np.from_dlpack(coded.indices.drop_null()), minlength=len(names)).tolist()
    return Counter({k: n for k, n in zip(names, counts, strict=True) if n and k is not None})
