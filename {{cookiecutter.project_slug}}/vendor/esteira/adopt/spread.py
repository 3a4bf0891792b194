"""Rows spread over a table: all of them, or so many that memory holds what is asked of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from esteira.adopt.decisions import Decision
from esteira.line import parts, table
from esteira.line.schema import FileFormat

CELLS = 2_500_000  # that are looked at; twice as many before rows are left out


@dataclass(frozen=True)
class Spread:
    """Some rows of a table, in their order."""

    rows: pd.DataFrame
    there: int  # rows of the table
    step: int  # every so many-th row is among them, and the last few

    def decisions(self) -> list[Decision]:
        """Say of how many rows the others speak, where they are not all."""
        if self.step == 1:
            return []
        ending = "nd" if self.step % 10 == 2 and self.step % 100 != 12 else "th"  # of powers of two
        rows = f"{len(self.rows):,} of {self.there:,}"
        looked = f"every {self.step}{ending}, {rows}: counts are of those"
        return [Decision("not all rows are looked at", looked, warning=True)]


def read(path: str | Path, form: FileFormat) -> Spread:
    """Read a raw table as `table.read_raw` does: all of it, or of a larger one every n-th row.

    The last rows are always among them: they may be notes. Raises UserError.
    """
    kept: list[pd.DataFrame] = []
    last = pd.DataFrame()
    there, step = 0, 1
    for part in parts.read_raw(path, form):
        numbered = part.set_axis(np.arange(there, there + len(part)), axis=0)
        kept.append(numbered[numbered.index % step == 0])
        last = pd.concat([last, numbered.tail(table.MOST_NOTES)]).tail(table.MOST_NOTES)
        there += len(part)
        while step * CELLS * 2 < there * part.shape[1]:
            step *= 2
            kept = [rows[rows.index % step == 0] for rows in kept]
    ends = last[last.index % step != 0]
    rows = pd.concat([*kept, ends]).sort_index().reset_index(drop=True)
    return Spread(rows, there, step)
