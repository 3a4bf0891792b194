"""The column that orders the rows in time, if there is one."""

import re

import pandas as pd

from esteira.adopt.cells import MOST
from esteira.adopt.dates import rising
from esteira.adopt.decisions import Decision, of_column
from esteira.adopt.rules import Cells
from esteira.line import table
from esteira.line.errors import UserError

TIED = 0.95  # rank correlation with the row number from which dates rise, but for neighbours
NOT_TIME = re.compile(r"birth|dob|born", re.IGNORECASE)
Choice = tuple[str | None, list[Decision]]


def confirm(cells: Cells) -> tuple[str, list[Decision]]:
    """Return the time column that the user named. Raises UserError where it cannot order rows."""
    if cells.column.type not in ("datetime", "integer", "number"):
        example = next(iter(cells.values.dropna()), "every cell is missing")
        raise UserError(
            f"`{cells.name}` cannot order the rows ({example!s:.40}): it needs dates, such as"
            " 2026-01-31, or numbers; correct it, or leave --time out."
        )
    return cells.name, _said(cells, "as given")


def choose(candidates: list[Cells]) -> Choice:
    """Return the one column of dates that rises with the rows, or None where none or several do."""
    if not candidates:
        return None, []
    rises = {cells.name: rising(_moments(cells)) for cells in candidates}
    possible = [cells for cells in candidates if not NOT_TIME.search(cells.name)]
    in_order = [cells for cells in possible if rises[cells.name] >= MOST]
    if len(in_order) == 1:
        (chosen,) = in_order
        return chosen.name, _said(chosen, f"its dates rise in {rises[chosen.name]:.0%} of the rows")
    nearly = [cells for cells in possible if _tie(cells) >= TIED]
    if not in_order and len(nearly) == 1:
        (chosen,) = nearly
        return chosen.name, _said(chosen, "its dates rise with the rows, but for neighbours")
    names = [cells.name for cells in in_order or nearly]
    if names:
        why = f"{', '.join(names)} rise with the rows alike: name one with --time {names[0]!r}"
        return None, [Decision("no time column", why, "--time", warning=True)]
    return None, [
        Decision("no time column", f"{', '.join(rises)}: none rises with the rows", "--time")
    ]


def _tie(cells: Cells) -> float:
    """Return the rank correlation of the dates with the row number; 0 where it is not defined."""
    moments = _moments(cells).dropna().reset_index(drop=True)
    tie = moments.rank().corr(pd.Series(moments.index))
    return 0.0 if pd.isna(tie) else float(tie)


def _moments(cells: Cells) -> pd.Series:
    return table.cast(cells.values, cells.column, cells.form)


def _said(cells: Cells, why: str) -> list[Decision]:
    moments = _moments(cells)
    evidence = f"{why}; {moments.min()} to {moments.max()}"
    found = [of_column(cells.name, "time, the newest rows are held out", evidence)]
    if cells.column.format:
        last = cells.values.dropna().iloc[-1]
        found.append(of_column(cells.name, f"date format {cells.column.format}", f"`{last}`"))
    return found
