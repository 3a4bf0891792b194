"""Which power of the size a cost grows with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

POWERS = np.round(np.arange(0.05, 3.001, 0.01), 2)
FLAT = 1.25  # times the cost of the smallest size, or less: there is no growth to fit


@dataclass(frozen=True)
class Point:
    """One measurement."""

    family: str
    what: str
    size: int
    cpu_seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Curve:
    """a + b · size^k, and how far k moves when one of the sizes is left out."""

    fixed: float
    factor: float
    power: float
    low: float
    high: float

    def at(self, size: float) -> float:
        """Return the cost of a size."""
        return self.fixed + self.factor * size**self.power


def grows(costs: Sequence[float]) -> bool:
    """Whether costs, by size, grow by more than measurements vary."""
    return costs[-1] > FLAT * costs[0]


def curve(sizes: Sequence[int], costs: Sequence[float]) -> Curve:
    """Fit a + b · size^k, neither a nor b below 0, so that relative errors are least."""
    fixed, factor, power = _fitted(sizes, costs)
    powers = [power]
    if len(sizes) > 4:  # three are fitted
        for out in range(len(sizes)):
            left = [place for place in range(len(sizes)) if place != out]
            powers.append(_fitted([sizes[i] for i in left], [costs[i] for i in left])[2])
    return Curve(fixed, factor, power, min(powers), max(powers))


def _fitted(sizes: Sequence[int], costs: Sequence[float]) -> tuple[float, float, float]:
    """Return a, b and k: for each k of POWERS, a and b are a problem of least squares."""
    size, paid = np.array(sizes, float), np.array(costs, float)
    best = (np.inf, 0.0, 0.0, 0.0)
    for power in POWERS:
        scaled = (size / size[-1]) ** power
        (fixed, factor), error = nnls(
            np.column_stack([1 / paid, scaled / paid]), np.ones(len(paid))
        )
        best = min(best, (error, fixed, factor / size[-1] ** power, float(power)))
    return best[1], best[2], best[3]
