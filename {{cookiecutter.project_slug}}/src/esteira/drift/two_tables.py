"""`esteira drift`: the same check on any two tables, outside the line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from esteira.drift import profile as profiles
from esteira.drift.check import Row, check, write
from esteira.drift.settings import Settings
from esteira.drift.tables import Source, kind_of, numbers
from esteira.errors import UserError

KINDS = {"number": "number", "datetime": "date"}  # of a type; all others are categories

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
    classifier, the only part without labels that needs scikit-learn. Without `read_text` both
    must be Parquet files. Raises UserError.
    """
    if Path(out).exists() and not Path(out).is_dir():
        raise UserError(f"{out} is a file: give a folder for the report with --out.")
    for path in (reference, current):
        if not Path(path).is_file():
            wrong = "is a folder" if Path(path).is_dir() else "does not exist"
            raise UserError(f"{path} {wrong}: give the path of a table's file.")
    if Path(reference).suffix == ".json":
        profile = profiles.read(reference)
        types = types_of(profile)
        if target and target != profile.get("target", {}).get("name"):
            raise UserError(f"the target in {reference} is not `{target}`: leave --target out.")
    else:
        source, _ = open_table(reference, {}, read_text)
        profile = profile_of(source, target, predictions)
        types = types_of(profile)
        if predictions and source.kinds[predictions] == "category":
            types[predictions] = type_of(profile["classes"] or [])
    batch, notes = open_table(current, types, read_text)
    if predictions and predictions not in batch.kinds:
        raise UserError(f"{current} has no column `{predictions}`: name one that it has.")

    def predict(_: Any) -> NDArray[np.float64]:
        return answers(batch.sample(predictions), profile["classes"])

    settings = Settings(classifier=not fast)
    found = check(profile, batch, settings, predict if predictions else None)
    found["notes"] += notes
    write(found, out, f"{Path(current).name} against {Path(reference).name}")
    return found


def open_table(
    path: str, types: dict[str, str], read_text: ReadText | None
) -> tuple[Source, list[str]]:
    """Open a table: Parquet as it is, unless a column must have another type."""
    if read_text is None or Path(path).suffix.lower() in (".parquet", ".pq"):
        source = Source(path)
        wanted = {name: KINDS.get(kind, "category") for name, kind in types.items()}
        if read_text is None or all(
            source.kinds.get(n, kind) == kind for n, kind in wanted.items()
        ):
            return source, []
    table, says = read_text(path, types)
    return Source(table), says


def types_of(profile: profiles.Profile) -> dict[str, str]:
    """The types of schema.yaml that a batch's columns must have to be like the reference's."""
    target = profile.get("target")
    columns = profile["columns"] | ({target["name"]: target} if target else {})
    types = {"number": "number", "date": "datetime", "text": "text"}
    found = {name: types[e["kind"]] for name, e in columns.items() if e["kind"] in types}
    return found | {name: type_of(e["cells"]) for name, e in columns.items() if "cells" in e}


def type_of(classes: list[str]) -> str:
    """The type of a column that has these classes."""
    return "boolean" if {"true", "false"} >= set(classes) else "text"


def profile_of(source: Source, target: str | None, predictions: str | None) -> profiles.Profile:
    """Make a profile of a table that may hold the model's answers in a column. Raises UserError."""
    for name in filter(None, (target, predictions)):
        if name not in source.kinds:
            raise UserError(f"the reference has no column `{name}`: name one that it has.")
        if source.kinds[name] not in ("number", "category"):
            raise UserError(f"`{name}` holds neither numbers nor classes: name a column that does.")
    if predictions and not target:
        raise UserError("predictions are of no use without their target: name it with --target.")
    if source.rows == 0:
        raise UserError("the reference has no rows: give a table that has some.")
    features = [name for name in source.kinds if name not in (target, predictions)]
    if not (target and predictions):
        return profiles.build(source, features=features, target=target)
    classes = classes_of(source, target, predictions)
    return profiles.build(
        source,
        features=features,
        target=target,
        holdout=source,
        predict=lambda _: answers(source.sample(predictions), classes),
        classes=classes,
    )


def classes_of(source: Source, target: str, predictions: str) -> list[str] | None:
    """The target's classes, None for a number. Of two, a number predicts the second."""
    if source.kinds[target] == "number":
        return None
    texts = source.sample(target).cast(pa.string()).to_pylist()
    told = source.sample(predictions)
    if source.kinds[predictions] != "number":
        return sorted({*texts, *told.cast(pa.string()).to_pylist()} - {None})
    import pandas as pd

    means = pd.Series(numbers(told.combine_chunks())).groupby(texts).mean().sort_values()
    if len(means) == 2:
        return list(means.index)
    raise UserError(
        f"`{predictions}` holds numbers, but `{target}` has {len(means)} classes: give the"
        " predicted classes instead."
    )


def answers(told: pa.ChunkedArray, classes: list[str] | None) -> NDArray[np.float64]:
    """A column of predictions in the shape that `profile.build` takes. Raises UserError."""
    if kind_of(told.type) != "number":
        if not classes:
            raise UserError("the predictions are no numbers, but the target is one.")
        texts = np.array(told.cast(pa.string()).to_pylist(), dtype=object)
        if strange := sorted({*texts} - {*classes, None}):
            raise UserError(f"the predictions hold `{strange[0]}`, a class the reference lacks.")
        sure = 1.0 * (texts[:, None] == np.array(classes, dtype=object))
        return np.where(np.equal(texts, None)[:, None], np.nan, sure)
    values = numbers(told.combine_chunks())
    if classes and (np.abs(values - 0.5) > 0.5).any():
        low, high = np.nanmin(values), np.nanmax(values)
        raise UserError(
            f"the predictions lie between {low:g} and {high:g}, but the target has classes: give"
            " probabilities, or the predicted classes."
        )
    return np.stack([1 - values, values], axis=1) if classes else values
