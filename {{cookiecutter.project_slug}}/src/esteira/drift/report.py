"""What a reader gets: the per-column table, histograms for DVC, and one HTML page.

The page is self-contained, without script, light and dark, fit to print.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from esteira import files
from esteira.drift.columns import bars

DRAWN = 6
FIELDS = "column role kind drifted significant effect p ks psi total_variation missing_reference"
FIELDS += " missing_current unseen says"
Row = dict[str, Any]


def write(out: Row, folder: str | Path, title: str = "Drift check") -> None:
    """Write metrics.json, columns.csv, histograms.csv and report.html into `folder`.

    Columns come in the order a reader needs them. `effect` is in units of its limit: from 1 on it
    can be an alarm. Histograms are of the columns with the largest effects.
    """
    rows = sorted(out["columns"], key=lambda row: (-row["drifted"], -row["effect"]))
    rows = [row | {"bars": bars(row["entry"], row["found"])} for row in rows]
    shares = [
        (row["column"], f"{i:02d} {label}", side, share)
        for row in rows[:DRAWN]
        for i, (label, *both) in enumerate(row["bars"])
        for side, share in zip(("reference", "batch"), both, strict=True)
    ]
    how = {"index": False, "float_format": "%.6g", "lineterminator": "\n"}
    columns = pd.DataFrame(rows, columns=FIELDS.split()).to_csv(**how)
    drawn = pd.DataFrame(shares, columns=["column", "bar", "side", "share"]).to_csv(**how)
    pages = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    pages.trim_blocks = pages.lstrip_blocks = True
    pages.filters["table"] = table
    page = pages.get_template("report.html").render(out | {"columns": rows, "title": title})
    files.write_metrics(Path(folder, "metrics.json"), out["metrics"])
    for name, text in (("columns.csv", columns), ("histograms.csv", drawn), ("report.html", page)):
        files.write_text(Path(folder, name), text)


def table(rows: Iterable[Any], *names: str) -> Markup:
    """Rows as an HTML table."""
    drawn = pd.DataFrame(rows, columns=names, dtype=object)  # so that integers stay whole
    return Markup(drawn.to_html(index=False, border=0, float_format="{:.4g}".format))  # escaped
