"""Tables as the drift check reads them: Arrow, a column and a row group at a time, no pandas."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from esteira.errors import UserError

Source = pa.Table | pq.ParquetFile
SAMPLE = 2000  # rows kept for the questions that need whole rows


def open_table(path: str | Path) -> Source:
    """Open a table file: Parquet is read by row group, text through pyarrow. Raises UserError."""
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: give the path of a table's file.")
    try:
        source = open_as_named(Path(path))
        names = source.schema.names
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} cannot be read as a table: {error}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not written in UTF-8: save it as UTF-8.") from None
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise UserError(f"{path} has more than one column `{twice[0]}`: rename all but one.")
    if worded := [name for name in names if numbers_as_words(source, name)]:
        raise UserError(
            f"{path} writes the numbers of `{worded[0]}` with marks that would make them words: "
            "save it with decimal points, or check it in a project, whose schema.yaml reads it "
            "(`drift_check.current` in params.yaml)."
        )
    return source


def numbers_as_words(source: Source, name: str) -> bool:
    """Whether a text column holds numbers such as 1.620,75, by its first cells."""
    if not isinstance(source, pa.Table) or not pa.types.is_string(source.schema.field(name).type):
        return False
    cells = [cell for cell in source[name].slice(0, 200).to_pylist() if cell]
    return bool(cells) and all(re.fullmatch(r"[-+]?[\d.,' ]*\d[.,]\d+", cell) for cell in cells)


def open_as_named(path: Path) -> Source:
    """Open a file as what its name says: Parquet, JSON lines, else delimited text."""
    if path.suffix.lower() in (".parquet", ".pq"):
        form = pq.read_schema(path)
        texts = [f.name for f in form if kind_of(f.type) == "category"]
        return pq.ParquetFile(path, read_dictionary=texts)
    if {".jsonl", ".ndjson", ".json"} & set(path.suffixes):
        import pyarrow.json

        return pyarrow.json.read_json(path)
    import pyarrow.csv

    with pa.input_stream(path) as stream:
        begin = stream.read(4096).decode("utf-8", "replace")
    mark = max(",;\t|", key=begin.partition("\n")[0].count)
    commas = mark != "," and re.search(r"\d,\d", begin) and not re.search(r"\d\.\d", begin)
    return pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(delimiter=mark),
        convert_options=pyarrow.csv.ConvertOptions(
            strings_can_be_null=True, decimal_point="," if commas else "."
        ),
    )


def to_source(table: Any) -> Source:
    """Take a pandas table as well as an Arrow one."""
    if isinstance(table, pa.Table | pq.ParquetFile):
        return table
    return pa.Table.from_pandas(table, preserve_index=False)


def fields(source: Source) -> dict[str, str]:
    """Name and kind of every column."""
    form = source.schema if isinstance(source, pa.Table) else source.schema_arrow
    return {field.name: kind_of(field.type) for field in form}


def rows(source: Source) -> int:
    """Number of rows."""
    return source.num_rows if isinstance(source, pa.Table) else source.metadata.num_rows


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


def pieces(source: Source, name: str) -> Iterator[pa.Array]:
    """Read one column piece by piece; only one piece is in memory."""
    if isinstance(source, pa.Table):
        yield from source.column(name).chunks
        return
    for group in range(source.num_row_groups):
        yield from source.read_row_group(group, [name], use_threads=False).column(0).chunks


def scan(
    source: Source,
    name: str,
    at: NDArray[np.int64] | None = None,
    kept: list[pa.Array] | None = None,
) -> Iterator[pa.Array]:
    """Read one column piece by piece, and keep the rows numbered `at` (ascending) on the way."""
    start = 0
    for piece in pieces(source, name):
        if at is not None and kept is not None:
            here = at[(at >= start) & (at < start + len(piece))] - start
            # pa.array() would import pandas to look at its argument
            part = piece.take(
                pa.Array.from_buffers(pa.int64(), len(here), [None, pa.py_buffer(here)])
            )
            dictionary = pa.types.is_dictionary(part.type)
            kept.append(part.dictionary_decode() if dictionary else part)
            start += len(piece)
        yield piece


def draw(n: int, size: int = SAMPLE) -> NDArray[np.int64]:
    """Choose row numbers, ascending: the same ones for the same `n`, however the rows are read."""
    return np.sort(np.random.default_rng(n).choice(n, min(n, size), replace=False))


def numbers(chunk: pa.Array, kind: str) -> NDArray[np.float64]:
    """Cells as float64, missing as NaN; of a text its number of characters."""
    if kind == "text":
        if pa.types.is_dictionary(chunk.type):
            chunk = pc.take(pc.utf8_length(chunk.dictionary), chunk.indices)
        else:
            chunk = pc.utf8_length(chunk)
    elif pa.types.is_dictionary(chunk.type):
        chunk = chunk.dictionary_decode()
    if not pa.types.is_float64(chunk.type):
        chunk = chunk.cast(pa.float64(), safe=False)
    # to_numpy() would import pandas
    return np.from_dlpack(chunk.fill_null(np.nan) if chunk.null_count else chunk)


def encoded(chunk: pa.Array) -> pa.DictionaryArray:
    """Cells as indices into their distinct texts."""
    if pa.types.is_boolean(chunk.type):
        chunk = chunk.cast(pa.string())
    return chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()


def tally(chunk: pa.Array) -> Counter[str]:
    """Count the categories of one piece."""
    cells = encoded(chunk)
    indices = np.from_dlpack(cells.indices.drop_null())
    count = np.bincount(indices, minlength=len(cells.dictionary))
    return Counter(dict(zip(cells.dictionary.to_pylist(), count.tolist(), strict=True)))


def pick(source: Source, names: Sequence[str], at: NDArray[np.int64]) -> pa.Table:
    """Read the rows numbered `at` (ascending) of some columns."""
    columns = {}
    for name in names:
        kept: list[pa.Array] = []
        for _ in scan(source, name, at, kept):
            pass
        columns[name] = pa.chunked_array(kept)
    return pa.table(columns)
