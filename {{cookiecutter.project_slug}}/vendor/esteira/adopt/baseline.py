"""What simple models reach on the line's own split: the algorithm to start with, floors to pass."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from esteira.adopt.decisions import Decision
from esteira.adopt.project import OwnModel
from esteira.adopt.rows import Order
from esteira.line.files import significant
from esteira.line.schema import Schema

CELLS = 4_000_000  # the newest rows are taken, down to this many cells
ROWS = 20_000
FEWEST = 20  # rows held out, below which nothing can be measured
WIDE = 1000  # columns beyond which boosting takes minutes
SIMPLE, STRONGER = "linear", "boosting"  # of the algorithms in model.py, those that are tried
GAIN = 0.005  # of AUC or R², from which the stronger algorithm is taken

Scores = dict[str, float]  # by metric
Fit = Callable[[pd.DataFrame, pd.Series], Any]


@dataclass(frozen=True)
class Split:
    """How the line splits rows: section `split:` of params.yaml."""

    order: Order
    current: float  # share of the newest rows, which are left out here
    holdout: float  # share of the rest
    seed: int


@dataclass(frozen=True)
class GateRule:
    """A rule of gates.yaml."""

    metric: str
    better: str
    limit: float
    regression: float


@dataclass(frozen=True)
class Proposal:
    """The algorithm to start with, rules for gates.yaml, and what speaks for both."""

    algorithm: str
    rules: list[GateRule]
    decisions: list[Decision]


@dataclass(frozen=True)
class Parts:
    """Rows to fit on, and rows to measure on."""

    fit: pd.DataFrame
    held: pd.DataFrame


def propose(typed: pd.DataFrame, schema: Schema, split: Split, own: OwnModel) -> Proposal:
    """Choose an algorithm of model.py inside the training rows, and floors on the held-out rows.

    A floor lies halfway between what knows only the mean or the classes' shares and a linear
    model, so a model that learns nothing is refused.
    """
    rows = _older(typed, schema, split)
    parts = _cut(rows, schema, split)
    inner = _cut(parts.fit, schema, split)
    names = [name for name in (SIMPLE, STRONGER) if name in own.algorithms]
    simple = names[0] if names else own.algorithms[0]
    few = min(len(parts.held), len(inner.held)) < FEWEST
    if few or inner.fit[schema.target].nunique() < 2:
        why = f"only {len(rows)} rows to learn from: no floor can be measured, none is proposed"
        return Proposal(simple, [], [Decision(f"algorithm {simple}", why, "gates.yaml", True)])
    if typed.shape[1] > WIDE or not names:
        names = [simple]
    measure = "roc_auc" if schema.task == "classification" else "r2"
    tried = {name: score(own.build(name), inner, schema)[measure] for name in names}
    best = _best(tried, simple)
    seen = ", ".join(f"{name} {measure} {value:.3f}" for name, value in tried.items())
    why = f"{seen} inside the training rows"
    chosen = Decision(f"algorithm {best}", why, "params.yaml, train")
    nothing = score(_knowing_nothing(schema), parts, schema)
    learnt = score(own.build(simple), parts, schema)
    floors = [
        _floor(metric, nothing[metric], learnt[metric], parts.held[schema.target], best == simple)
        for metric in nothing
    ]
    rules = [floor.rule for floor in floors if floor.rule]
    return Proposal(best, rules, [chosen, *(floor.decision for floor in floors)])


def _older(typed: pd.DataFrame, schema: Schema, split: Split) -> pd.DataFrame:
    """Return the rows that train and evaluate the model, in the line's order, at most ROWS."""
    anchors = [name for name in (schema.target, schema.time) if name]
    rows = typed.dropna(subset=anchors)
    if schema.time:
        rows = rows.sort_values(schema.time, kind="stable", ignore_index=True)
    elif split.order == "random":
        rows = rows.sample(frac=1, random_state=split.seed, ignore_index=True)
    rows = rows.tail(max(500, min(ROWS, CELLS // typed.shape[1])))
    return rows.head(len(rows) - round(len(rows) * split.current))


def _cut(rows: pd.DataFrame, schema: Schema, split: Split) -> Parts:
    """Hold out the newest rows where there is a time, else random ones, stratified by class."""
    if schema.time:
        cut = len(rows) - round(len(rows) * split.holdout)
        return Parts(rows.iloc[:cut], rows.iloc[cut:])
    groups = rows.groupby(schema.target) if schema.task == "classification" else rows
    held = groups.sample(frac=split.holdout, random_state=split.seed).index
    return Parts(rows.drop(held), rows.loc[held])


def _best(tried: Scores, simple: str) -> str:
    """Return the stronger algorithm if it is worth its cost."""
    stronger = tried.get(STRONGER, -np.inf)
    return STRONGER if stronger > tried[simple] + GAIN else simple


def score(model: Any, parts: Parts, schema: Schema) -> Scores:
    """Fit a model on one part of the rows, and measure it on the other.

    Returns `roc_auc` (the mean over the classes, each against the rest) and `log_loss`, or `r2` and
    `rmse` (in the target's unit).
    """
    from sklearn.base import clone
    from threadpoolctl import threadpool_limits

    held = parts.held
    if schema.positive:
        held = held[held[schema.target].isin(parts.fit[schema.target])]
    inputs = [name for name in schema.inputs if not parts.fit[name].isna().all()]
    model = clone(model)  # model.py may build on one estimator for all
    with threadpool_limits(1):  # threads that wait for a busy processor cost more than they save
        model.fit(parts.fit[inputs], parts.fit[schema.target])
        if schema.task == "regression":
            return _errors(held[schema.target], model.predict(held[inputs]))
        known = held[held[schema.target].isin(model.classes_)]
        shares = model.predict_proba(known[inputs])
    return _class_scores(known[schema.target], shares, list(model.classes_))


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
    seen = f"knowing nothing gives {nothing:.3g}, a linear model {learnt:.3g}"
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
