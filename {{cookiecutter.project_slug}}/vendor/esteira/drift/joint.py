"""Questions that need whole rows, on bounded samples of codes: do columns still go together as
they did, and can a classifier tell the batch's rows from the reference's?

Codes are those of `columns.encode`: arrays of shape (columns, rows), one byte each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from esteira.drift import statistics
from esteira.drift.columns import MISSING
from esteira.drift.records import Correlations, ReferenceColumn, Separation


@dataclass(frozen=True, eq=False)
class RankCorrelations:
    """Spearman's correlations of columns, and the variance of Fisher's z of each.

    Both of shape (columns, columns).
    """

    rho: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """Answers on the half of the rows that a model was not fitted on; both of shape (rows,)."""

    answers: np.ndarray
    first_half: np.ndarray


def rank_correlations(codes: np.ndarray) -> RankCorrelations:
    """Spearman's correlations of coded columns, missing cells left out by pair.

    The variance of Fisher's z is the larger of (1 + r**2 / 2) / (n - 3), which fits normal pairs
    (Bonett & Wright 2000), and what the ranks' fourth moments give by the delta method, which holds
    for columns that are discrete, cyclic or tied to each other as well.
    """
    there = (codes != MISSING).astype(float)
    rows_there = there.sum(axis=1, keepdims=True)
    counts = np.reshape([np.bincount(column, minlength=256) for column in codes], (-1, 256))
    middle = np.cumsum(counts, axis=1) - counts / 2
    rank = np.take_along_axis(middle, codes, axis=1)
    z = (rank - rows_there / 2) * there  # MISSING is the last code
    z /= np.sqrt((z**2).sum(axis=1, keepdims=True) / rows_there)

    def by_pair(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        # not BLAS, whose threads cost more than they gain, and whose last digits differ by machine
        return np.einsum("ir,jr->ij", left, right)

    n = by_pair(there, there)
    square = by_pair(z**2, there)
    scale = np.sqrt(square * square.T)
    r = by_pair(z, z) / scale
    z22, z31, z40 = by_pair(z**2, z**2), by_pair(z**3, z), by_pair(z**4, z**0)
    moments = (z22 - r * (z31 + z31.T) + r**2 / 4 * (z40 + z40.T + 2 * z22)) / n
    delta = moments / np.maximum(1 - r**2, 1e-6) ** 2
    return RankCorrelations(r, np.maximum(1 + r**2 / 2, delta) / np.maximum(n - 3, 1))


@np.errstate(invalid="ignore", divide="ignore")  # a column may be constant, or wholly missing
def compare_correlations(
    features: Sequence[ReferenceColumn], reference: np.ndarray, batch: np.ndarray
) -> Correlations:
    """Compare the rank correlations of the numeric ones of `features`, pair by pair.

    The test is of the difference of Fisher's z, two-sided.
    """
    numeric = [feature.kind == "number" for feature in features]
    names = tuple(feature.name for feature in features if feature.kind == "number")
    before, now = rank_correlations(reference[numeric]), rank_correlations(batch[numeric])
    fishers_z = np.arctanh(np.clip([before.rho, now.rho], -0.999999, 0.999999))
    difference = np.subtract(*fishers_z) / np.sqrt(before.variance + now.variance)
    upper = np.vectorize(statistics.normal_upper, [float])
    p = 2 * upper(np.abs(difference))
    tested = np.triu(np.isfinite(difference), 1)
    return Correlations(names, before.rho, now.rho, p, tested)


def cross_fit(
    kind: Literal["Classifier", "Regressor"],
    codes: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray,
) -> CrossFitted:
    """Predict each half of the rows with small boosted trees fitted on the other half.

    The trees are quick, indifferent to scale and at ease with missing cells. The answers of a
    `Classifier` are probabilities of 1.
    """
    from sklearn import ensemble, model_selection
    from threadpoolctl import threadpool_limits

    boosting = getattr(ensemble, f"HistGradientBoosting{kind}")
    model = boosting(max_iter=50, max_leaf_nodes=8, l2_regularization=1.0, random_state=0)
    # of each two neighbours one, by lot: so both halves have of both sides
    rows = len(target)
    lot = np.random.default_rng(rows).integers(0, 2, rows // 2 + 1).repeat(2)[:rows]
    first_half = (np.arange(rows) + lot) % 2 == 0
    with threadpool_limits(1):  # the same bits on every machine, and less CPU on small samples
        answers = model_selection.cross_val_predict(
            model,
            codes.T,
            target,
            cv=model_selection.PredefinedSplit(first_half),
            params={"sample_weight": weights},
            method="predict_proba" if kind == "Classifier" else "predict",
        )
    return CrossFitted(answers.reshape(rows, -1)[:, -1], first_half)


def tell_apart(codes: np.ndarray, rows_reference: int) -> Separation:
    """Classifier two-sample test (Lopez-Paz & Oquab 2017): are the first rows like the others?

    The z-score is the mean of the two halves'. Their sum over root two (Stouffer) would take them
    for independent, which they are not.
    """
    from sklearn.metrics import roc_auc_score

    own = np.arange(codes.shape[1]) >= rows_reference
    fitted = cross_fit("Classifier", codes, own, np.ones(len(own)))
    areas, scores = [], []
    for half in (fitted.first_half, ~fitted.first_half):
        area = roc_auc_score(own[half], fitted.answers[half])
        of_batch, rows = own[half].sum(), half.sum()
        areas.append(area)
        scores.append((area - 0.5) * np.sqrt(12 * of_batch * (rows - of_batch) / (rows + 1)))
    return Separation(fitted.answers, float(np.mean(areas)), float(np.mean(scores)))
