"""Check the ingested table against schema.yaml, report every violation, keep the usable rows."""

from pathlib import Path

import pandas as pd
from esteira.line import params, schema, table, validate
from esteira.line.errors import UserError
from esteira.line.files import write_metrics, write_text
from esteira.line.nearest import closest
from pydantic import Field

SOURCE = Path("data/ingested.parquet")
OUTPUT = Path("data/validated.parquet")
REPORT = Path("reports/validate")


class Settings(params.Section):
    """Section `validate:` of params.yaml."""

    examples: int = Field(5, ge=1)  # values and row numbers shown for each violation


def usable(raw: pd.DataFrame, typed: pd.DataFrame, expected: schema.Schema) -> pd.DataFrame:
    """Drop the rows that have no target or no time: nothing after this stage could use them.

    Raises UserError only where the rest of the line could not run.
    """
    absent = [n for n in (*expected.inputs, expected.target) if n not in raw]
    if absent:
        unknown = [str(name) for name in raw if name not in expected.columns]
        near = f" ({closest(absent[0], unknown)})" if unknown else ""
        raise UserError(
            f"{SOURCE} lacks {', '.join(f'`{name}`' for name in absent)}{near}: correct the table"
            " or `file:` in schema.yaml, or give the column `role: ignored` there."
        )
    anchors = [n for n in (expected.target, expected.time) if n is not None]
    kept = typed.dropna(subset=anchors).reset_index(drop=True)
    if kept[expected.target].nunique() < 2:
        raise UserError(
            f"`{expected.target}` has fewer than two different values in the {len(kept)} usable"
            f" rows of {len(typed)}: there is nothing to learn; see `{expected.target}` in"
            f" schema.yaml and {REPORT}/violations.csv."
        )
    return kept


def main(settings: Settings) -> str:
    """Read `data/ingested.parquet`; write the typed table and the report of violations."""
    expected = schema.load()
    raw = table.read(SOURCE)
    typed, faults = validate.check(raw, expected)
    violations = validate.summary(faults, settings.examples)
    write_text(REPORT / "violations.csv", violations.to_csv(index=False, lineterminator="\n"))
    kept = usable(raw, typed, expected)
    metrics = {
        "rows": len(typed),
        "rows_kept": len(kept),
        "rows_without_target": int(typed[expected.target].isna().sum()),
        "rows_without_time": int(typed[expected.time].isna().sum()) if expected.time else 0,
        "rows_in_violation": int(faults["row"].nunique()),
        "rules_broken": len(violations),
    }
    write_metrics(REPORT / "metrics.json", metrics)
    table.write(kept, OUTPUT)
    return f"{len(typed)} rows in, {len(kept)} out, {len(violations)} rules broken"


if __name__ == "__main__":
    params.run("validate", main, Settings)
