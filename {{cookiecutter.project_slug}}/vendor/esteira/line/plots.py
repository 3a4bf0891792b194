"""Points of the plots that dvc.yaml draws: few, rounded, and the same for the same predictions."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MOST_POINTS = 200
# Of permutation importance: rows that are shuffled, how often, and rows that the model answers.
MOST_ROWS, FEWEST_ROWS = 1000, 100
MOST_REPEATS, FEWEST_REPEATS = 5, 2
ANSWERS, ROWS_AT_ONCE = 75_000, 10_000


def _points(columns: dict[str, "ArrayLike"]) -> list[dict[str, Any]]:
    """Turn equally long columns into at most MOST_POINTS records, evenly spaced, rounded."""
    frame = pd.DataFrame(columns)
    keep = np.unique(np.linspace(0, len(frame) - 1, MOST_POINTS).round().astype(int))
    return _records(frame.iloc[keep].round(4))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one record a row; the columns must be named by text."""
    return cast("list[dict[str, Any]]", frame.to_dict("records"))


def classification(
    actual: pd.Series, probabilities: np.ndarray, classes: list[str], positive: str | None
) -> dict[str, list[dict[str, Any]]]:
    """Return the points of `roc`, `precision_recall`, `calibration` and `confusion`.

    `probabilities` has shape (rows, classes), its columns in the order of `classes`. With two
    classes the curves are of `positive`; with more they are micro-averaged over one class against
    the rest (https://scikit-learn.org/stable/auto_examples/model_selection/plot_roc.html).
    """
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

    shown = [positive] if positive else classes
    truth = np.concatenate([actual == name for name in shown]).astype(int)
    score = np.concatenate([probabilities[:, classes.index(name)] for name in shown])
    false_positive, true_positive, _ = roc_curve(truth, score)
    precision, recall, _ = precision_recall_curve(truth, score)
    observed, predicted = calibration_curve(truth, score, n_bins=10, strategy="quantile")
    counts = confusion_matrix(actual, np.take(classes, probabilities.argmax(1)), labels=classes)
    return {
        "roc": _points(
            {"false_positive_rate": false_positive, "true_positive_rate": true_positive}
        ),
        "precision_recall": _points({"recall": recall, "precision": precision}),
        "calibration": _points({"predicted": predicted, "observed": observed}),
        "confusion": [
            {"actual": a, "predicted": p, "rows": int(counts[i, j])}
            for i, a in enumerate(classes)
            for j, p in enumerate(classes)
        ],
    }


def regression(actual: pd.Series, predicted: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    """Return the points of `predictions` and `residuals`, of at most MOST_POINTS rows."""
    return {
        "predictions": _points({"actual": actual.to_numpy(), "predicted": predicted}),
        "residuals": _points({"predicted": predicted, "residual": actual.to_numpy() - predicted}),
    }


def importance_places(rows: int, inputs: int, seed: int) -> np.ndarray:
    """Return the places of the rows whose cells are shuffled, in the order that they are asked."""
    wanted, _ = importance_sample(rows, inputs)
    places = pd.Series(np.arange(rows))
    return (places if rows <= wanted else places.sample(wanted, random_state=seed)).to_numpy()


def importance(
    model: Any, sample: pd.DataFrame, target: pd.Series, scoring: str, seed: int, rows: int
) -> list[dict[str, Any]]:
    """Return the permutation importance of each input, the largest first: mean loss of `scoring`.

    `sample` and `target` are those of the `importance_places` of a table of so many rows. `spread`
    is the standard deviation over the repeats; `rows` and `repeats` say how much was asked: so much
    that the model answers at most some ANSWERS rows, whatever the table's width.
    As scikit-learn's (Breiman 2001, https://doi.org/10.1023/A:1010933404324), which would ask once
    for each input and repeat; a forest, or a wide table, takes long to be asked at all.
    """
    from sklearn.metrics import get_scorer

    inputs = list(sample.columns)
    _, repeats = importance_sample(rows, len(inputs))
    scorer = get_scorer(scoring)
    orders = _orders(len(sample), repeats, seed)
    actual = target.to_numpy()  # scorers take twice as long to look at pandas' strings
    score = scorer(_Answered.of(model, sample), sample, actual)
    scores = []
    at_once = max(1, ROWS_AT_ONCE // (repeats * len(sample)))
    for first in range(0, len(inputs), at_once):
        names = inputs[first : first + at_once]
        answered = _Answered.of(model, _shuffled(sample, names, orders))
        scores += [scorer(part, sample, actual) for part in answered.parts(len(sample))]
    losses = score - np.array(scores).reshape(len(inputs), repeats)
    found = pd.DataFrame(
        {
            "input": inputs,
            "importance": losses.mean(axis=1).round(6),
            "spread": losses.std(axis=1).round(6),
            "rows": len(sample),
            "repeats": repeats,
        }
    )
    return _records(found.sort_values("importance", ascending=False, kind="stable").head(30))


def importance_sample(rows: int, inputs: int) -> tuple[int, int]:
    """Return how many rows are shuffled, and how often: fewer of a wider table."""
    wanted = min(rows, MOST_ROWS)
    usual = range(MOST_REPEATS, FEWEST_REPEATS, -1)
    repeats = next((n for n in usual if wanted * inputs * n <= ANSWERS), FEWEST_REPEATS)
    affordable = ANSWERS // (inputs * repeats)
    return min(wanted, max(affordable, FEWEST_ROWS)), repeats


def _orders(rows: int, repeats: int, seed: int) -> list[np.ndarray]:
    """Return the orders that a column's cells come in, each of shape (rows,), as scikit-learn's."""
    first = np.random.RandomState(seed).randint(np.iinfo(np.int32).max + 1)
    random = np.random.RandomState(first)
    order, step = np.arange(rows), np.arange(rows)
    orders = []
    for _ in range(repeats):
        random.shuffle(step)
        order = order[step]
        orders.append(order)
    return orders


def _shuffled(sample: pd.DataFrame, names: list[str], orders: list[np.ndarray]) -> pd.DataFrame:
    """Stack copies of a table: one for each name and order, with that column so ordered."""
    rows = len(sample)
    copies = len(names) * len(orders)
    stacked = sample.iloc[np.tile(np.arange(rows), copies)].reset_index(drop=True)
    for place, name in enumerate(names):
        order = np.tile(np.arange(rows), copies)
        start = place * len(orders) * rows
        order[start : start + len(orders) * rows] = np.concatenate(orders)
        stacked[name] = sample[name].iloc[order].array
    return stacked


class _Answered(BaseEstimator):
    """What a model answered, for scikit-learn's scorers to ask: whatever they ask about."""

    def __init__(self, model: Any, said: np.ndarray) -> None:
        self.model = model
        self.said = said  # probabilities of shape (rows, classes), or numbers of shape (rows,)

    @classmethod
    def of(cls, model: Any, rows: pd.DataFrame) -> Self:
        answers = model.predict_proba(rows) if hasattr(model, "classes_") else model.predict(rows)
        return cls(model, answers)

    def parts(self, rows: int) -> Iterator[Self]:
        """Cut the answers into parts of so many rows."""
        for start in range(0, len(self.said), rows):
            yield type(self)(self.model, self.said[start : start + rows])

    @property
    def classes_(self) -> Any:
        return self.model.classes_

    def predict(self, _: Any) -> np.ndarray:
        if not hasattr(self.model, "classes_"):
            return self.said
        return np.take(self.classes_, self.said.argmax(axis=1))

    def predict_proba(self, _: Any) -> np.ndarray:
        return self.said

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.model)

    def __sklearn_is_fitted__(self) -> bool:
        return True
