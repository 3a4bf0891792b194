"""The column that orders the rows in time, if there is one."""

import re
from dataclasses import dataclass

import pandas as pd

from esteira.adopt.cells import MOST
from esteira.adopt.dates import clock, in_several_formats, rising
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
    if not _differs(cells, labelled):
        raise UserError(
            f"`{cells.name}` cannot order the rows: it is the same in all of them; leave --time"
            " out."
        )
    return cells.name, _said(cells, "as given")


def choose(candidates: list[Cells], labelled: pd.Series) -> Choice:
    """Return the one column of dates that sorts the rows, or None where none or several do.

    The newest may come first. One with many gaps is not guessed, as rows without a time are left
    out. `labelled` as above.
    """
    candidates = [cells for cells in candidates if _differs(cells, labelled)]
    if not candidates:
        return None, []
    sorts = {cells.name: _sorting(cells) for cells in candidates}
    no_birthdays = [cells for cells in candidates if not NOT_TIME.search(cells.name)]
    with_gaps = [cells for cells in no_birthdays if _filled(cells, labelled) < MOST]
    possible = [cells for cells in no_birthdays if _filled(cells, labelled) >= MOST]
    in_order = [cells for cells in possible if sorts[cells.name].share >= MOST]
    if len(in_order) == 1:
        (chosen,) = in_order
        return chosen.name, _said(chosen, sorts[chosen.name].says())
    nearly = [cells for cells in possible if abs(_tie(cells)) >= TIED]
    if not in_order and len(nearly) == 1:
        (chosen,) = nearly
        verb = "rise" if _tie(chosen) > 0 else "fall"
        return chosen.name, _said(chosen, f"its dates {verb} with the rows, but for neighbours")
    names = [cells.name for cells in in_order or nearly]
    if names:
        why = f"{', '.join(names)} sort the rows alike: name one with --time {names[0]!r}"
        return None, [Decision("no time column", why, "--time", warning=True)]
    for cells in with_gaps:
        if sorts[cells.name].share >= MOST:
            missing = int(cells.values[labelled].isna().sum())
            rows = f"{missing} of {int(labelled.sum())} rows"
            why = f"`{cells.name}` sorts the rows, but {rows} lack it and would be left out"
            return None, [Decision("no time column", why, f"--time {cells.name!r}", warning=True)]
    return None, [Decision("no time column", f"{', '.join(sorts)}: none sorts the rows", "--time")]


@dataclass(frozen=True)
class Sorting:
    """In which share of the steps from row to row the dates go the way of most."""

    verb: str  # rise or fall
    share: float

    def says(self) -> str:
        """Say it in a few words."""
        first = ", the newest first" if self.verb == "fall" else ""
        return f"its dates {self.verb} in {self.share:.0%} of the steps from row to row{first}"


def _sorting(cells: Cells) -> Sorting:
    moments = _moments(cells)
    rises, falls = rising(moments), rising(moments[::-1])
    return Sorting("rise", rises) if rises >= falls else Sorting("fall", falls)


def _differs(cells: Cells, labelled: pd.Series) -> bool:
    """Whether there are two moments among the rows that have a target."""
    return _moments(cells)[labelled].nunique() > 1


def _filled(cells: Cells, labelled: pd.Series) -> float:
    """Return the share of the rows with a target that have this cell."""
    return float(cells.values[labelled].notna().mean())


def _tie(cells: Cells) -> float:
    """Return the rank correlation of the dates with the row number; 0 where it is not defined."""
    moments = _moments(cells).dropna().reset_index(drop=True)
    tie = moments.rank().corr(pd.Series(moments.index))
    return 0.0 if pd.isna(tie) else float(tie)


def _moments(cells: Cells) -> pd.Series:
    return table.cast(cells.values, cells.column, cells.form)


def _said(cells: Cells, why: str) -> list[Decision]:
    moments = _moments(cells)
    unit = clock(cells)
    if unit:
        moments = pd.to_datetime(moments, unit=unit)
    evidence = f"{why}; {moments.min()} to {moments.max()}"
    found = [of_column(cells.name, "time, the newest rows are held out", evidence)]
    if cells.column.format:
        last = cells.values.dropna().iloc[-1]
        found.append(of_column(cells.name, f"date format {cells.column.format}", f"`{last}`"))
    return found
