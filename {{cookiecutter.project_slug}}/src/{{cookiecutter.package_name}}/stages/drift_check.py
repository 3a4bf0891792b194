"""Does the newest batch still look like the training data, and does the model still fit it?"""

from typing import Any

from esteira.drift import limits, of_line, profile_file, report
from esteira.line import schema
from esteira.line.params import run


class Settings(limits.Settings):
    """Section `drift_check` of params.yaml: the batch, and any threshold to overrule."""

    current: str = "data/current.parquet"


def load_model() -> Any:
    """Load the model, and with it scikit-learn, only if it is asked."""
    from ..model import load

    return load()


def main(settings: Settings) -> str:
    """Check the batch against the reference profile and write the report's files."""
    what = schema.load()
    reference = profile_file.read("models/reference.json")
    with of_line.reading(settings.current, what) as batch:
        found = of_line.check_batch(batch, what, reference, settings, load_model)
    report.write(found, "reports/drift_check", f"Drift check of {settings.current}")
    print(found.summary())
    rows = f"{found.metrics.rows_current} rows against {found.metrics.rows_reference}"
    return f"{found.verdict.action}, {rows}"


if __name__ == "__main__":
    run("drift_check", main, Settings)
