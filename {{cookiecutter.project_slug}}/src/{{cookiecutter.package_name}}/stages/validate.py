"""Check the ingested table against schema.yaml, report every violation, keep the usable rows."""

from pathlib import Path

from esteira.line import params, parts, schema
from esteira.line.errors import UserError
from esteira.line.files import write_metrics, write_text
from esteira.line.validate import Checking, absent
from pydantic import Field

SOURCE = Path("data/ingested.parquet")
OUTPUT = Path("data/validated.parquet")
REPORT = Path("reports/validate")


class Settings(params.Section):
    """Section `validate:` of params.yaml."""

    examples: int = Field(5, ge=1)  # values and row numbers shown for each violation


def main(settings: Settings) -> str:
    """Read `data/ingested.parquet`; write the typed table and the report of violations.

    Rows without a target or a time are dropped: nothing after this stage could use them. Raises
    UserError only where the rest of the line could not run.
    """
    expected = schema.load()
    anchors = [name for name in (expected.target, expected.time) if name is not None]
    checking = Checking(expected, settings.examples)
    missing = dict.fromkeys(anchors, 0)
    targets: set[object] = set()
    with parts.writing(OUTPUT) as validated:
        for typed in checking.checked(parts.read(SOURCE)):
            kept = typed.dropna(subset=anchors)
            validated.write(kept)
            targets |= set(kept[expected.target].unique()[:2])
            for name in anchors:
                missing[name] += int(typed[name].isna().sum())
        violations = checking.violations()
        write_text(REPORT / "violations.csv", violations.to_csv(index=False, lineterminator="\n"))
        if lacks := absent(checking.columns, expected, SOURCE):
            raise UserError(lacks)
        if len(targets) < 2:
            raise UserError(
                f"`{expected.target}` has fewer than two different values in the {validated.rows}"
                f" usable rows of {checking.rows}: there is nothing to learn; see"
                f" `{expected.target}` in schema.yaml and {REPORT}/violations.csv."
            )
    metrics = {
        "rows": checking.rows,
        "rows_kept": validated.rows,
        "rows_without_target": missing[expected.target],
        "rows_without_time": missing[expected.time] if expected.time else 0,
        "rows_in_violation": checking.rows_in_violation,
        "rules_broken": len(violations),
    }
    write_metrics(REPORT / "metrics.json", metrics)
    return f"{checking.rows} rows in, {validated.rows} out, {len(violations)} rules broken"


if __name__ == "__main__":
    params.run("validate", main, Settings)
