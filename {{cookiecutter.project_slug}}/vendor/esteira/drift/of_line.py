"""Check a batch for the line: read it by schema.yaml, and ask the line's model."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from esteira.drift import profile
from esteira.drift.check import Checked, check
from esteira.drift.limits import Settings
from esteira.drift.records import Profile
from esteira.line import logged, table
from esteira.line.schema import Schema


@dataclass(frozen=True)
class Batch:
    """A batch with the schema's types."""

    path: str
    rows: pd.DataFrame
    remarks: list[str]  # on cells that had another type
    note: logged.Note  # what a batch of the service's log does not have

    def is_labelled(self, target: str) -> bool:
        """Whether some row has its target."""
        return target in self.rows and bool(self.rows[target].notna().any())


def read(path: str, schema: Schema) -> Batch:
    """Read a batch: a raw file like the training table's, or a table that the line wrote.

    Raises UserError for a file that is absent, cannot be read, or is another table.
    """
    note = logged.note_of(path)
    if table.is_of_the_line(path):
        return Batch(path, table.read(path), [], note)
    raw = table.read_batch(path, schema)
    typed, rejects = table.parse(raw, schema)
    known = [name for name in typed if name in raw]
    strange = [str(name) for name in raw if name not in schema.columns]
    extra = [name for name in strange if not name.startswith(logged.OWN)]  # told of, not checked
    rows = pd.concat([typed[known], raw[extra]], axis=1)
    return Batch(path, rows, table.says(rejects), note)


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
    return check(watched, batch.rows, settings, predict, [*batch.note.says(), *batch.remarks])


def _those_in(path: Path, column: str) -> Callable[[Any], Any]:
    """Return the answers as the log has them."""
    return lambda rows: table.read(path, [column]).iloc[rows, 0]


def _those_of(load: Callable[[], Any], batch: Batch, schema: Schema) -> Callable[[Any], Any]:
    """Return the answers that the model gives when it is asked."""

    def predict(rows: Any) -> Any:
        from esteira.line.pipeline_parts import faults_told  # scikit-learn, if a model is asked

        model = load()
        asked = batch.rows.iloc[rows].reindex(columns=schema.inputs)
        with faults_told(f"the model cannot answer {batch.path}"):
            return profile.ask(model, asked, schema.positive)

    return predict
