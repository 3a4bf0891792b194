"""Write the report as one page that needs nothing from elsewhere."""

from pathlib import Path

from esteira.line.files import write_text
from esteira.page import render
from esteira.report.collect import collect
from esteira.report.facts import Report

HERE = Path(__file__).parent


def write(out: str | Path, base: str | None = None) -> Report:
    """Collect the report and write its page. Raises UserError as `collect` does."""
    report = collect(base)
    write_text(out, page(report))
    return report


def page(report: Report) -> str:
    """Draw the page."""
    return render.page(HERE / "page.html", HERE.parent / "drift", report=report)
