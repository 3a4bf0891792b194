"""Evaluate: the model on the rows held out, and the reference for the drift check."""

from typing import Annotated, Any, Literal

import numpy as np
from dvclive import Live
from esteira.drift import profile, profile_file
from esteira.line import answers, holdout, parts, plots, predictions, schema
from esteira.line.errors import UserError
from esteira.line.files import significant
from esteira.line.params import Section, run
from pandas import Series
from pydantic import Field
from sklearn import metrics as scores

from ..model import load

TRAIN, HOLDOUT = "data/train.parquet", "data/holdout.parquet"


class Settings(Section):
    """Section `evaluate:` of params.yaml."""

    importance: str  # scikit-learn's name of the score that permutation importance is measured in
    seed: int
    reference: Literal["all"] | Annotated[int, Field(ge=50)] = "all"  # rows: see params.yaml


def classification_metrics(
    actual: Series, probability: np.ndarray, classes: list[str], positive: str | None
) -> dict[str, float]:
    """Score class probabilities of shape (rows, classes); with two classes, those of `positive`."""
    predicted = np.take(classes, probability.argmax(1))
    measured = {
        "accuracy": scores.accuracy_score(actual, predicted),
        "log_loss": scores.log_loss(actual, probability, labels=classes),
    }
    if positive:
        truth, score = actual == positive, probability[:, classes.index(positive)]
        measured["roc_auc"] = scores.roc_auc_score(truth, score)
        measured["average_precision"] = scores.average_precision_score(truth, score)
        measured["f1"] = scores.f1_score(truth, predicted == positive)
        measured["brier"] = scores.brier_score_loss(truth, score)
    else:  # each class against the rest; a rare one may have no row held out
        there = [k for k, name in enumerate(classes) if (actual == name).any()]
        areas = [scores.roc_auc_score(actual == classes[k], probability[:, k]) for k in there]
        measured["roc_auc"] = float(np.mean(areas))
        measured["f1_macro"] = scores.f1_score(actual, predicted, average="macro")
    return measured


def regression_metrics(actual: Series, predicted: np.ndarray) -> dict[str, float]:
    """Score predictions of shape (rows,); errors are in the target's unit."""
    return {
        "r2": scores.r2_score(actual, predicted),
        "mae": scores.mean_absolute_error(actual, predicted),
        "rmse": scores.root_mean_squared_error(actual, predicted),
    }


def main(settings: Settings) -> str:
    """Write reports/evaluate/, data/predictions.parquet and models/reference.json."""
    what = schema.load()
    model = load()
    found = answers.of_holdout(model, HOLDOUT, what, holdout.part_keys("holdout"))
    predictions.write(found)
    rows = len(found.keys)
    actual = Series(found.actual, dtype="str" if found.classes else "float64")
    drawn: dict[str, list[dict[str, Any]]]
    if found.classes:
        classes = list(found.classes)
        measured = classification_metrics(actual, found.said, classes, what.positive)
        drawn = plots.classification(actual, found.said, classes, what.positive)
    else:
        measured = regression_metrics(actual, found.said)
        drawn = plots.regression(actual, found.said)
    places = plots.importance_places(rows, len(what.inputs), settings.seed)
    sample = parts.take(HOLDOUT, places)
    inputs, target = sample[what.inputs], sample[what.target]
    try:
        drawn["importance"] = plots.importance(
            model, inputs, target, settings.importance, settings.seed, rows
        )
    except ValueError as error:  # scikit-learn lists the scores that it knows
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"section `evaluate:` of params.yaml cannot be used: {reason}") from None
    known: Any = TRAIN
    if settings.reference != "all":
        known = holdout.latest(TRAIN, HOLDOUT, settings.reference)
    importance = {point["input"]: point["importance"] for point in drawn["importance"]}
    reference = profile.of_line(known, HOLDOUT, model, what, importance)
    profile_file.write("models/reference.json", reference)
    with Live("reports/evaluate", dvcyaml=None, save_dvc_exp=False) as live:
        live.summary = {name: significant(value) for name, value in measured.items()}
        live.summary["rows"] = rows
        for name, points in drawn.items():
            x, y, *_ = points[0]
            live.log_plot(name, points, x=x, y=y)
    leading = "roc_auc" if what.task == "classification" else "r2"
    return f"{rows} rows held out, {leading} {measured[leading]:.3g}"


if __name__ == "__main__":
    run("evaluate", main, Settings)
