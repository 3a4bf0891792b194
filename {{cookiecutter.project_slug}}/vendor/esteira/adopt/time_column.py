"""The column that orders the rows in time, if there is one."""

import re
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from esteira.adopt.cells import MOST
from esteira.adopt.dates import Sorting, clock, in_several_formats, sorting
from esteira.adopt.decisions import Decision, of_column
from esteira.adopt.rules import Cells
from esteira.line import table
from esteira.line.errors import UserError

TIED = 0.95  # rank correlation with the row number from which dates rise, but for neighbours
NOT_TIME = re.compile(r"birth|dob|born|nascimento|anivers", re.IGNORECASE)
Choice = tuple[str | None, list[Decision]]


def confirm(cells: Cells, labelled: pd.Series) -> tuple[str, list[Decision]]:
    """Return the time column that the user named. Raises UserError where it cannot order rows.

    `labelled` tells which rows have a target: the line leaves the others out.
    """
    if cells.column.type not in ("datetime", "integer", "number"):
        if said := in_several_formats(cells):
            raise UserError(f"`{cells.name}` cannot order the rows: it has {said}.")
        example = next(iter(cells.values.dropna()), "every cell is missing")
        raise UserError(
            f"`{cells.name}` cannot order the rows ({example!s:.40}): it needs dates, such as"
            " 2026-01-31, or numbers; correct it, or leave --time out."
        )
    column = _dated(cells, labelled)
    if not column.differs:
        raise UserError(
            f"`{cells.name}` cannot order the rows: it is the same in all of them; leave --time"
            " out."
        )
    return cells.name, _said(column, "as given")


def choose(candidates: list[Cells], labelled: pd.Series) -> Choice:
    """Return the one column of dates that sorts the rows, or None where none or several do.

    The newest may come first. One with many gaps is not guessed, as rows without a time are left
    out. `labelled` as above.
    """
    dated = [_dated(cells, labelled) for cells in candidates]
    dated = [column for column in dated if column.differs]
    if not dated:
        return None, []
    no_birthdays = [column for column in dated if not NOT_TIME.search(column.name)]
    with_gaps = [column for column in no_birthdays if column.filled < MOST]
    possible = [column for column in no_birthdays if column.filled >= MOST]
    in_order = [column for column in possible if column.sorting.share >= MOST]
    if len(in_order) == 1:
        (chosen,) = in_order
        return chosen.name, _said(chosen, chosen.sorting.says())
    nearly = [column for column in possible if abs(column.tie()) >= TIED]
    if not in_order and len(nearly) == 1:
        (chosen,) = nearly
        verb = "rise" if chosen.tie() > 0 else "fall"
        return chosen.name, _said(chosen, f"its dates {verb} with the rows, but for neighbours")
    names = [column.name for column in in_order or nearly]
    if names:
        why = f"{', '.join(names)} sort the rows alike: name one with --time {names[0]!r}"
        return None, [Decision("no time column", why, "--time", warning=True)]
    for column in with_gaps:
        if column.sorting.share >= MOST:
            rows = f"{1 - column.filled:.0%} of the rows"
            why = f"`{column.name}` sorts the rows, but {rows} lack it and would be left out"
            return None, [Decision("no time column", why, f"--time {column.name!r}", warning=True)]
    known = ", ".join(column.name for column in dated)
    return None, [Decision("no time column", f"{known}: none sorts the rows", "--time")]


@dataclass(frozen=True, eq=False)
class Dated:
    """A column that may be the time, its cells read as moments."""

    cells: Cells
    moments: pd.Series  # dates or numbers, of shape (rows,)
    filled: float  # share of the rows with a target that have one
    differs: bool  # whether two of those are not the same

    @property
    def name(self) -> str:
        """The column's."""
        return self.cells.name

    @cached_property
    def sorting(self) -> Sorting:
        """How it sorts the rows."""
        return sorting(self.moments)

    def tie(self) -> float:
        """Return the rank correlation with the row number; 0 where it is not defined."""
        there = self.moments.dropna().reset_index(drop=True)
        tie = there.rank().corr(pd.Series(there.index))
        return 0.0 if pd.isna(tie) else float(tie)


def _dated(cells: Cells, labelled: pd.Series) -> Dated:
    """Read a column's cells as moments; `labelled` as above."""
    moments = table.cast(cells.values, cells.column, cells.form)
    counted = moments[labelled]
    return Dated(cells, moments, float(counted.notna().mean()), counted.nunique() > 1)


def _said(column: Dated, why: str) -> list[Decision]:
    cells, moments = column.cells, column.moments
    unit = clock(cells)
    if unit:
        moments = pd.to_datetime(moments, unit=unit)
    evidence = f"{why}; {moments.min()} to {moments.max()}"
    found = [of_column(cells.name, "time, the newest rows are held out", evidence)]
    if cells.column.format:
        last = cells.values.dropna().iloc[-1]
        found.append(of_column(cells.name, f"date format {cells.column.format}", f"`{last}`"))
    return found
