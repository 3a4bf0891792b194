"""Predict: what the line's model says of the rows of any table that schema.yaml can read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from esteira.line import answers, parts, table
from esteira.line import schema as schemas
from esteira.line.answers import Origin
from esteira.line.errors import UserError
from esteira.repository import model_here, own_code


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
            told = f"see column `{answers.REASONS}`"
            lines.append(f"{self.told} of them break rules of schema.yaml: {told}.")
        return "\n".join(lines)


def predict(source: str | Path, out: str | Path, part: int | None = None) -> Predicted:
    """Answer every row of the table at `source`, and write the answers to `out`.

    The answers are Parquet or CSV, as the name of `out` says: see `line.answers`.

    Raises UserError for a table that cannot be read or lacks an input, for a model that is not the
    one of dvc.lock or was trained by another schema, and for an `out` that cannot be written.
    """
    source, out = Path(source), Path(out)
    _require_writable(source, out)
    what = schemas.load()
    origin = model_here.origin_of_model()
    model = own_code.module("model").load()
    tally = _Tally()
    parts.write(tally.of(answers.answer(model, source, what, origin, part), source), out)
    return Predicted(out, tally.rows, tally.told, origin)


@dataclass
class _Tally:
    """Counts answers on their way to the file."""

    rows: int = 0
    told: int = 0

    def of(self, answered: Iterable[pd.DataFrame], source: Path) -> Iterator[pd.DataFrame]:
        """Count parts as they pass. Raises UserError where there was no row in them."""
        for part in answered:
            self.rows += len(part)
            self.told += int((part[answers.REASONS] != "").sum())
            yield part
        if not self.rows:
            raise UserError(f"{source} has no rows: there is nothing to answer.")


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
