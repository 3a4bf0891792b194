"""`esteira drift`: the same check on any two tables, outside the line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from esteira.drift import profile as profiles
from esteira.drift import profile_file, report
from esteira.drift.check import Checked, check
from esteira.drift.columns import fits
from esteira.drift.limits import Settings
from esteira.drift.measure import Predict
from esteira.drift.records import Kind, Profile, ReferenceColumn
from esteira.drift.source import Source
from esteira.line import logged
from esteira.line.errors import UserError

PARQUET = (".parquet", ".pq")
# the type that a column of each kind has in a text file; the others are found out anew
TYPES: dict[Kind, str] = {
    "number": "number",
    "category": "text",
    "date": "datetime",
    "text": "text",
}


def compare_files(
    old: str, new: str, target: str | None, predictions: str | None, out: str, read_text: Callable
) -> Checked:
    """Check one table file, `new`, against another or against a profile (.json).

    Writes the report's files into the folder `out` and returns what was found. Parquet files are
    read as they are, all others, and a Parquet batch of other types, by `read_text`: given a path,
    and types of columns by name, it returns a table, and remarks. Raises UserError.
    """
    demand_folder(out)
    profile = open_reference(old, target, predictions, read_text)
    note = logged.note_of(new)
    profile = profiles.without(profile, note.not_logged)
    followed = profile.followed
    expected = {column.name: column for column in profile.watched}
    if predictions and followed:
        expected.setdefault(predictions, followed.prediction)
    batch, remarks = open_table(new, expected, read_text)
    own = [name for name in batch.kinds if name.startswith(logged.OWN)]
    profile = replace(profile, others=(*profile.others, *own))
    predict = None
    if predictions:
        watched = [column.name for column in profile.watched]
        there = predictions in batch.kinds and predictions not in watched
        if not (followed and there and fits(followed.prediction, batch.kinds[predictions])):
            raise UserError(f"{new} has no column `{predictions}` like the predictions of {old}.")
        predict = answers_in(batch, predictions)
        profile = replace(profile, others=(*profile.others, predictions))
    found = check(profile, batch, Settings(), predict, [*note.says(), *remarks])
    report.write(found, out, f"{Path(new).name} against {Path(old).name}")
    return found


def demand_folder(out: str) -> None:
    """Raises UserError where a report cannot be written into the folder `out`."""
    if any(path.exists() and not path.is_dir() for path in (Path(out), *Path(out).parents)):
        raise UserError(f"{out} is a file, or lies in one: give a folder with --out.")


def open_reference(
    path: str, target: str | None, predictions: str | None, read_text: Callable
) -> Profile:
    """Read a profile, or make one of a table. Raises UserError."""
    if Path(path).suffix != ".json":
        table, _ = open_table(path, {}, read_text)
        return profiles.of_table(table, target, predictions)
    profile = profile_file.read(path)
    known = profile.target.name if profile.target else None
    if target and target != known:
        raise UserError(f"the target in {path} is not `{target}`: leave --target out.")
    return profile


def answers_in(batch: Source, column: str) -> Predict:
    """The model's answers, as a column of the batch has them."""
    answers = batch.sample(column)
    return lambda _: answers


def open_table(
    path: str, expected: Mapping[str, ReferenceColumn], read_text: Callable
) -> tuple[Source, Sequence[str]]:
    """Open a table whose columns should be like the `expected` ones; also remarks on its cells."""
    if Path(path).suffix.lower() in PARQUET:
        source = Source(path)
        kinds = source.kinds
        if all(fits(column, kinds.get(name, "empty")) for name, column in expected.items()):
            return source, []
    types = {name: wanted_type(column) for name, column in expected.items()}
    table, remarks = read_text(path, {name: wanted for name, wanted in types.items() if wanted})
    return Source(table), remarks


def wanted_type(column: ReferenceColumn) -> dict[str, Any]:
    """The type that a column should be read with, as `read_text` takes it; empty for any."""
    categories = column.cells.categories
    if categories and {*categories} <= {"true", "false"}:
        return {"type": "boolean", "allowed": categories}
    if column.kind not in TYPES:
        return {}
    return {"type": TYPES[column.kind], "allowed": categories or None}
