"""`esteira drift` against the profile of a model that lies beside it: as the line checks a batch.

The model is asked, so that a batch with labels is judged for concept drift as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esteira.drift import of_line, profile_file, report
from esteira.drift.check import Checked
from esteira.line import schema as schemas
from esteira.repository import own_code, snapshot

MODEL, SCHEMA = "model.skops", "schema.yaml"
OF_THE_LINE = Path("models")


@dataclass(frozen=True)
class Beside:
    """A profile, the model that it is of, and the schema that the model's rows have."""

    profile: Path
    model: Path
    schema: Path


def find(reference: str) -> Beside | None:
    """Find the model of a profile: the line's, or a released one's; None where there is none."""
    profile = Path(reference)
    if profile.suffix != ".json" or not Path("dvc.yaml").is_file():
        return None
    of_line_itself = profile.parent.resolve() == OF_THE_LINE.resolve()
    schema = Path(SCHEMA) if of_line_itself else profile.with_name(SCHEMA)
    model = profile.with_name(MODEL)
    there = profile.is_file() and model.is_file() and schema.is_file()
    return Beside(profile, model, schema) if there else None


def check(found: Beside, batch: str, out: str) -> Checked:
    """Check a table as the line does, with the limits of params.yaml; write the report to `out`.

    Raises UserError for a table, a profile or a model that cannot be read.
    """
    limits = snapshot.drift_limits(None)
    what = schemas.load(found.schema)
    reference = profile_file.read(found.profile)
    with of_line.reading(batch, what) as read:
        checked = of_line.check_batch(read, what, reference, limits, _model(found))
    report.write(checked, out, f"{Path(batch).name} against {found.profile.name}")
    return checked


def _model(found: Beside) -> Callable[[], Any]:
    return lambda: own_code.module("model").load(found.model)
