"""The formulas of the drift check, on counts. The tails of three distributions are written out,
because importing scipy.special would cost a third of the time that a check of a small batch takes.

Throughout, `a` are the reference's counts per cell and `b` the batch's, one-dimensional arrays of
the same length; cells of a numeric column are in ascending order.
"""

import math
from statistics import NormalDist

import numpy as np


def normal_upper(z: float) -> float:
    """Probability that a standard normal variable exceeds `z`."""
    return math.erfc(z / math.sqrt(2)) / 2


def chi2_upper(x: float, freedom: int) -> float:
    """Probability that chi-squared of `freedom` degrees exceeds `x`.

    By the recurrence of the incomplete gamma function that integration by parts gives,
    Q(a + 1, x) = Q(a, x) + x^a e^-x / Γ(a + 1), up from Q(1/2, x) = erfc(√x) or Q(1, x) = e^-x.
    """
    x, odd = max(x, 1e-300) / 2, freedom % 2
    q = math.erfc(math.sqrt(x)) if odd else math.exp(-x)
    for a in np.arange(1 - odd / 2, freedom / 2):
        q += math.exp(a * math.log(x) - x - math.lgamma(a + 1))
    return min(1.0, q)


def binomial_upper(least: int, trials: int, rate: float) -> float:
    """Probability of `least` successes or more."""
    f = np.append(0, np.log(np.arange(1, trials + 1)).cumsum())  # logarithms of the factorials
    k = np.arange(max(0, least), trials + 1)
    odds = np.exp(f[-1] - f[k] - f[trials - k] + k * np.log(rate) + (trials - k) * np.log1p(-rate))
    return min(1.0, float(odds.sum()))


def location_scale_p(a: np.ndarray, b: np.ndarray) -> list[float]:
    """Two-sided p-values of two rank tests: van der Waerden's of location, Mood's of scale.

    Linear statistics of normal scores (van der Waerden 1952) and of squared ranks (Mood 1954)
    with their permutation variance, which holds with ties.
    """
    n, m, cells = int(a.sum()), int(b.sum()), (a + b).astype(float)
    rank = np.cumsum(cells) - (cells - 1) / 2  # of each cell's middle
    normal = [NormalDist().inv_cdf(max(r, 0.5) / (n + m + 1)) for r in rank]
    raw = np.array([normal, (rank - (n + m + 1) / 2) ** 2 + (cells**2 - 1) / 12])
    score = raw - (raw * cells).sum(axis=1, keepdims=True) / (n + m)
    square, least = ((x**2 * cells).sum(axis=1) for x in (score, raw))
    square[square <= 1e-12 * least] = np.inf  # constant, in floating point
    z = (score * b).sum(axis=1) / np.sqrt(n * m * square / (n + m) / (n + m - 1))
    return [2 * normal_upper(abs(x)) for x in z]


def cauchy_combination(p: tuple[float, ...], weights: tuple[float, ...]) -> float:
    """One p-value of several that depend on each other; `weights` sum to 1 (Liu & Xie 2020).

    p-values above 0.9 count as 0.9: of one at 1, the method as published lets nothing stand.
    """
    t = np.dot(weights, 1 / np.tan(np.pi * np.clip(p, 1e-300, 0.9)))
    return math.atan2(1, t) / math.pi


def merge_rare(a: np.ndarray, b: np.ndarray, unseen: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Put the cells that expect fewer than five rows on the smaller side into one cell.

    Rows of categories that the reference never saw go there too: a rare category is as likely to
    have been missed in the reference as in the batch.
    """
    n, m = a.sum(), b.sum() + unseen
    rare = (a + b) * min(n, m) / (n + m) < 5
    return np.append(a[~rare], a[rare].sum()), np.append(b[~rare], b[rare].sum() + unseen)


def chi2_p(a: np.ndarray, b: np.ndarray) -> float:
    """p-value of the two-sample chi-squared test of homogeneity; a cell empty in both is none."""
    n, m, both = a.sum(), b.sum(), a + b
    x = n * m * ((a / n - b / m) ** 2 / np.maximum(both, 1)).sum()
    return chi2_upper(x, np.count_nonzero(both) - 1)


def ks_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Kolmogorov & Smirnov's: largest distance of the distribution functions, at cells' ends."""
    return float(np.abs(np.cumsum(a) / a.sum() - np.cumsum(b) / b.sum()).max())


def psi(a: np.ndarray, b: np.ndarray) -> float:
    """Population stability index less what chance alone gives, at least 0.

    Without drift its mean is (cells - 1)(1/n + 1/m) (Yurdakul 2018); half a row is added to every
    cell, so that an empty one stays finite. A cell that is empty in both is none.
    """
    a, b = a[a + b > 0], b[a + b > 0]
    p, q = ((c + 0.5) / (c.sum() + len(c) / 2) for c in (a, b))
    chance = (len(a) - 1) * (1 / a.sum() + 1 / b.sum())
    return max(0.0, float(((p - q) * np.log(p / q)).sum() - chance))


def total_variation(a: np.ndarray, b: np.ndarray) -> float:
    """Share of rows that would have to change cell: half the sum of the shares' differences."""
    return float(np.abs(a / a.sum() - b / b.sum()).sum() / 2)


def deciles(a: np.ndarray) -> np.ndarray:
    """Number of the reference's tenth in which each fine cell of a numeric column lies, 0 to 9."""
    return ((np.cumsum(a) - a / 2) / a.sum() * 10).astype(np.intp).clip(0, 9)


def rate_p(x: int, n: int, y: int, m: int) -> float:
    """Two-sided p-value that x of n and y of m have one rate: z-test, exact tails when rare."""
    total, share = x + y, m / (n + m)
    if min(total, n + m - total) * min(share, 1 - share) >= 10:
        z = (y - total * share) / math.sqrt(total * share * (1 - share) * (1 - total / (n + m)))
        return 2 * normal_upper(abs(z))
    return min(1.0, 2 * min(binomial_upper(x, total, 1 - share), binomial_upper(y, total, share)))


def unseen_p(a: np.ndarray, new: list[int], m: int) -> float:
    """p-value that m rows have categories that the reference, counted in `a`, never had.

    `new` are these categories' counts, one or more. Where the reference has no rare category, its
    list is taken for complete, and the chance that a row is of another is that of Laplace's rule of
    succession; not for a larger batch, to which a category missed by chance shows by many rows.
    Otherwise that chance is estimated by the share of categories seen once (Good 1953), and the
    test is conditional on their sum, so it knows how uncertain that share is. Rows of one category
    come together: they count for less, as far as one that the reference missed by chance would.
    """
    n, seen, unseen = int(a.sum()), a[a > 0], int(sum(new))
    if seen.min() >= 5 and m <= n:
        return binomial_upper(unseen, m, 1 / (n + 1))
    rows = int(unseen / min(sum(c * c for c in new) / unseen, 1 + m / n / 2))
    return binomial_upper(rows, rows + int((seen == 1).sum()) + 1, m / (n + m))


def cohens_h(p: float, q: float) -> float:
    """Cohen's effect size of two shares: the difference of their arcsine roots (Cohen 1988)."""
    return 2 * abs(math.asin(math.sqrt(p)) - math.asin(math.sqrt(q)))


def benjamini_hochberg(p: np.ndarray, alpha: float) -> float:
    """Largest p-value to reject at false discovery rate `alpha`, or -1 to reject none.

    Benjamini & Hochberg 1995, step-up.
    """
    p = np.sort(p)
    return float(p[p <= alpha * np.arange(1, len(p) + 1) / max(1, len(p))].max(initial=-1.0))
