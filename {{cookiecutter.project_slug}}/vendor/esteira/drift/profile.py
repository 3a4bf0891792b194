"""The reference profile: all that a batch is compared with, so the training data can stay away.

`build` describes the columns, `follow` adds how the model does, `series.calibrate` what the blocks
of a time series differ by anyway; each returns a new profile.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from esteira.drift import series
from esteira.drift.columns import describe, encode
from esteira.drift.profile_file import VERSION
from esteira.drift.records import Followed, Profile
from esteira.drift.source import Source, numbers, texts
from esteira.line import parts
from esteira.line.errors import UserError
from esteira.line.files import significant

MOST_ROWS_OF_SERIES = 200_000  # of a longer one every second row, or third, or so


def of_line(
    train: Any, holdout: Any, model: Any, schema: Any, importance: Mapping[str, float]
) -> Profile:
    """Make the profile of the line: its two tables, fitted model and schema.yaml.

    The tables are pandas' or the paths of Parquet files, which are never wholly in memory.
    `importance` is what the model's score loses without an input, of those that it is known of.
    """
    positive = schema.positive
    profile = build(train, schema.target, schema.features)
    profile = weigh(profile, importance)

    def predict(places: np.ndarray) -> np.ndarray:
        return ask(model, _rows_of(holdout, places)[schema.inputs], positive)

    profile = follow(profile, holdout, predict, positive)
    if schema.time is None:
        return profile
    step = -(-profile.rows // MOST_ROWS_OF_SERIES)
    ordered = _rows_of(train, np.arange(0, profile.rows, step)) if step > 1 else train
    return series.calibrate(profile, ordered, step)


def _rows_of(table: Any, places: np.ndarray) -> Any:
    """Return the rows at these places of a pandas table, or of a Parquet file by its path."""
    if isinstance(table, str | Path):
        return parts.take(table, places)
    return table.iloc[places]


def of_table(source: Source, target: str | None, predictions: str | None) -> Profile:
    """Make a profile of a table that may hold the model's answers in a column. Raises UserError.

    Numbers that predict one of two classes are probabilities of the one they are higher for.
    """
    for name in filter(None, (target, predictions)):
        if source.kinds.get(name) not in ("number", "category"):
            raise UserError(f"the reference has no column `{name}` of numbers or classes.")
    features = [name for name in source.kinds if name not in (target, predictions)]
    profile = build(source, target, features)
    if not predictions:
        return profile
    if target is None or target == predictions:
        raise UserError("predictions need their target, another column: name it with --target.")
    said = source.sample(predictions)
    positive = None
    if source.kinds[target] != source.kinds[predictions]:
        positive = guess_positive(source, target, predictions)
    return follow(profile, source, lambda _: said, positive)


def guess_positive(source: Source, target: str, predictions: str) -> str:
    """The class of `target` for which the probabilities in `predictions` are higher.

    Raises UserError where the target has not two classes, or the predictions are no numbers.
    """
    label = np.array(texts(source.sample(target)), dtype=object)
    classes = sorted({*label} - {None})
    if len(classes) != 2 or source.kinds[predictions] != "number":
        must = "numbers for numbers, classes for classes, or odds of one of two classes"
        raise UserError(f"`{predictions}` cannot predict `{target}`: give {must}.")
    probability = numbers(source.sample(predictions))
    return max(classes, key=lambda name: np.nanmean([0, *probability[label == name]]))


def build(train: Any, target: str | None = None, features: Sequence[str] | None = None) -> Profile:
    """Describe the columns that a batch is checked against. Raises UserError for an empty table.

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
    watched = [*names, target] if target else [*names]
    return Profile(
        version=VERSION,
        rows=source.rows,
        features=tuple(describe(source, name) for name in names),
        target=describe(source, target) if target else None,
        others=tuple(name for name in source.kinds if name not in watched),
        repeated=significant(source.repeated(watched)),
    )


def weigh(profile: Profile, importance: Mapping[str, float]) -> Profile:
    """Add to a profile how much the model relies on each feature, where that is known."""
    features = [
        replace(column, importance=importance.get(column.name)) for column in profile.features
    ]
    return replace(profile, features=tuple(features))


def without(profile: Profile, names: Sequence[str]) -> Profile:
    """Watch some features no more: those that a batch of the service's log does not have.

    Raises UserError where none is left.
    """
    kept = tuple(column for column in profile.features if column.name not in names)
    dropped = [column.name for column in profile.features if column.name in names]
    if not kept:
        raise UserError("the log keeps no feature (`log:` in schema.yaml): nothing can be checked.")
    return replace(profile, features=kept, others=(*profile.others, *dropped))


def follow(
    profile: Profile,
    holdout: Any,
    predict: Callable[[np.ndarray], Any],
    positive: str | None = None,
) -> Profile:
    """Add to a profile with a target how the model does, so that concept drift can be told.

    Parameters
    ----------
    holdout: rows the model has not learnt from, with features and target.
    predict: gives the model's answers, of shape (rows,), for the rows of `holdout` that have these
        numbers: predicted numbers, predicted classes, or probabilities of the class `positive`.
    """
    from esteira.drift.concept import residuals  # imports pandas

    if profile.target is None:
        raise ValueError("a model can be followed only where the profile has a target")
    held = holdout if isinstance(holdout, Source) else Source(holdout)
    answers = pa.array(predict(held.drawn), from_pandas=True)
    prediction = describe(Source(pa.table({"prediction": answers})), "prediction")
    missed = residuals(profile.target, positive, held.sample(profile.target.name), answers)
    answered = np.isfinite(missed)
    features = []
    for feature in profile.features:
        codes = encode(feature.cells, held.sample(feature.name))[answered]
        features.append(replace(feature, holdout_codes=codes.tobytes()))
    probabilities = () if positive is None else numbers(answers)[answered]
    followed = Followed(
        prediction=prediction,
        positive=positive,
        residuals=tuple(significant(residual) for residual in missed[answered]),
        probabilities=tuple(significant(probability) for probability in probabilities),
    )
    return replace(profile, features=tuple(features), followed=followed)


def ask(model: Any, frame: Any, positive: str | None) -> np.ndarray:
    """Ask a fitted scikit-learn model for what `follow` wants: odds of `positive`, or its answers.

    An infinite input is taken as missing, as everywhere in the check.
    """
    frame = frame.replace([np.inf, -np.inf], np.nan)
    if positive is None:
        return model.predict(frame)
    return model.predict_proba(frame)[:, list(model.classes_).index(positive)]
