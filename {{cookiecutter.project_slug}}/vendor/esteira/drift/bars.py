"""The bars of a column's drawing: shares of the rows, of the reference and of the batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from esteira.drift import dates
from esteira.drift.records import Counted, JudgedColumn, MeasuredColumn, ReferenceColumn

MOST_BARS, MOST_CATEGORIES = 20, 12  # drawn of one column
TAIL = 0.005  # share of the reference that one bar at either end holds


@dataclass(frozen=True)
class Bar:
    """One bar: its label, and the share of the rows on both sides."""

    label: str
    reference: float
    batch: float


@dataclass(frozen=True)
class Bars:
    """The bars of one column.

    Those of numbers are intervals of one width: `bounds` are their ends, from that of the bar
    number `first` on. Others, and those of few values, have a name each.
    """

    bars: tuple[Bar, ...] = ()
    bounds: tuple[float, ...] = ()
    first: int = 0
    numbers: bool = False


def bars_of(column: JudgedColumn) -> Bars:
    """Return the bars of a column: of dates, the part that moved most."""
    measured = column.measured
    of_dates = bars_of_dates(measured)
    if of_dates:
        return Bars(tuple(of_dates))
    return bars(measured.reference, measured.batch)


def bars(reference: ReferenceColumn, batch: Counted) -> Bars:
    """Return the bars of a column of numbers or categories."""
    before = shares(reference.counted)
    now = shares(batch)
    if reference.kind == "number":
        return bars_of_numbers(np.array(reference.cells.edges), before, now)
    return Bars(tuple(bars_of_categories(reference.cells.categories, before, now)))


def bars_of_dates(column: MeasuredColumn) -> list[Bar]:
    """A bar for each hour, weekday or month: of dates, the part that moved most; else none."""
    before, now = column.reference.counted.calendar, column.batch.calendar
    if before is None or now is None:
        return []
    size = {test.aspect: test.sizes.total_variation or 0.0 for test in column.comparisons}
    compared = [part for part in dates.CELLS if part in size]
    if not compared:
        return []
    part = max(compared, key=lambda part: size[part])
    counts = dates.expected(before, now, part)
    if counts is None:
        return []
    expected = counts.reference / counts.reference.sum()
    seen = counts.batch / counts.batch.sum()
    both = zip(counts.names, expected.tolist(), seen.tolist(), strict=True)
    return [Bar(f"{part} {name}", old, new) for name, old, new in both]


def shares(counted: Counted) -> np.ndarray:
    """Share of rows in each cell and, last, in none of them."""
    rows = [*counted.counts, counted.unseen_rows]
    return np.array(rows) / max(1, sum(rows))


def bars_of_categories(categories: Sequence[str], before: np.ndarray, now: np.ndarray) -> list[Bar]:
    """A bar for each of the commonest categories, one for the others, one for what is new."""
    sides = pd.DataFrame({"reference": before[:-1], "batch": now[:-1]}, list(categories))
    top = sides.loc[sides.max(axis=1).nlargest(MOST_CATEGORIES).index]
    rows = zip(top.index, top["reference"], top["batch"], strict=True)
    others = (sides.sum() - top.sum()).clip(lower=0)
    drawn = [
        *(Bar(str(name), float(reference), float(batch)) for name, reference, batch in rows),
        Bar("all others", float(others["reference"]), float(others["batch"])),
        Bar("never seen before", 0.0, float(now[-1])),
    ]
    return [bar for bar in drawn if bar.reference + bar.batch > 1e-9]


def bars_of_numbers(edges: np.ndarray, before: np.ndarray, now: np.ndarray) -> Bars:
    """A bar for each of few values, else bars of one width; and one for each end."""
    upto_before, upto_now = np.cumsum(before), np.cumsum(now)
    ends = np.searchsorted(upto_before, [TAIL, 1 - TAIL]).clip(1, len(edges) - 1)
    first, last = ends.tolist()
    bounds = edges[first : last + 1]  # the bars' upper ends
    names = bounds
    few = len(bounds) <= MOST_BARS
    if not few:
        bounds = np.linspace(bounds[0], bounds[-1], MOST_BARS + 1)[1:]
        names = bounds - (bounds[1] - bounds[0]) / 2
    # a heap at the lowest end is in the first bar
    bounds = np.append(edges[first - 1], bounds)

    def heights(upto: np.ndarray) -> list[float]:
        at_bounds = np.interp(bounds, edges, upto[:-2])
        return np.diff([0, *at_bounds, upto[-1]]).round(9).clip(0).tolist()

    labels = [
        f"below {edges[first]:.6g}",
        *(f"{name:.6g}" for name in names),
        f"above {edges[last]:.6g}",
    ]
    both = zip(labels, heights(upto_before), heights(upto_now), strict=True)
    drawn = [Bar(label, reference, batch) for label, reference, batch in both]
    below, *inner, above = drawn
    ends_with_rows = [*_with_rows(below), *inner, *_with_rows(above)]
    return Bars(
        tuple(ends_with_rows),
        bounds=() if few else tuple(bounds.tolist()),
        first=len(_with_rows(below)),
        numbers=True,
    )


def _with_rows(bar: Bar) -> list[Bar]:
    return [bar] if bar.reference or bar.batch else []
