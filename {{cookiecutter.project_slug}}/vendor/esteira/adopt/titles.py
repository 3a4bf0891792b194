"""Lines above the header, and rows below the table, that are no part of it."""

import re
from collections import Counter
from dataclasses import dataclass

import pandas as pd

from esteira.adopt.decisions import Decision
from esteira.adopt.units import is_number
from esteira.line import table

MOST_TITLES = 20
BODY = 3  # rows that a table must have below its header, to tell what stands above it
MOST_NUMBERS = 0.8  # share of a column's cells that are numbers where its name is none
RARELY = 0.01  # share of rows that are half empty, up to which such rows at the end are notes
FEWEST_COLUMNS = 3  # of a table whose half empty rows say anything
YEAR = re.compile(r"(19|20)\d\d")  # a usual name of a column


@dataclass(frozen=True)
class Line:
    """One row of cells, and where it stands in the file."""

    cells: list[str]
    above: int  # number of lines above it

    @property
    def filled(self) -> int:
        """Number of cells that hold a value."""
        return sum(bool(cell) for cell in self.cells)


@dataclass(frozen=True)
class Titles:
    """How many lines stand above the header, and what they say."""

    lines: int = 0
    words: str = ""

    def decisions(self) -> list[Decision]:
        """Say which lines are skipped."""
        if not self.lines:
            return []
        if self.lines == 1:
            what = "line 1 is a title above the header, and skipped"
        else:
            what = f"lines 1–{self.lines} are a title above the header, and skipped"
        return [Decision(what, f"`{self.words:.60}`", "schema.yaml, file.skip")]


def above(lines: list[Line]) -> Titles:
    """Find the header: the first full line, if it does not look like the rows below it.

    `lines` are the first ones of a file, cut at its delimiter; those without a cell are left out.
    """
    widths = Counter(len(line.cells) for line in lines)
    width = max(widths, key=lambda width: (widths[width], width), default=0)
    usual = sorted(line.filled for line in lines)[len(lines) // 2] if lines else 0
    if width < 2 or usual < 2:
        return Titles()
    for place, line in enumerate(lines[: MOST_TITLES + 1]):
        ragged = len(line.cells) < width - 1
        sparse = line.filled <= usual / 2
        if ragged or sparse:
            continue
        titles, body = lines[:place], lines[place + 1 :]
        if len(body) < BODY or not _is_header(line, body):
            return Titles()
        words = " ".join(cell for title in titles for cell in title.cells if cell)
        return Titles(line.above, words)
    return Titles()


def _is_header(line: Line, body: list[Line]) -> bool:
    """Whether a line differs from those below: no number stands over a column of numbers."""
    for place, name in enumerate(line.cells):
        like_data = is_number(name) and not YEAR.fullmatch(name)
        if like_data and _numbers_below(place, body) >= MOST_NUMBERS:
            return False
    return True


def _numbers_below(place: int, body: list[Line]) -> float:
    """Return the share of filled cells of one column that are numbers."""
    cells = [line.cells[place] for line in body if place < len(line.cells) and line.cells[place]]
    return sum(map(is_number, cells)) / max(1, len(cells))


@dataclass(frozen=True)
class Notes:
    """A table without the notes and totals below it."""

    table: pd.DataFrame
    rows: int
    decisions: list[Decision]


def below(raw: pd.DataFrame) -> Notes:
    """Cut off the last rows that are half empty, where hardly any other row is.

    Rows that are wholly empty are not counted among them: they are dropped anyway.
    """
    none = Notes(raw, 0, [])
    found = table.notes_below(raw)
    if not found or raw.shape[1] < FEWEST_COLUMNS:
        return none
    last, rest = raw.tail(found), raw.head(len(raw) - found)
    words = " ".join(str(cell) for cell in last.to_numpy().ravel() if not pd.isna(cell))
    half_empty = rest.notna().sum(axis=1) <= raw.shape[1] / 2
    if not words or rest.empty or half_empty.mean() > RARELY:
        return none
    which = "the last row is" if found == 1 else f"the last {found} rows are"
    what = f"{which} a note below the table, and left out"
    where = "schema.yaml, file.footer"
    return Notes(rest, found, [Decision(what, f"`{words:.60}`", where, warning=True)])
