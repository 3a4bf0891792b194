"""Does the newest batch still look like the training data, and does the model still fit it?"""

from typing import Any

import pandas as pd
from esteira.drift import limits, profile, profile_file, report
from esteira.drift.check import check
from esteira.line import logged, table
from esteira.line import schema as schemas
from esteira.line.params import run


class Settings(limits.Settings):
    """Section `drift_check` of params.yaml: the batch, and any threshold to overrule."""

    current: str = "data/current.parquet"


def read_batch(path: str, schema: schemas.Schema) -> tuple[Any, list[str]]:
    """Read the batch with the schema's types; also what to say of cells that had another type."""
    if table.is_of_the_line(path):
        return table.read(path), []
    raw = table.read_batch(path, schema)
    typed, rejects = table.parse(raw, schema)
    known = [name for name in typed if name in raw]
    strange = [str(name) for name in raw if name not in schema.columns]
    extra = [name for name in strange if not name.startswith(logged.OWN)]  # told of, not checked
    return pd.concat([typed[known], raw[extra]], axis=1), table.says(rejects)


def main(settings: Settings) -> None:
    """Check the batch against the reference profile and write the report's files."""
    schema = schemas.load()
    note = logged.note_of(settings.current)
    reference = profile.without(profile_file.read("models/reference.json"), note.not_logged)
    batch, says = read_batch(settings.current, schema)

    def predict(rows: Any) -> Any:
        if note.not_logged:  # the model cannot be asked again: its answers are in the log
            answers = table.read(settings.current, [note.answers(schema.positive)])
            return answers.iloc[rows, 0]
        from esteira.line.pipeline_parts import (
            faults_told,  # scikit-learn, if a model is asked at all
        )

        from ..model import load

        model = load()
        rows = batch.iloc[rows].reindex(columns=schema.inputs)
        with faults_told(f"the model cannot answer {settings.current}"):
            return profile.ask(model, rows, schema.positive)

    found = check(reference, batch, settings, predict, notes=[*note.says(), *says])
    report.write(found, "reports/drift_check", f"Drift check of {settings.current}")
    print(found.summary())


if __name__ == "__main__":
    run("drift_check", main, Settings)
