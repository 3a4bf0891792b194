"""Questions that need whole rows: joint drift and concept drift, on bounded samples of codes."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esteira.drift import statistics as st
from esteira.drift.columns import MISSING, Codes, Entry
from esteira.drift.profile import Profile, unpack
from esteira.drift.settings import Settings
from esteira.drift.statistics import Floats

RATIO = 10  # inputs this much denser in the batch than in the holdout are out of its reach
LOSSES = {"number": "mean absolute error", "category": "share of wrong classes"}
SEGMENT = 30  # fewest rows of a segment worth naming


def rank_correlations(codes: Codes) -> tuple[Floats, Floats]:
    """Spearman's correlations of coded columns (columns, rows), missing cells left out by pair.

    Also the variance of Fisher's z of each: the larger of (1 + r**2 / 2) / (n - 3), which fits
    normal pairs (Bonett & Wright 2000), and what the ranks' fourth moments give by the delta
    method, which holds for columns that are discrete, cyclic or tied to each other as well.
    """
    there = (codes != MISSING).astype(float)
    z = np.zeros(codes.shape)
    for rank, column, known in zip(z, codes, there > 0, strict=True):
        count = np.bincount(column[known], minlength=256)
        rank[known] = (np.cumsum(count) - count / 2)[column[known]] - known.sum() / 2
        rank /= np.sqrt((rank**2).sum() / max(1, known.sum())) or 1.0
    # not BLAS, whose threads cost more than they gain, and whose last digits differ by machine
    products = partial(np.einsum, "ir,jr->ij")
    n, square = products(there, there), products(z**2, there)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = products(z, z) / np.sqrt(square * square.T)
        z22, z31, z40 = (products(z**p, z**q) / n for p, q in ((2, 2), (3, 1), (4, 0)))
        moments = z22 - r * (z31 + z31.T) + r**2 / 4 * (z40 + z40.T + 2 * z22)
        spread = np.maximum(1 + r**2 / 2, moments / np.maximum(1 - r**2, 1e-6) ** 2)
        return r, spread / np.maximum(n - 3, 1)


def pairs(profile: Profile, mine: Codes, settings: Settings) -> list[tuple[Any, ...]]:
    """Pairs of numeric columns whose rank correlation changed: (left, right, before, now).

    By the difference of Fisher's z, two-sided, with false-discovery control.
    """
    numeric = [i for i, e in enumerate(profile["columns"].values()) if e["kind"] == "number"]
    names, sides = list(profile["columns"]), (unpack(profile, "sample")[numeric], mine[numeric])
    (r, error), (s, other) = map(rank_correlations, sides)
    with np.errstate(invalid="ignore"):
        z = np.abs(np.subtract(*np.arctanh(np.clip([r, s], -0.999999, 0.999999))))
    z, found = z / np.sqrt(error + other), []
    for i, j in np.argwhere(np.triu(np.isfinite(z), 1)):
        pair = names[numeric[i]], names[numeric[j]], float(r[i, j]), float(s[i, j])
        found.append((2 * st.normal_upper(z[i, j]), abs(r[i, j] - s[i, j]), pair))
    cut = st.benjamini_hochberg(np.array([p for p, *_ in found]), settings.correlation_alpha)
    least = limit(profile, "correlation", settings.correlation)
    found = [(size, pair) for p, size, pair in found if p <= cut and size >= least]
    return [pair for _, pair in sorted(found, reverse=True)]


def cross_fit(kind: str, x: Floats, y: Floats, weight: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Predict each half of the rows with small boosted trees fitted on the other half.

    The trees are quick, indifferent to scale and at ease with missing cells. Returns predictions
    (of a `Classifier`: probabilities of 1) and which rows are the first half.
    """
    from sklearn import ensemble
    from threadpoolctl import threadpool_limits

    model = getattr(ensemble, f"HistGradientBoosting{kind}")(
        max_iter=50, max_leaf_nodes=8, l2_regularization=1.0, early_stopping=False, random_state=0
    )
    # of each two neighbours one, by lot: so both halves have of both sides
    lot = np.random.default_rng(len(y)).integers(0, 2, len(y) // 2 + 1).repeat(2)[: len(y)]
    half, answer = (np.arange(len(y)) + lot) % 2 == 0, np.zeros(len(y))
    with threadpool_limits(1):  # the same bits on every machine, and less CPU on small samples
        for part in (half, ~half):
            model.fit(x[~part], y[~part], weight[~part])
            proba = kind == "Classifier"
            answer[part] = model.predict_proba(x[part])[:, 1] if proba else model.predict(x[part])
    return answer, half


def tell_apart(theirs: Codes, mine: Codes) -> tuple[Floats, Floats, float, float]:
    """Classifier two-sample test (Lopez-Paz & Oquab 2017): can the batch be told apart?

    Returns the cross-fitted probability to be of the batch, of the reference's rows and of its
    own, the area under the ROC curve, and its z-score: the mean of the two halves'. Their sum
    over root two (Stouffer) would take them for independent, which they are not.
    """
    from sklearn.metrics import roc_auc_score

    x, n = np.concatenate([theirs, mine], axis=1).T.astype(float), theirs.shape[1]
    if min(n, len(x) - n) < 4:  # nothing to learn from
        return np.full(n, 0.5), np.full(len(x) - n, 0.5), 0.5, 0.0
    own, told = np.arange(len(x)) >= n, []
    p, half = cross_fit("Classifier", x, own, np.ones(len(x)))
    for part in (half, ~half):
        area, new, rows = roc_auc_score(own[part], p[part]), own[part].sum(), part.sum()
        told.append((area, (area - 0.5) * np.sqrt(12 * new * (rows - new) / (rows + 1))))
    return p[:n], p[n:], *np.mean(told, axis=0).tolist()


def domain(profile: Profile, mine: Codes, settings: Settings) -> dict[str, Any]:
    """Whether a classifier surely and clearly tells the batch from the reference."""
    *_, area, z = tell_apart(unpack(profile, "sample"), mine)
    sure = st.normal_upper(z) <= settings.auc_alpha
    return {"auc": area, "drift": bool(sure and area >= limit(profile, "auc", settings.auc))}


def limit(profile: Profile, name: str, least: float) -> float:
    """The size that counts as drift: more than what blocks of the reference show by themselves."""
    return max(least, profile.get("usual", {}).get(name, 0.0))


def losses(profile: Profile, missed: Floats) -> Floats:
    """Loss of each row: the absolute error, or of probabilities Brier's square."""
    return np.abs(missed) ** (1 if profile["positive"] is None else 2)


def concept(profile: Profile, mine: Codes, missed: Floats, settings: Settings) -> dict[str, Any]:
    """Does the target still follow from the inputs as the model learnt it?

    It does not if the loss rose for sure, and either by much or with a pattern: two one-sided
    tests where the inputs overlap. One is the batch's loss against the holdout's loss
    reweighted to the batch's inputs (the decomposition of Cai, Namkoong & Yadlowsky 2023), the
    other whether the residual follows from the inputs more than it did on the holdout.
    """
    theirs, old = unpack(profile, "holdout"), np.array(profile["residuals"])
    mine, new = mine[:, np.isfinite(missed)], missed[np.isfinite(missed)]
    before, now = losses(profile, old), losses(profile, new)
    answer: dict[str, Any] = {"drift": False, "assessable": False, "metrics": {}, "says": []}
    cannot = "Concept drift is not assessable: {}."
    rows, least = min(len(old), len(new)), settings.least_rows
    if rows < least:
        says = f"{rows} rows have a label and a prediction, at least {least} are needed"
        return answer | {"says": [cannot.format(says)]}
    metrics = answer["metrics"]
    metrics |= {"loss_reference": float(before.mean()), "loss_current": float(now.mean())}
    p, q, *_ = tell_apart(theirs, mine)
    weight, own = (x / (1 - x) * len(old) / len(new) for x in (p, q))
    near, inside = weight <= RATIO, own <= RATIO
    metrics["concept_support"] = support = float(inside.mean())
    weight = weight[near]
    effective = weight.sum() ** 2 / (weight**2).sum()
    if support < settings.support or min(effective, inside.sum()) < least:
        says = f"only {support:.0%} of the batch is like the holdout; retrain with it, check again"
        return answer | {"says": [cannot.format(says)]}
    theirs, old, before = theirs[:, near], old[near], before[near]
    mine, new, now = mine[:, inside], new[inside], now[inside]
    expected = float(np.average(before, weights=weight))
    error = np.sqrt((weight**2 * (before - expected) ** 2).sum()) / weight.sum()
    rise = float(now.mean()) - expected
    tiny = 1e-12 * max(map(abs, profile["target"].get("edges", [1])))  # rounding, no loss
    z = rise / max(np.hypot(error, now.std() / np.sqrt(len(now))), tiny)
    gain, gain_z = residual_gain(theirs, old, weight, mine, new)
    metrics |= {"loss_current_expected": expected, "concept_residual_gain": gain}
    tests = np.array([st.normal_upper(z), st.normal_upper(gain_z)])
    worse, follows = tests <= st.benjamini_hochberg(tests, settings.concept_alpha)
    large = rise >= max(expected, tiny) * limit(profile, "loss", settings.loss)
    if worse and (large or (follows and gain >= settings.gain)):
        loss = "squared error" if profile["positive"] else LOSSES[profile["target"]["kind"]]
        figures = f"{loss} {now.mean():.4g}, expected {expected:.4g}"
        answer["says"] = [f"The model errs more than these inputs explain ({figures})."]
        answer |= {"drift": True, "segments": segments(profile, theirs, before, mine, now)}
    return answer | {"assessable": True}


def residual_gain(
    theirs: Codes, old: Floats, weight: Floats, mine: Codes, new: Floats
) -> tuple[float, float]:
    """Share of the squared residual that the inputs explain, batch less holdout, and its z-score.

    Both sides are fitted on equally many rows: more rows would find more of what the model always
    missed.
    """
    shares, errors, unit = [], [], 2.0 ** np.frexp(np.abs([*old, *new]).max())[1]
    for codes, residual, w in ((theirs, old, weight), (mine, new, np.ones(len(new)))):
        draw = np.random.default_rng(len(residual)).permutation(len(residual))
        take = np.sort(draw[: min(len(old), len(new))])
        r, w = residual[take] / unit, w[take]  # trees count in single precision
        guess, _ = cross_fit("Regressor", codes[:, take].T.astype(float), r, w)
        gained, scale = r**2 - (r - guess) ** 2, np.average(r**2, weights=w) or 1.0
        shares.append(np.average(gained, weights=w) / scale)
        errors.append(np.sqrt(((w * (gained - shares[-1] * r**2) / scale) ** 2).sum()) / w.sum())
    gain = shares[1] - max(0.0, shares[0])
    return float(gain), float(gain / max(np.hypot(*errors), 1e-12))


def segments(
    profile: Profile, theirs: Codes, before: Floats, mine: Codes, now: Floats
) -> list[tuple[Any, ...]]:
    """Values and fifths of single columns in which the loss surely rose: the five worst.

    Returns (which rows, their number, mean loss on the holdout, mean loss now) for each.
    """
    import pandas as pd

    found = []
    for (name, entry), a, b in zip(profile["columns"].items(), theirs, mine, strict=True):
        names, aims = segment_names(name, entry), ["size", "mean", "sem"]
        old, new = (pd.Series(x).groupby(names[c]).agg(aims) for x, c in ((before, a), (now, b)))
        both = old.merge(new, left_index=True, right_index=True, suffixes=("", "_now"))
        both = both[both[["size", "size_now"]].min(axis=1) >= SEGMENT]
        worse = both["mean_now"] - both["mean"] > 3 * np.hypot(both["sem"], both["sem_now"])
        found += both.loc[worse, ["size_now", "mean", "mean_now"]].itertuples(name=None)
    return sorted(found, key=lambda row: row[2] - row[3])[:5]


def segment_names(name: str, entry: Entry) -> NDArray[Any]:
    """The segment that each of a column's 256 codes lies in, in words, or None."""
    names = np.full(256, None)
    if entry["counts"]:
        names[MISSING] = f"{name} is missing"
    if "edges" in entry:
        fifth, edges = st.deciles(np.array(entry["counts"])) // 2, entry["edges"]
        for cells in (np.nonzero(fifth == i)[0] for i in np.unique(fifth)):
            low, high = (edges[min(max(1, i), len(edges) - 1)] for i in (cells[0], cells[-1]))
            words = f"from {low:.6g} to {high:.6g}" if low < high else f"is {low:.6g}"
            names[cells] = f"{name} {words}"
    elif entry.get("own"):
        names[: len(entry["cells"])] = [f"{name} is {cell}" for cell in entry["cells"]]
    return names
