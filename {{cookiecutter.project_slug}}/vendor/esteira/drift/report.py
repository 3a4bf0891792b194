"""What a reader gets: the per-column table, histograms for DVC, and one HTML page.

The page needs nothing from elsewhere; what it shows is kept beside it as JSON.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path

import pandas as pd

from esteira.drift import shown
from esteira.drift.bars import Bar, bars_of
from esteira.drift.check import Checked
from esteira.drift.records import JudgedColumn
from esteira.drift.say import remarks
from esteira.drift.shown import Shown
from esteira.line import files
from esteira.page import render

COLUMNS_DRAWN = 6  # in histograms.csv
HERE = Path(__file__).parent


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
    """Write metrics.json, columns.csv, histograms.csv, shown.json and report.html into `folder`.

    Columns of the tables come with the largest effect first.
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
    record = shown.shown(found, title)
    shown.write(folder / "shown.json", record)
    files.write_text(folder / "report.html", page(record))
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


def page(record: Shown) -> str:
    """The page of the report."""
    return render.page(HERE / "page.html", shown=record)


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
    return Card(line, bars_of(column).bars)
