"""Tables on disk and in memory: read a raw file, give it the schema's types, write Parquet.

In memory a number or integer is float64, a datetime is datetime64[us], and everything else is
text; a missing cell is NaN (NaT in dates). Every stage can rely on that.
"""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from esteira.errors import UserError
from esteira.files import replacing

if TYPE_CHECKING:
    from esteira.schema import Column, FileFormat, Schema

TRUE = {"true", "t", "yes", "y", "1", "1.0"}
FALSE = {"false", "f", "no", "n", "0", "0.0"}
PARQUET = (".parquet", ".pq")
JSON_LINES = (".jsonl", ".ndjson", ".json")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
REJECTS = ["column", "row", "value"]


def kind(path: str | Path) -> str:
    """Tell `parquet`, `jsonl` or `csv` from the file's name, compressed or not."""
    suffixes = [s.lower() for s in Path(path).suffixes if s.lower() not in COMPRESSED]
    suffix = suffixes[-1] if suffixes else ""
    return "parquet" if suffix in PARQUET else "jsonl" if suffix in JSON_LINES else "csv"


def read_raw(path: str | Path, form: "FileFormat", rows: int | None = None) -> pd.DataFrame:
    """Read a raw table as it is written: text cells from CSV, typed cells from the other formats.

    Missing-value tokens become NaN, and surrounding blanks are stripped; nothing else is changed.
    Raises UserError for a file that is absent, empty or malformed, naming the line where known.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the path of the table's file.")
    try:
        if kind(path) == "parquet":
            frame = pd.read_parquet(path)
            frame = frame if rows is None else frame.head(rows)
        elif kind(path) == "jsonl":
            frame = pd.read_json(path, lines=True, nrows=rows, dtype=False, convert_dates=False)
        else:
            frame = pd.read_csv(
                path,
                sep=form.delimiter,
                encoding=form.encoding,
                quotechar=form.quote,
                header=0 if form.header else None,
                dtype=str,
                keep_default_na=False,
                na_values=[],
                skipinitialspace=True,
                nrows=rows,
                quoting=csv.QUOTE_MINIMAL,
            )
    except pd.errors.EmptyDataError:
        raise UserError(f"{path} is empty: it needs a header and at least one row.") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not {form.encoding} (byte {error.start}): set `file.encoding` in"
            " schema.yaml."
        ) from None
    except (pd.errors.ParserError, ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as {kind(path)}: {error}.") from None
    if not form.header and kind(path) == "csv":
        frame.columns = [f"column_{i}" for i in range(1, frame.shape[1] + 1)]
    frame.columns = [str(name).strip().removeprefix("\ufeff") for name in frame.columns]
    for name in frame.columns[[pd.api.types.is_string_dtype(t) for t in frame.dtypes]]:
        text = frame[name].str.strip()
        frame[name] = text.mask(text.isin(form.missing))
    return frame


def cast(values: pd.Series, column: "Column", form: "FileFormat") -> pd.Series:
    """Give one raw column its type; a cell that cannot have it becomes missing."""
    textual = pd.api.types.is_string_dtype(values) or values.dtype == object
    if column.numeric:
        if textual:
            if form.thousands:
                values = values.str.replace(form.thousands, "", regex=False)
            if form.decimal != ".":
                values = values.str.replace(form.decimal, ".", regex=False)
        numbers = pd.to_numeric(values, errors="coerce").astype("float64")
        return numbers.where(np.isfinite(numbers))
    if column.type == "datetime":
        # utc=True takes mixed offsets too; a moment with an offset is kept as its UTC time
        parsed = pd.to_datetime(values, format=column.format, errors="coerce", utc=True)
        return parsed.dt.tz_localize(None).astype("datetime64[us]")
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype(
            "Int64"
        )  # a code of 1 with missing cells beside it is "1", not "1.0"
    text = values.astype("str").mask(values.isna())
    if column.type == "boolean":
        lower = text.str.lower()
        return lower.map({**dict.fromkeys(TRUE, "true"), **dict.fromkeys(FALSE, "false")})
    return text


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


def read(path: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a Parquet table of the line. Raises UserError if it is absent."""
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: run `uv run dvc repro` (or `uv run dvc pull`).")
    return pd.read_parquet(path, columns=columns)


def write(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table as Parquet, whole or not at all; the same table gives the same bytes."""
    with replacing(path) as temporary:
        frame.to_parquet(temporary, index=False, compression="zstd")
