"""What a reader gets: the per-column table, histograms for DVC, and one HTML page.

The page is self-contained, without script, light and dark, fit to print.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Template

from esteira.line import files
from esteira.drift.columns import Row

BARS, DRAWN = 20, 6
FIELDS = "column role kind drifted significant effect p ks psi total_variation missing_reference"
FIELDS += " missing_current unseen says"


def write(out: Row, folder: str | Path, title: str = "Drift check") -> None:
    """Write metrics.json, columns.csv, histograms.csv and report.html into `folder`.

    Columns come in the order a reader needs them. `effect` is in units of its limit: from 1 on it
    can be an alarm. Histograms are of the columns with the largest effects.
    """
    rows = sorted(out["columns"], key=lambda row: (-row["drifted"], -row["effect"]))
    rows = [row | {"bars": bars(row["entry"], row["found"])} for row in rows]
    top = [(row["column"], i, *bar) for row in rows[:DRAWN] for i, bar in enumerate(row["bars"])]
    drawn = pd.DataFrame(top, columns=["column", "place", "label", "reference", "batch"])
    drawn["bar"] = drawn["place"].map("{:02d} ".format) + drawn["label"]
    drawn = drawn.melt(["column", "bar"], ["reference", "batch"], "side", "share")
    columns = pd.DataFrame(rows, columns=FIELDS.split())
    for path, found in ((f"{folder}/columns.csv", columns), (f"{folder}/histograms.csv", drawn)):
        files.write_text(path, found.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    page = Template(Path(__file__).with_suffix(".html").read_text("utf-8"), autoescape=True)
    files.write_text(f"{folder}/report.html", page.render(out, rows=rows, title=title, table=table))
    files.write_metrics(f"{folder}/metrics.json", out["metrics"])


def table(rows: object, *names: str) -> str:
    """Rows as an HTML table."""
    drawn = pd.DataFrame(rows, columns=names, dtype=object)  # so that integers stay whole
    return drawn.to_html(index=False, border=0, float_format="{:.4g}".format)  # escapes its cells


def bars(entry: Row, found: Row) -> list[tuple[str, float, float]]:
    """Label, share of the reference and share of the batch, for each bar of a column's drawing."""
    counts = [*entry["counts"], 0], [*found["counts"], found["unseen"].total()]
    a, b = (np.array(side) / max(1, sum(side)) for side in counts)
    if "edges" not in entry:
        sides = pd.DataFrame({"a": a[:-1], "b": b[:-1]}, entry.get("cells", []))
        top = sides.loc[sides.max(axis=1).nlargest(12).index]
        others = (sides.sum() - top.sum()).clip(lower=0)
        drawn = [*top.itertuples(), ("all others", *others), ("never seen before", 0.0, b[-1])]
        return [(name, float(x), float(y)) for name, x, y in drawn if x + y > 1e-9]
    edges, uptos = np.array(entry["edges"]), [np.cumsum(side) for side in (a, b)]
    first, last = np.searchsorted(uptos[0], [0.005, 0.995]).clip(1, len(edges) - 1)
    grid = names = edges[first : last + 1]  # the bars' upper ends; few values have a bar each
    if len(grid) > BARS:
        grid = np.linspace(grid[0], grid[-1], BARS + 1)[1:]
        names = grid - (grid[1] - grid[0]) / 2
    labels = [f"below {edges[first]:.6g}", *(f"{name:.6g}" for name in names)]
    grid = np.append(edges[first - 1], grid)  # a heap at the lowest end is in the first bar
    sides = np.diff([[0, *np.interp(grid, edges, upto[:-2]), upto[-1]] for upto in uptos]).round(9)
    return list(zip((*labels, f"above {edges[last]:.6g}"), *sides.clip(0).tolist(), strict=True))
