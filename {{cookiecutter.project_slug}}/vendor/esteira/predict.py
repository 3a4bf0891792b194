"""Predict: what the line's model says of the rows of any table that schema.yaml can read.

Every row gets its line, in the order of the table. One that breaks a rule of schema.yaml is told
why beside its answer, which then is of what could be read: a cell that cannot is a missing one.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from esteira.line import schema as schemas
from esteira.line import table
from esteira.line.errors import UserError
from esteira.line.files import replacing
from esteira.line.pipeline_parts import faults_told
from esteira.line.predictions import PROBABILITY
from esteira.line.schema import Schema
from esteira.line.validate import check
from esteira.repository import git, own_code, releases, snapshot
from esteira.repository.releases import MODEL

SCHEMA = "schema.yaml"
LEARNT = "data/train.parquet"
PART = 10_000  # rows that the model answers at once
DIGITS = 12  # of a number: a linear model's last digits differ with the rows beside it
ROW, PREDICTION, REASONS, VERSION, DATA = "row", "prediction", "reasons", "model", "data"


@dataclass(frozen=True)
class Origin:
    """Where answers come from."""

    version: str  # a release's tag, or the hash of a model that was not released
    data: str  # hash of the rows that the model learnt


@dataclass(frozen=True)
class Predicted:
    """What was written, in numbers."""

    out: Path
    rows: int
    told: int  # rows that break a rule
    origin: Origin

    def says(self) -> str:
        """Say it in a line or two."""
        lines = [f"{self.rows} rows are answered in {self.out}, by {self.origin.version}."]
        if self.told:
            lines.append(f"{self.told} of them break rules of schema.yaml: see column `{REASONS}`.")
        return "\n".join(lines)


def predict(source: str | Path, out: str | Path, part: int = PART) -> Predicted:
    """Answer every row of the table at `source`, and write the answers to `out`.

    The answers are Parquet or CSV, as the name of `out` says: `row` (from 1), the identifiers,
    `prediction`, a probability for each class, `reasons`, `model` and `data`. The model is asked
    `part` rows at once, and says the same whatever that number.

    Raises UserError for a table that cannot be read or lacks an input, for a model that is not the
    one of dvc.lock or was trained by another schema, and for an `out` that cannot be written.
    """
    source, out = Path(source), Path(out)
    _require_writable(source, out)
    what = schemas.load()
    origin = origin_of_model()
    raw = table.read_batch(source, what)
    if raw.empty:
        raise UserError(f"{source} has no rows: there is nothing to answer.")
    _require_inputs(raw, what, source)
    model = own_code.module("model").load()
    typed, faults = check(raw, what)
    told = reasons(faults, len(raw), what)
    columns = {
        ROW: np.arange(1, len(raw) + 1),
        **{name: typed[name] for name in what.named("identifier") if name in raw},
        **answers(model, typed[what.inputs], part, f"the model cannot answer {source}"),
        REASONS: told,
        VERSION: origin.version,
        DATA: origin.data,
    }
    _write(pd.DataFrame(columns), out)
    return Predicted(out, len(raw), int((told != "").sum()), origin)


def _require_writable(source: Path, out: Path) -> None:
    """Raise UserError unless answers can be written to `out`."""
    if out.is_dir():
        raise UserError(f"{out} is a folder: name a file, such as {out / 'answers.parquet'}.")
    if out.suffix.lower() not in (*table.PARQUET, ".csv"):
        raise UserError(f"{out} is neither .parquet nor .csv: answers are written as one of them.")
    if out.exists() and source.exists() and out.samefile(source):
        raise UserError(f"{out} is the table to be answered: give the answers a file of their own.")
    if not out.parent.is_dir():
        raise UserError(f"the folder {out.parent} does not exist: make it first.")


def _require_inputs(raw: pd.DataFrame, what: Schema, source: Path) -> None:
    """Raise UserError for a table that lacks something the model is asked by."""
    absent = [name for name in what.inputs if name not in raw]
    if absent:
        names = ", ".join(f"`{name}`" for name in absent[:5])
        more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
        raise UserError(f"{source} lacks {names}{more}, which the model needs: add what is absent.")
    ours = {ROW, PREDICTION, REASONS, VERSION, DATA}
    taken = [name for name in what.named("identifier") if name in ours]
    if taken:
        raise UserError(
            f"the identifier `{taken[0]}` has the name of a column of the answers: rename it in"
            " the table and in schema.yaml."
        )


# ---- where the answers come from ----


def origin_of_model() -> Origin:
    """Say which model is here, by dvc.lock.

    Raises UserError where dvc.lock names none, where the file is another one, and where it was
    trained by another schema.yaml than the one here.
    """
    stage = snapshot.maker(MODEL, None)
    if stage is None:
        raise UserError(f"dvc.lock names no {MODEL}: run `uv run dvc repro` first.")
    stored = {each.path: each.md5 for each in (*stage.deps, *stage.outs)}
    if not Path(MODEL).is_file():
        raise UserError(f"{MODEL} is not here: run `uv run dvc pull`, or `uv run dvc repro`.")
    if _md5(MODEL) != stored[MODEL]:
        raise UserError(
            f"{MODEL} is not the one that dvc.lock names: run `uv run dvc checkout`, or"
            " `uv run dvc repro`."
        )
    if stored.get(SCHEMA) not in (None, _md5(SCHEMA)):
        raise UserError(
            f"{SCHEMA} is not the one that the model was trained by: run `uv run dvc repro`."
        )
    released = releases.of_model(stored[MODEL]) if git.is_repository() else None
    return Origin(released.tag if released else stored[MODEL], stored.get(LEARNT, ""))


def _md5(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


# ---- the answers ----


def reasons(faults: pd.DataFrame, rows: int, what: Schema) -> np.ndarray:
    """Say of each row which rules it breaks, as text of shape (rows,); "" where it keeps them.

    `faults` are those of `validate.check`. The target is what is asked for, so its faults and those
    of whole columns are left out.
    """
    told: list[list[str]] = [[] for _ in range(rows)]
    of_cells = faults[(faults["column"] != what.target) & faults["row"].notna()]
    places = of_cells["row"].to_numpy(np.int64) - 1
    for place, (column, rule, _, value) in zip(places, of_cells.to_numpy(), strict=True):
        found = f" (got {value})" if value != "" else ""
        told[place].append(f"{column}: {rule}{found}")
    return np.array(["; ".join(each) for each in told], dtype=object)


def answers(model: Any, inputs: pd.DataFrame, part: int, failing: str) -> dict[str, Any]:
    """Ask the model of at least one row, part by part; return columns of shape (rows,) by name.

    Raises UserError that begins with `failing` where the model fails.
    """
    parts = list(_parts(model, inputs, part, failing))
    return {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}


def _parts(
    model: Any, inputs: pd.DataFrame, part: int, failing: str
) -> Iterator[dict[str, np.ndarray]]:
    starts = range(0, len(inputs), part)
    shown = Console(stderr=True)
    for start in track(starts, "Asking the model", console=shown, transient=True):
        rows = inputs.iloc[start : start + part]
        with faults_told(failing):
            yield _ask(model, rows)


def _ask(model: Any, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the model's answers to some rows: a number each, or a class and all probabilities."""
    if not hasattr(model, "classes_"):
        return {PREDICTION: _rounded(model.predict(rows))}
    probabilities = model.predict_proba(rows)
    classes = [str(name) for name in model.classes_]
    said = np.array(classes, dtype=object)[probabilities.argmax(axis=1)]
    columns = zip(classes, probabilities.T, strict=True)
    return {PREDICTION: said, **{f"{PROBABILITY}{name}": _rounded(p) for name, p in columns}}


def _rounded(numbers: np.ndarray) -> np.ndarray:
    return np.array([float(f"{number:.{DIGITS}g}") for number in np.ravel(numbers)])


def _write(frame: pd.DataFrame, out: Path) -> None:
    """Write the answers whole, or not at all."""
    if out.suffix.lower() != ".csv":
        table.write(frame, out)
        return
    with replacing(out) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")
