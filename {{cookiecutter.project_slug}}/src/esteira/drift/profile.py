"""The reference profile: all that a batch is compared with, so the training data can stay away."""

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from esteira.drift.columns import Codes, encode, entry_of
from esteira.drift.tables import Rows, Source, numbers
from esteira.errors import UserError

if TYPE_CHECKING:
    from esteira.schema import Schema

Profile = dict[str, Any]
Predict = Callable[[Rows], NDArray[Any]]
VERSION = 2


def build(
    train: Any,
    *,
    features: Sequence[str] | None = None,
    target: str | None = None,
    ordered: bool = False,
    holdout: Any = None,
    predict: Predict | None = None,
    classes: Sequence[str] | None = None,
) -> Profile:
    """Make the profile that a batch is checked against. Raises UserError for an empty table.

    Parameters
    ----------
    train: what the columns' distributions come from: pandas, Arrow or a `Source`.
    features: columns to watch; all but the target if not given.
    target: column to predict; without it neither target nor concept drift is checked.
    ordered: whether rows follow each other in time; then what blocks of neighbouring rows show
        anyway is no drift.
    holdout: rows the model has not learnt from, with features and target.
    predict: gives the model's answers for the rows of `holdout` that have these numbers: numbers
        of shape (rows,), or probabilities of shape (rows, len(classes)) in the order of `classes`.
    """
    source = train if isinstance(train, Source) else Source(train)
    if source.rows == 0:
        raise UserError("the reference has no rows: give a table that has some.")
    names = list(features) if features else [name for name in source.kinds if name != target]
    if not names:
        raise UserError(
            "the reference has no column besides the target: there is nothing to watch."
        )
    columns = {name: entry_of(source, name, ordered) for name in names}
    sample = np.stack([entry.pop("sample") for entry in columns.values()])
    profile: Profile = {"drift_profile": VERSION, "rows": source.rows, "columns": columns}
    profile["sample"] = pack(sample)
    if target:
        profile["target"] = {"name": target} | entry_of(source, target, ordered)
        del profile["target"]["sample"]
    if target and predict:
        held = holdout if isinstance(holdout, Source) else Source(holdout)
        profile |= model_part(columns, target, held, predict(held.drawn), classes)
    if ordered:
        from esteira.drift import joint

        profile["usual"] = joint.usual(profile)
    return profile


def model_part(
    columns: dict[str, Any], target: str, held: Source, predicted: Any, classes: Any
) -> Profile:
    """Keep what concept drift needs of the holdout: coded inputs, and what the model missed."""
    classes = None if classes is None else [str(name) for name in classes]
    truth = held.sample(target)
    missed = residuals(classes, truth, predicted)
    known = np.isfinite(missed)
    coded = [encode(e, held.sample(name).combine_chunks()) for name, e in columns.items()]
    prediction = entry_of(outcome(classes, predicted), "prediction")
    del prediction["sample"]
    kept: Profile = {
        "classes": classes,
        "prediction": prediction,
        "holdout": pack(np.stack(coded)[:, known]),
        "residuals": [float(f"{value:.6g}") for value in missed[known]],
    }
    if classes:
        text = np.array(truth.cast(pa.string()).to_pylist(), dtype=object)
        there = [known & (text == c) for c in classes]
        told = [predicted[rows].mean(axis=0).round(6).tolist() for rows in there if rows.any()]
        kept["told"] = told  # mean answer for each class, for `label_shift`
        kept["shares"] = [round(float((text == c).mean()), 6) for c in classes]
    return kept


def residuals(classes: Sequence[str] | None, target: pa.ChunkedArray, predicted: Any) -> Any:
    """What the model missed, per row; NaN where there is no label.

    Returns target less prediction; for two classes 1 or 0 less the probability of the second; for
    more, 1 less the probability of the true class; 1 where the label is none of the classes.
    """
    if not classes:
        return numbers(target.combine_chunks()) - predicted
    truth = np.array(target.cast(pa.string()).to_pylist(), dtype=object)
    hit = truth[:, None] == np.array(classes, dtype=object)
    if len(classes) == 2:
        missed = np.where(hit.any(axis=1), hit[:, 1] - predicted[:, 1], 1.0)
        missed[np.isnan(predicted[:, 1])] = np.nan
    else:
        missed = 1 - (hit * predicted).sum(axis=1)
    return np.where(np.equal(truth, None), np.nan, missed)


def outcome(classes: Sequence[str] | None, predicted: Any) -> Source:
    """One column, what the model answered: a number, or a class among three or more."""
    if classes:
        named = [*map(str, classes), None]  # None where there is no answer
        best = np.where(np.isnan(predicted).any(axis=1), -1, predicted.argmax(axis=1))
        two = len(classes) == 2
        predicted = predicted[:, 1] if two else [named[i] for i in best]
    return Source(pa.table({"prediction": pa.array(predicted)}))


def answers(model: Any, frame: Any) -> NDArray[np.float64]:
    """Ask a fitted scikit-learn model: numbers, or class probabilities in the order of its classes.

    A classifier without probabilities is sure of its answer. An infinite input is taken as
    missing, as everywhere in the check.
    """
    frame = frame.replace([np.inf, -np.inf], np.nan)
    if hasattr(model, "predict_proba"):
        return model.predict_proba(frame)
    answer = model.predict(frame)
    return 1.0 * (answer[:, None] == model.classes_) if hasattr(model, "classes_") else answer


def of_line(train: Any, holdout: Any, model: Any, schema: "Schema") -> Profile:
    """Make the profile of the line's two pandas tables and its fitted model."""
    return build(
        train,
        features=schema.features,
        target=schema.target,
        ordered=schema.time is not None,
        holdout=holdout,
        predict=lambda rows: answers(model, holdout.iloc[rows][schema.inputs]),
        classes=getattr(model, "classes_", None),
    )


def pack(codes: Codes) -> str:
    """One byte per cell as text for JSON."""
    return base64.b64encode(codes.tobytes()).decode()


def unpack(profile: Profile, name: str) -> Codes:
    """Undo `pack`: codes of shape (columns, rows)."""
    codes = np.frombuffer(base64.b64decode(profile[name]), dtype=np.uint8)
    return codes.reshape(len(profile["columns"]), -1)


def read(path: str | Path) -> Profile:
    """Read a profile. Raises UserError if it is absent or of another version."""
    try:
        profile = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run `uv run dvc repro` to make it.") from None
    except ValueError:
        raise UserError(f"{path} is not a reference profile: it is not JSON.") from None
    if not isinstance(profile, dict) or profile.get("drift_profile") != VERSION:
        raise UserError(f"{path} is not a reference profile of this version: make it anew.")
    return profile
