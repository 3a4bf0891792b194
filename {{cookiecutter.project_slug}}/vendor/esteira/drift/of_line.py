"""Check a batch for the line: read it by schema.yaml, and ask the line's model."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from esteira.drift import profile
from esteira.drift.check import Checked, check
from esteira.drift.limits import Settings
from esteira.drift.records import Profile
from esteira.line import logged, parts, table
from esteira.line.schema import Schema


@dataclass(frozen=True)
class Batch:
    """A batch with the schema's types, in a Parquet file."""

    path: str  # as it was given
    typed: Path
    count: int  # of rows
    columns: tuple[str, ...]
    remarks: list[str]  # on cells that had another type
    note: logged.Note  # what a batch of the service's log does not have

    def is_labelled(self, target: str) -> bool:
        """Whether some row has its target."""
        if target not in self.columns:
            return False
        return any(rows[target].notna().any() for rows in parts.read(self.typed, columns=[target]))


@contextmanager
def reading(path: str, schema: Schema) -> Iterator[Batch]:
    """Read a batch: a raw file like the training table's, or a table that the line wrote.

    A raw file is given its types part by part, in a file that is removed at the end. Raises
    UserError for a file that is absent, cannot be read, or is another table.
    """
    note = logged.note_of(path)
    if table.is_of_the_line(path):
        columns = next(parts.read(path, rows=1)).columns
        yield Batch(path, Path(path), parts.count(path), tuple(columns), [], note)
        return
    with tempfile.TemporaryDirectory(prefix="esteira-batch-") as folder:
        typed = Path(folder) / "batch.parquet"
        yield _typed(path, schema, typed, note)


def _typed(path: str, schema: Schema, out: Path, note: logged.Note) -> Batch:
    """Write the cells of a raw batch with the schema's types. Raises UserError."""
    lost: Counter[str] = Counter()
    columns: tuple[str, ...] = ()
    with parts.writing(out) as target:
        for part in parts.read_typed(path, schema):
            table.demand_like(part.raw, path, schema)
            lost += part.lost
            known = part.cells[[name for name in part.cells if name in part.raw]]
            strange = [str(name) for name in part.raw if name not in schema.columns]
            extra = [name for name in strange if not name.startswith(logged.OWN)]
            # Columns that the schema does not have are told of by name, and not checked.
            rows = known.assign(**{name: pd.Series(pd.NA, known.index, "str") for name in extra})
            target.write(rows)
            columns = tuple(rows.columns)
    remarks = table.says({name: lost[name] for name in schema.columns if lost[name]})
    return Batch(path, out, target.rows, columns, remarks, note)


def check_batch(
    batch: Batch,
    schema: Schema,
    reference: Profile,
    settings: Settings,
    load: Callable[[], Any] | None,
) -> Checked:
    """Check a batch against the line's profile.

    `load` gives the model; without it neither predictions nor the concept are checked. Of a batch
    whose inputs the log does not keep, the model's answers are those of the log.
    """
    watched = profile.without(reference, batch.note.not_logged)
    predict = None
    if batch.note.not_logged:
        logged_answers = batch.note.answers(schema.positive)
        predict = _those_in(Path(batch.path), logged_answers)
    elif load is not None:
        predict = _those_of(load, batch, schema)
    said = [*batch.note.says(), *batch.remarks]
    return check(watched, batch.typed, settings, predict, said)


def _those_in(path: Path, column: str) -> Callable[[Any], Any]:
    """Return the answers as the log has them."""
    return lambda rows: parts.take(path, rows, [column])[column]


def _those_of(load: Callable[[], Any], batch: Batch, schema: Schema) -> Callable[[Any], Any]:
    """Return the answers that the model gives when it is asked."""

    def predict(rows: Any) -> Any:
        from esteira.line.pipeline_parts import faults_told  # scikit-learn, if a model is asked

        model = load()
        asked = parts.take(batch.typed, rows).reindex(columns=schema.inputs)
        with faults_told(f"the model cannot answer {batch.path}"):
            return profile.ask(model, asked, schema.positive)

    return predict
