"""Tables on disk and in memory: read a raw file, give it the schema's types, write Parquet.

In memory a number or integer is float64, a datetime is datetime64[us], and everything else is
text; a missing cell is NaN (NaT in dates). Every stage can rely on that.
"""

import bz2
import contextlib
import gzip
import io
import json
import lzma
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from esteira.line.errors import UserError
from esteira.line.files import replacing, require_of_the_line

if TYPE_CHECKING:
    from esteira.line.schema import Column, FileFormat, Schema

TRUE = {"true", "t", "yes", "y", "1", "1.0"}
FALSE = {"false", "f", "no", "n", "0", "0.0"}
PARQUET = (".parquet", ".pq")
JSON_LINES = (".jsonl", ".ndjson", ".json")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
MOST_NOTES = 20  # rows below a table that may be notes
MOST_KEYS = 500  # of objects in cells, beyond which they are no record
DEEPEST = 10  # objects within objects
LARGEST_WHOLE = 2.0**63  # of the floats that are integers
REJECTS = ["column", "row", "value"]
FORMAT_ERRORS = (
    *(ValueError, TypeError, OSError, EOFError),
    *(RecursionError, lzma.LZMAError, zipfile.BadZipFile),
)


def kind(path: str | Path) -> str:
    """Tell `parquet`, `jsonl` or `csv` from the file's name, compressed or not."""
    suffixes = [s.lower() for s in Path(path).suffixes if s.lower() not in COMPRESSED]
    suffix = suffixes[-1] if suffixes else ""
    return "parquet" if suffix in PARQUET else "jsonl" if suffix in JSON_LINES else "csv"


def open_bytes(path: str | Path) -> IO[bytes]:
    """Open a file for reading, unpacked if its name says that it is compressed.

    Raises OSError or EOFError, here or while reading, for an archive that is damaged.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".zip":
        archive = zipfile.ZipFile(path)
        names = [n for n in archive.namelist() if not n.endswith("/") and "__MACOSX" not in n]
        if len(names) != 1:
            raise OSError(f"the archive holds {len(names)} files where one table was expected")
        return archive.open(names[0])
    if suffix == ".zst":
        import pyarrow as pa

        return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    return openers.get(suffix, open)(path, "rb")


def read_raw(path: str | Path, form: "FileFormat") -> pd.DataFrame:
    """Read a raw table as it is written: text cells from CSV, typed cells from the other formats.

    Missing-value tokens become NaN, and surrounding blanks are stripped; nothing else is changed.
    Raises UserError for a file that is absent, empty or malformed, naming the line where known.
    """
    path = Path(path)
    require(path)
    with told(path, form):
        if kind(path) == "parquet":
            frame = _flattened(index_as_column(pd.read_parquet(path)))
        elif kind(path) == "jsonl":
            frame = read_json(path, form)
        else:
            with open_bytes(path) as source:
                frame = _unshifted(_csv(source, form), form)
    frame = plain(frame, form)
    notes = min(form.footer, notes_below(frame))
    return frame.iloc[: len(frame) - notes]


def index_as_column(frame: pd.DataFrame) -> pd.DataFrame:
    """Make a column of an index, by name or not, that is more than the rows' numbers."""
    return frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()


@contextlib.contextmanager
def told(path: Path, form: "FileFormat") -> Iterator[None]:
    """Turn what reading a table may raise into a UserError that names the line where known."""
    try:
        yield
    except pd.errors.EmptyDataError:
        raise UserError(f"{path} is empty: it needs a header and at least one row.") from None
    except FORMAT_ERRORS as error:
        why = _bad_line(path, form) or _ragged(str(error), form) or _open_quote(str(error), form)
        why = why or " ".join(str(error).split()).removesuffix(".")
        raise UserError(f"{path} cannot be read as {kind(path)}: {why}.") from None


def plain(frame: pd.DataFrame, form: "FileFormat") -> pd.DataFrame:
    """Name every column once, strip text, and make missing what `form` says is missing."""
    frame.columns = _distinct([str(n).removeprefix("\ufeff").strip() for n in frame.columns])
    frame = frame.reset_index(drop=True)
    cells = {name: plain_cells(frame[name], form) for name in frame}
    return pd.DataFrame(cells, index=frame.index)


def notes_below(frame: pd.DataFrame) -> int:
    """Count the last rows that are notes or totals: of their cells at most half are filled."""
    last = frame.tail(MOST_NOTES)
    sparse = (last.notna().sum(axis=1) <= frame.shape[1] / 2).to_numpy()[::-1]
    return len(sparse) if sparse.all() else int(sparse.argmin())


def read_batch(path: str | Path, schema: "Schema") -> pd.DataFrame:
    """Read a raw table like the schema's. Raises UserError if it has none of the columns."""
    raw = read_raw(path, schema.file)
    demand_like(raw, path, schema)
    return raw


def demand_like(raw: pd.DataFrame, path: str | Path, schema: "Schema") -> None:
    """Raise UserError if a raw table has none of the schema's columns."""
    form = schema.file
    if not set(schema.columns) & set(raw):
        raise UserError(
            f"{path} is not written as `file:` in schema.yaml says (delimiter {form.delimiter!r},"
            f" {form.encoding}), or is another table: none of the schema's columns is in it."
        )


def is_of_the_line(path: str | Path) -> bool:
    """Whether a table is one that the line wrote, directly under data/: its cells have types."""
    return Path(path).parent == Path("data") and kind(path) == "parquet"


def require(path: Path) -> None:
    """Raise UserError unless `path` is a file."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the path of the table's file.")
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the path of the table's file.")


def _ragged(error: str, form: "FileFormat") -> str:
    """Say in our words what pandas says of a line with too many cells."""
    said = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", error)
    if not said:
        return ""
    expected, line, found = said.groups()
    return (
        f"line {int(line) + form.skip} has {found} cells where {expected} were expected; put cells"
        f" that hold {form.delimiter!r} between quotes, or correct the line"
    )


def _open_quote(error: str, form: "FileFormat") -> str:
    """Say in our words what pandas says of a quote that is never closed; it counts rows from 0."""
    said = re.search(r"EOF inside string starting at row (\d+)", error)
    if not said:
        return ""
    line = int(said[1]) + 1 + form.skip
    return (
        f'the cell that begins with " in line {line}, or further down where cells span lines, never'
        " ends: close the quote, or take it away"
    )


def _csv(source: IO[bytes], form: "FileFormat") -> pd.DataFrame:
    """Read text cells as they stand."""
    return pd.read_csv(_below_title(source, form), **_csv_options(form))


def csv_parts(source: IO[bytes], form: "FileFormat", rows: int) -> Iterator[pd.DataFrame]:
    """Read text cells as they stand, at most `rows` rows at once."""
    with pd.read_csv(_below_title(source, form), chunksize=rows, **_csv_options(form)) as reader:
        for part in reader:
            yield _unshifted(part, form)


def _csv_options(form: "FileFormat") -> dict[str, Any]:
    return {
        "sep": r"\s+" if form.delimiter == " " else form.delimiter,
        "encoding": form.encoding,
        "quotechar": form.quote,
        "header": 0 if form.header else None,
        "dtype": str,
        "keep_default_na": False,
        "skipinitialspace": True,
    }


def _unshifted(frame: pd.DataFrame, form: "FileFormat") -> pd.DataFrame:
    """Undo what pandas does where rows are longer than the header; name columns without one.

    Raises ValueError where the cells beyond the header's hold anything.
    """
    if not isinstance(frame.index, pd.RangeIndex):
        names, extra = frame.columns, frame.index.nlevels
        frame = frame.reset_index()
        if not (frame.iloc[:, -extra:] == "").all(axis=None):
            raise ValueError(
                f"its rows have {len(names) + extra} cells where the header has {len(names)} names:"
                f" name every column, or correct the rows, or the delimiter ({form.delimiter!r})"
            )
        frame = frame.iloc[:, :-extra].set_axis(names, axis=1)
    if not form.header:
        frame.columns = [f"column_{i}" for i in range(1, frame.shape[1] + 1)]
    return frame


def _below_title(source: IO[bytes], form: "FileFormat") -> IO[Any]:
    """Return a file from its header on: its text, where there are lines above."""
    if not form.skip:
        return source
    stream: Any = source  # as in _json
    text = io.TextIOWrapper(io.BufferedReader(stream), encoding=form.encoding, newline="")
    for _ in range(form.skip):
        text.readline()
    return text


def read_json(path: Path, form: "FileFormat") -> pd.DataFrame:
    """Read JSON lines, or one JSON list of objects. Raises what reading may raise, see `told`."""
    with open_bytes(path) as source:
        return _flattened(_json(source, form))


def _json(source: IO[bytes], form: "FileFormat") -> pd.DataFrame:
    stream: Any = source  # what zipfile and gzip open is a raw stream, which IO[bytes] does not say
    text = io.TextIOWrapper(io.BufferedReader(stream), encoding=form.encoding)
    first = text.read(1)
    while first.isspace():
        first = text.read(1)
    if not first:
        raise pd.errors.EmptyDataError
    if first == "[":
        return pd.DataFrame.from_records(json.loads(first + text.read()))
    return pd.read_json(io.StringIO(first + text.read()), lines=True, dtype=False)


def _flattened(frame: pd.DataFrame, depth: int = DEEPEST) -> pd.DataFrame:
    """Make columns of the objects in cells: `account` becomes `account.tenure`, `account.fee`.

    Lists, and columns in which only some cells are objects, stay as they are.
    """
    if not depth:
        return frame
    parts = []
    for place, name in enumerate(frame.columns):
        values = frame.iloc[:, place]
        inner = _objects(values)
        if inner is None:
            parts.append(values.to_frame())
        else:
            inner.columns = [f"{name}.{key}" for key in inner.columns]
            parts.append(_flattened(inner, depth - 1))
    return pd.concat(parts, axis=1) if parts else frame


def _objects(values: pd.Series) -> pd.DataFrame | None:
    """Return a column whose filled cells are all objects as a table of their values, else None."""
    if values.dtype != object:
        return None
    filled = values.dropna()
    if filled.empty or not filled.map(lambda cell: isinstance(cell, dict)).all():
        return None
    if len(set().union(*filled)) > MOST_KEYS:
        return None
    records = [cell if isinstance(cell, dict) else {} for cell in values]
    return pd.DataFrame(records, index=values.index)


def _bad_line(path: Path, form: "FileFormat") -> str:
    """Name the first line of a text file that cannot be decoded, or is no JSON."""
    if kind(path) == "parquet":
        return ""
    with contextlib.suppress(*FORMAT_ERRORS), open_bytes(path) as source:
        for number, line in enumerate(source, 1):
            try:
                text = line.decode(form.encoding)
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                return f"line {number} is not {form.encoding} (byte 0x{byte:02X})"
            if kind(path) == "jsonl" and text.strip():
                try:
                    whole = isinstance(json.loads(text), dict)
                except ValueError:
                    whole = False
                if not whole:
                    return f"line {number} is not a JSON object"
    return ""


def _distinct(names: list[str]) -> list[str]:
    """Number the names that come twice, as pandas does: `a`, `a.1`; name the empty ones."""
    seen: dict[str, int] = {}
    for i, name in enumerate(names):
        base = name = name or f"column_{i + 1}"
        while name in seen:
            name = f"{base}.{seen[base]}"
            seen[base] += 1
        seen[name] = 1
    return list(seen)


def plain_cells(values: pd.Series, form: "FileFormat") -> pd.Series:
    """Strip text and drop missing tokens; give mixed cells (JSON) one type, text."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if values.dtype == object or values.dtype.kind == "m":
        values = values.map(_text, na_action="ignore").astype("str")
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = sentinels(form)
        return values.mask(values.isin(numbers)) if len(numbers) else values
    if not pd.api.types.is_string_dtype(values):
        return values
    text = values.astype("str").str.strip()
    return text.mask(text.isin(form.missing))


def sentinels(form: "FileFormat") -> pd.Series:
    """Return the numbers that stand for a missing value."""
    return pd.to_numeric(pd.Series(form.missing, dtype="str"), errors="coerce").dropna()


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, np.ndarray):  # a list in Parquet
        cell = cell.tolist()
    plain = isinstance(cell, bool | list | dict)
    return json.dumps(cell, ensure_ascii=False, sort_keys=True, default=str) if plain else str(cell)


def cast(values: pd.Series, column: "Column", form: "FileFormat") -> pd.Series:
    """Give one raw column its type; a cell that cannot have it becomes missing."""
    textual = pd.api.types.is_string_dtype(values) or values.dtype == object
    if column.numeric and column.format:
        return _hours(values, column.format)
    if column.numeric:
        if textual:
            values = _plain_numbers(values, column, form)
        numbers = pd.to_numeric(values, errors="coerce").astype("float64")
        return numbers.where(np.isfinite(numbers))
    if column.type == "datetime":
        # utc=True takes mixed offsets too; a moment with an offset is kept as its UTC time
        parsed = pd.to_datetime(values, format=column.format, errors="coerce", utc=True)
        parsed = parsed.dt.tz_localize(None).astype("datetime64[us]")
        return parsed.where(parsed.dt.year.between(1, 9999))  # pandas reads "-1" as a year
    text = values.astype("str").mask(values.isna())
    if pd.api.types.is_float_dtype(values):  # a code 1 with gaps beside it is "1", not "1.0"
        whole = ((values % 1 == 0) & (values.abs() < LARGEST_WHOLE)).to_numpy(bool, na_value=False)
        text[whole] = values[whole].astype("int64").astype("str")
    if column.allowed is not None:  # 1.0 for 1: integers beside gaps, as pandas writes them
        whole = text.str.removesuffix(".0")
        text = text.mask(~text.isin(column.allowed) & whole.isin(column.allowed), whole)
    if column.type == "boolean":
        lower = text.str.lower()
        return lower.map({**dict.fromkeys(TRUE, "true"), **dict.fromkeys(FALSE, "false")})
    return text


def _plain_numbers(values: pd.Series, column: "Column", form: "FileFormat") -> pd.Series:
    """Take unit and marks off numbers, so that "R$ 1.234,50" is "1234.50"."""
    decimal, thousands = form.decimal, form.thousands
    if column.decimal is not None:
        decimal, thousands = column.decimal, column.thousands
    if column.unit:
        values = without_unit(values, column.unit)
    if thousands:
        values = values.str.replace(thousands, "", regex=False)
    if decimal != ".":
        values = values.str.replace(decimal, ".", regex=False)
    return values


def without_unit(values: pd.Series, unit: str) -> pd.Series:
    """Take a unit off text cells, wherever it stands; amounts between brackets are negative."""
    values = values.str.replace(unit, "", n=1, regex=False).str.strip()
    values = values.str.replace(r"^\((.*)\)$", r"-\1", regex=True)
    return values.str.replace(r"^([+-])\s+", r"\1", regex=True)


def _hours(values: pd.Series, form: str) -> pd.Series:
    """Read times of day as hours since midnight: 06:30 is 6.5."""
    moments = pd.to_datetime(values.astype("str"), format=form, errors="coerce").dt
    seconds = moments.second + moments.microsecond / 1e6
    return moments.hour + moments.minute / 60 + seconds / 3600


def parse(raw: pd.DataFrame, schema: "Schema") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give a raw table the schema's types and column order.

    Returns the typed table and its rejects: one row per cell that could not have its type, with
    columns `column`, `row` (counted from 1) and `value`. A column that the table lacks is wholly
    missing in the result; a column that the schema does not know is left out.
    """
    typed, rejects = {}, []
    for name, column in schema.columns.items():
        values = raw[name] if name in raw else pd.Series(None, index=raw.index, dtype="str")
        typed[name] = cast(values, column, schema.file)
        lost = values.notna() & typed[name].isna()
        if lost.any():
            rows = lost.to_numpy().nonzero()[0]
            rejects.append(
                pd.DataFrame(
                    {"column": name, "row": rows + 1, "value": values.iloc[rows].astype("str")}
                )
            )
    found = pd.concat(rejects, ignore_index=True) if rejects else pd.DataFrame(columns=REJECTS)
    return pd.DataFrame(typed, index=raw.index), found


def says(lost: Mapping[str, int]) -> list[str]:
    """A sentence for each column of which so many cells could not have its type."""
    return [f"{n} cells of `{name}` cannot be read as its type." for name, n in lost.items()]


def read(path: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a Parquet table of the line. Raises UserError if it is absent."""
    require_of_the_line(path)
    return pd.read_parquet(path, columns=columns)


def write(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table as Parquet, whole or not at all; the same table gives the same bytes."""
    with replacing(path) as temporary:
        frame.to_parquet(temporary, index=False, compression="zstd")
