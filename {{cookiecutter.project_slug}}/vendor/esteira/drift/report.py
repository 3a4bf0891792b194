"""What a reader gets: the per-column table, histograms for DVC, and one HTML page.

The page is self-contained, without script, light and dark, fit to print.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Template

from esteira.drift import dates
from esteira.drift.check import Checked
from esteira.drift.records import Counted, JudgedColumn, MeasuredColumn, ReferenceColumn
from esteira.drift.say import remarks
from esteira.line import files

MOST_BARS, MOST_CATEGORIES = 20, 12  # drawn of one column
COLUMNS_DRAWN = 6  # in histograms.csv
PAIRS_SHOWN = 5
TAIL = 0.005  # share of the reference that one bar at either end holds


@dataclass(frozen=True)
class Bar:
    """One bar of a column's drawing: its label, and the share of the rows on both sides."""

    label: str
    reference: float
    batch: float


@dataclass(frozen=True)
class Line:
    """One line of columns.csv; what was not measured is not a number."""

    column: str
    role: str
    kind: str
    drifted: int
    significant: int
    effect: float  # in units of its limit: from 1 on it can be an alarm
    p: float
    ks: float
    psi: float
    total_variation: float
    missing_reference: float
    missing_current: float
    unseen: float
    says: str


@dataclass(frozen=True)
class Card:
    """What the page shows of one column."""

    line: Line
    bars: Sequence[Bar]


def write(found: Checked, folder: str | Path, title: str = "Drift check") -> None:
    """Write metrics.json, columns.csv, histograms.csv and report.html into `folder`.

    Columns come in the order a reader needs them: what drifted, the largest effect first.
    """
    judged = found.judged
    columns = list(judged.columns)
    if judged.prediction is not None:
        columns.append(judged.prediction)
    columns.sort(key=lambda column: (-column.drifted, -column.effect))
    cards = [card(column) for column in columns]
    folder = Path(folder)
    write_csv(folder / "columns.csv", lines_as_table(cards))
    write_csv(folder / "histograms.csv", histograms(cards[:COLUMNS_DRAWN]))
    files.write_text(folder / "report.html", page(found, cards, title))
    files.write_metrics(folder / "metrics.json", found.metrics.known())


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, its numbers with six digits."""
    files.write_text(path, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def lines_as_table(cards: Iterable[Card]) -> pd.DataFrame:
    """The table of columns.csv."""
    names = list(Line.__dataclass_fields__)
    return pd.DataFrame([asdict(card.line) for card in cards], columns=names)


def histograms(cards: Iterable[Card]) -> pd.DataFrame:
    """The table of histograms.csv: a row for each bar and side."""
    rows = [
        {
            "column": card.line.column,
            "bar": f"{place:02d} {bar.label}",
            "reference": bar.reference,
            "batch": bar.batch,
        }
        for card in cards
        for place, bar in enumerate(card.bars)
    ]
    wide = pd.DataFrame(rows, columns=["column", "bar", "reference", "batch"])
    return wide.melt(["column", "bar"], ["reference", "batch"], "side", "share")


def page(found: Checked, cards: Sequence[Card], title: str) -> str:
    """The page of the report."""
    template = Template(Path(__file__).with_suffix(".html").read_text("utf-8"), autoescape=True)
    judged = found.judged
    return template.render(
        title=title,
        verdict=judged.verdict,
        told=found.told,
        metrics=found.metrics,
        figures=found.metrics.known().items(),
        segments=[astuple(segment) for segment in judged.segments],
        pairs=[astuple(pair) for pair in judged.pairs[:PAIRS_SHOWN]],
        cards=cards,
        table=table,
    )


def table(rows: Any, *names: str) -> str:
    """Rows as an HTML table."""
    drawn = pd.DataFrame(rows, columns=names, dtype=object)  # so that integers stay whole
    return drawn.to_html(index=False, border=0, float_format="{:.4g}".format)  # escapes its cells


def card(column: JudgedColumn) -> Card:
    """What is shown of one column."""
    measured = column.measured
    reference, batch = measured.reference, measured.batch

    def size(scale: str) -> float:
        found = measured.size(scale)
        return nan if found is None else found

    line = Line(
        column=measured.name,
        role=measured.role,
        kind=reference.kind,
        drifted=int(column.drifted),
        significant=int(column.significant),
        effect=column.effect,
        p=column.p,
        ks=size("ks"),
        psi=size("psi"),
        total_variation=size("total_variation"),
        missing_reference=reference.counted.missing_share,
        missing_current=batch.missing_share,
        unseen=size("unseen"),
        says=remarks(column),
    )
    return Card(line, bars_of_dates(measured) or bars(reference, batch))


# ---- drawings


def bars(reference: ReferenceColumn, batch: Counted) -> list[Bar]:
    """The bars of a column's drawing."""
    before = shares(reference.counted)
    now = shares(batch)
    if reference.kind == "number":
        return bars_of_numbers(np.array(reference.cells.edges), before, now)
    return bars_of_categories(reference.cells.categories, before, now)


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


def bars_of_numbers(edges: np.ndarray, before: np.ndarray, now: np.ndarray) -> list[Bar]:
    """A bar for each of few values, else bars of one width; and one for each end."""
    upto_before, upto_now = np.cumsum(before), np.cumsum(now)
    ends = np.searchsorted(upto_before, [TAIL, 1 - TAIL]).clip(1, len(edges) - 1)
    first, last = ends.tolist()
    bounds = edges[first : last + 1]  # the bars' upper ends
    names = bounds
    if len(bounds) > MOST_BARS:
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
    return [Bar(label, reference, batch) for label, reference, batch in both]
