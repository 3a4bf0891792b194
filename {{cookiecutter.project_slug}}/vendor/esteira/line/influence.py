"""Metrics of a model's answers, each with what every row adds to it.

A row's *influence* on a metric is the rate at which the metric changes with the row's weight, times
the number of rows; influences have the mean 0, and their standard deviation over the root of the
number of rows is the metric's standard error (Hampel 1974, "The influence curve and its role in
robust estimation", https://doi.org/10.1080/01621459.1974.10482962).
For a mean that is the usual standard error, and for the area under the ROC curve it is the formula
of DeLong, DeLong & Clarke-Pearson 1988 (https://doi.org/10.2307/2531595). The difference of two
models' influences, row by row, gives the standard error of a paired difference.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from esteira.line.predictions import Answers

SMALLEST = np.finfo(np.float64).eps  # as scikit-learn's log_loss clips probabilities


class Undefined(Exception):
    """These rows do not define the metric; the message says why."""


@dataclass(frozen=True)
class Measured:
    """A metric on some rows, and each row's influence on it, of shape (rows,)."""

    value: float
    influence: np.ndarray


@dataclass(frozen=True)
class Metric:
    """How a metric is measured, and which way it is better."""

    higher: bool
    measure: Callable[[Answers, str | None], Measured]


def _mean(values: np.ndarray) -> Measured:
    average = float(values.mean())
    return Measured(average, values - average)


def _average(parts: list[Measured]) -> Measured:
    value = float(np.mean([part.value for part in parts]))
    return Measured(value, np.mean([part.influence for part in parts], axis=0))


def _ratio(above: np.ndarray, below: np.ndarray) -> Measured:
    """Measure the mean of `above` over the mean of `below`, by the rule for a quotient."""
    ratio = float(above.mean() / below.mean())
    return Measured(ratio, (above - ratio * below) / below.mean())


def _predicted(answers: Answers) -> np.ndarray:
    return np.take(np.array(answers.classes, dtype=object), answers.said.argmax(axis=1))


def _binary(answers: Answers, positive: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the truth (1 for `positive`) and the probabilities of `positive`, of shape (rows,)."""
    if positive not in answers.classes:
        raise Undefined("it needs one class of two named `positive` in schema.yaml")
    score = answers.said[:, answers.classes.index(positive)]
    return (answers.actual == positive).astype(float), score


def accuracy(answers: Answers, positive: str | None) -> Measured:
    """Share of rows whose most probable class is the true one."""
    return _mean((_predicted(answers) == answers.actual).astype(float))


def log_loss(answers: Answers, positive: str | None) -> Measured:
    """Mean of the negative logarithm of the probability that the true class was given."""
    places = {name: place for place, name in enumerate(answers.classes)}
    if unknown := set(answers.actual) - set(places):
        raise Undefined(f"the model never learnt class {min(unknown)!r}")
    columns = np.array([places[name] for name in answers.actual])
    given = np.clip(answers.said, SMALLEST, 1 - SMALLEST)
    given = given / given.sum(axis=1, keepdims=True)
    return _mean(-np.log(given[np.arange(len(columns)), columns]))


def brier(answers: Answers, positive: str | None) -> Measured:
    """Mean squared distance of the probability from the truth."""
    truth, score = _binary(answers, positive)
    return _mean((truth - score) ** 2)


def _harmonic(truth: np.ndarray, chosen: np.ndarray) -> Measured:
    """F1 of one class: twice the hits over all that are, plus all that were chosen."""
    return _ratio(2.0 * truth * chosen, truth.astype(float) + chosen)


def f1(answers: Answers, positive: str | None) -> Measured:
    """Harmonic mean of precision and recall of the class `positive`."""
    truth, _ = _binary(answers, positive)
    chosen = _predicted(answers) == positive
    if not (truth.any() or chosen.any()):
        raise Undefined(f"no row is, or is taken for, {positive!r}")
    return _harmonic(truth, chosen)


def f1_macro(answers: Answers, positive: str | None) -> Measured:
    """Mean of the classes' F1, over classes that are there or predicted."""
    chosen = _predicted(answers)
    seen = sorted({*answers.actual, *chosen})
    return _average([_harmonic(answers.actual == name, chosen == name) for name in seen])


@dataclass(frozen=True)
class Scores:
    """The distinct scores, ascending: which of them each row has, and how many rows have each."""

    place: np.ndarray  # (rows,)
    rows: np.ndarray  # (scores,), as is the next
    hits: np.ndarray  # rows of the class


def _scores(truth: np.ndarray, score: np.ndarray) -> Scores:
    _, place = np.unique(score, return_inverse=True)
    return Scores(place, np.bincount(place), np.bincount(place, weights=truth))


def _outranked(rows: np.ndarray) -> np.ndarray:
    """Count, for each distinct score, the rows that score less, and half of those that tie."""
    return np.cumsum(rows) - rows / 2


def _area(truth: np.ndarray, score: np.ndarray) -> Measured:
    """Area under the ROC curve: how often a row of the class outranks another row."""
    there = int(truth.sum())
    rest = len(truth) - there
    if not (there and rest):
        raise Undefined("it needs rows of both sides of a class")
    known = _scores(truth, score)
    below = _outranked(known.rows - known.hits) / rest  # of the rest, a share
    above = 1 - _outranked(known.hits) / there  # of the class, a share
    area = float(known.hits @ below / there)
    of_class = (below - area) * len(score) / there
    of_rest = (above - area) * len(score) / rest
    return Measured(area, np.where(truth, of_class[known.place], of_rest[known.place]))


def roc_auc(answers: Answers, positive: str | None) -> Measured:
    """Area under the ROC curve; of more than two classes, the mean of each against the rest."""
    if positive:
        truth, score = _binary(answers, positive)
        return _area(truth == 1, score)
    there = [place for place, name in enumerate(answers.classes) if (answers.actual == name).any()]
    names = answers.classes
    return _average([_area(answers.actual == names[at], answers.said[:, at]) for at in there])


def _from_above(of_scores: np.ndarray) -> np.ndarray:
    """Add up what is of each score and of all higher ones."""
    return np.cumsum(of_scores[::-1])[::-1]


def average_precision(answers: Answers, positive: str | None) -> Measured:
    """Mean, over the rows of the class, of the precision among all rows that score as high.

    A row's influence is the derivative by its weight: it is among those averaged, if it is of the
    class, and it counts in the precision of every row that scores as low or lower.
    """
    truth, score = _binary(answers, positive)
    count = truth.sum()
    if not count:
        raise Undefined(f"no row is {positive!r}")
    known = _scores(truth, score)
    rows_above, hits_above = _from_above(known.rows), _from_above(known.hits)
    precision = hits_above / rows_above
    value = float((known.hits * precision).sum() / count)
    lower = np.cumsum(known.hits / rows_above)
    lower_precise = np.cumsum(known.hits * precision / rows_above)
    own = truth * (precision[known.place] - value)
    others = truth * lower[known.place] - lower_precise[known.place]
    return Measured(value, len(score) * (own + others) / count)


def _misses(answers: Answers) -> np.ndarray:
    return answers.actual - answers.said


def mae(answers: Answers, positive: str | None) -> Measured:
    """Mean absolute error."""
    return _mean(np.abs(_misses(answers)))


def rmse(answers: Answers, positive: str | None) -> Measured:
    """Root of the mean squared error."""
    squares = _mean(_misses(answers) ** 2)
    root = float(np.sqrt(squares.value))
    return Measured(root, squares.influence / (2 * root) if root else squares.influence)


def r2(answers: Answers, positive: str | None) -> Measured:
    """Share of the target's variance that the model explains."""
    spread = (answers.actual - answers.actual.mean()) ** 2
    if not spread.any():
        raise Undefined("the target is the same in every row")
    unexplained = _ratio(_misses(answers) ** 2, spread)
    return Measured(1 - unexplained.value, -unexplained.influence)


CLASSIFICATION = {
    "accuracy": Metric(True, accuracy),
    "log_loss": Metric(False, log_loss),
    "roc_auc": Metric(True, roc_auc),
    "average_precision": Metric(True, average_precision),
    "f1": Metric(True, f1),
    "f1_macro": Metric(True, f1_macro),
    "brier": Metric(False, brier),
}
REGRESSION = {
    "r2": Metric(True, r2),
    "mae": Metric(False, mae),
    "rmse": Metric(False, rmse),
}
