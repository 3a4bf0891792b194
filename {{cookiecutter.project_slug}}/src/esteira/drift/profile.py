"""The reference profile: all that a batch is compared with, so the training data can stay away."""

import base64
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from esteira.drift.columns import Codes, Entry, encode, entry_of
from esteira.drift.statistics import Floats
from esteira.drift.tables import Rows, Source, numbers, texts
from esteira.errors import UserError
from esteira.files import significant

if TYPE_CHECKING:
    from esteira.schema import Schema

Profile = dict[str, Any]
Predict = Callable[[Rows], Any]  # answers: a NumPy or an Arrow array
VERSION = 4


def build(
    train: Any,
    *,
    features: Sequence[str] | None = None,
    target: str | None = None,
    ordered: bool = False,
    holdout: Any = None,
    predict: Predict | None = None,
    positive: str | None = None,
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
    predict: gives the model's answers, of shape (rows,), for the rows of `holdout` that have these
        numbers: predicted numbers, predicted classes, or probabilities of the class `positive`.
    """
    source = train if isinstance(train, Source) else Source(train)
    names = list(features or (name for name in source.kinds if name != target))
    if not (source.rows and names):
        raise UserError("the reference has no rows, or no column besides the target.")
    known, codes = zip(*(entry_of(source, name) for name in names), strict=True)
    profile = {"drift_profile": VERSION, "rows": source.rows, "sample": pack(np.stack(codes))}
    profile["columns"] = columns = dict(zip(names, known, strict=True))
    if target:
        profile["target"] = {"name": target} | entry_of(source, target)[0]
    if target and predict:
        held = holdout if isinstance(holdout, Source) else Source(holdout)
        answers = pa.array(predict(held.drawn), from_pandas=True)
        missed = residuals(profile["target"], positive, held.sample(target), answers)
        there = np.isfinite(missed)
        coded = np.stack([encode(entry, held.sample(name)) for name, entry in columns.items()])
        told = Source(pa.table({"prediction": answers}))
        profile |= {"prediction": entry_of(told, "prediction")[0], "positive": positive}
        profile["holdout"] = pack(coded[:, there])
        profile["residuals"] = [significant(x) for x in missed[there]]
    if ordered:
        from esteira.drift import check

        check.calibrate(profile, source)
    return profile


def entries(profile: Profile) -> dict[str, Entry]:
    """What is known of each column that a batch may have: the features, and the target."""
    target = profile.get("target")
    return profile["columns"] | ({target["name"]: target} if target else {})


def residuals(target: Profile, positive: str | None, truth: pa.Array, answers: pa.Array) -> Floats:
    """What the model missed, per row; NaN where there is no label or no answer.

    Returns target less prediction; of a probability, 1 or 0 less it; of a class, 1 for a wrong
    one. A label that the reference never had counts as 1. Raises UserError for odds beyond 0 and 1.
    """
    if positive is not None and (np.abs(numbers(answers) - 0.5) > 0.5).any():
        raise UserError("the predictions are no probabilities: give numbers from 0 to 1.")
    if positive is None and target["kind"] == "number":
        return numbers(truth) - numbers(answers)
    label, said = (np.array(texts(side), dtype=object) for side in (truth, answers))
    wrong = label != said if positive is None else (label == positive) - numbers(answers)
    missed = np.where(np.isin(label, target.get("cells", label)), wrong, 1.0)
    return np.where(np.equal(label, None) | np.equal(said, None), np.nan, missed)


def ask(model: Any, frame: Any, positive: str | None) -> NDArray[Any]:
    """Ask a fitted scikit-learn model for what `build` wants: odds of `positive`, or its answers.

    An infinite input is taken as missing, as everywhere in the check.
    """
    frame = frame.replace([np.inf, -np.inf], np.nan)
    if positive is None:
        return model.predict(frame)
    return model.predict_proba(frame)[:, list(model.classes_).index(positive)]


def of_line(train: Any, holdout: Any, model: Any, schema: "Schema") -> Profile:
    """Make the profile of the line's two pandas tables and its fitted model."""
    return build(
        train,
        features=schema.features,
        target=schema.target,
        ordered=schema.time is not None,
        holdout=holdout,
        predict=lambda rows: ask(model, holdout.iloc[rows][schema.inputs], schema.positive),
        positive=schema.positive,
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
    with suppress(OSError, ValueError, AttributeError):
        profile = json.loads(Path(path).read_text(encoding="utf-8"))
        if profile.get("drift_profile") == VERSION:
            return profile
    raise UserError(
        f"{path} is absent, or no reference profile of this version: `uv run dvc repro`."
    )
