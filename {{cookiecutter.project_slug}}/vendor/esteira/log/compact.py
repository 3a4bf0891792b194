"""Turn segments of JSON lines into Parquet, one file for each.

A segment that is still written to is copied as far as it goes, and again the next time; one that
is closed is copied and then removed. So it may be run at any time, killed at any point, and run
again: a row is in the log once.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from esteira.line import table
from esteira.line.errors import UserError
from esteira.line.logged import DATA, MODEL, OWN, PREDICTION, REASONS, REQUEST, TIME
from esteira.line.predictions import PROBABILITY
from esteira.log.records import ANSWERS, SEGMENTS, lock_of, plain, require_log


@dataclass(frozen=True)
class Record:
    """One line of a segment: see `writer.Answered`."""

    time: str  # ISO 8601
    request: str
    model: str
    data: str
    row: dict[str, Any]
    prediction: str | float
    probabilities: dict[str, float] | None
    reasons: str


@dataclass(frozen=True)
class Fault:
    """What could not be read of a segment."""

    segment: str
    problem: str


@dataclass(frozen=True)
class Compacted:
    """What was copied, in numbers."""

    rows: int
    closed: int  # segments that were copied and removed
    open: int  # segments that are still written to
    faults: tuple[Fault, ...]

    def says(self) -> str:
        """Say it in a line, and one for each fault."""
        lines = [
            f"{self.rows} rows of {self.closed} closed and {self.open} open segments are in"
            f" {ANSWERS}/."
        ]
        lines += [f"{fault.segment}: {fault.problem}." for fault in self.faults]
        return "\n".join(lines)


@dataclass(frozen=True)
class Segment:
    """What was read of a segment."""

    records: list[Record]
    problems: list[str]
    broken: bool  # whether a whole line is no record: such a segment is kept


def compact(folder: str | Path) -> Compacted:
    """Copy every segment of a log into Parquet; remove those that are closed.

    Raises UserError for a folder that holds no log, or where another process compacts it now.
    """
    folder = Path(folder)
    require_log(folder)
    (folder / ANSWERS).mkdir(exist_ok=True)
    try:
        with FileLock(folder / ".compacting", timeout=0):
            return _compact_all(folder)
    except Timeout:
        raise UserError(f"{folder} is being compacted by another process: wait for it.") from None


def _compact_all(folder: Path) -> Compacted:
    rows = closed = still_open = 0
    faults: list[Fault] = []
    for path in sorted((folder / SEGMENTS).glob("*.jsonl")):
        is_closed = _is_closed(path)  # asked before it is read: what comes later is another day's
        found = read_segment(path, is_closed)
        if found.records:
            table.write(frame_of(found.records), folder / ANSWERS / f"{path.stem}.parquet")
        rows += len(found.records)
        faults += [Fault(path.name, problem) for problem in found.problems]
        closed += is_closed
        still_open += not is_closed
        if is_closed and not found.broken:
            path.unlink()
            path.with_suffix(".lock").unlink(missing_ok=True)
    return Compacted(rows, closed, still_open, tuple(faults))


def _is_closed(segment: Path) -> bool:
    """Whether nobody writes to a segment any more: its worker ended it, or was killed."""
    try:
        with FileLock(lock_of(segment), timeout=0):
            return True
    except Timeout:
        return False


def read_segment(path: Path, is_closed: bool) -> Segment:
    """Read the whole lines of a segment, and say what is wrong with it."""
    records: list[Record] = []
    problems: list[str] = []
    broken = 0
    content = path.read_bytes()
    *lines, tail = content.split(b"\n")
    for line in lines:
        record = _record(line)
        if record is None:
            broken += 1
        else:
            records.append(record)
    if broken:
        problems.append(f"{broken} lines are no records, so the file is kept: look at it")
    if tail and is_closed:
        problems.append(
            f"a torn tail of {len(tail)} bytes: its worker was killed before it gave that answer"
        )
    return Segment(records, problems, bool(broken))


def _record(line: bytes) -> Record | None:
    """Return the record of a line, or None where the line is something else."""
    try:
        record = Record(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    is_whole = isinstance(record.row, dict) and isinstance(record.probabilities, dict | None)
    return record if is_whole else None


def frame_of(records: list[Record]) -> pd.DataFrame:
    """Return records as a table: the log's own columns, and a column for each cell of the rows."""
    times = pd.to_datetime([each.time for each in records], utc=True, format="ISO8601")
    own = {
        TIME: times.tz_localize(None).astype("datetime64[us]"),
        REQUEST: [each.request for each in records],
        MODEL: [each.model for each in records],
        DATA: [each.data for each in records],
        REASONS: [each.reasons for each in records],
        PREDICTION: cells([each.prediction for each in records]),
    }
    classes = dict.fromkeys(name for each in records for name in each.probabilities or ())
    for name in classes:
        column = [(each.probabilities or {}).get(name) for each in records]
        own[f"{OWN}{PROBABILITY}{name}"] = pd.Series(column, dtype="float64")
    names = dict.fromkeys(name for each in records for name in each.row)
    of_rows = {name: cells([each.row.get(name) for each in records]) for name in names}
    return pd.DataFrame({**own, **of_rows})


def cells(values: list[Any]) -> pd.Series:
    """Return cells of JSON as one column: numbers where all of them are, and else text."""
    given = [value for value in values if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
        return pd.Series(values, dtype="float64")
    return pd.Series([None if value is None else plain(value) for value in values], dtype="str")
