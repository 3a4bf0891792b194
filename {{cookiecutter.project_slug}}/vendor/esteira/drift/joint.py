"""Questions that need whole rows: joint drift and concept drift, on bounded samples of codes."""

from typing import Any

import numpy as np

from esteira.drift import statistics as st
from esteira.drift.columns import MISSING, Row, decode
from esteira.drift.settings import Settings

# inputs this much denser in the batch than in the holdout are out of its reach; a segment's rows
RATIO, SEGMENT = 10, 30


def rank_correlations(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spearman's correlations of coded columns (columns, rows), missing cells left out by pair.

    Also the variance of Fisher's z of each: the larger of (1 + r**2 / 2) / (n - 3), which fits
    normal pairs (Bonett & Wright 2000), and what the ranks' fourth moments give by the delta
    method, which holds for columns that are discrete, cyclic or tied to each other as well.
    """
    there = (codes != MISSING).astype(float)
    count = np.reshape([np.bincount(column, minlength=256) for column in codes], (-1, 256))
    rank = np.take_along_axis(np.cumsum(count, axis=1) - count / 2, codes, axis=1)
    z = (rank - there.sum(axis=1, keepdims=True) / 2) * there  # MISSING is the last code
    z /= np.sqrt((z**2).sum(axis=1, keepdims=True) / there.sum(axis=1, keepdims=True))
    # not BLAS, whose threads cost more than they gain, and whose last digits differ by machine
    powers = (there, there), (z**2, there), (z, z), (z**2, z**2), (z**3, z), (z**4, z**0)
    n, square, r, z22, z31, z40 = (np.einsum("ir,jr->ij", x, y) for x, y in powers)
    r /= np.sqrt(square * square.T)
    moments = (z22 - r * (z31 + z31.T) + r**2 / 4 * (z40 + z40.T + 2 * z22)) / n
    spread = np.maximum(1 + r**2 / 2, moments / np.maximum(1 - r**2, 1e-6) ** 2)
    return r, spread / np.maximum(n - 3, 1)


@np.errstate(invalid="ignore", divide="ignore")  # a column may be constant, or wholly missing
def pairs(known: Row, theirs: np.ndarray, mine: np.ndarray, settings: Settings) -> list[tuple]:
    """Pairs of numeric columns whose rank correlation changed: (left, right, before, now).

    By the difference of Fisher's z, two-sided, with false-discovery control.
    """
    numeric = [entry["kind"] == "number" for entry in known.values()]
    names = np.array([*known], dtype=object)[numeric]
    (r, error), (s, other) = (rank_correlations(side[numeric]) for side in (theirs, mine))
    z = np.subtract(*np.arctanh(np.clip([r, s], -0.999999, 0.999999))) / np.sqrt(error + other)
    p, tested = 2 * np.vectorize(st.normal_upper, [float])(np.abs(z)), np.triu(np.isfinite(z), 1)
    sure = tested & (p <= st.benjamini_hochberg(p[tested], settings.correlation_alpha))
    i, j = np.nonzero(sure & (np.abs(r - s) >= settings.correlation))
    found = zip(names[i], names[j], r[i, j].tolist(), s[i, j].tolist(), strict=True)
    return sorted(found, key=lambda pair: -abs(pair[2] - pair[3]))


def cross_fit(kind: str, codes: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, ...]:
    """Predict each half of the rows with small boosted trees fitted on the other half.

    The trees are quick, indifferent to scale and at ease with missing cells. Returns predictions
    (of a `Classifier`: probabilities of 1) and which rows are the first half.
    """
    from sklearn import ensemble, model_selection
    from threadpoolctl import threadpool_limits

    boosting = getattr(ensemble, f"HistGradientBoosting{kind}")
    model = boosting(max_iter=50, max_leaf_nodes=8, l2_regularization=1.0, random_state=0)
    # of each two neighbours one, by lot: so both halves have of both sides
    lot = np.random.default_rng(len(y)).integers(0, 2, len(y) // 2 + 1).repeat(2)[: len(y)]
    half = (np.arange(len(y)) + lot) % 2 == 0
    how = {"cv": model_selection.PredefinedSplit(half), "params": {"sample_weight": w}}
    how["method"] = "predict_proba" if kind == "Classifier" else "predict"
    with threadpool_limits(1):  # the same bits on every machine, and less CPU on small samples
        answer = model_selection.cross_val_predict(model, codes.T, y, **how)
    return answer.reshape(len(y), -1)[:, -1], half


def tell_apart(codes: np.ndarray, n: int) -> tuple[np.ndarray, float, float]:
    """Classifier two-sample test (Lopez-Paz & Oquab 2017): are the first n rows like the others?

    Returns each row's cross-fitted probability to be of the others, the area under the ROC curve,
    and its z-score: the mean of the two halves'. Their sum over root two (Stouffer) would take them
    for independent, which they are not.
    """
    from sklearn.metrics import roc_auc_score

    own, told = np.arange(codes.shape[1]) >= n, []
    p, half = cross_fit("Classifier", codes, own, np.ones(len(own)))
    for part in (half, ~half):
        area, new, rows = roc_auc_score(own[part], p[part]), own[part].sum(), part.sum()
        told.append((area, (area - 0.5) * np.sqrt(12 * new * (rows - new) / (rows + 1))))
    return p, *np.mean(told, axis=0).tolist()


def losses(profile: Row, missed: np.ndarray) -> np.ndarray:
    """Loss of each row: the absolute error, or of probabilities Brier's square."""
    return np.abs(missed) ** (1 if profile["positive"] is None else 2)


def concept(given: Row, mine: np.ndarray, new: np.ndarray, limits: Settings, out: Row) -> list[str]:
    """Does the target still follow from the inputs as the model learnt it?

    It does not if the loss rose for sure, and either by much or with a pattern: two one-sided
    tests where the inputs overlap. One is the batch's loss against the holdout's loss
    reweighted to the batch's inputs (the decomposition of Cai, Namkoong & Yadlowsky 2023), the
    other whether the residual follows from the inputs more than it did on the holdout.
    Returns what is to be said, and puts `metrics` and `segments` into `out`.
    """
    import pandas as pd

    metrics, there, n = out["metrics"], np.isfinite(new), len(given["residuals"])
    codes = np.append(decode(given["columns"].values(), "holdout"), mine[:, there], axis=1)
    r, m = np.append(given["residuals"], new[there]), int(there.sum())
    rows = pd.DataFrame({"missed": r, "loss": losses(given, r), "own": np.arange(n + m) >= n})
    no, need = "Concept drift is not assessable:", limits.least_rows
    if min(n, m) < need:
        return [f"{no} {min(n, m)} rows have a label and a prediction, at least {need} are needed."]
    metrics["loss_reference"], metrics["loss_current"] = rows.groupby("own")["loss"].mean()
    p, *_ = tell_apart(codes, n)
    rows["weight"] = p / (1 - p) * n / m
    rows = rows[rows["weight"] <= RATIO]
    before, now = (rows.loc[side, "loss"].to_numpy() for side in (~rows["own"], rows["own"]))
    weight, metrics["concept_support"] = rows["weight"].to_numpy()[: len(before)], len(now) / m
    effective = weight.sum() ** 2 / (weight**2).sum()
    if len(now) < limits.support * m or min(effective, len(now)) < need:
        return [f"{no} only {len(now) / m:.0%} of the batch is like the holdout; retrain on it."]
    expected = np.average(before, weights=weight)
    error = np.sqrt((weight**2 * (before - expected) ** 2).sum()) / weight.sum()
    rise, (target,) = now.mean() - expected, given["target"].values()
    tiny = 1e-12 * max(map(abs, target.get("edges", [1])))  # rounding, no loss
    z = rise / max(np.hypot(error, now.std() / np.sqrt(len(now))), tiny)
    gain, gain_z = residual_gain(codes, rows)
    tests = np.array([st.normal_upper(z), st.normal_upper(gain_z)])
    worse, follows = tests <= st.benjamini_hochberg(tests, limits.concept_alpha)
    large = rise >= max(expected, tiny) * limits.loss
    drift = worse and (large or (follows and gain >= limits.gain))
    metrics |= {"loss_current_expected": expected, "concept_residual_gain": gain}
    metrics |= {"concept_assessable": 1, "concept_drift": int(drift)}
    if not drift:
        return []
    out["segments"] = segments(given["columns"], codes, rows)
    figures = f"mean error {now.mean():.4g}, expected {expected:.4g}"
    return [f"The model errs more than these inputs explain ({figures})."]


def residual_gain(codes: np.ndarray, rows: Any) -> tuple[float, float]:
    """Share of the squared residual that the inputs explain, batch less holdout, and its z-score.

    Both sides are fitted on equally many rows: more rows would find more of what the model always
    missed.
    """
    shares, errors, unit = [], [], 2.0 ** np.frexp(rows["missed"].abs().max())[1]
    for own, side in rows.groupby("own"):
        draw = np.random.default_rng(len(side)).permutation(len(side))
        take = side.iloc[np.sort(draw[: rows["own"].value_counts().min()])]
        r = take["missed"].to_numpy() / unit  # trees count in single precision
        w = np.ones(len(r)) if own else take["weight"].to_numpy()
        guess, _ = cross_fit("Regressor", codes[:, take.index], r, w)
        gained, scale = r**2 - (r - guess) ** 2, np.average(r**2, weights=w) or 1.0
        shares.append(np.average(gained, weights=w) / scale)
        errors.append(np.sqrt(((w * (gained - shares[-1] * r**2) / scale) ** 2).sum()) / w.sum())
    gain = shares[1] - max(0.0, shares[0])
    return gain, gain / max(np.hypot(*errors), 1e-12)


def segments(columns: dict[str, Row], codes: np.ndarray, rows: Any) -> list[tuple]:
    """Values and fifths of single columns in which the loss surely rose: the five worst.

    Returns (which rows, their number, mean loss on the holdout, mean loss now) for each.
    """
    names = [segment_names(*known)[c] for known, c in zip(columns.items(), codes, strict=True)]
    each = rows.assign(part=np.transpose(names)[rows.index].tolist()).explode("part")
    sides = (side.groupby("part")["loss"] for _, side in each.groupby("own"))
    old, new = (side.agg(["size", "mean", "sem"]) for side in sides)
    rise = new["mean"] - old["mean"]
    sure = rise > 3 * np.hypot(old["sem"], new["sem"])
    worst = rise[sure & (np.minimum(old["size"], new["size"]) >= SEGMENT)].nlargest(5).index
    return [(part, int(new["size"][part]), old["mean"][part], new["mean"][part]) for part in worst]


def segment_names(name: str, entry: Row) -> np.ndarray:
    """The segment that each of a column's 256 codes lies in, in words, or None."""
    names = np.full(256, None)
    names[MISSING] = f"{name} is missing" if entry["counts"] else None
    if "edges" in entry:
        fifth, edges = st.deciles(np.array(entry["counts"])) // 2, entry["edges"]
        for cells in (np.nonzero(fifth == i)[0] for i in np.unique(fifth)):
            low, high = (f"{edges[min(max(1, i), len(edges) - 1)]:.6g}" for i in cells[[0, -1]])
            names[cells] = f"{name} from {low} to {high}" if low != high else f"{name} is {low}"
    elif entry.get("own"):
        names[: len(entry["cells"])] = [f"{name} is {cell}" for cell in entry["cells"]]
    return names
