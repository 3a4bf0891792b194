"""Questions that need whole rows: joint drift and concept drift, on bounded samples of codes."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from esteira.drift import statistics as st
from esteira.drift.columns import BLOCKS, MISSING, Codes, Entry
from esteira.drift.profile import Profile, unpack

if TYPE_CHECKING:
    from esteira.drift.settings import Settings

Floats = NDArray[np.float64]
RATIO = 10  # inputs this much denser in the batch than in the holdout are out of its reach
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

    def products(a: Floats, b: Floats) -> Floats:
        # not BLAS: one thread and one order of summing, so the same bits everywhere
        return np.einsum("ir,jr->ij", a, b)

    n, square = products(there, there), products(z**2, there)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = products(z, z) / np.sqrt(square * square.T)
        z22, z31, z40 = (products(z**p, z**q) / n for p, q in ((2, 2), (3, 1), (4, 0)))
        moments = z22 - r * (z31 + z31.T) + r**2 / 4 * (z40 + z40.T + 2 * z22)
        spread = np.maximum(1 + r**2 / 2, moments / np.maximum(1 - r**2, 1e-6) ** 2)
        return r, spread / np.maximum(n - 3, 1)


def pairs(profile: Profile, mine: Codes, settings: "Settings") -> list[tuple[Any, ...]]:
    """Pairs of numeric columns whose rank correlation changed: (left, right, before, now).

    By the difference of Fisher's z, two-sided, with false-discovery control.
    """
    kinds = {name: entry["kind"] for name, entry in profile["columns"].items()}
    numeric = [i for i, kind in enumerate(kinds.values()) if kind == "number"]
    names = np.array(list(kinds), dtype=object)[numeric]
    (r, error), (s, other) = map(
        rank_correlations, (unpack(profile, "sample")[numeric], mine[numeric])
    )
    left, right = np.nonzero(np.triu(np.isfinite(r) & np.isfinite(s), 1))
    r, s, error = r[left, right], s[left, right], (error + other)[left, right]
    z = np.abs(np.subtract(*np.arctanh(np.clip([r, s], -0.999999, 0.999999)))) / np.sqrt(error)
    p = np.array([2 * st.normal_upper(value) for value in z])
    hit = p <= st.benjamini_hochberg(p, settings.correlation_alpha)
    hit &= np.abs(r - s) >= limit(profile, "correlation", settings.correlation)
    found = zip(names[left[hit]], names[right[hit]], r[hit].tolist(), s[hit].tolist(), strict=True)
    return sorted(found, key=lambda pair: -abs(pair[2] - pair[3]))


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
    from scipy.stats import mannwhitneyu, norm

    x, n = np.concatenate([theirs, mine], axis=1).T.astype(float), theirs.shape[1]
    if min(n, len(x) - n) < 4:  # nothing to learn from
        return np.full(n, 0.5), np.full(len(x) - n, 0.5), 0.5, 0.0
    own = np.arange(len(x)) >= n
    p, half = cross_fit("Classifier", x, own, np.ones(len(x)))
    areas, scores = [], []
    for part in (half, ~half):
        new, old = p[part & own], p[part & ~own]
        test = mannwhitneyu(new, old, False, "greater", method="asymptotic")
        areas.append(test.statistic / len(new) / len(old))
        scores.append(norm.isf(np.clip(test.pvalue, 1e-300, 1 - 1e-15)))
    return p[:n], p[n:], float(np.mean(areas)), float(np.mean(scores))


def domain(profile: Profile, mine: Codes, settings: "Settings") -> dict[str, Any]:
    """Whether a classifier surely and clearly tells the batch from the reference."""
    *_, area, z = tell_apart(unpack(profile, "sample"), mine)
    sure = st.normal_upper(z) <= settings.auc_alpha
    return {"auc": area, "drift": bool(sure and area >= limit(profile, "auc", settings.auc))}


def limit(profile: Profile, name: str, least: float) -> float:
    """The size that counts as drift: more than what blocks of the reference show by themselves."""
    return max(least, profile.get("usual", {}).get(name, 0.0))


def usual(profile: Profile) -> dict[str, float]:
    """What neighbouring rows of a time series show without drift: each block against the rest."""
    codes = unpack(profile, "sample")
    sizes: dict[str, list[float]] = {"correlation": [0.0], "auc": [0.5], "loss": [0.0]}
    for at in np.array_split(np.arange(codes.shape[1]), BLOCKS):
        rest, block = np.delete(codes, at, axis=1), codes[:, at]
        change = np.abs(rank_correlations(rest)[0] - rank_correlations(block)[0])
        sizes["correlation"] += change[np.isfinite(change)].tolist()
        if len(at) >= 10:
            sizes["auc"].append(tell_apart(rest, block)[2])
    if "residuals" in profile:
        loss = losses(profile, np.array(profile["residuals"]))
        parts = [part.mean() for part in np.array_split(loss, BLOCKS) if len(part)]
        sizes["loss"] += [part / max(loss.mean(), 1e-12) - 1 for part in parts]
    return {name: float(f"{np.quantile(all_, 0.99):.6g}") for name, all_ in sizes.items()}


def losses(profile: Profile, missed: Floats) -> Floats:
    """Loss of each row: the absolute error, or of probabilities Brier's square."""
    return np.abs(missed) ** (2 if profile["classes"] else 1)


def label_shift(profile: Profile, answers: Any) -> list[str]:
    """Guess the classes' shares in a batch without labels, as a hint: none, or one sentence.

    Holds if only the shares moved: then the mean answer is a mixture of the classes' mean answers
    on the holdout (Lipton, Wang & Smola 2018, with probabilities in place of classes).
    """
    told, classes = np.array(profile.get("told", [])), profile["classes"] or ()
    if len(told) != len(classes) or len(told) == 0 or np.linalg.cond(told) > 100:
        return []
    answers = answers[np.isfinite(answers).all(axis=1)]
    if not len(answers):
        return []
    guess = np.linalg.solve(told.T, answers.mean(axis=0)).clip(0)
    triples = zip(classes, guess / guess.sum(), profile["shares"], strict=True)
    shares = ", ".join(f"{name} {now:.0%} (holdout {before:.0%})" for name, now, before in triples)
    return [f"A hint only: had nothing but the classes' shares moved, they would be {shares}."]


def concept(profile: Profile, mine: Codes, missed: Floats, settings: "Settings") -> dict[str, Any]:
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
    if min(len(old), len(new)) < settings.least_rows:
        return answer | {
            "says": ["Concept drift is not assessable: too few rows with label and prediction."]
        }
    metrics = {"loss_reference": float(before.mean()), "loss_current": float(now.mean())}
    answer["metrics"] = metrics
    p, q, *_ = tell_apart(theirs, mine)
    weight, own = (x / (1 - x) * len(old) / len(new) for x in (p, q))
    near, inside = weight <= RATIO, own <= RATIO
    metrics["concept_support"] = support = float(inside.mean())
    weight = weight[near]
    effective = weight.sum() ** 2 / (weight**2).sum()
    if support < settings.support or min(effective, inside.sum()) < settings.least_rows:
        says = f"only {support:.0%} of the batch lies where the holdout does"
        return answer | {"says": [f"Concept drift is not assessable: {says}."]}
    theirs, old, before = theirs[:, near], old[near], before[near]
    mine, new, now = mine[:, inside], new[inside], now[inside]
    expected = float(np.average(before, weights=weight))
    error = np.sqrt((weight**2 * (before - expected) ** 2).sum()) / weight.sum()
    rise = float(now.mean()) - expected
    z = rise / max(np.hypot(error, now.std() / np.sqrt(len(now))), 1e-12)
    gain, gain_z = residual_gain(theirs, old, weight, mine, new)
    metrics |= {"loss_current_expected": expected, "concept_residual_gain": gain}
    relative = rise / max(expected, 1e-12)
    tests = np.array([st.normal_upper(z), st.normal_upper(gain_z)])
    worse, follows = tests <= st.benjamini_hochberg(tests, settings.concept_alpha)
    large = relative >= limit(profile, "loss", settings.loss)
    if worse and (large or (follows and gain >= settings.gain)):
        figures = f"loss {now.mean():.4g}, expected {expected:.4g}, {relative:+.0%}"
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
    shares, errors = [], []
    for codes, residual, w in ((theirs, old, weight), (mine, new, np.ones(len(new)))):
        draw = np.random.default_rng(len(residual)).permutation(len(residual))
        take = np.sort(draw[: min(len(old), len(new))])
        r, w = residual[take], w[take]
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
        both = both.drop(index="", errors="ignore")
        both = both[both[["size", "size_now"]].min(axis=1) >= SEGMENT]
        worse = both["mean_now"] - both["mean"] > 3 * np.hypot(both["sem"], both["sem_now"])
        found += both.loc[worse, ["size_now", "mean", "mean_now"]].itertuples(name=None)
    return sorted(found, key=lambda row: row[2] - row[3])[:5]


def segment_names(name: str, entry: Entry) -> NDArray[Any]:
    """The segment that each of a column's 256 codes lies in, in words; "" for none."""
    names = np.full(256, "", dtype=object)
    if entry["counts"]:
        names[MISSING] = f"{name} is missing"
    if "edges" in entry:
        fifth, edges = st.deciles(np.array(entry["counts"])) // 2, entry["edges"]
        for cells in (np.nonzero(fifth == i)[0] for i in np.unique(fifth)):
            ends = edges[max(0, cells[0] - 1)], edges[min(cells[-1], len(edges) - 1)]
            names[cells] = "{} from {:.4g} to {:.4g}".format(name, *ends)
    elif entry.get("own_codes"):
        names[: len(entry["cells"])] = [f"{name} is {cell}" for cell in entry["cells"]]
    return names
