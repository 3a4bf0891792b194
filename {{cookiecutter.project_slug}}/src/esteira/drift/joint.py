"""Questions that need whole rows: joint drift and concept drift, on bounded samples of codes."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from esteira.drift import statistics as st
from esteira.drift.profile import BLOCKS, INTERVALS, MISSING, Profile, unpack

if TYPE_CHECKING:
    from esteira.drift.settings import Settings

Codes = NDArray[np.uint8]
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
    """Pairs of numeric columns whose rank correlation changed: (left, right, before, now)."""
    columns = profile["columns"]
    numeric = [i for i, entry in enumerate(columns.values()) if entry["kind"] == "number"]
    if len(numeric) < 2:
        return []
    names = list(columns)
    theirs = unpack(profile["sample"], len(columns))[numeric]
    left, right = np.triu_indices(len(numeric), 1)
    sides = (rank_correlations(side) for side in (theirs, mine[numeric]))
    (r, error), (s, other) = ([matrix[left, right] for matrix in side] for side in sides)
    known = np.isfinite(r) & np.isfinite(s)
    left, right, r, s = left[known], right[known], r[known], s[known]
    p = st.correlation_p(r, s, (error + other)[known])
    hit = p <= st.benjamini_hochberg(p, settings.correlation_alpha)
    hit &= np.abs(r - s) >= limit(profile, "correlation", settings.correlation)
    found = [
        (names[numeric[i]], names[numeric[j]], float(x), float(y))
        for i, j, x, y in zip(left[hit], right[hit], r[hit], s[hit], strict=True)
    ]
    return sorted(found, key=lambda pair: -abs(pair[2] - pair[3]))


def folds(n: int) -> NDArray[np.bool_]:
    """Half of n rows by lot, always the same ones."""
    return np.random.default_rng(n).permutation(n) % 2 == 0


def cross_fit(model: Any, x: Floats, y: Floats, weight: Floats | None = None) -> Floats:
    """Predict each half of the rows with what was fitted on the other half."""
    from threadpoolctl import threadpool_limits

    half, answer = folds(len(y)), np.zeros(len(y))
    with threadpool_limits(1):  # the same bits on every machine, and less CPU on small samples
        for part in (half, ~half):
            model.fit(x[~part], y[~part], None if weight is None else weight[~part])
            proba = hasattr(model, "predict_proba")
            answer[part] = model.predict_proba(x[part])[:, 1] if proba else model.predict(x[part])
    return answer


def trees(kind: str) -> Any:
    """Small boosted trees: quick, indifferent to scale, at ease with missing cells."""
    from sklearn import ensemble

    make = getattr(ensemble, f"HistGradientBoosting{kind}")
    return make(
        max_iter=50, max_leaf_nodes=8, l2_regularization=1.0, early_stopping=False, random_state=0
    )


def inputs(codes: Codes) -> Floats:
    """Codes as a matrix of shape (rows, columns); missing is the highest code, so trees see it."""
    return codes.T.astype(float)


def tell_apart(theirs: Codes, mine: Codes) -> tuple[Floats, Floats]:
    """Cross-fitted probability that a row is of the batch: for the reference's rows and its own."""
    x = np.concatenate([inputs(theirs), inputs(mine)])
    n = theirs.shape[1]
    p = cross_fit(trees("Classifier"), x, (np.arange(len(x)) >= n).astype(float))
    return p[:n], p[n:]


def told_apart(theirs: Codes, mine: Codes) -> tuple[float, float]:
    """Cross-fitted AUC of a classifier between two samples, and its z-score.

    The z-score is the mean of the two halves': their sum over root two (Stouffer) would take them
    for independent, which they are not.
    """
    p, q = tell_apart(theirs, mine)
    half = folds(len(p) + len(q))
    parts = [st.auc_z(p[h[: len(p)]], q[h[len(p) :]]) for h in (half, ~half)]
    area, z = np.mean(parts, axis=0)
    return float(area), float(z)


def domain(profile: Profile, mine: Codes, settings: "Settings") -> dict[str, Any]:
    """Classifier two-sample test (Lopez-Paz & Oquab 2017): can the batch be told apart?"""
    area, z = told_apart(unpack(profile["sample"], len(profile["columns"])), mine)
    if not np.isfinite(area):  # too few rows in the reference to learn from half of them
        return {"auc": 0.5, "drift": False}
    sure = st.normal_upper(z) <= settings.auc_alpha
    return {"auc": area, "drift": bool(sure and area >= limit(profile, "auc", settings.auc))}


def limit(profile: Profile, name: str, least: float) -> float:
    """The size that counts as drift: more than what blocks of the reference show by themselves."""
    return max(least, profile.get("usual", {}).get(name, 0.0))


def usual(profile: Profile) -> dict[str, float]:
    """What neighbouring rows of a time series show without drift: each block against the rest."""
    codes = unpack(profile["sample"], len(profile["columns"]))
    changes, areas, rises = [0.0], [0.5], [0.0]
    for at in np.array_split(np.arange(codes.shape[1]), BLOCKS):
        rest = np.delete(codes, at, axis=1)
        change = np.abs(rank_correlations(rest)[0] - rank_correlations(codes[:, at])[0])
        changes += change[np.isfinite(change)].tolist()
        if len(at) >= 10:
            areas.append(told_apart(rest, codes[:, at])[0])
    if "residuals" in profile:
        power = 1 if profile["task"]["kind"] == "regression" else 2
        loss = np.abs(np.array(profile["residuals"])) ** power
        rises += [
            part.mean() / max(loss.mean(), 1e-12) - 1 for part in np.array_split(loss, BLOCKS)
        ]
    sizes = {"correlation": changes, "auc": areas, "loss": rises}
    return {name: float(f"{np.quantile(all_, 0.99):.6g}") for name, all_ in sizes.items()}


def label_shift(profile: Profile, answers: Any) -> list[str]:
    """Guess the classes' shares in a batch without labels, as a hint: none, or one sentence.

    Holds if only the shares moved: then the mean answer is a mixture of the classes' mean answers
    on the holdout (Lipton, Wang & Smola 2018, with probabilities in place of classes).
    """
    told = profile.get("told")
    if not told or np.linalg.cond(told["means"]) > 100:
        return []
    guess = np.linalg.solve(np.array(told["means"]).T, np.asarray(answers).mean(axis=0)).clip(0)
    pairs = zip(profile["task"]["classes"], guess / guess.sum(), told["shares"], strict=True)
    shares = ", ".join(f"{name} {now:.0%} (holdout {before:.0%})" for name, now, before in pairs)
    return [f"A hint only: had nothing but the classes' shares moved, they would be {shares}."]


def concept(profile: Profile, mine: Codes, missed: Floats, settings: "Settings") -> dict[str, Any]:
    """Does the target still follow from the inputs as the model learnt it?

    It does not if the loss rose for sure, and either by much or with a pattern: two one-sided
    tests where the inputs overlap. One is the batch's loss against the holdout's loss
    reweighted to the batch's inputs (the decomposition of Cai, Namkoong & Yadlowsky 2023), the
    other whether the residual follows from the inputs more than it did on the holdout.
    """
    theirs = unpack(profile["holdout"], len(profile["columns"]))
    old = np.array(profile["residuals"])
    known = np.isfinite(missed)
    mine, new = mine[:, known], missed[known]
    power = 1 if profile["task"]["kind"] == "regression" else 2
    loss_old, loss_new = np.abs(old) ** power, np.abs(new) ** power
    metrics = {"loss_reference": float(loss_old.mean()), "loss_current": float(loss_new.mean())}
    answer: dict[str, Any] = {
        "drift": False,
        "assessable": False,
        "segments": [],
        "metrics": metrics,
    }
    if min(len(old), len(new)) < settings.least_rows:
        return answer | {"says": ["Concept drift is not assessable: too few labelled rows."]}
    p, q = tell_apart(theirs, mine)
    weight, own = (x / (1 - x) * len(old) / len(new) for x in (p, q))
    near, inside = weight <= RATIO, own <= RATIO
    metrics["concept_support"] = support = float(inside.mean())
    effective = weight[near].sum() ** 2 / (weight[near] ** 2).sum()
    if support < settings.support or min(effective, inside.sum()) < settings.least_rows:
        says = f"only {support:.0%} of the batch lies where the holdout does"
        return answer | {"says": [f"Concept drift is not assessable: {says}."]}
    theirs, old, loss_old, weight = theirs[:, near], old[near], loss_old[near], weight[near]
    mine, new, loss_new = mine[:, inside], new[inside], loss_new[inside]
    expected = float(np.average(loss_old, weights=weight))
    error = np.sqrt((weight**2 * (loss_old - expected) ** 2).sum()) / weight.sum()
    rise = float(loss_new.mean()) - expected
    z = rise / max(np.hypot(error, loss_new.std() / np.sqrt(len(new))), 1e-12)
    gain, gain_z = residual_gain(theirs, old, weight, mine, new)
    metrics |= {"loss_current_expected": expected, "concept_residual_gain": gain}
    relative = rise / max(expected, 1e-12)
    tests = np.array([st.normal_upper(z), st.normal_upper(gain_z)])
    worse, follows = tests <= st.benjamini_hochberg(tests, settings.concept_alpha)
    large = relative >= limit(profile, "loss", settings.loss)
    drift = worse and (large or (follows and gain >= settings.gain))
    answer |= {"assessable": True, "drift": bool(drift), "says": []}
    if drift:
        figures = f"loss {loss_new.mean():.4g}, expected {expected:.4g}, {relative:+.0%}"
        answer["says"] = [f"The model errs more than these inputs explain ({figures})."]
        answer["segments"] = segments(profile, theirs, loss_old, mine, loss_new)
    return answer


def residual_gain(
    theirs: Codes, old: Floats, weight: Floats, mine: Codes, new: Floats
) -> tuple[float, float]:
    """Share of the squared residual that the inputs explain, batch less holdout, and its z-score.

    Both sides are fitted on equally many rows: more rows would find more of what the model always
    missed.
    """
    size = min(len(old), len(new))
    shares, errors = [], []
    for codes, residual, w in ((theirs, old, weight), (mine, new, np.ones(len(new)))):
        take = np.sort(np.random.default_rng(len(residual)).permutation(len(residual))[:size])
        r, w = residual[take], w[take]
        guess = cross_fit(trees("Regressor"), inputs(codes[:, take]), r, w)
        gained, scale = r**2 - (r - guess) ** 2, np.average(r**2, weights=w) or 1.0
        share = np.average(gained, weights=w) / scale
        shares.append(share)
        spread = w * (gained - share * r**2) / scale
        errors.append(np.sqrt((spread**2).sum()) / w.sum())
    gain = shares[1] - max(0.0, shares[0])
    return float(gain), float(gain / max(np.hypot(*errors), 1e-12))


def segments(
    profile: Profile, theirs: Codes, loss_old: Floats, mine: Codes, loss_new: Floats
) -> list[dict[str, Any]]:
    """Values and ranges of single columns in which the loss surely rose: the five worst."""
    found = []
    for (name, entry), a, b in zip(profile["columns"].items(), theirs, mine, strict=True):
        if "counts" not in entry or len(entry.get("cells", ())) > INTERVALS:
            continue
        cut = st.deciles(np.array(entry["counts"])) // 2 if "edges" in entry else np.arange(256)
        cut = np.concatenate([cut, np.arange(len(cut), 256) + 256])
        a, b = cut[a], cut[b]
        for cell in np.unique(b):
            x, y = loss_old[a == cell], loss_new[b == cell]
            if min(len(x), len(y)) < SEGMENT:
                continue
            z = (y.mean() - x.mean()) / max(
                np.hypot(x.std() / len(x) ** 0.5, y.std() / len(y) ** 0.5), 1e-12
            )
            if z > 3:
                where = segment_name(name, entry, cut, int(cell))
                found.append(
                    {"segment": where, "rows": len(y), "before": x.mean(), "now": y.mean(), "z": z}
                )
    return sorted(found, key=lambda s: s["before"] - s["now"])[:5]


def segment_name(name: str, entry: dict[str, Any], cut: NDArray[Any], cell: int) -> str:
    """Say which rows a segment holds."""
    cells = np.nonzero(cut == cell)[0]
    if cells[0] == MISSING:
        return f"{name} is missing"
    if "edges" not in entry:
        known = cells[0] < len(entry["cells"])
        return f"{name} is {entry['cells'][cells[0]] if known else 'another value'}"
    edges = entry["edges"]
    last = min(int(cells[-1]), len(edges) - 1)
    return f"{name} from {edges[max(0, int(cells[0]) - 1)]:.4g} to {edges[last]:.4g}"
