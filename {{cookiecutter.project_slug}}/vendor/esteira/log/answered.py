"""Read a compacted log, and make a batch of it that the drift check reads."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from esteira.line import logged, table
from esteira.line import schema as schemas
from esteira.line.errors import UserError
from esteira.line.logged import OWN, TIME, Note
from esteira.line.schema import Schema
from esteira.log.records import ANSWERS, LABELS, keys, plain, require_log


@dataclass(frozen=True)
class Window:
    """Which answered rows make a batch: those from a moment to before another, and the newest."""

    since: datetime | None = None  # UTC
    until: datetime | None = None
    last: int | None = None  # rows


@dataclass(frozen=True)
class Batch:
    """What was written, in numbers."""

    out: Path
    rows: int
    labelled: int
    first: datetime
    last: datetime
    note: Note

    def says(self) -> str:
        """Say it in a line or two."""
        times = f"{self.first:%Y-%m-%d %H:%M} to {self.last:%Y-%m-%d %H:%M} UTC"
        labels = f"{self.labelled} of them with a label" if self.labelled else "none has a label"
        written = f"{self.rows} rows answered from {times} are in {self.out}, {labels}."
        return "\n".join([written, *self.note.says()])


def read_answers(folder: Path) -> pd.DataFrame:
    """Return all compacted rows of a log, in the order of time.

    Raises UserError where there is none, or a file of it cannot be read.
    """
    require_log(folder)
    files = sorted((folder / ANSWERS).glob("*.parquet"))
    if not files:
        raise UserError(f"{folder} has no compacted rows: run `uv run esteira log compact` first.")
    frames = []
    for file in files:
        try:
            frames.append(pd.read_parquet(file))
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{file} cannot be read: {reason}") from None
    return pd.concat(frames, ignore_index=True).sort_values(TIME, kind="stable", ignore_index=True)


def make_batch(out: str | Path, folder: str | Path, window: Window, answers: bool) -> Batch:
    """Write the answered rows of a window as a table like the training table.

    It has the schema's columns, the target where labels have come, and with `answers` what the
    model said as well: `log.time`, `log.prediction` and so on. Where the log leaves an input out,
    it has these in any case, and says what is left out: see `line.logged`.

    Raises UserError for a log without rows in the window, and for an `out` that cannot be written.
    """
    out, folder, what = Path(out), Path(folder), schemas.load()
    if out.suffix.lower() not in table.PARQUET:
        raise UserError(f"{out} is not .parquet: a batch of the log is written as that.")
    rows = _within(read_answers(folder), window)
    if rows.empty:
        raise UserError(f"{folder} has no row in that window: no batch is written.")
    hidden = tuple(name for name in what.inputs if what.columns[name].log != "yes")
    kept = [name for name in what.columns if name in rows and name not in hidden]
    batch = pd.DataFrame({name: _one_type(rows[name]) for name in kept}, index=rows.index)
    labels = _labels(rows, folder, what)
    if labels.notna().any():
        batch[what.target] = labels
    if answers or hidden:
        own = [str(name) for name in rows if str(name).startswith(OWN)]
        batch = pd.concat([batch, rows[own]], axis=1)
    note = Note(hidden)
    logged.write(batch, out, note)
    first, last = rows[TIME].iloc[0], rows[TIME].iloc[-1]
    return Batch(out, len(rows), int(labels.notna().sum()), first, last, note)


def _within(rows: pd.DataFrame, window: Window) -> pd.DataFrame:
    if window.since is not None:
        rows = rows[rows[TIME] >= pd.Timestamp(window.since)]
    if window.until is not None:
        rows = rows[rows[TIME] < pd.Timestamp(window.until)]
    return rows if window.last is None else rows.tail(window.last)


def _one_type(values: pd.Series) -> pd.Series:
    """Return a column as text where some segments have it as numbers and others as text."""
    return values.map(plain, na_action="ignore").astype("str") if values.dtype == object else values


def _labels(rows: pd.DataFrame, folder: Path, what: Schema) -> pd.Series:
    """Return the label of each row; missing where none has come."""
    file = folder / LABELS
    if not file.is_file():
        return pd.Series(None, index=rows.index, dtype="object")
    labels = table.read(file)
    key = [str(name) for name in labels if name != what.target]
    if what.target not in labels:
        raise UserError(f"{file} has no labels of `{what.target}`: move it away, and label anew.")
    joined = keys(rows, key).merge(labels, on=key, how="left", validate="many_to_one")
    return joined[what.target].set_axis(rows.index)
