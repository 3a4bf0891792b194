"""What a reader gets: the per-column table, histograms for DVC, and one HTML page."""

import csv
import io
import re
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

BARS, DRAWN = 20, 6
FIELDS = "column role kind drifted significant effect p ks psi total_variation missing_reference"
FIELDS += " missing_current unseen says"
HEADLINES = {
    "keep": "No drift that matters",
    "retrain": "The data drifted",
    "rework": "The concept drifted",
    "unusable": "The batch cannot be used",
}
Row = dict[str, Any]


def table_text(fields: str, rows: list[Row]) -> str:
    """Rows as CSV; numbers at 6 significant digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fields.split(), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    return text.getvalue()


def worst_first(out: Row) -> list[Row]:
    """Columns in the order a reader needs them."""
    return sorted(out["columns"], key=lambda row: (-row["drifted"], -row["effect"]))


def columns_csv(out: Row) -> str:
    """One line per column; `effect` is in units of its limit: from 1 on it can be an alarm."""
    return table_text(FIELDS, worst_first(out))


def histograms_csv(out: Row) -> str:
    """Shares of reference and batch per bar, for the columns with the largest effects."""
    rows = [
        {"column": row["column"], "bar": f"{i:02d} {label}", "side": side, "share": share}
        for row in worst_first(out)[:DRAWN]
        for i, (label, *shares) in enumerate(bars(row))
        for side, share in zip(("reference", "batch"), shares, strict=True)
    ]
    return table_text("column bar side share", rows)


def bars(row: Row) -> list[tuple[str, float, float]]:
    """Label, share of the reference and share of the batch, for each bar of a column's drawing."""
    entry, found = row["entry"], row["found"]
    if "counts" not in entry:
        return []
    a, b = (np.asarray(side["counts"], dtype=float) for side in (entry, found))
    unseen = found.get("unseen", {})
    a, b = a / max(1, a.sum()), b / max(1, b.sum() + sum(unseen.values()))
    if "edges" not in entry:
        top = np.argsort(-np.maximum(a, b), kind="stable")[:12]
        drawn = [(entry["cells"][i], a[i], b[i]) for i in top]
        drawn.append(("all others", max(0, 1 - a[top].sum()), max(0, b.sum() - b[top].sum())))
        drawn.append(("never seen before", 0.0, 1 - b.sum() if unseen else 0.0))
        return [(name, float(x), float(y)) for name, x, y in drawn if x + y > 1e-9]
    edges, before, now = np.array(entry["edges"]), np.cumsum(a)[:-1], np.cumsum(b)[:-1]
    low, high = edges[np.searchsorted(before, [0.005, 0.995]).clip(1, len(edges) - 1)]
    grid = np.linspace(low, high, BARS + 1 if high > low else 1)
    grid[0] = np.nextafter(low, -np.inf)
    uptos = (np.interp(grid, edges, upto) for upto in (before, now))
    sides = [np.diff(upto, prepend=0, append=1).round(9).clip(0) for upto in uptos]
    middles = [f"{middle:.4g}" for middle in (grid[:-1] + grid[1:]) / 2]
    labels = [f"below {low:.4g}", *middles, f"above {high:.4g}"]
    return [(name, float(x), float(y)) for name, x, y in zip(labels, *sides, strict=True)]


def drawing(row: Row) -> str:
    """Histogram of a column as SVG: the reference filled, the batch outlined."""
    if not (shown := bars(row)):
        return ""
    scale, step = 86 / max(max(x, y) for _, x, y in shown), 320 / len(shown)
    parts = []
    for i, (label, *shares) in enumerate(shown):
        boxes = "".join(
            f"<rect class={side} x={i * step + inset:.1f} y={90 - scale * share:.1f} "
            f"width={step - 2 - 2 * inset:.1f} height={scale * share:.1f} />"
            for side, inset, share in zip("rb", (0, 1), shares, strict=True)
        )
        tip = f"{label}: reference {shares[0]:.1%}, batch {shares[1]:.1%}"
        parts.append(f"<g><title>{escape(tip)}</title>{boxes}</g>")
    left, right = (escape(shown[i][0][:24]) for i in (0, -1))
    ends = f"<text y=104>{left}</text><text x=318 y=104 text-anchor=end>{right}</text>"
    name = escape(f"Histogram of {row['column']}, reference and batch")
    return f'<svg viewBox="0 0 320 108" role=img aria-label="{name}">{"".join(parts)}{ends}</svg>'


def grid(caption: str, head: str, rows: list[list[str]]) -> str:
    """An HTML table; cells are HTML already, and the first cell of a row is its header."""
    top = "".join(f"<th scope=col>{name}</th>" for name in head.split("|"))
    lines = [f"<th scope=row>{a}</th>{''.join(f'<td>{c}</td>' for c in rest)}" for a, *rest in rows]
    return (
        f'<div class=scroll tabindex=0 role=region aria-label="{caption}"><table><caption>{caption}'
        f"</caption><thead><tr>{top}</thead><tbody><tr>{'<tr>'.join(lines)}</tbody></table></div>"
    )


def line(row: Row) -> list[str]:
    """One row of the table of all columns."""
    state = "<b>drifted</b>" if row["drifted"] else "small" if row["significant"] else ""
    size = f"{row['effect']:.2f}"
    meter = f"<meter max=3 low=1 high=2 optimum=0 value={size}></meter> {size}"
    missing = f"{row['missing_reference']:.1%} → {row['missing_current']:.1%}"
    kind = row["kind"] if row["role"] == "feature" else f"{row['kind']}, {row['role']}"
    figure = drawing(row)
    says = escape(row["says"])
    says += f"<details><summary>draw</summary>{figure}</details>" if figure else ""
    return [escape(row["column"]), kind, state, meter, f"{row['p']:.2g}", missing, says]


def prose(text: str) -> str:
    """A sentence as HTML, with the names in backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def html(out: Row, title: str) -> str:
    """The whole page: self-contained, without script, light and dark, fit to print."""
    rows, blocks = worst_first(out), [f"<p class=note>{prose(note)}" for note in out["notes"]]
    cards = "".join(
        f"<article><h3>{escape(row['column'])}</h3>{drawing(row)}<p>{escape(row['says'])}</article>"
        for row in rows[:DRAWN]
        if row["drifted"]
    )
    blocks += [f"<h2>What drifted most</h2><div class=cards>{cards}</div>"] if cards else []
    if out["segments"]:
        cells = [
            [escape(s["segment"]), f"{s['rows']}", f"{s['before']:.4g}", f"{s['now']:.4g}"]
            for s in out["segments"]
        ]
        blocks.append(grid("Where the model got worse", "Rows with|rows|loss before|now", cells))
    if out["pairs"]:
        cells = [
            [f"{escape(left)} and {escape(right)}", f"{before:.2f}", f"{now:.2f}"]
            for left, right, before, now in out["pairs"][:20]
        ]
        head = "Columns|before|now"
        blocks.append(grid("Rank correlations that changed", head, cells[:5]))
        more = grid("More rank correlations that changed", head, cells[5:])
        blocks += [f"<details><summary>More pairs</summary>{more}</details>"] if cells[5:] else []
    if rows:
        head = "Column|kind|state|effect / limit|p|missing|remarks"
        blocks.append(grid("All columns", head, [line(row) for row in rows]))
    cells = [[name.replace("_", " "), f"{value:.6g}"] for name, value in out["metrics"].items()]
    blocks.append(f"<details><summary>All figures</summary>{grid('Figures', '|', cells)}</details>")
    page = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    filled = {
        "title": escape(title),
        "action": out["action"],
        "headline": HEADLINES[out["action"]],
        "advice": out["advice"],
        "rows": "{:,} rows of reference, {:,} rows in the batch".format(*out["rows"]),
        "reasons": "".join(f"<li>{prose(reason)}" for reason in out["reasons"]),
        "body": "\n".join(blocks),
    }
    for name, text in filled.items():
        page = page.replace(f"<!--{name}-->", text)
    return page
