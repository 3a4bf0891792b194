"""What becomes of the rows: repeated ones, the newest ones, and whether their order is time."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from esteira.adopt.dates import rising
from esteira.adopt.decisions import Decision
from esteira.adopt.time_column import NOT_TIME
from esteira.line.schema import Schema

LEAST_ROWS = 52  # a little more than the drift check's least_rows
MOST_NEWEST = 0.35
LIKELY_ABSENT = 10  # rows of a class that would be expected, and none is there: once in 20,000
TIED = 0.95  # rank correlation with the row number from which a feature sorts the rows
TIED_TARGET = 0.5
FEWEST_DATES = 20  # that rise, from which their order is no luck

Order = Literal["rows", "random"]


@dataclass(frozen=True)
class Repeated:
    """Whether rows that come twice are dropped."""

    drop: bool
    decisions: list[Decision]


@dataclass(frozen=True)
class Newest:
    """Which share of the newest rows plays the new batch of the drift check."""

    share: float
    decisions: list[Decision]


@dataclass(frozen=True)
class Ordered:
    """Whether the file's rows are in the order of time."""

    order: Order
    decisions: list[Decision]


def repeated(raw: pd.DataFrame, schema: Schema) -> Repeated:
    """Keep rows that come twice, unless an identifier tells copies from look-alikes."""
    count = int(raw.duplicated().sum())
    if not count:
        return Repeated(True, [])
    where = "params.yaml, ingest.drop_duplicates"
    if schema.named("identifier"):
        said = Decision(f"{count} repeated rows are dropped", "identifier and all", where)
        return Repeated(True, [said])
    why = "no identifier tells copies from look-alikes"
    said = Decision(f"{count} repeated rows are kept", why, where, warning=True)
    return Repeated(False, [said])


def newest(raw: pd.DataFrame, schema: Schema, share: float) -> Newest:
    """Raise the share of the newest rows until the drift check has enough of them."""
    anchors = [name for name in (schema.target, schema.time) if name]
    rows = len(raw.dropna(subset=anchors))
    if rows * share >= LEAST_ROWS:
        return Newest(share, [])
    needed = math.ceil(100 * LEAST_ROWS / max(rows, 1)) / 100
    share = min(MOST_NEWEST, needed)
    seen = f"{round(rows * share)} of {rows} rows; the drift check needs {LEAST_ROWS}"
    decisions = [Decision(f"newest rows {share:.0%}", seen, "params.yaml, split.current")]
    if rows * share < LEAST_ROWS:
        why = f"{rows} rows; with fewer than 150 the drift check or a gate may never pass"
        decisions.append(Decision("the table is too small", why, warning=True))
    return Newest(share, decisions)


def ordered(typed: pd.DataFrame, schema: Schema, share: float) -> Ordered:
    """Decide whether the file's order can be that of time: not where a column sorts the rows.

    A column of dates may, with gaps for which it was not taken for the time. `share` is that of the
    newest rows.
    """
    rows = typed.dropna(subset=[schema.target])
    if schema.time or rows.empty:
        return Ordered("rows", [])
    where = "params.yaml, split.order"
    why = _class_at_the_end(rows, schema, share)
    date = _date_that_rises(rows, schema)
    if date and not why:
        evidence = f"the dates of `{date}` rise with them"
        return Ordered("rows", [Decision("order of the rows is time", evidence, where)])
    why = why or _sorted_by(rows, schema)
    if why:
        why += "; if they are in time order all the same, write rows"
        return Ordered("random", [Decision("order of the rows is random", why, where)])
    why = (
        "a guess: no column sorts the rows, so the last ones are taken for the newest; if they are"
        " not, write random, or name a column with --time"
    )
    return Ordered("rows", [Decision("order of the rows is time", why, where, warning=True)])


def _class_at_the_end(rows: pd.DataFrame, schema: Schema, share: float) -> str:
    """Say which class is wholly among the last rows, or wholly before them, and not by luck."""
    if schema.task != "classification":
        return ""
    target = rows[schema.target]
    cut = len(rows) - round(len(rows) * share)
    why = ""
    for name, count in target.value_counts().items():
        older = int((target.iloc[:cut] == name).sum())
        expected = count * min(share, 1 - share)
        if older in (0, count) and expected >= LIKELY_ABSENT:
            there = "none of" if older else "only"
            why = f"class {name} is in {there} the last {len(rows) - cut} rows"
    return why


def _date_that_rises(rows: pd.DataFrame, schema: Schema) -> str | None:
    """Return the first column of enough dates that rises with the row number, but no birthdays."""
    for name in schema.features:
        dates = rows[name].dropna()
        is_date = schema.columns[name].type == "datetime" and not NOT_TIME.search(name)
        if is_date and len(dates) >= FEWEST_DATES and rising(dates) >= TIED:
            return name
    return None


def _sorted_by(rows: pd.DataFrame, schema: Schema) -> str:
    """Say which column rises or falls with the row number."""
    place = pd.Series(np.arange(len(rows)), rows.index)
    sorting: dict[str, float] = {}
    for name in (schema.target, *schema.features):
        tie = rows[name].rank().corr(place)
        if abs(tie) > (TIED_TARGET if name == schema.target else TIED):
            sorting[name] = tie
    if not sorting:
        return ""
    name = max(sorting, key=lambda name: abs(sorting[name]))
    return f"they are sorted by `{name}` (rank correlation with the row number {sorting[name]:.2f})"
