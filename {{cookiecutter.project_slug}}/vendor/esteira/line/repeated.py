"""Which rows of a table that is read part by part have come before."""

import numpy as np
import pandas as pd


class Seen:
    """The rows that came so far, eight bytes each.

    Rows are told apart by 64 bits of a hash of their cells: of ten million different rows, two
    have the same one with a chance of three in a million. The hashes are kept in sorted runs, each
    at least twice as long as the next, so that there are few to look in (the logarithmic method of
    Bentley & Saxe 1980, https://doi.org/10.1016/0196-6774(80)90015-2).
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def are_new(self, rows: pd.DataFrame) -> np.ndarray:
        """Return which rows are like none before them, as bool of shape (rows,), and keep them.

        The cells of a column must have one type in all parts. Missing cells are alike.
        """
        if rows.empty:
            return np.zeros(0, dtype=bool)
        prints = _prints(rows)
        order = np.argsort(prints, kind="stable")
        prints = prints[order]  # so that a long run is read from its start to its end
        new = np.append(True, prints[1:] != prints[:-1])
        for run in self._runs:
            new &= ~_are_in(run, prints)
        self._keep(prints[new])
        in_place = np.empty_like(new)
        in_place[order] = new
        return in_place

    def _keep(self, run: np.ndarray) -> None:
        if not len(run):
            return
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            both = np.concatenate([self._runs.pop(), run])
            run = np.sort(both, kind="stable")  # merges what is sorted
        self._runs.append(run)


def _prints(rows: pd.DataFrame) -> np.ndarray:
    """Return a hash of each row, as uint64 of shape (rows,)."""
    floats = [name for name in rows if pd.api.types.is_float_dtype(rows[name])]
    alike = rows.assign(**{str(name): rows[name] + 0.0 for name in floats})  # -0.0 is 0.0
    return pd.util.hash_pandas_object(alike, index=False, categorize=False).to_numpy()


def _are_in(run: np.ndarray, prints: np.ndarray) -> np.ndarray:
    """Return which of the prints are in a sorted run."""
    places = np.searchsorted(run, prints)
    return run[np.minimum(places, len(run) - 1)] == prints
