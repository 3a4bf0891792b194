"""The reference profile: all that a batch is compared with, so the training data can stay away."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from esteira.drift.columns import Row, Source, describe, encode, numbers, texts
from esteira.line.errors import UserError
from esteira.line.files import significant

# Numbers of rows to the model's answers, in NumPy or Arrow; None where there is no model.
Predict = Callable[[np.ndarray], Any] | None
VERSION = 5


def build(train: Any, target: str | None = None, features: list[str] | None = None) -> Row:
    """Make the profile that a batch is checked against. Raises UserError for an empty table.

    Parameters
    ----------
    train: what the columns' distributions come from: pandas, Arrow or a `Source`.
    target: column to predict; without it neither target nor concept drift is checked.
    features: columns to watch; all but the target if not given.
    """
    source = train if isinstance(train, Source) else Source(train)
    names = features or [name for name in source.kinds if name != target]
    if not (source.rows and names):
        raise UserError("the reference has no rows, or no column besides the target.")
    columns = {name: describe(source, name) for name in names}
    profile = {"drift_profile": VERSION, "rows": source.rows, "columns": columns}
    return profile | {"target": {target: describe(source, target)} if target else {}}


def follow(profile: Row, holdout: Any, predict: Predict, positive: str | None = None) -> None:
    """Add to a profile with a target how the model does, so that concept drift can be told.

    Parameters
    ----------
    holdout: rows the model has not learnt from, with features and target.
    predict: gives the model's answers, of shape (rows,), for the rows of `holdout` that have these
        numbers: predicted numbers, predicted classes, or probabilities of the class `positive`.
    """
    held = holdout if isinstance(holdout, Source) else Source(holdout)
    answers = pa.array(predict(held.drawn), from_pandas=True)
    profile |= {"prediction": describe(Source(pa.table({"p": answers})), "p"), "positive": positive}
    missed = residuals(profile, held.sample(*profile["target"]), answers)
    there = np.isfinite(missed)
    for name, entry in profile["columns"].items():
        entry["holdout"] = encode(entry, held.sample(name))[there].tobytes().hex()
    profile["residuals"] = [significant(x) for x in missed[there]]


def residuals(profile: Row, truth: pa.Array, answers: pa.Array) -> np.ndarray:
    """What the model missed, per row; NaN where there is no label or no answer.

    Returns target less prediction; of a probability, 1 or 0 less it; of a class, 1 for a wrong
    one. A label that the reference never had counts as 1. Raises UserError for odds beyond 0 and 1.
    """
    (target,), positive = profile["target"].values(), profile["positive"]
    if positive is not None and (np.abs(numbers(answers) - 0.5) > 0.5).any():
        raise UserError("the predictions are no probabilities: give numbers from 0 to 1.")
    if positive is None and target["kind"] == "number":
        return numbers(truth) - numbers(answers)
    label, said = (np.array(texts(side), dtype=object) for side in (truth, answers))
    wrong = label != said if positive is None else (label == positive) - numbers(answers)
    missed = np.where(np.isin(label, target.get("cells", label)), wrong, 1.0)
    return np.where(np.equal(label, None) | np.equal(said, None), np.nan, missed)


def ask(model: Any, frame: Any, positive: str | None) -> np.ndarray:
    """Ask a fitted scikit-learn model for what `follow` wants: odds of `positive`, or its answers.

    An infinite input is taken as missing, as everywhere in the check.
    """
    frame = frame.replace([np.inf, -np.inf], np.nan)
    if positive is None:
        return model.predict(frame)
    return model.predict_proba(frame)[:, list(model.classes_).index(positive)]


def of_table(source: Source, target: str | None, predictions: str | None) -> Row:
    """Make a profile of a table that may hold the model's answers in a column. Raises UserError.

    Numbers that predict one of two classes are probabilities of the one they are higher for.
    """
    for name in filter(None, (target, predictions)):
        if source.kinds.get(name) not in ("number", "category"):
            raise UserError(f"the reference has no column `{name}` of numbers or classes.")
    profile = build(source, target, [n for n in source.kinds if n not in (target, predictions)])
    if predictions:
        if target in (None, predictions):
            raise UserError("predictions need their target, another column: name it with --target.")
        said, positive = source.sample(predictions), None
        if source.kinds[target] != source.kinds[predictions]:
            label = np.array(texts(source.sample(target)), dtype=object)
            classes = sorted({*label} - {None})
            if len(classes) != 2 or source.kinds[predictions] != "number":
                must = "numbers for numbers, classes for classes, or odds of one of two classes"
                raise UserError(f"`{predictions}` cannot predict `{target}`: give {must}.")
            positive = max(classes, key=lambda c: np.nanmean([0, *numbers(said)[label == c]]))
        follow(profile, source, lambda _: said, positive)
    return profile


def read(path: str | Path) -> Row:
    """Read a profile. Raises UserError if it is absent or of another version."""
    with suppress(OSError, ValueError, AttributeError):
        profile = json.loads(Path(path).read_text(encoding="utf-8"))
        if profile.get("drift_profile") == VERSION:
            return profile
    raise UserError(f"{path} is absent or no profile of this version: `uv run dvc repro` makes it.")
