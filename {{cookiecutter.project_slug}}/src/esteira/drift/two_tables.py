"""`esteira drift`: the same check on any two tables, outside the line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from esteira.drift import profile as profiles
from esteira.drift import report
from esteira.drift.check import Row, check
from esteira.drift.columns import Entry, fits
from esteira.drift.settings import Settings
from esteira.drift.tables import Source, numbers, texts
from esteira.errors import UserError

TYPES = {"number": "number", "date": "datetime", "category": "text", "text": "text"}

# Reads a table file, its columns as the types given by name: the table, and remarks.
ReadText = Callable[[str, dict[str, dict[str, Any]]], tuple[Any, list[str]]]


def compare_files(
    old: str, new: str, target: str | None, predictions: str | None, out: str, read_text: ReadText
) -> Row:
    """Check one table file, `new`, against another or against a profile (.json).

    Writes the report's files into the folder `out` and returns the result. Parquet files are read
    as they are, all others, and a Parquet batch of other types, by `read_text`. Raises UserError.
    """
    if any(path.exists() and not path.is_dir() for path in (Path(out), *Path(out).parents)):
        raise UserError(
            f"{out} is a file, or lies in one: give a folder for the report with --out."
        )
    if Path(old).suffix == ".json":
        profile = profiles.read(old)
        if target and target != profile.get("target", {}).get("name"):
            raise UserError(f"the target in {old} is not `{target}`: leave --target out.")
    else:
        profile = profile_of(open_table(old, {}, read_text)[0], target, predictions)
    known, said = profiles.entries(profile), profile.get("prediction")
    alike = known | ({predictions: said} if predictions and said else {})
    batch, notes = open_table(new, alike, read_text)
    there = predictions in batch.kinds and said and fits(said, batch.kinds[predictions])
    if predictions and (predictions in known or not there):
        raise UserError(
            f"{new} has no column `{predictions}` like the predictions of {old}: name another."
        )
    given = (lambda _: batch.sample(predictions)) if predictions else None
    found = check(profile, batch, Settings(), given)
    found["notes"] += notes
    report.write(found, out, f"{Path(new).name} against {Path(old).name}")
    return found


def open_table(path: str, known: dict[str, Entry], read_text: ReadText) -> tuple[Source, list[str]]:
    """Open a table whose columns should be like the `known` ones; also remarks on its cells."""
    if Path(path).suffix.lower() in (".parquet", ".pq"):
        source = Source(path)
        if all(fits(entry, source.kinds.get(name, "empty")) for name, entry in known.items()):
            return source, []
    types: dict[str, dict[str, Any]] = {}
    for name, entry in known.items():
        cells, kind = entry.get("cells"), TYPES.get(entry["kind"])
        kind = "boolean" if cells and {*cells} <= {"true", "false"} else kind
        types |= {name: {"type": kind, "allowed": cells}} if kind else {}
    table, says = read_text(path, types)
    return Source(table), says


def profile_of(source: Source, target: str | None, predictions: str | None) -> profiles.Profile:
    """Make a profile of a table that may hold the model's answers in a column. Raises UserError.

    Numbers that predict one of two classes are probabilities of the one they are higher for.
    """
    named = [name for name in (target, predictions) if name]
    for name in named:
        if source.kinds.get(name) not in ("number", "category"):
            raise UserError(f"the reference has no column `{name}` of numbers or classes.")
    features = [name for name in source.kinds if name not in named]
    if not predictions or not source.rows:
        return profiles.build(source, features=features, target=target)
    if target in (None, predictions):
        raise UserError("predictions need their target, another column: name it with --target.")
    truth, said, positive = source.sample(target), source.sample(predictions), None
    if source.kinds[target] != source.kinds[predictions]:
        label = np.array(texts(truth), dtype=object)
        classes = sorted({*label} - {None})
        if len(classes) != 2 or source.kinds[predictions] != "number":
            raise UserError(
                f"`{predictions}` cannot predict `{target}`: give numbers for numbers, classes for"
                " classes, or probabilities for two classes that are in the rows looked at."
            )
        odds = numbers(said)
        positive = max(classes, key=lambda name: np.nanmean(np.append(odds[label == name], 0)))
    given = {"holdout": source, "predict": lambda _: said, "positive": positive}
    return profiles.build(source, features=features, target=target, **given)
