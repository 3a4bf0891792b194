"""`esteira drift`: the same check on any two tables, outside the line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from esteira.drift import profile as profiles
from esteira.drift import report
from esteira.drift.check import Row, check
from esteira.drift.columns import Entry, fits
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
    they are, all others, and a Parquet batch of other types, by `read_text`. Raises UserError.
    """
    if Path(out).exists() and not Path(out).is_dir():
        raise UserError(f"{out} is a file: give a folder for the report with --out.")
    for path in (reference, current):
        if not Path(path).is_file():
            wrong = "is a folder" if Path(path).is_dir() else "does not exist"
            raise UserError(f"{path} {wrong}: give the path of a table's file.")
    if Path(reference).suffix == ".json":
        profile = profiles.read(reference)
        if target and target != profile.get("target", {}).get("name"):
            raise UserError(f"the target in {reference} is not `{target}`: leave --target out.")
    else:
        profile = profile_of(open_table(reference, {}, read_text)[0], target, predictions)
    known, said = profiles.entries(profile), profile.get("prediction")
    if predictions in known:
        raise UserError(
            f"`{predictions}` is a feature or the target: name another for predictions."
        )
    known |= {predictions: said} if predictions and said else {}
    batch, notes = open_table(current, known, read_text)
    there = predictions in batch.kinds and said and fits(said, batch.kinds[predictions])
    if predictions and not there:
        like = f"like the predictions of {reference}"
        raise UserError(f"{current} has no column `{predictions}` {like}: name one that it has.")

    def predict(_: Any) -> pa.Array:
        return answers(batch, predictions, profile["positive"])

    found = check(profile, batch, Settings(classifier=not fast), predict if predictions else None)
    found["notes"] += notes
    report.write(found, out, f"{Path(current).name} against {Path(reference).name}")
    return found


def open_table(
    path: str, known: dict[str, Entry], read_text: ReadText | None
) -> tuple[Source, list[str]]:
    """Open a table whose columns should be like the `known` ones; also remarks on its cells."""
    if read_text is None or Path(path).suffix.lower() in (".parquet", ".pq"):
        source = Source(path)
        alike = all(fits(entry, source.kinds.get(name, "empty")) for name, entry in known.items())
        if alike or read_text is None:
            return source, []
    types = {name: TYPES[entry["kind"]] for name, entry in known.items() if entry["kind"] in TYPES}
    flags = (n for n in types if set(known[n].get("cells", "?")) <= {"true", "false"})
    table, says = read_text(path, types | dict.fromkeys(flags, "boolean"))
    return Source(table), says


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
            positive = max(classes, key=lambda c: np.nanmean(np.append(said[label == c], 0)))
        elif source.kinds[target] != source.kinds[predictions]:
            raise UserError("the predictions are no numbers, but the target is one.")
        told = answers(source, predictions, positive)
        given = {"holdout": source, "predict": lambda _: told, "positive": positive}
    features = [name for name in source.kinds if name not in (target, predictions)]
    return profiles.build(source, features=features, target=target, **given)


def answers(source: Source, predictions: str, positive: str | None) -> pa.Array:
    """The column of predictions in the rows of the sample. Raises UserError for odds beyond 0–1."""
    told = source.sample(predictions)
    if positive is not None and (np.abs(numbers(told) - 0.5) > 0.5).any():
        raise UserError(
            f"`{predictions}` holds numbers beyond 0 and 1, but the target has classes: give"
            " probabilities, or the predicted classes."
        )
    return told
