"""What a reader gets: the per-column table, histograms for DVC, and one HTML page."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader

from esteira import files

BARS, DRAWN = 20, 6
FIELDS = "column role kind drifted significant effect p ks psi total_variation missing_reference"
FIELDS += " missing_current unseen says"
Row = dict[str, Any]


def worst_first(out: Row) -> list[Row]:
    """Columns in the order a reader needs them."""
    return sorted(out["columns"], key=lambda row: (-row["drifted"], -row["effect"]))


def columns_csv(out: Row) -> str:
    """One line per column; `effect` is in units of its limit: from 1 on it can be an alarm."""
    table = pd.DataFrame(worst_first(out), columns=FIELDS.split())
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def histograms_csv(out: Row) -> str:
    """Shares of reference and batch per bar, for the columns with the largest effects."""
    rows = [
        (row["column"], f"{i:02d} {label}", side, share)
        for row in worst_first(out)[:DRAWN]
        for i, (label, *shares) in enumerate(bars(row["entry"], row["found"]))
        for side, share in zip(("reference", "batch"), shares, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["column", "bar", "side", "share"])
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


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
    low, high = edges[np.searchsorted(before, [0.005, 0.995]).clip(1, len(edges) - 1)]
    grid = np.linspace(low, high, BARS + 1 if high > low else 1)
    grid[0] = np.nextafter(low, -np.inf)
    uptos = (np.interp(grid, edges, upto) for upto in (before, now))
    sides = [np.diff(upto, prepend=0, append=1).round(9).clip(0).tolist() for upto in uptos]
    middles = [f"{middle:.4g}" for middle in (grid[:-1] + grid[1:]) / 2]
    return list(zip((f"below {low:.4g}", *middles, f"above {high:.4g}"), *sides, strict=True))


def html(out: Row, title: str) -> str:
    """The whole page: self-contained, without script, light and dark, fit to print."""
    rows = [row | {"bars": bars(row["entry"], row["found"])} for row in worst_first(out)]
    for row in rows:
        row["top"] = max([0, *(max(bar[1:]) for bar in row["bars"])])
    filled = {
        "columns": rows,
        "drawn": DRAWN,
        "title": title,
        "figures": [(k.replace("_", " "), f"{v:.6g}") for k, v in out["metrics"].items()],
        "segments": [(s, n, f"{x:.4g}", f"{y:.4g}") for s, n, x, y in out["segments"]],
        "pairs": [(f"{a} and {b}", f"{r:.2f}", f"{s:.2f}") for a, b, r, s in out["pairs"][:20]],
    }
    page = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    page.trim_blocks = page.lstrip_blocks = True
    return page.get_template("report.html").render(out | filled)


def write(out: Row, folder: str | Path, title: str = "Drift check") -> None:
    """Write metrics.json, columns.csv, histograms.csv and report.html into `folder`."""
    files.write_metrics(Path(folder, "metrics.json"), out["metrics"])
    files.write_text(Path(folder, "columns.csv"), columns_csv(out))
    files.write_text(Path(folder, "histograms.csv"), histograms_csv(out))
    files.write_text(Path(folder, "report.html"), html(out, title))
