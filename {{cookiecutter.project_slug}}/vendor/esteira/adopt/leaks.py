"""Find columns that tell the target: known too well, adding up to it, or known only afterwards."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from esteira.adopt.decisions import Decision
from esteira.adopt.rules import Finding, Rule
from esteira.line.schema import Schema

CELLS = 20_000_000  # rows are sampled down to this many cells, and to ROWS
ROWS = 20_000
BINS = 64
FEWEST = 50  # rows from which a column is judged at all
CERTAIN = 0.9995
SUSPECT = {"classification": 0.98, "regression": 0.95}
HINT = {"classification": 0.7, "regression": 0.15}
SUMMANDS = 100  # the most correlated columns, among which a sum is looked for
AFTERWARDS = re.compile(
    r"duration|outcome|result|reason|closed|resol|ended|end_?date|finish|cancel|refund|discharge"
    r"|death|terminat|left_|exit",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Sample:
    """Rows whose target is known, and how well each feature alone predicts it."""

    rows: pd.DataFrame
    schema: Schema
    scores: dict[str, float]  # of `alone`, by feature

    def without(self, names: set[str]) -> "Sample":
        """Return the sample without the scores of some features."""
        kept = {name: score for name, score in self.scores.items() if name not in names}
        return Sample(self.rows, self.schema, kept)


@dataclass(frozen=True)
class Leaks:
    """The schema with certain leaks put aside, remarks for schema.yaml by column, and decisions."""

    schema: Schema
    remarks: dict[str, str]
    decisions: list[Decision]


def set_aside(typed: pd.DataFrame, schema: Schema) -> Leaks:
    """Put certain leaks aside (`role: ignored`) and warn of the suspected ones, which stay.

    A leak is certain where a column alone gives the target exactly, or columns add up to it.
    """
    sample = _sample(typed, schema)
    certain = _evidence(CERTAIN_RULES, sample)
    if set(certain) >= set(schema.features):  # nothing would be left to learn from
        sample = Sample(sample.rows, schema, {**sample.scores, **dict.fromkeys(certain, 1.0)})
        certain = {}
    suspected = _evidence(SUSPICIONS, sample.without(set(certain)))
    columns = dict(schema.columns)
    for rule, finding in certain.values():
        columns[finding.column] = rule.set(columns[finding.column])
    remarks = {}
    decisions = []
    for name, (_, finding) in certain.items():
        remarks[name] = (
            f"LEAK set aside: {finding.evidence}; if it is known in time, make it a feature"
        )
        what = f"LEAK: `{name}` is set aside (role: ignored)"
        overrule = f"schema.yaml, columns.{name}: role: feature, if it is known in time"
        decisions.append(Decision(what, finding.evidence, overrule, warning=True))
    for name, (_, finding) in suspected.items():
        remarks[name] = f"suspected leak: {finding.evidence}"
        what = f"suspected leak: `{name}` is kept as a feature"
        overrule = f"schema.yaml, columns.{name}: role: ignored, if it is known too late"
        decisions.append(Decision(what, finding.evidence, overrule, warning=True))
    return Leaks(schema.model_copy(update={"columns": columns}), remarks, decisions)


def _sample(typed: pd.DataFrame, schema: Schema) -> Sample:
    rows = typed[typed[schema.target].notna()]
    limit = max(200, min(ROWS, CELLS // max(typed.shape[1], 1)))
    if len(rows) > limit:
        rows = rows.sample(limit, random_state=0)
    target = rows[schema.target]
    scores = {name: alone(rows[name], target, schema) for name in schema.features}
    return Sample(rows, schema, scores)


def _evidence(
    rules: tuple[Rule[Sample], ...], sample: Sample
) -> dict[str, tuple[Rule[Sample], Finding]]:
    """Return the first finding of the rules by column, in the columns' order of being found."""
    found: dict[str, tuple[Rule[Sample], Finding]] = {}
    for rule in rules:
        remaining = sample.without(set(found))
        for finding in rule.find(remaining):
            found[finding.column] = (rule, finding)
    return found


# --- the rules


def gives_the_target(sample: Sample) -> Iterator[Finding]:
    """A column that alone gives the target in every row."""
    for name, score in sample.scores.items():
        if score >= CERTAIN:
            yield Finding(name, f"alone gives the target ({score:.4f})")


def sums_to_the_target(sample: Sample) -> Iterator[Finding]:
    """Columns whose plain sum or difference is the target."""
    if sample.schema.task != "regression":
        return
    signs = adds_up(sample.rows, sample.schema, set(sample.scores))
    terms = " ".join(f"{sign} {name}" for name, sign in signs.items())
    formula = terms.removeprefix("+ ")
    for name in signs:
        yield Finding(name, f"{sample.schema.target} = {formula}")


def nearly_gives_the_target(sample: Sample) -> Iterator[Finding]:
    """A column that alone predicts the target better than features do."""
    measure = "R²" if sample.schema.task == "regression" else "AUC or skill"
    for name, score in sample.scores.items():
        if score >= SUSPECT[sample.schema.task]:
            yield Finding(name, f"alone it reaches {measure} {score:.3f}")


def named_like_an_outcome(sample: Sample) -> Iterator[Finding]:
    """A column among the strongest, whose name tells of what comes after, or of the target."""
    strongest = max(sample.scores.values(), default=0)
    strong = max(HINT[sample.schema.task], 0.8 * strongest)
    stem = sample.schema.target.lower()
    for name, score in sample.scores.items():
        like_target = len(stem) >= 4 and stem in name.lower()
        if score >= strong and (AFTERWARDS.search(name) or like_target):
            why = f"its name tells of what comes after, and alone it reaches {score:.2f}"
            yield Finding(name, why)


def later_than_the_row(sample: Sample) -> Iterator[Finding]:
    """A date that is later than the row's own time."""
    schema = sample.schema
    if not schema.time or schema.columns[schema.time].type != "datetime":
        return
    for name in sample.scores:
        if schema.columns[name].type != "datetime":
            continue
        filled = sample.rows[name].notna()
        later = (sample.rows[name] > sample.rows[schema.time])[filled].mean()
        if later > 0.95:
            yield Finding(name, f"it is later than `{schema.time}` in {later:.0%} of the rows")


CERTAIN_RULES: tuple[Rule[Sample], ...] = (
    Rule("gives the target", gives_the_target, role="ignored", warning=True),
    Rule("sums to the target", sums_to_the_target, role="ignored", warning=True),
)
SUSPICIONS: tuple[Rule[Sample], ...] = (
    Rule("nearly gives the target", nearly_gives_the_target, warning=True),
    Rule("named like an outcome", named_like_an_outcome, warning=True),
    Rule("later than the row", later_than_the_row, warning=True),
)


# --- how well one column predicts the target


def alone(values: pd.Series, target: pd.Series, schema: Schema) -> float:
    """How well one column predicts the target, by bin means of one half scored on the other.

    Returns AUC for two classes, skill over the majority class for more, R² for regression. A
    missing cell is a bin of its own, so a telling gap counts too.
    """
    if len(values) < FEWEST:
        return 0.0
    bins = _bins(values)
    half = np.random.default_rng(0).permutation(len(values)) % 2
    if schema.task == "regression":
        return _explained(values, bins, half, target.to_numpy())
    codes, classes = pd.factorize(target)
    if len(classes) == 2:
        area = _auc(_cross(bins, half, (codes == 1).astype(float)), codes == 1)
        return max(area, 1 - area)
    return _skill(bins, half, codes, len(classes))


def _explained(values: pd.Series, bins: np.ndarray, half: np.ndarray, y: np.ndarray) -> float:
    """Return R² of the bins' means, or of a straight line where that is better."""
    fitted = _cross(bins, half, y)
    spread = np.square(y - y.mean()).sum() or 1.0
    by_bins = 1 - np.square(y - fitted).sum() / spread
    return max(by_bins, _straight(values, y))


def _skill(bins: np.ndarray, half: np.ndarray, codes: np.ndarray, classes: int) -> float:
    """Return how far accuracy comes from that of the majority class towards 1."""
    shares = _cross_shares(bins, half, codes, classes)
    accuracy = (shares.argmax(axis=1) == codes).mean()
    majority = np.bincount(codes).max() / len(codes)
    return float((accuracy - majority) / (1 - majority))


def _cross_shares(
    bins: np.ndarray, half: np.ndarray, codes: np.ndarray, classes: int
) -> np.ndarray:
    """As `_cross`, of all classes at once: shares of shape (rows, classes)."""
    shares = np.empty((len(codes), classes))
    size = int(bins.max()) + 1
    for side in (0, 1):
        seen = half != side
        places = bins[seen] * classes + codes[seen]
        counts = np.bincount(places, minlength=size * classes).reshape(size, classes)
        rows = counts.sum(axis=1, keepdims=True)
        usual = counts.sum(axis=0) / seen.sum()
        by_bin = np.where(rows > 0, counts / np.maximum(rows, 1), usual)
        shares[~seen] = by_bin[bins[~seen]]
    return shares


def _bins(values: pd.Series) -> np.ndarray:
    """Number the bins of a column, from 0 for missing: quantiles of numbers, or frequent words."""
    if values.dtype.kind in "fM":
        numbers = values.to_numpy(dtype="float64", na_value=np.nan)
        missing = np.isnan(numbers)
        filled = numbers[~missing]
        quantiles = np.linspace(0, 1, BINS)
        edges = np.unique(np.quantile(filled, quantiles)) if len(filled) else np.array([])
        return np.where(missing, 0, 1 + np.searchsorted(edges, numbers))
    rare = values.map(values.value_counts()) < 5
    return pd.factorize(values.mask(rare, ""))[0] + 1


def _cross(bins: np.ndarray, half: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean of `y` by bin in the other half; the half's mean where it has no such bin."""
    fitted = np.empty(len(y))
    size = int(bins.max()) + 1
    for side in (0, 1):
        seen = half != side
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
    if both.mean() < 0.5 or len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def _auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve from the rank sum (Mann and Whitney 1947)."""
    ranks = pd.Series(score).rank().to_numpy()
    many, few = int((~positive).sum()), int(positive.sum())
    if not many or not few:
        return 0.5
    return float((ranks[positive].sum() - few * (few + 1) / 2) / (many * few))


# --- sums


def adds_up(sample: pd.DataFrame, schema: Schema, among: set[str]) -> dict[str, str]:
    """Columns whose plain sum is the target, each with its sign.

    Least squares on the numeric columns (the 100 most correlated) must fit without remainder,
    with coefficients of plus or minus one.
    """
    names = _summands(sample, schema, among)
    rows = sample[[*names, schema.target]].dropna()
    if not names or len(rows) < max(FEWEST, 2 * len(names)):
        return {}
    x, y = rows[names].to_numpy(), rows[schema.target].to_numpy()
    scale = np.abs(x).max(axis=0)
    design = np.column_stack([x / scale, np.ones(len(x))])
    weights = np.linalg.lstsq(design, y, rcond=None)[0]
    remainder = np.abs(design @ weights - y).max()
    nothing = 1e-6 * y.std()
    if remainder > nothing or abs(weights[-1]) > nothing:
        return {}
    slopes = weights[:-1] / scale
    used = [i for i in range(len(names)) if abs(slopes[i]) * x[:, i].std() > nothing]
    if any(abs(abs(slopes[i]) - 1) > 1e-6 for i in used):
        return {}
    return {names[i]: "-" if slopes[i] < 0 else "+" for i in used}


def _summands(sample: pd.DataFrame, schema: Schema, among: set[str]) -> list[str]:
    """Return the numeric columns that are nearly full and vary, at most the 100 most correlated."""
    names = [name for name in schema.features if name in among and schema.columns[name].numeric]
    full = [n for n in names if sample[n].notna().mean() > 0.95 and sample[n].nunique() > 1]
    if len(full) <= SUMMANDS:
        return full
    strength = sample[full].corrwith(sample[schema.target]).abs()
    return list(strength.nlargest(SUMMANDS).index)
