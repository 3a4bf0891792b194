"""What a reader gets: the per-column table, histograms for DVC, and one HTML page.

The page is self-contained, without script, light and dark, fit to print.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from esteira import files

BARS, DRAWN = 20, 6
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


def bars(entry: Row, found: Row) -> list[tuple[str, float, float]]:
    """Label, share of the reference and share of the batch, for each bar of a column's drawing."""
    a, b = (np.asarray(side["counts"], dtype=float) for side in (entry, found))
    if not len(a):
        return []
    a, b = a / max(1, a.sum()), b / max(1, b.sum() + found["unseen"].total())
    if "edges" not in entry:
        top = np.argsort(-np.maximum(a, b), kind="stable")[:12]
        drawn = [(entry["cells"][i], a[i], b[i]) for i in top]
        drawn.append(("all others", max(0, 1 - a[top].sum()), max(0, b.sum() - b[top].sum())))
        drawn.append(("never seen before", 0.0, 1 - b.sum() if found["unseen"] else 0.0))
        return [(name, float(x), float(y)) for name, x, y in drawn if x + y > 1e-9]
    edges, before, now = np.array(entry["edges"]), np.cumsum(a)[:-1], np.cumsum(b)[:-1]
    first, last = np.searchsorted(before, [0.005, 0.995]).clip(1, len(edges) - 1)
    grid = names = edges[first : last + 1]  # the bars' upper ends; few values have a bar each
    if len(grid) > BARS:
        grid = np.linspace(grid[0], grid[-1], BARS + 1)[1:]
        names = grid - (grid[1] - grid[0]) / 2
    labels = [f"below {edges[first]:.4g}", *(f"{name:.4g}" for name in names)]
    grid = np.append(edges[first - 1], grid)  # a heap at the lowest end is in the first bar
    uptos = (np.interp(grid, edges, upto) for upto in (before, now))
    sides = [np.diff(upto, prepend=0, append=1).round(9).clip(0).tolist() for upto in uptos]
    return list(zip((*labels, f"above {edges[last]:.4g}"), *sides, strict=True))
