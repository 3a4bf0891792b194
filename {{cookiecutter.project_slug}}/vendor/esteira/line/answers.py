"""The model's answers to rows of any table that schema.yaml can read, and what is wrong with a row.

Every row gets its line, in the order of the table. One that breaks a rule of schema.yaml is told
why beside its answer, which then is of what could be read: a cell that cannot is a missing one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from esteira.line import engine, model_file, parts, table
from esteira.line.errors import UserError
from esteira.line.files import md5_of
from esteira.line.nearest import closest
from esteira.line.pipeline_parts import faults_told
from esteira.line.predictions import PROBABILITY, Answers
from esteira.line.schema import Schema
from esteira.line.validate import check

SCHEMA = "schema.yaml"
DIGITS = 12  # of a number: a linear model's last digits differ with the rows beside it
SMALLEST, LARGEST = 1e-10, 1e11  # numbers between these are rounded by the powers below
POWERS = np.array([float(f"1e{power}") for power in range(23)])  # all that are exact
ROW, PREDICTION, REASONS, VERSION, DATA = "row", "prediction", "reasons", "model", "data"


@dataclass(frozen=True)
class Origin:
    """Where answers come from."""

    version: str  # a release's tag, or the hash of a model that was not released
    data: str  # hash of the rows that the model learnt


def origin_of(
    model: str | Path, schema: str | Path = SCHEMA, mend: str = "run `uv run dvc repro`"
) -> Origin:
    """Say which model lies at a path.

    Raises UserError where there is none, and where it was trained by another schema than the one
    at `schema`; it then says what to do, `mend`.
    """
    noted = model_file.origin(model)
    if noted.schema not in ("", md5_of(schema)):
        raise UserError(f"{schema} is not the one that {model} was trained by: {mend}.")
    return Origin(md5_of(model), noted.data)


@dataclass(frozen=True)
class Rows:
    """Rows to be answered."""

    source: str
    typed: pd.DataFrame  # with the schema's types
    reasons: np.ndarray  # which rules each row breaks, as text of shape (rows,); "" for none


def read(source: str | Path, what: Schema, part: int | None = None) -> Iterator[Rows]:
    """Read the rows of any table that the schema can read, at most `part` at once.

    Raises UserError for a table that cannot be read, or lacks an input of the model.
    """
    if table.is_of_the_line(source):
        for typed in parts.read(source, part):
            _require_inputs(typed, what, source)
            yield Rows(str(source), typed, np.full(len(typed), "", dtype=object))
        return
    for raw in parts.read_raw(source, what.file, part):
        table.demand_like(raw, source, what)
        _require_inputs(raw, what, source)
        what = parts.with_formats(what, raw)
        typed, faults = check(raw, what)
        told = reasons(faults, len(raw), what)
        yield Rows(str(source), typed[[name for name in typed if name in raw]], told)


def answer(
    model: Any, source: str | Path, what: Schema, origin: Origin, part: int | None = None
) -> Iterator[pd.DataFrame]:
    """Answer every row of a table, at most `part` at once, and say the same whatever that number.

    Returns `row` (from 1), the identifiers, `prediction`, a probability for each class, `reasons`,
    `model` and `data`. Raises UserError as `read` does, and where the model fails.
    """
    rows = _shown(read(source, what, part))
    answering = partial(_answered, model, source=str(source), what=what, origin=origin)
    yield from engine.mapped(answering, _numbered(rows))


def _numbered(parts_of: Iterable[Rows]) -> Iterator[tuple[int, Rows]]:
    """Say of each part how many rows come before it."""
    before = 0
    for rows in parts_of:
        yield before, rows
        before += len(rows.typed)


def _answered(
    model: Any, numbered: tuple[int, Rows], source: str, what: Schema, origin: Origin
) -> pd.DataFrame:
    """Answer some rows of a source. Raises UserError where the model fails."""
    before, rows = numbered
    typed = rows.typed
    with faults_told(f"the model cannot answer {source}"):
        said = ask(model, typed[what.inputs]) if len(typed) else _nothing(model)
    columns = {
        ROW: np.arange(before + 1, before + len(typed) + 1),
        **{name: typed[name].to_numpy() for name in what.named("identifier") if name in typed},
        **said,
        REASONS: rows.reasons,
        VERSION: origin.version,
        DATA: origin.data,
    }
    return pd.DataFrame(columns)


def _shown(parts_of: Iterator[Rows]) -> Iterator[Rows]:
    """Show progress where the model is asked more than once."""
    first_two = list(islice(parts_of, 2))
    if len(first_two) < 2:
        yield from first_two
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Asking the model")
        asked = 0
        for rows in chain(first_two, parts_of):
            yield rows
            asked += len(rows.typed)
            progress.update(task, description=f"Asked the model about {asked:,} rows")


def _require_inputs(raw: pd.DataFrame, what: Schema, source: str | Path) -> None:
    """Raise UserError for a table that lacks something the model is asked by."""
    absent = [name for name in what.inputs if name not in raw]
    if absent:
        names = ", ".join(f"`{name}`" for name in absent[:5])
        more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
        unknown = [str(name) for name in raw if name not in what.columns]
        near = closest(absent[0], unknown) if unknown else "add what is absent."
        raise UserError(f"{source} lacks {names}{more}, which the model needs: {near}")
    ours = {ROW, PREDICTION, REASONS, VERSION, DATA}
    taken = [name for name in what.named("identifier") if name in ours]
    if taken:
        raise UserError(
            f"the identifier `{taken[0]}` has the name of a column of the answers: rename it in"
            " the table and in schema.yaml."
        )


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


def of_holdout(model: Any, path: str | Path, what: Schema, keys: np.ndarray) -> Answers:
    """Ask the model about the rows held out, part by part, and put the truth beside its answers.

    `keys` are those of the rows, uint64 of shape (rows,). Raises UserError where the model fails,
    and for a class that it has never seen.
    """
    classes = tuple(str(name) for name in getattr(model, "classes_", ()))
    actual, said = [], []
    rows = parts.read(path, columns=[*what.inputs, what.target])
    for truth, told in engine.mapped(partial(_told, model, what=what), rows):
        actual.append(truth)
        said.append(told)
    found = Answers(keys, np.concatenate(actual), classes, np.concatenate(said))
    if classes:
        _refuse_unknown(found)
    return found


def _told(model: Any, rows: pd.DataFrame, what: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return the truth of some held-out rows, and what the model says of them."""
    inputs = rows[what.inputs]
    is_class = hasattr(model, "classes_")
    with faults_told("the model cannot answer the held-out rows"):
        told = model.predict_proba(inputs) if is_class else model.predict(inputs)
    rounded = _rounded(told).reshape(np.shape(told)).astype(told.dtype)
    return rows[what.target].to_numpy(object if is_class else np.float64), rounded


def _refuse_unknown(answers: Answers) -> None:
    """Raise UserError if a class was held out whole: the model has never seen it."""
    actual = pd.Series(answers.actual)
    unknown = actual[~actual.isin(answers.classes)].value_counts()
    if len(unknown):
        raise UserError(
            f"class {unknown.index[0]!r} is in {unknown.iloc[0]} held-out rows and in none that"
            " the model was trained on: set `shuffle: true` or `order: random` in section"
            " `split:` of params.yaml, or leave those rows out."
        )


def _nothing(model: Any) -> dict[str, np.ndarray]:
    """Return the columns that `ask` returns, without a row."""
    probabilities = [f"{PROBABILITY}{name}" for name in getattr(model, "classes_", ())]
    said = np.array([], dtype=object if probabilities else np.float64)
    return {PREDICTION: said, **{name: np.array([], np.float64) for name in probabilities}}


def ask(model: Any, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the model's answers to at least one row, as columns of shape (rows,) by name.

    A number for each row, or a class and the probability of every class.
    """
    if not hasattr(model, "classes_"):
        return {PREDICTION: _rounded(model.predict(rows))}
    probabilities = model.predict_proba(rows)
    classes = [str(name) for name in model.classes_]
    said = np.array(classes, dtype=object)[probabilities.argmax(axis=1)]
    columns = zip(classes, probabilities.T, strict=True)
    return {PREDICTION: said, **{f"{PROBABILITY}{name}": _rounded(p) for name, p in columns}}


def _rounded(numbers: np.ndarray) -> np.ndarray:
    """Round to DIGITS significant digits, shape (rows,).

    A whole number over a power of ten, both exact, is the double nearest to the decimal: what its
    text would be read as. Numbers beyond the powers that are exact are rounded by their text.
    """
    numbers = np.ravel(numbers).astype(np.float64)
    size = np.abs(numbers)
    plain = (size >= SMALLEST) & (size < LARGEST)
    digits_before = np.floor(np.log10(size, where=plain, out=np.zeros_like(size))).astype(int)
    scale = POWERS[DIGITS - 1 - digits_before]
    rounded = np.rint(np.where(plain, numbers, 0.0) * scale) / scale
    for place in np.flatnonzero(~plain):
        rounded[place] = float(f"{numbers[place]:.{DIGITS}g}")
    return rounded
