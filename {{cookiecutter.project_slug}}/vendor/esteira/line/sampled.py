"""Some rows of a table for what must hold all that it learns from: as many as are asked for."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from esteira.line import holdout, parts, table


def read(path: str | Path, rows: int | Literal["all"], seed: int) -> pd.DataFrame:
    """Read all rows of a table of the line, or `rows` of them, in their order.

    Which are drawn is a property of each row, of its cells and the seed, so that rows that come
    later change little of a sample. A table of fewer rows is read whole. Raises UserError.
    """
    if rows == "all" or parts.count(path) <= rows:
        return table.read(path)
    drawn = [
        holdout.draws(holdout.keys(part, list(part.columns)), seed, "sample")
        for part in parts.read(path)
    ]
    smallest = np.argsort(np.concatenate(drawn), kind="stable")[:rows]
    return parts.take(path, np.sort(smallest))
