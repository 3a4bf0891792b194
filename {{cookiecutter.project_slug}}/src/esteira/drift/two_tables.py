"""`esteira drift`: the same check on any two tables, outside the line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from esteira.drift import profile as profiles
from esteira.drift import report
from esteira.drift.check import Row, check
from esteira.drift.settings import Settings
from esteira.drift.tables import Source, numbers, texts
from esteira.errors import UserError

TYPES = {"number": "number", "date": "datetime", "category": "text", "text": "text"}

# Reads a table file, its columns as the types given by name: the table, and remarks.
ReadText = Callable[[str, dict[str, str] | None], tuple[Any, list[str]]]


def compare_files(
    reference: str,
    current: str,
    target: str | None = None,
    predictions: str | None = None,
    out: str = "drift",
    fast: bool = False,
    read_text: ReadText | None = None,
) -> Row:
    """Check one table file, `current`, against another or against a profile (.json).

    Writes the report's files into `out` and returns the result. `fast` leaves out the domain
    classifier, the only part without labels that needs scikit-learn. Parquet files are read as
    they are; where one is not Parquet, `read_text` reads both, by the same rules. Raises UserError.
    """
    if Path(out).exists() and not Path(out).is_dir():
        raise UserError(f"{out} is a file: give a folder for the report with --out.")
    known = Path(reference).suffix == ".json"
    suffixes = {Path(path).suffix.lower() for path in (reference, current)[known:]}
    as_it_is = read_text is None or suffixes <= {".parquet", ".pq"}

    def read(path: str, types: dict[str, str] | None = None) -> tuple[Source, list[str]]:
        table, says = (path, []) if as_it_is else read_text(path, types)
        return Source(table), says

    if known:
        profile = profiles.read(reference)
        if target and target != profile.get("target", {}).get("name"):
            raise UserError(f"the target in {reference} is not `{target}`: leave --target out.")
    else:
        profile = profile_of(read(reference)[0], target, predictions)
    batch, notes = read(current, types_of(profile, predictions))
    said = profile.get("prediction", {}).get("kind")
    if predictions and batch.kinds.get(predictions, "") != said:
        like = f"like the predictions of {reference}"
        raise UserError(f"{current} has no column `{predictions}` {like}: name one that it has.")

    def predict(_: Any) -> pa.Array:
        return answers(batch, predictions, profile["positive"])

    found = check(profile, batch, Settings(classifier=not fast), predict if predictions else None)
    found["notes"] += notes
    report.write(found, out, f"{Path(current).name} against {Path(reference).name}")
    return found


def types_of(profile: profiles.Profile, predictions: str | None) -> dict[str, str]:
    """The types of schema.yaml that a batch's columns must have to be like the reference's."""
    known = profiles.entries(profile)
    if predictions and "prediction" in profile:
        known[predictions] = profile["prediction"]
    types = {name: TYPES[entry["kind"]] for name, entry in known.items() if entry["kind"] in TYPES}
    flags = (n for n in types if set(known[n].get("cells", "?")) <= {"true", "false"})
    return types | dict.fromkeys(flags, "boolean")


def profile_of(source: Source, target: str | None, predictions: str | None) -> profiles.Profile:
    """Make a profile of a table that may hold the model's answers in a column. Raises UserError.

    Numbers that predict one of two classes are probabilities of the one they are higher for.
    """
    for name in filter(None, (target, predictions)):
        if name not in source.kinds:
            raise UserError(f"the reference has no column `{name}`: name one that it has.")
        if source.kinds[name] not in ("number", "category"):
            raise UserError(f"`{name}` holds neither numbers nor classes: name a column that does.")
    if predictions and not target:
        raise UserError("predictions are of no use without their target: name it with --target.")
    given: dict[str, Any] = {}
    if predictions and source.rows:
        positive = None
        if source.kinds[target] == "category" and source.kinds[predictions] == "number":
            label = np.array(texts(source.sample(target)), dtype=object)
            said, classes = numbers(source.sample(predictions)), sorted({*label} - {None})
            if len(classes) != 2:
                raise UserError(
                    f"`{predictions}` holds numbers, but `{target}` has {len(classes)} classes:"
                    " give the predicted classes instead."
                )
            positive = max(classes, key=lambda c: np.nanmean(said[label == c]))
        elif source.kinds[target] != source.kinds[predictions]:
            raise UserError("the predictions are no numbers, but the target is one.")
        told = answers(source, predictions, positive)
        given = {"holdout": source, "predict": lambda _: told, "positive": positive}
    features = [name for name in source.kinds if name not in (target, predictions)]
    return profiles.build(source, features=features, target=target, **given)


def answers(source: Source, predictions: str, positive: str | None) -> pa.Array:
    """The column of predictions in the rows of the sample. Raises UserError for odds beyond 0–1."""
    told = source.sample(predictions)
    if positive and (np.abs(numbers(told) - 0.5) > 0.5).any():
        raise UserError(
            f"`{predictions}` holds numbers beyond 0 and 1, but the target has classes: give"
            " probabilities, or the predicted classes."
        )
    return told
