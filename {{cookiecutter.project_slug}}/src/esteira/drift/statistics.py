"""The formulas of the drift check, on counts. The tails of four distributions are written out,
because importing scipy.special would cost a third of the time that a check of a small batch takes.

Throughout, `a` are the reference's counts per cell and `b` the batch's, one-dimensional arrays of
the same length; cells of a numeric column are in ascending order.
"""

import math

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def normal_upper(z: float) -> float:
    """Probability that a standard normal variable exceeds `z`."""
    return math.erfc(z / math.sqrt(2)) / 2


def chi2_upper(x: float, freedom: int) -> float:
    """Probability that chi-squared of `freedom` degrees exceeds `x`.

    By the recurrence of the incomplete gamma function that integration by parts gives,
    Q(a + 1, x) = Q(a, x) + x^a e^-x / Γ(a + 1), up from Q(1/2, x) = erfc(√x) or Q(1, x) = e^-x.
    """
    if x <= 0:
        return 1.0
    x, a = x / 2, 1 - freedom % 2 / 2
    q = math.erfc(math.sqrt(x)) if freedom % 2 else math.exp(-x)
    while a < freedom / 2:
        q += math.exp(a * math.log(x) - x - math.lgamma(a + 1))
        a += 1
    return min(1.0, q)


def binomial_upper(least: int, trials: int, rate: float) -> float:
    """Probability of `least` successes or more."""
    if least <= 0:
        return 1.0
    ways = math.lgamma(trials + 1) - math.lgamma(least + 1) - math.lgamma(trials - least + 1)
    first = ways + least * math.log(rate) + (trials - least) * math.log1p(-rate)
    k = np.arange(least, trials)
    ratios = np.log((trials - k) / (k + 1) * (rate / (1 - rate)))
    return min(1.0, float(np.exp(first + np.cumsum(ratios)).sum()) + math.exp(first))


def ks_distance(a: Counts, b: Counts) -> float:
    """Largest distance of the two distribution functions, at the cells' upper edges."""
    return float(np.abs(np.cumsum(a) / a.sum() - np.cumsum(b) / b.sum()).max())


def ks_p(distance: float, n: int, m: int) -> float:
    """Asymptotic p-value of the two-sample Kolmogorov-Smirnov distance for `n` and `m` rows."""
    x = math.sqrt(n * m / (n + m)) * distance
    if x < 0.3:  # the series converges slowly, and its value is 0.99999 or more
        return 1.0
    return 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * x) ** 2) for k in range(1, 20))


def rank_p(a: Counts, b: Counts) -> float:
    """p-value of a joint rank test of location (Wilcoxon) and scale (Mood).

    Lepage's construction (Lepage 1971, Biometrika 58) with Mood's scores in place of
    Ansari-Bradley's, as in Rublík 2009: the two linear rank statistics as a quadratic form, with
    their permutation covariance and so with ties.
    """
    n, m = int(a.sum()), int(b.sum())
    cells = a + b
    total = n + m
    centred = np.cumsum(cells) - (cells - 1) / 2 - (total + 1) / 2
    scores = np.stack([centred, centred**2 + (cells.astype(float) ** 2 - 1) / 12])
    scores -= (scores * cells).sum(axis=1, keepdims=True) / total
    covariance = n * m / (total * (total - 1)) * (scores * cells) @ scores.T
    spread = np.sqrt(np.diag(covariance))
    if spread[0] == 0:
        return 1.0
    location, scale = (scores * b).sum(axis=1) / np.where(spread > 0, spread, 1)
    shared = covariance[0, 1] / (spread[0] * spread[1]) if spread[1] > 0 else 1.0
    if 1 - shared**2 < 1e-6:  # two distinct values: scale says nothing that location does not
        return chi2_upper(location**2, 1)
    form = (location**2 - 2 * shared * location * scale + scale**2) / (1 - shared**2)
    return chi2_upper(form, 2)


def merge_rare(a: Counts, b: Counts, unseen: int = 0, least: float = 5) -> tuple[Counts, Counts]:
    """Put the cells that expect fewer than `least` rows on the smaller side into one cell.

    Rows of categories that the reference never saw go there too: a rare category is as likely to
    have been missed in the reference as in the batch.
    """
    n, m = a.sum(), b.sum() + unseen
    rare = (a + b) * min(n, m) / (n + m) < least
    a, b = np.append(a[~rare], a[rare].sum()), np.append(b[~rare], b[rare].sum() + unseen)
    used = a + b > 0
    return a[used], b[used]


def chi2_p(a: Counts, b: Counts) -> float:
    """p-value of the two-sample chi-squared test of homogeneity; no cell may be empty in both."""
    if len(a) < 2:
        return 1.0
    expected = np.outer([a.sum(), b.sum()], (a + b) / (a.sum() + b.sum()))
    return chi2_upper(((np.stack([a, b]) - expected) ** 2 / expected).sum(), len(a) - 1)


def psi(a: Counts, b: Counts) -> float:
    """Population stability index less what chance alone gives, at least 0.

    Without drift its mean is (cells - 1)(1/n + 1/m) (Yurdakul 2018); half a row is added to every
    cell, so that an empty one stays finite.
    """
    p, q = ((c + 0.5) / (c.sum() + len(c) / 2) for c in (a, b))
    chance = (len(a) - 1) * (1 / a.sum() + 1 / b.sum())
    return max(0.0, float(((p - q) * np.log(p / q)).sum() - chance))


def total_variation(a: Counts, b: Counts) -> float:
    """Share of rows that would have to change cell: half the sum of the shares' differences."""
    return float(np.abs(a / a.sum() - b / b.sum()).sum() / 2)


def deciles(a: Counts) -> NDArray[np.intp]:
    """Number of the reference's tenth in which each fine cell of a numeric column lies, 0 to 9."""
    middle = (np.cumsum(a) - a / 2) / a.sum()
    return np.clip(np.floor(middle * 10), 0, 9).astype(np.intp)


def rate_p(x: int, n: int, y: int, m: int) -> float:
    """Two-sided p-value that x of n and y of m have one rate: z-test, exact tails when rare."""
    total, share = x + y, m / (n + m)
    if min(total, n + m - total) * min(share, 1 - share) >= 10:
        rate = total / (n + m)
        z = (y / m - x / n) / np.sqrt(rate * (1 - rate) * (1 / n + 1 / m))
        return 2 * normal_upper(abs(z))
    tails = binomial_upper(x, total, 1 - share), binomial_upper(y, total, share)
    return min(1.0, 2 * min(tails))


def unseen_p(singletons: int, n: int, unseen: int, m: int) -> float:
    """p-value that `unseen` of m rows show categories the reference never saw.

    The chance that the next row is of a new category is estimated by the share of the reference's
    categories seen once (Good 1953); the test is conditional on their sum, so it knows how
    uncertain that share is.
    """
    return binomial_upper(unseen, unseen + singletons + 1, m / (n + m))


def cohens_h(p: float, q: float) -> float:
    """Cohen's effect size of two shares: the difference of their arcsine roots (Cohen 1988)."""
    return float(2 * abs(np.arcsin(np.sqrt(p)) - np.arcsin(np.sqrt(q))))


def benjamini_hochberg(p: Floats, alpha: float) -> float:
    """Largest p-value to reject at false discovery rate `alpha`, or -1 to reject none.

    Benjamini & Hochberg 1995, step-up.
    """
    ordered = np.sort(p)
    below = np.nonzero(ordered <= alpha * np.arange(1, len(p) + 1) / max(1, len(p)))[0]
    return float(ordered[below[-1]]) if len(below) else -1.0


def correlation_p(r: Floats, s: Floats, variance: Floats) -> Floats:
    """Two-sided p-values that correlations `r` and `s` are equal, by the difference of Fisher's z.

    `variance` is the sum of both z's variances.
    """
    r, s = np.clip(r, -0.999999, 0.999999), np.clip(s, -0.999999, 0.999999)
    z = np.abs(np.arctanh(r) - np.arctanh(s)) / np.sqrt(variance)
    return np.array([2 * normal_upper(value) for value in z])


def auc_z(reference: Floats, batch: Floats) -> tuple[float, float]:
    """Area under the ROC curve of scores that should be higher in the batch, and its z-score.

    The z-score is that of the Mann-Whitney statistic under no difference, with ties.
    """
    n, m = len(reference), len(batch)
    _, cell = np.unique(np.concatenate([reference, batch]), return_inverse=True)
    count = np.bincount(cell)
    middle = np.cumsum(count) - (count - 1) / 2
    area = (middle[cell[n:]].sum() - m * (m + 1) / 2) / (n * m)
    ties = (count.astype(float) ** 3 - count).sum() / ((n + m) * (n + m - 1))
    variance = (n + m + 1 - ties) / (12 * n * m)
    return float(area), float((area - 0.5) / np.sqrt(variance)) if variance > 0 else 0.0
