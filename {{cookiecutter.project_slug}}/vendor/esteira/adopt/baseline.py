"""What simple models reach on the line's own split: the algorithm to start with, floors to pass."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from esteira.adopt.decisions import Decision
from esteira.adopt.project import OwnModel
from esteira.line import holdout
from esteira.line.files import significant
from esteira.line.schema import Schema
from esteira.page.words import figure

CELLS = 4_000_000  # the newest rows are taken, down to this many cells
ROWS = 20_000
FEWEST = 20  # rows held out, below which nothing can be measured
SIMPLE, STRONGER = "linear", "boosting"  # of the algorithms in model.py, those that are tried
COSTLY = 1000  # columns times classes, beyond which boosting takes minutes
GAIN = 0.005  # of AUC or R², from which the stronger algorithm is taken
SATURATED = 0.99  # AUC that leaves no room for such a gain: there log-loss decides
LUCK = {"roc_auc": 0.5, "r2": 0.0}  # of a model that knows nothing
LOSS_GAIN = 0.1  # share of the log-loss that the stronger algorithm must save

Scores = dict[str, float]  # by metric


@dataclass(frozen=True)
class GateRule:
    """A rule of gates.yaml."""

    metric: str
    better: str
    limit: float
    regression: float


@dataclass(frozen=True)
class Choice:
    """An algorithm of model.py, and what speaks for it."""

    algorithm: str
    evidence: str


@dataclass(frozen=True)
class Parts:
    """Rows to fit on, and rows to measure on."""

    fit: pd.DataFrame
    held: pd.DataFrame


@dataclass(frozen=True)
class Fitted:
    """A fitted model, asked for all inputs; those without a cell among its rows are left out."""

    model: Any
    inputs: list[str]

    @property
    def classes_(self) -> Any:
        """The classes, in the order of `predict_proba`'s columns."""
        return self.model.classes_

    def predict(self, rows: pd.DataFrame) -> Any:
        """Return predictions of shape (rows,)."""
        return self.model.predict(rows[self.inputs])

    def predict_proba(self, rows: pd.DataFrame) -> Any:
        """Return probabilities of shape (rows, classes)."""
        return self.model.predict_proba(rows[self.inputs])


@dataclass(frozen=True)
class Measured:
    """The model that the line starts with, what it was fitted and measured on, the newest rows."""

    best: Fitted
    parts: Parts
    current: pd.DataFrame  # they play the new batch of the drift check


@dataclass(frozen=True)
class Proposal:
    """The algorithm to start with, rules for gates.yaml, and what speaks for both."""

    algorithm: str
    rules: list[GateRule]
    decisions: list[Decision]
    measured: Measured | None = None


def propose(
    typed: pd.DataFrame, schema: Schema, split: holdout.Settings, own: OwnModel
) -> Proposal:
    """Choose an algorithm of model.py inside the training rows, and floors on the held-out rows.

    `split` is section `split:` of params.yaml. A floor lies halfway between what knows only the
    mean or the classes' shares and a linear model, so a model that learns nothing is refused.
    """
    rows = _newest(typed, schema)
    found = holdout.split(rows, schema, split)
    parts = Parts(found.part("train"), found.part("holdout"))
    simple = SIMPLE if SIMPLE in own.algorithms else own.algorithms[0]
    if not _can_measure(parts, schema):
        return _without_floors(simple, len(rows) - len(found.part("current")))
    inner = holdout.split(
        parts.fit, schema, split.model_copy(update={"current": 0.0, "seed": split.seed + 1})
    )
    tried = Parts(inner.part("train"), inner.part("holdout"))
    if not _can_measure(tried, schema):
        return _without_floors(simple, len(parts.fit) + len(parts.held))
    chosen = _choose(simple, tried, schema, own)
    nothing = score(_fitted(_knowing_nothing(schema), parts.fit, schema), parts, schema)
    linear = _fitted(own.build(simple), parts.fit, schema)
    learnt = score(linear, parts, schema)
    is_simple = chosen.algorithm == simple
    floors = [
        _floor(metric, nothing[metric], learnt[metric], parts.held[schema.target], is_simple)
        for metric in nothing
    ]
    best = linear if is_simple else _fitted(own.build(chosen.algorithm), parts.fit, schema)
    said = Decision(f"algorithm {chosen.algorithm}", chosen.evidence, "params.yaml, train")
    return Proposal(
        chosen.algorithm,
        rules=[floor.rule for floor in floors if floor.rule],
        decisions=[said, *(floor.decision for floor in floors)],
        measured=Measured(best, parts, found.part("current")),
    )


def _newest(typed: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the usable rows, the oldest first, at most ROWS of them and CELLS of cells."""
    anchors = [name for name in (schema.target, schema.time) if name]
    rows = typed.dropna(subset=anchors)
    if schema.time:
        rows = rows.sort_values(schema.time, kind="stable")
    limit = max(500, min(ROWS, CELLS // typed.shape[1]))
    return rows.tail(limit).reset_index(drop=True)


def _can_measure(parts: Parts, schema: Schema) -> bool:
    return len(parts.held) >= FEWEST and parts.fit[schema.target].nunique() >= 2


def _without_floors(algorithm: str, rows: int) -> Proposal:
    why = f"only {rows} rows to learn from: no floor can be measured, none is proposed"
    said = Decision(f"algorithm {algorithm}", why, "gates.yaml", warning=True)
    return Proposal(algorithm, [], [said])


def _choose(simple: str, parts: Parts, schema: Schema, own: OwnModel) -> Choice:
    """Try the simple algorithm and the stronger one; take the stronger if it is worth its cost."""
    classes = parts.fit[schema.target].nunique() if schema.task == "classification" else 1
    models = classes if classes > 2 else 1  # boosting fits one for each class
    names = [simple]
    note = ""
    if STRONGER in own.algorithms and len(schema.inputs) * models <= COSTLY:
        names.append(STRONGER)
    elif STRONGER in own.algorithms:
        note = f"; {STRONGER} is not tried on so many columns and classes"
    scores = {
        name: score(_fitted(own.build(name), parts.fit, schema), parts, schema) for name in names
    }
    measure = _measure(scores[simple])
    seen = ", ".join(f"{name} {measure} {found[measure]:.3f}" for name, found in scores.items())
    best = STRONGER if STRONGER in scores and worth_it(scores, simple) else simple
    return Choice(best, f"{seen} inside the training rows{note}")


def _measure(simple: Scores) -> str:
    """Return the metric that chooses: where AUC is saturated, log-loss."""
    if "r2" in simple:
        return "r2"
    return "log_loss" if simple["roc_auc"] >= SATURATED else "roc_auc"


def worth_it(scores: dict[str, Scores], simple: str) -> bool:
    """Whether the stronger algorithm is so much better that it pays; scores by algorithm."""
    measure = _measure(scores[simple])
    before, after = scores[simple][measure], scores[STRONGER][measure]
    if measure == "log_loss":
        return after < (1 - LOSS_GAIN) * before
    return after > max(before, LUCK[measure]) + GAIN


def _fitted(model: Any, rows: pd.DataFrame, schema: Schema) -> Fitted:
    from sklearn.base import clone
    from threadpoolctl import threadpool_limits

    inputs = [name for name in schema.inputs if not rows[name].isna().all()]
    model = clone(model)  # model.py may build on one estimator for all
    with threadpool_limits(1):  # threads that wait for a busy processor cost more than they save
        model.fit(rows[inputs], rows[schema.target])
    return Fitted(model, inputs)


def score(fitted: Fitted, parts: Parts, schema: Schema) -> Scores:
    """Measure a fitted model on rows held out.

    Returns `roc_auc` (the mean over the classes, each against the rest) and `log_loss`, or `r2` and
    `rmse` (in the target's unit).
    """
    held = parts.held
    if schema.task == "regression":
        return _errors(held[schema.target], fitted.predict(held))
    classes = list(fitted.classes_)
    known = held[held[schema.target].isin(classes)]
    return _class_scores(known[schema.target], fitted.predict_proba(known), classes)


def _errors(actual: pd.Series, predicted: np.ndarray) -> Scores:
    from sklearn import metrics

    return {
        "r2": metrics.r2_score(actual, predicted),
        "rmse": metrics.root_mean_squared_error(actual, predicted),
    }


def _class_scores(actual: pd.Series, shares: np.ndarray, classes: list[str]) -> Scores:
    """Score probabilities of shape (rows, classes)."""
    from sklearn import metrics

    hit = actual.to_numpy()[:, None] == np.array(classes, dtype=object)[None, :]
    sizes = hit.sum(axis=0)
    present = [k for k in range(len(classes)) if 0 < sizes[k] < len(hit)]
    areas = [metrics.roc_auc_score(hit[:, k], shares[:, k]) for k in present] or [0.5]
    loss = -np.log(np.clip(shares[hit], 1e-15, 1)).mean()
    return {"roc_auc": float(np.mean(areas)), "log_loss": float(loss)}


def _knowing_nothing(schema: Schema) -> Any:
    """Return a model that knows only the mean, or the shares of the classes."""
    from sklearn.dummy import DummyClassifier, DummyRegressor

    return DummyClassifier() if schema.task == "classification" else DummyRegressor()


# --- floors


@dataclass(frozen=True)
class Floor:
    """A rule for one metric, or None where even the linear model would break it."""

    rule: GateRule | None
    decision: Decision


def _floor(metric: str, nothing: float, learnt: float, actual: pd.Series, is_best: bool) -> Floor:
    """Propose a floor between what knows nothing and the simple model; `actual` are held out."""
    rule = _rule(metric, nothing, learnt, actual)
    distance = learnt - rule.limit if rule.better == "higher" else rule.limit - learnt
    poor = distance < 0 and is_best
    seen = f"knowing nothing gives {figure(nothing)}, a linear model {figure(learnt)}"
    if poor:
        seen += ", no better than luck"
    kept = None if poor and metric in ("log_loss", "rmse") else rule
    what = f"floor {metric} {rule.limit:g}" if kept else f"no floor for {metric}"
    return Floor(kept, Decision(what, seen, "gates.yaml, rules", warning=poor))


def _rule(metric: str, nothing: float, learnt: float, actual: pd.Series) -> GateRule:
    """Halfway from nothing to the simple model, and at least beyond luck."""
    nothing = max(nothing, 0.0)  # the mean of older rows may do worse than that of the held-out
    middle = (nothing + learnt) / 2
    slack = 0.03 * nothing
    if metric == "roc_auc":
        limit, slack = max(middle, _lucky_auc(actual)), 0.01
    elif metric == "r2":
        limit, slack = max(middle, 0.01), 0.02
    else:
        limit = min(middle, nothing)
    better = "higher" if metric in ("roc_auc", "r2") else "lower"
    return GateRule(metric, better, significant(limit, 3), significant(slack, 1))


def _lucky_auc(actual: pd.Series) -> float:
    """AUC that one of 20 models reaches by luck, from the variance of the rank sum.

    With n rows, k of them of the class, the AUC of a model that knows nothing has the variance
    (n + 1) / (12 k (n - k)) (Mann and Whitney 1947).
    """
    sizes = actual.value_counts().to_numpy()
    others = np.maximum(1, len(actual) - sizes)
    variances = (len(actual) + 1) / 12 / sizes / others
    variance = variances.max() if len(sizes) == 2 else variances.sum() / len(sizes) ** 2
    return 0.5 + 1.64 * float(np.sqrt(variance))
