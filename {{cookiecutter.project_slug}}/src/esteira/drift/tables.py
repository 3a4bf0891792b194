"""A table as the drift check reads it: in Arrow, a column and a row group at a time, no pandas."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from esteira.errors import UserError

SAMPLE = 2000  # rows drawn for the questions that need whole rows
Rows = NDArray[np.int64]


class Source:
    """One table: a pandas or an Arrow one, or the path of a Parquet file.

    `rows` is their number, `kinds` the kind of each column by name, `drawn` the numbers of the
    rows in the sample, ascending: at most SAMPLE, always the same ones for as many rows.
    Raises UserError for a file that cannot be read.
    """

    def __init__(self, table: Any) -> None:
        self.file: pq.ParquetFile | None = None
        if isinstance(table, str | Path):
            self.file = open_parquet(Path(table))
            form, self.rows = self.file.schema_arrow, self.file.metadata.num_rows
        else:
            self.table = table if isinstance(table, pa.Table) else of_pandas(table)
            form, self.rows = self.table.schema, self.table.num_rows
        if twice := [name for name, n in Counter(form.names).items() if n > 1]:
            raise UserError(f"more than one column is called `{twice[0]}`: rename all but one.")
        self.kinds = {field.name: kind_of(field.type) for field in form}
        draw = np.random.default_rng(self.rows)
        self.drawn = np.sort(draw.choice(self.rows, min(self.rows, SAMPLE), replace=False))

    def pieces(self, name: str) -> Iterator[tuple[pa.Array, pa.Array]]:
        """Read one column piece by piece: the piece, and its rows that are in the sample."""
        start = 0
        for piece in self._read(name):
            here = self.drawn[(self.drawn >= start) & (self.drawn < start + len(piece))] - start
            # pa.array() would import pandas to look at its argument
            at = pa.Array.from_buffers(pa.int64(), len(here), [None, pa.py_buffer(here)])
            yield piece, piece.take(at)
            start += len(piece)

    def _read(self, name: str) -> Iterator[pa.Array]:
        if self.file is None:
            yield from self.table.column(name).chunks
            return
        for group in range(self.file.num_row_groups):
            part = self.file.read_row_group(group, [name], use_threads=False)
            yield from part.column(name).chunks

    def sample(self, name: str) -> pa.ChunkedArray:
        """The cells of one column in the rows of the sample."""
        return pa.chunked_array([drawn for _, drawn in self.pieces(name)])


def of_pandas(table: Any) -> pa.Table:
    """Take a pandas table. Raises UserError for a column that Arrow has no type for."""
    try:
        return pa.Table.from_pandas(table, preserve_index=False)
    except (pa.ArrowException, ValueError) as error:
        raise UserError(
            f"the table cannot be checked: {'; '.join(map(str, error.args))}."
        ) from None


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file, its texts as dictionaries: a tenth of the time. Raises UserError."""
    try:
        form = pq.read_schema(path)
        texts = [field.name for field in form if kind_of(field.type) == "category"]
        return pq.ParquetFile(path, read_dictionary=texts)
    except (pa.ArrowInvalid, OSError) as error:
        why = str(error).removesuffix(".")
        raise UserError(f"{path} cannot be read as a table: {why}.") from None


def kind_of(form: pa.DataType) -> str:
    """What the check does with an Arrow type: `number`, `category`, `date`, `empty` or `other`."""
    types = pa.types
    if types.is_dictionary(form):
        form = form.value_type
    if types.is_integer(form) or types.is_floating(form) or types.is_decimal(form):
        return "number"
    if types.is_string(form) or types.is_large_string(form) or types.is_boolean(form):
        return "category"
    if types.is_timestamp(form) or types.is_date(form):
        return "date"
    return "empty" if types.is_null(form) else "other"


def numbers(cells: pa.Array) -> NDArray[np.float64]:
    """Cells as float64, missing as NaN; of a text its number of characters."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if kind_of(cells.type) == "category":
        cells = pc.utf8_length(cells)
    cells = cells.cast(pa.float64(), safe=False)
    # to_numpy() would import pandas
    return np.from_dlpack(cells.fill_null(np.nan) if cells.null_count else cells)


def tally(cells: pa.Array) -> Counter[str]:
    """Count the categories of one piece."""
    coded = cells if pa.types.is_dictionary(cells.type) else cells.dictionary_encode()
    names = coded.dictionary.cast(pa.string()).to_pylist()
    # a third of the time of Arrow's own value_counts
    counts = np.bincount(np.from_dlpack(coded.indices.drop_null()), minlength=len(names))
    return Counter(
        {name: n for name, n in zip(names, counts.tolist(), strict=True) if n and name is not None}
    )
