"""`esteira drift`: the same check on any two tables, outside the line."""

from collections.abc import Callable
from pathlib import Path

from esteira.drift import check, profile, report
from esteira.drift.columns import KINDS, Row, Source, fits
from esteira.line.errors import UserError


def compare_files(
    old: str, new: str, target: str | None, predictions: str | None, out: str, read_text: Callable
) -> Row:
    """Check one table file, `new`, against another or against a profile (.json).

    Writes the report's files into the folder `out` and returns the result. Parquet files are read
    as they are, all others, and a Parquet batch of other types, by `read_text`: given a path, and
    types of columns by name, it returns a table, and remarks. Raises UserError.
    """
    if any(path.exists() and not path.is_dir() for path in (Path(out), *Path(out).parents)):
        raise UserError(f"{out} is a file, or lies in one: give a folder with --out.")
    table = None if Path(old).suffix == ".json" else open_table(old, {}, read_text)[0]
    given = profile.of_table(table, target, predictions) if table else profile.read(old)
    if target and target not in given["target"]:
        raise UserError(f"the target in {old} is not `{target}`: leave --target out.")
    known, said = given["columns"] | given["target"], given.get("prediction")
    batch, notes = open_table(new, {predictions: said or {"kind": "other"}} | known, read_text)
    other = predictions in batch.kinds and predictions not in known
    if predictions and not (said and other and fits(said, batch.kinds[predictions])):
        raise UserError(f"{new} has no column `{predictions}` like the predictions of {old}.")
    predict = predictions and (lambda _: batch.sample(predictions))
    found = check.check(given, batch, check.Settings(), predict)
    found["notes"] += notes
    report.write(found, out, f"{Path(new).name} against {Path(old).name}")
    return found


def open_table(path: str, known: Row, read_text: Callable) -> tuple[Source, list[str]]:
    """Open a table whose columns should be like the `known` ones; also remarks on its cells."""
    source = Source(path) if Path(path).suffix.lower() in (".parquet", ".pq") else None
    if source and all(fits(e, source.kinds.get(n, "empty")) for n, e in known.items()):
        return source, []
    types: dict[str, Row] = {}
    for name, entry in known.items():
        cells, kind = entry.get("cells"), KINDS[entry["kind"]][1]
        kind = "boolean" if cells and {*cells} <= {"true", "false"} else kind
        types |= {name: {"type": kind, "allowed": cells}} if kind else {}
    table, says = read_text(path, types)
    return Source(table), says
