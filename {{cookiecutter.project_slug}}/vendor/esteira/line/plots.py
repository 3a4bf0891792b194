"""Points of the plots that dvc.yaml draws: few, rounded, and the same for the same predictions."""

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MOST_POINTS = 200
MOST_ROWS = 1000  # of the holdout, for permutation importance


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


def importance(
    model: Any, inputs: pd.DataFrame, target: pd.Series, scoring: str, seed: int
) -> list[dict[str, Any]]:
    """Return the permutation importance of each input, the largest first: mean loss of `scoring`.

    Computed on at most MOST_ROWS rows (Breiman 2001, https://doi.org/10.1023/A:1010933404324).
    """
    from sklearn.inspection import permutation_importance

    sample = inputs if len(inputs) <= MOST_ROWS else inputs.sample(MOST_ROWS, random_state=seed)
    found = permutation_importance(
        model, sample, target.loc[sample.index], scoring=scoring, n_repeats=5, random_state=seed
    )
    means = pd.Series(found.importances_mean.round(6), index=inputs.columns, name="importance")
    ordered = means.sort_values(ascending=False, kind="stable").head(30)
    return _records(ordered.rename_axis("input").reset_index())
