"""What simple models reach on the line's own split: the algorithm to start with, floors to pass."""

from typing import Any

import numpy as np
import pandas as pd

from esteira.adopt.sniff import Decision
from esteira.line.files import significant
from esteira.line.schema import Schema

CELLS = 4_000_000  # the newest rows are taken, down to this many cells
ROWS = 20_000
WIDE = 1000  # columns beyond which boosting takes minutes

Scores = dict[str, float]


def propose(
    typed: pd.DataFrame, schema: Schema, order: str, current: float, holdout: float, seed: int
) -> tuple[str, list[dict[str, Any]], list[Decision]]:
    """Choose `linear` or `boosting` inside the training rows, and floors on the held-out rows.

    `order`, `current`, `holdout` and `seed` are those of section `split:` of params.yaml. A floor
    lies halfway between what knows only the mean or the classes' shares and a linear model, so a
    model that learns nothing is refused. Returns algorithm, rules for gates.yaml, and decisions.
    """
    anchors = [name for name in (schema.target, schema.time) if name]
    rows = typed.dropna(subset=anchors)
    if schema.time:
        rows = rows.sort_values(schema.time, kind="stable", ignore_index=True)
    elif order == "random":
        rows = rows.sample(frac=1, random_state=seed, ignore_index=True)
    rows = rows.tail(max(500, min(ROWS, CELLS // typed.shape[1])))
    rows = rows.head(len(rows) - round(len(rows) * current))
    train, held = _cut(rows, schema, holdout, seed)
    inner, check = _cut(train, schema, holdout, seed)
    if min(len(held), len(check)) < 20 or inner[schema.target].nunique() < 2:
        why = f"only {len(rows)} rows to learn from: no floor can be measured, none is proposed"
        return "linear", [], [Decision("algorithm linear", why, "gates.yaml", warning=True)]
    measure = "roc_auc" if schema.task == "classification" else "r2"
    names = ("linear", "boosting") if typed.shape[1] <= WIDE else ("linear",)
    tried = {name: score(name, inner, check, schema)[measure] for name in names}
    best = "boosting" if tried.get("boosting", -np.inf) > tried["linear"] + 0.005 else "linear"
    seen = ", ".join(f"{name} {measure} {value:.3f}" for name, value in tried.items())
    chosen = Decision(f"algorithm {best}", f"{seen} inside the training rows", "params.yaml, train")
    rules, floors = _floors(train, held, schema, best)
    return best, rules, [chosen, *floors]


def _floors(
    train: pd.DataFrame, held: pd.DataFrame, schema: Schema, best: str
) -> tuple[list[dict[str, Any]], list[Decision]]:
    """Propose a floor for each metric, from `nothing` and `linear` on the held-out rows."""
    nothing, linear = (score(name, train, held, schema) for name in ("nothing", "linear"))
    rules, decisions = [], []
    for metric in nothing:
        seen = f"knowing nothing gives {nothing[metric]:.3g}, a linear model {linear[metric]:.3g}"
        rule = _rule(metric, nothing[metric], linear[metric], held[schema.target])
        missed = (linear[metric] - rule["limit"]) * (1 if rule["better"] == "higher" else -1) < 0
        poor = missed and best == "linear"
        if poor and metric in ("log_loss", "rmse"):
            what = f"no floor for {metric}"
        else:
            what = f"floor {metric} {rule['limit']:g}"
            rules.append(rule)
        if poor:
            seen += ", no better than luck"
        decisions.append(Decision(what, seen, "gates.yaml, rules", warning=poor))
    return rules, decisions


def _cut(
    rows: pd.DataFrame, schema: Schema, share: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hold out the newest rows where there is a time, else random ones, stratified by class."""
    if schema.time:
        cut = len(rows) - round(len(rows) * share)
        return rows.iloc[:cut], rows.iloc[cut:]
    groups = rows.groupby(schema.target) if schema.task == "classification" else rows
    held = groups.sample(frac=share, random_state=seed).index
    return rows.drop(held), rows.loc[held]


def score(name: str, train: pd.DataFrame, held: pd.DataFrame, schema: Schema) -> Scores:
    """Fit `nothing`, `linear` or `boosting` on `train` and measure it on `held`."""
    from sklearn import metrics
    from threadpoolctl import threadpool_limits

    held = held[held[schema.target].isin(train[schema.target])] if schema.positive else held
    model = _model(name, schema)
    inputs = [n for n in schema.inputs if not train[n].isna().all()]
    with threadpool_limits(1):  # threads that wait for a busy processor cost more than they save
        model.fit(_plain(train[inputs]), train[schema.target])
    actual, table = held[schema.target], _plain(held[inputs])
    if schema.task == "regression":
        fitted = model.predict(table)
        return {
            "r2": metrics.r2_score(actual, fitted),
            "rmse": metrics.root_mean_squared_error(actual, fitted),
        }
    known = actual.isin(model.classes_)
    actual, shares = actual[known], model.predict_proba(table[known])
    classes = list(model.classes_)
    hit = np.array([[c == a for c in classes] for a in actual])
    sizes = hit.sum(axis=0)
    both = [k for k in range(len(classes)) if 0 < sizes[k] < len(hit)]
    aucs = [metrics.roc_auc_score(hit[:, k], shares[:, k]) for k in both] or [0.5]
    loss = -np.log(np.clip(shares[hit], 1e-15, 1)).mean()
    return {"roc_auc": float(np.mean(aucs)), "log_loss": float(loss)}


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Dates as month, weekday and hour, as the project's features.py does."""
    table = table.copy()
    for name in table.select_dtypes("datetime"):
        date = table.pop(name).dt
        table[f"{name} m"], table[f"{name} d"], table[f"{name} h"] = (
            date.month.astype("float64"),
            date.day_of_week.astype("float64"),
            date.hour.astype("float64"),
        )
    return table


def _model(name: str, schema: Schema) -> Any:
    from sklearn import dummy, ensemble, linear_model
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    classes = schema.task == "classification"
    if name == "nothing":
        return dummy.DummyClassifier() if classes else dummy.DummyRegressor()
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    words = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=5,
        max_categories=50,
        sparse_output=False,
    )
    prepare = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (words, make_column_selector(dtype_exclude="number")),
    )
    if name == "linear":
        model = linear_model.LogisticRegression(max_iter=200) if classes else linear_model.Ridge()
    else:
        kind = "HistGradientBoosting" + ("Classifier" if classes else "Regressor")
        model = getattr(ensemble, kind)(early_stopping=False, random_state=0)
    return make_pipeline(prepare, model)


def _rule(metric: str, nothing: float, linear: float, actual: pd.Series) -> dict[str, Any]:
    """Halfway from nothing to the linear model, and at least beyond luck."""
    higher = metric in ("roc_auc", "r2")
    nothing = max(nothing, 0.0)  # the mean of older rows may do worse than that of the held-out
    middle = (nothing + linear) / 2
    if metric == "roc_auc":
        few = actual.value_counts().to_numpy()  # of 20 models that know nothing, one has the luck
        errors = (len(actual) + 1) / 12 / few / np.maximum(1, len(actual) - few)
        error = np.sqrt(errors.max() if len(few) == 2 else errors.sum() / len(few) ** 2)
        middle = max(middle, 0.5 + 1.64 * error)
    elif metric == "r2":
        middle = max(middle, 0.01)
    else:
        middle = min(middle, nothing)
    slack = {"roc_auc": 0.01, "r2": 0.02}.get(metric, 0.03 * nothing)
    return {
        "metric": metric,
        "better": "higher" if higher else "lower",
        "limit": significant(middle, 3),
        "regression": significant(slack, 1),
    }
