"""The formulas of the drift check, on counts. The tails of three distributions are written out,
because importing scipy.special would cost a third of the time that a check of a small batch takes.

Throughout, `reference` and `batch` are counts of rows per cell: one-dimensional arrays of the same
length; cells of a numeric column are in ascending order.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

FEWEST_EXPECTED = 5  # rows in a cell, for the chi-squared distribution to hold
FEWEST_FOR_NORMAL = 10  # rows of the rarer kind, for the normal distribution to hold
LARGEST_LOSS = 1e150


@dataclass(frozen=True, eq=False)
class BothCounts:
    """Rows per cell of both sides, in the same cells."""

    reference: np.ndarray
    batch: np.ndarray
    names: tuple[str, ...] = ()  # of the cells, where they have some


@dataclass(frozen=True)
class RankTests:
    """Two-sided p-values of a test of location and of one of scale."""

    location: float
    scale: float


def normal_upper(z: float) -> float:
    """Probability that a standard normal variable exceeds `z`."""
    return math.erfc(z / math.sqrt(2)) / 2


def chi2_upper(x: float, freedom: int) -> float:
    """Probability that chi-squared of `freedom` degrees exceeds `x`.

    By the recurrence of the incomplete gamma function that integration by parts gives,
    Q(a + 1, x) = Q(a, x) + x^a e^-x / Γ(a + 1), up from Q(1/2, x) = erfc(√x) or Q(1, x) = e^-x.
    """
    x = max(x, 1e-300) / 2
    odd = freedom % 2
    tail = math.erfc(math.sqrt(x)) if odd else math.exp(-x)
    for a in np.arange(1 - odd / 2, freedom / 2):
        tail += math.exp(a * math.log(x) - x - math.lgamma(a + 1))
    return min(1.0, tail)


def binomial_upper(least: int, trials: int, rate: float) -> float:
    """Probability of `least` successes or more in so many trials of this rate."""
    log_factorial = np.append(0, np.log(np.arange(1, trials + 1)).cumsum())
    hits = np.arange(max(0, least), trials + 1)
    misses = trials - hits
    log_ways = log_factorial[-1] - log_factorial[hits] - log_factorial[misses]
    chances = np.exp(log_ways + hits * np.log(rate) + misses * np.log1p(-rate))
    return min(1.0, float(chances.sum()))


def location_scale_p(reference: np.ndarray, batch: np.ndarray) -> RankTests:
    """Two rank tests: van der Waerden's of location, Mood's of scale.

    Linear statistics of normal scores (van der Waerden 1952) and of squared ranks (Mood 1954)
    with their permutation variance, which holds with ties.
    """
    rows_reference, rows_batch = int(reference.sum()), int(batch.sum())
    rows = rows_reference + rows_batch
    ties = (reference + batch).astype(float)
    rank = np.cumsum(ties) - (ties - 1) / 2  # of each cell's middle
    normal = [NormalDist().inv_cdf(max(r, 0.5) / (rows + 1)) for r in rank]
    squared = (rank - (rows + 1) / 2) ** 2 + (ties**2 - 1) / 12
    scores = np.array([normal, squared])
    centred = scores - (scores * ties).sum(axis=1, keepdims=True) / rows
    square = (centred**2 * ties).sum(axis=1)
    constant = square <= 1e-12 * (scores**2 * ties).sum(axis=1)  # in floating point
    square[constant] = np.inf
    variance = rows_reference * rows_batch * square / rows / (rows - 1)
    location, scale = (centred * batch).sum(axis=1) / np.sqrt(variance)
    return RankTests(2 * normal_upper(abs(location)), 2 * normal_upper(abs(scale)))


def cauchy_combination(p: Sequence[float], weights: Sequence[float]) -> float:
    """One p-value of several that depend on each other; `weights` sum to 1 (Liu & Xie 2020).

    p-values above 0.9 count as 0.9: of one at 1, the method as published lets nothing stand.
    """
    cauchy = 1 / np.tan(np.pi * np.clip(p, 1e-300, 0.9))
    return math.atan2(1, np.dot(weights, cauchy)) / math.pi


def merge_rare(reference: np.ndarray, batch: np.ndarray, unseen: int = 0) -> BothCounts:
    """Put the cells that expect fewer than five rows on the smaller side into one cell.

    Rows of categories that the reference never saw go there too: a rare category is as likely to
    have been missed in the reference as in the batch.
    """
    rows_reference, rows_batch = reference.sum(), batch.sum() + unseen
    smaller = min(rows_reference, rows_batch)
    expected = (reference + batch) * smaller / (rows_reference + rows_batch)
    rare = expected < FEWEST_EXPECTED
    return BothCounts(
        np.append(reference[~rare], reference[rare].sum()),
        np.append(batch[~rare], batch[rare].sum() + unseen),
    )


def chi2_p(reference: np.ndarray, batch: np.ndarray) -> float:
    """p-value of the two-sample chi-squared test of homogeneity; a cell empty in both is none."""
    n, m = reference.sum(), batch.sum()
    both = reference + batch
    difference = reference / n - batch / m
    chi2 = n * m * (difference**2 / np.maximum(both, 1)).sum()
    return chi2_upper(chi2, int(np.count_nonzero(both)) - 1)


def ks_distance(reference: np.ndarray, batch: np.ndarray) -> float:
    """Kolmogorov & Smirnov's: largest distance of the distribution functions, at cells' ends."""
    before = np.cumsum(reference) / reference.sum()
    now = np.cumsum(batch) / batch.sum()
    return float(np.abs(before - now).max())


def psi(reference: np.ndarray, batch: np.ndarray) -> float:
    """Population stability index less what chance alone gives, at least 0.

    Without drift its mean is (cells - 1)(1/n + 1/m) (Yurdakul 2018); half a row is added to every
    cell, so that an empty one stays finite. A cell that is empty in both is none.
    """
    there = reference + batch > 0
    reference, batch = reference[there], batch[there]
    cells = len(reference)
    p, q = ((side + 0.5) / (side.sum() + cells / 2) for side in (reference, batch))
    chance = (cells - 1) * (1 / reference.sum() + 1 / batch.sum())
    return max(0.0, float(((p - q) * np.log(p / q)).sum() - chance))


def total_variation(reference: np.ndarray, batch: np.ndarray) -> float:
    """Share of rows that would have to change cell: half the sum of the shares' differences."""
    difference = reference / reference.sum() - batch / batch.sum()
    return float(np.abs(difference).sum() / 2)


def deciles(reference: np.ndarray) -> np.ndarray:
    """Number of the reference's tenth in which each fine cell of a numeric column lies, 0 to 9."""
    middle = (np.cumsum(reference) - reference / 2) / reference.sum()
    return (middle * 10).astype(np.intp).clip(0, 9)


def rate_p(hits_reference: int, reference: int, hits_batch: int, batch: int) -> float:
    """Two-sided p-value that so many hits of so many rows come of one rate.

    A z-test of the two shares, with exact tails where hits or misses are rare.
    """
    hits, rows = hits_reference + hits_batch, reference + batch
    share = batch / rows
    rarer = min(hits, rows - hits)
    if rarer * min(share, 1 - share) >= FEWEST_FOR_NORMAL:
        variance = hits * share * (1 - share) * (1 - hits / rows)
        z = (hits_batch - hits * share) / math.sqrt(variance)
        return 2 * normal_upper(abs(z))
    fewer = binomial_upper(hits_reference, hits, 1 - share)
    more = binomial_upper(hits_batch, hits, share)
    return min(1.0, 2 * min(fewer, more))


def unseen_p(reference: np.ndarray, new: Sequence[int], batch_rows: int) -> float:
    """p-value that a batch has categories that the reference never had.

    `new` are these categories' counts, one or more. Where the reference has no rare category, its
    list is taken for complete, and the chance that a row is of another is that of Laplace's rule of
    succession; not for a larger batch, to which a category missed by chance shows by many rows.
    Otherwise that chance is estimated by the share of categories seen once (Good 1953), and the
    test is conditional on their sum, so it knows how uncertain that share is. Rows of one category
    come together: they count for less, as far as one that the reference missed by chance would.
    """
    rows = int(reference.sum())
    unseen = int(sum(new))
    complete = reference[reference > 0].min() >= FEWEST_EXPECTED
    if complete and batch_rows <= rows:
        return binomial_upper(unseen, batch_rows, 1 / (rows + 1))
    clump = sum(count * count for count in new) / unseen
    clump_by_chance = 1 + batch_rows / rows / 2
    independent = int(unseen / min(clump, clump_by_chance))
    seen_once = int((reference == 1).sum())
    share = batch_rows / (rows + batch_rows)
    return binomial_upper(independent, independent + seen_once + 1, share)


def cohens_h(before: float, now: float) -> float:
    """Cohen's effect size of two shares: the difference of their arcsine roots (Cohen 1988)."""
    return 2 * abs(math.asin(math.sqrt(before)) - math.asin(math.sqrt(now)))


def benjamini_hochberg(p: np.ndarray, alpha: float) -> float:
    """Largest p-value to reject at false discovery rate `alpha`, or -1 to reject none.

    Benjamini & Hochberg 1995, step-up.
    """
    ascending = np.sort(p)
    steps = alpha * np.arange(1, len(ascending) + 1) / max(1, len(ascending))
    return float(ascending[ascending <= steps].max(initial=-1.0))


def losses(residual: np.ndarray, positive: str | None) -> np.ndarray:
    """Loss of each row: the absolute error, or of probabilities Brier's square.

    An error beyond LARGEST_LOSS counts as that, so that sums and squares of losses stay finite.
    """
    power = 1 if positive is None else 2
    return np.minimum(np.abs(residual), LARGEST_LOSS) ** power
