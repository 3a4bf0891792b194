"""Find columns that tell the target: known too well, adding up to it, or known only afterwards."""

import re

import numpy as np
import pandas as pd

from esteira.adopt.sniff import Decision
from esteira.line.schema import Schema

CELLS = 20_000_000  # rows are sampled down to this many cells, and to ROWS
ROWS = 20_000
BINS = 64
CERTAIN = 0.9995
SUSPECT = {"classification": 0.98, "regression": 0.95}
HINT = {"classification": 0.7, "regression": 0.15}
AFTERWARDS = re.compile(
    r"duration|outcome|result|reason|closed|resol|ended|end_?date|finish|cancel|refund|discharge"
    r"|death|terminat|left_|exit",
    re.IGNORECASE,
)


def set_aside(
    typed: pd.DataFrame, schema: Schema, notes: dict[str, str]
) -> tuple[Schema, list[Decision]]:
    """Put certain leaks aside (`role: ignored`) and warn of the suspected ones, which stay.

    A leak is certain where a column alone gives the target exactly, or columns add up to it.
    """
    rows = typed[schema.target].notna()
    sample = typed[rows]
    limit = max(200, min(ROWS, CELLS // max(typed.shape[1], 1)))
    if len(sample) > limit:
        sample = sample.sample(limit, random_state=0)
    target = sample[schema.target]
    scores = {name: alone(sample[name], target, schema) for name in schema.features}
    certain = {n: f"alone gives the target ({s:.4f})" for n, s in scores.items() if s >= CERTAIN}
    if schema.task == "regression":
        signs = adds_up(sample, schema, set(schema.features) - set(certain))
        formula = " ".join(f"{sign} {name}" for name, sign in signs.items()).removeprefix("+ ")
        certain |= dict.fromkeys(signs, f"{schema.target} = {formula}")
    if set(certain) >= set(schema.features):
        scores |= dict.fromkeys(certain, 1.0)  # nothing would be left to learn from
        certain = {}
    decisions = []
    columns = dict(schema.columns)
    for name, why in certain.items():
        columns[name] = columns[name].model_copy(update={"role": "ignored"})
        notes[name] = f"LEAK set aside: {why}; if it is known in time, make it a feature"
        what = f"LEAK: `{name}` is set aside (role: ignored)"
        overrule = f"schema.yaml, columns.{name}: role: feature, if it is known in time"
        decisions.append(Decision(what, why, overrule, warning=True))
    kept = {name: score for name, score in scores.items() if name not in certain}
    for name, why in _suspected(sample, kept, schema).items():
        notes[name] = f"suspected leak: {why}"
        what = f"suspected leak: `{name}` is kept as a feature"
        overrule = f"schema.yaml, columns.{name}: role: ignored, if it is known too late"
        decisions.append(Decision(what, why, overrule, warning=True))
    return schema.model_copy(update={"columns": columns}), decisions


def _suspected(sample: pd.DataFrame, scores: dict[str, float], schema: Schema) -> dict[str, str]:
    found = {}
    measure = "R²" if schema.task == "regression" else "AUC or skill"
    strong = max(HINT[schema.task], 0.8 * max(scores.values(), default=0))
    stem = schema.target.lower()
    for name, score in scores.items():
        told = AFTERWARDS.search(name) or (len(stem) >= 4 and stem in name.lower())
        if score >= SUSPECT[schema.task]:
            found[name] = f"alone it reaches {measure} {score:.3f}"
        elif told and score >= strong:
            found[name] = f"its name tells of what comes after, and alone it reaches {score:.2f}"
        elif schema.time and schema.columns[name].type == "datetime":
            later = (sample[name] > sample[schema.time])[sample[name].notna()]
            if later.mean() > 0.95:
                found[name] = f"it is later than `{schema.time}` in {later.mean():.0%} of the rows"
    return found


def alone(values: pd.Series, target: pd.Series, schema: Schema) -> float:
    """How well one column predicts the target, by bin means of one half scored on the other.

    Returns AUC for two classes, skill over the majority class for more, R² for regression. A
    missing cell is a bin of its own, so a telling gap counts too.
    """
    if len(values) < 50:
        return 0.0
    bins = _bins(values)
    half = np.random.default_rng(0).permutation(len(values)) % 2
    if schema.task == "regression":
        y = target.to_numpy()
        fitted = _cross(bins, half, y)
        spread = np.square(y - y.mean()).sum() or 1.0
        return max(1 - np.square(y - fitted).sum() / spread, _straight(values, y))
    codes, classes = pd.factorize(target)
    if len(classes) == 2:
        auc = _auc(_cross(bins, half, (codes == 1).astype(float)), codes == 1)
        return max(auc, 1 - auc)
    fitted = np.column_stack([_cross(bins, half, codes == k) for k in range(len(classes))])
    majority = np.bincount(codes).max() / len(codes)
    return float(((fitted.argmax(axis=1) == codes).mean() - majority) / (1 - majority))


def _bins(values: pd.Series) -> np.ndarray:
    if values.dtype.kind in "fM":
        numbers = values.to_numpy(dtype="float64", na_value=np.nan)
        filled = numbers[~np.isnan(numbers)]
        edges = np.unique(np.quantile(filled, np.linspace(0, 1, BINS))) if len(filled) else []
        return np.where(np.isnan(numbers), 0, 1 + np.searchsorted(edges, numbers))
    rare = values.map(values.value_counts()) < 5
    return pd.factorize(values.mask(rare, ""))[0] + 1


def _cross(bins: np.ndarray, half: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean of `y` by bin in the other half; the half's mean where it has no such bin."""
    fitted = np.empty(len(y))
    for side in (0, 1):
        seen, size = half != side, int(bins.max()) + 1
        count = np.bincount(bins[seen], minlength=size)
        total = np.bincount(bins[seen], weights=y[seen], minlength=size)
        mean = np.where(count > 0, total / np.maximum(count, 1), y[seen].mean())
        fitted[~seen] = mean[bins[~seen]]
    return fitted


def _straight(values: pd.Series, y: np.ndarray) -> float:
    """Squared correlation: sees a copy or a rescaling, which bins only come near."""
    if values.dtype.kind != "f":
        return 0.0
    both = values.notna().to_numpy()
    x, y = values.to_numpy()[both], y[both]
    if both.mean() < 0.5 or len(x) < 50 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def _auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve from the rank sum (Mann and Whitney 1947)."""
    ranks = pd.Series(score).rank().to_numpy()
    many, few = int((~positive).sum()), int(positive.sum())
    if not many or not few:
        return 0.5
    return float((ranks[positive].sum() - few * (few + 1) / 2) / (many * few))


def adds_up(sample: pd.DataFrame, schema: Schema, among: set[str]) -> dict[str, str]:
    """Columns whose plain sum is the target, each with its sign.

    Least squares on the numeric columns (the 100 most correlated) must fit without remainder,
    with coefficients of plus or minus one.
    """
    names = [n for n in schema.features if n in among and schema.columns[n].numeric]
    full = [n for n in names if sample[n].notna().mean() > 0.95 and sample[n].nunique() > 1]
    y = sample[schema.target]
    if len(full) > 100:
        strength = sample[full].corrwith(y).abs()
        full = list(strength.nlargest(100).index)
    table = sample[[*full, schema.target]].dropna()
    if len(table) < max(50, 2 * len(full)) or not full:
        return {}
    x, y = table[full].to_numpy(), table[schema.target].to_numpy()
    scale = np.abs(x).max(axis=0)
    weights = np.linalg.lstsq(np.column_stack([x / scale, np.ones(len(x))]), y, rcond=None)[0]
    remainder = np.abs(x / scale @ weights[:-1] + weights[-1] - y).max()
    spread = y.std()
    if remainder > 1e-6 * spread or abs(weights[-1]) > 1e-6 * spread:
        return {}
    slopes = weights[:-1] / scale
    used = [i for i in range(len(full)) if abs(slopes[i]) * x[:, i].std() > 1e-6 * spread]
    if any(abs(abs(slopes[i]) - 1) > 1e-6 for i in used):
        return {}
    return {full[i]: "-" if slopes[i] < 0 else "+" for i in used}
