"""Evaluate: the model on the rows held out, and the reference for the drift check."""

from typing import Annotated, Any, Literal

import numpy as np
from dvclive import Live
from esteira.drift import profile, profile_file
from esteira.line import holdout, plots, predictions, schema, table
from esteira.line.errors import UserError
from esteira.line.files import significant
from esteira.line.params import Section, run
from esteira.line.pipeline_parts import faults_told
from pandas import Series
from pydantic import Field
from sklearn import metrics as scores

from ..model import load

REFUSED = "the model cannot answer the held-out rows"


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


def _refuse_unknown(actual: Series, classes: list[str]) -> None:
    """Raise UserError if a class was held out whole: the model has never seen it."""
    unknown = actual[~actual.isin(classes)].value_counts()
    if len(unknown):
        raise UserError(
            f"class {unknown.index[0]!r} is in {unknown.iloc[0]} held-out rows and in none that"
            " the model was trained on: set `shuffle: true` or `order: random` in section"
            " `split:` of params.yaml, or leave those rows out."
        )


def main(settings: Settings) -> str:
    """Write reports/evaluate/, data/predictions.parquet and models/reference.json."""
    what = schema.load()
    rows = table.read("data/holdout.parquet")
    model = load()
    inputs, actual = rows[what.inputs], rows[what.target]
    drawn: dict[str, list[dict[str, Any]]]
    keys = holdout.part_keys("holdout")
    if what.task == "classification":
        classes = list(model.classes_)
        with faults_told(REFUSED):
            probability = model.predict_proba(inputs)
        _refuse_unknown(actual, classes)
        measured = classification_metrics(actual, probability, classes, what.positive)
        drawn = plots.classification(actual, probability, classes, what.positive)
        answers = predictions.Answers(keys, actual.to_numpy(), tuple(classes), probability)
    else:
        with faults_told(REFUSED):
            predicted = model.predict(inputs)
        measured = regression_metrics(actual, predicted)
        drawn = plots.regression(actual, predicted)
        answers = predictions.Answers(keys, actual.to_numpy(), (), predicted)
    predictions.write(answers)
    try:
        drawn["importance"] = plots.importance(
            model, inputs, actual, settings.importance, settings.seed
        )
    except ValueError as error:  # scikit-learn lists the scores that it knows
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"section `evaluate:` of params.yaml cannot be used: {reason}") from None
    known = table.read("data/train.parquet")
    if settings.reference != "all":
        known = holdout.latest(known, rows, settings.reference)
    importance = {point["input"]: point["importance"] for point in drawn["importance"]}
    reference = profile.of_line(known, rows, model, what, importance)
    profile_file.write("models/reference.json", reference)
    with Live("reports/evaluate", dvcyaml=None, save_dvc_exp=False) as live:
        live.summary = {name: significant(value) for name, value in measured.items()}
        live.summary["rows"] = len(rows)
        for name, points in drawn.items():
            x, y, *_ = points[0]
            live.log_plot(name, points, x=x, y=y)
    leading = "roc_auc" if what.task == "classification" else "r2"
    return f"{len(rows)} rows held out, {leading} {measured[leading]:.3g}"


if __name__ == "__main__":
    run("evaluate", main, Settings)
