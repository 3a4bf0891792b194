"""What a reader gets: the per-column table, histograms for DVC, and one HTML page."""

import csv
import io
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

BARS, DRAWN = 20, 6
FIELDS = "column role kind drifted significant effect p ks psi total_variation missing_reference"
FIELDS += " missing_current unseen_share says"
Bars = list[tuple[str, float, float]]


def table_text(fields: str, rows: list[dict[str, Any]]) -> str:
    """Rows as CSV; numbers at 6 significant digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fields.split(), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    return text.getvalue()


def worst_first(out: dict[str, Any]) -> list[dict[str, Any]]:
    """Columns in the order a reader needs them."""
    return sorted(out["columns"], key=lambda row: (-row["drifted"], -row["effect"]))


def columns_csv(out: dict[str, Any]) -> str:
    """One line per column; `effect` is in units of its threshold: from 1 on it is an alarm."""
    rows = worst_first(out)
    return table_text(FIELDS, [row | {"says": "; ".join(row["says"])} for row in rows])


def histograms_csv(out: dict[str, Any]) -> str:
    """Shares of reference and batch per bar, for the columns with the largest effects."""
    rows = [
        {"column": row["column"], "bar": f"{i:02d} {label}", "side": side, "share": share}
        for row in worst_first(out)[:DRAWN]
        for i, (label, before, now) in enumerate(bars(row))
        for side, share in (("reference", before), ("batch", now))
    ]
    return table_text("column bar side share", rows)


def bars(row: dict[str, Any]) -> Bars:
    """Label, share of the reference and share of the batch, for each bar of a column's drawing."""
    entry, found = row["entry"], row["found"]
    if "counts" not in entry:
        return []
    a, b = (np.asarray(side["counts"], dtype=float) for side in (entry, found))
    n, m = max(a.sum(), 1), max(b.sum() + sum(found.get("unseen", {}).values()), 1)
    if "edges" not in entry:
        top = np.argsort(-np.maximum(a[:-1] / n, b[:-1] / m), kind="stable")[:12]
        drawn = [(entry["cells"][i], a[i] / n, b[i] / m) for i in top]
        drawn.append(("other", (a.sum() - a[top].sum()) / n, (b.sum() - b[top].sum()) / m))
        drawn += [(f"new: {cell}", 0.0, c / m) for cell, c in found["unseen"].most_common(3)]
        return [bar for bar in drawn if bar[1] + bar[2] > 0]
    edges, below = np.array(entry["edges"]), np.cumsum(a)[:-1] / n
    low, high = edges[np.searchsorted(below, [0.005, 0.995]).clip(1, len(edges) - 1)]
    grid = np.linspace(low, high, BARS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    sides = []
    for counts, total in ((a, n), (b, m)):
        upto = np.interp(grid, edges, np.cumsum(counts)[:-1] / total)
        upto[0] = np.interp(np.nextafter(grid[0], -np.inf), edges, np.cumsum(counts)[:-1] / total)
        sides.append(np.diff(upto, prepend=0, append=1))
    middles = [f"{(x + y) / 2:.4g}" for x, y in zip(grid[:-1], grid[1:], strict=True)]
    labels = [f"< {low:.4g}", *middles, f"> {high:.4g}"]
    return [(k, float(x), float(y)) for k, x, y in zip(labels, *sides, strict=True)]


def drawing(row: dict[str, Any]) -> str:
    """Histogram of a column as SVG: the reference filled, the batch outlined."""
    shown = bars(row)
    if not shown:
        return ""
    top, step = max(max(b, c) for _, b, c in shown) or 1, 320 / len(shown)
    parts = []
    for i, (label, before, now) in enumerate(shown):
        x, w = i * step, step - 2
        tip = f"{label}: reference {100 * before:.1f} %, batch {100 * now:.1f} %"
        parts.append(
            f"<g><title>{escape(tip)}</title>"
            f"<rect class=r x={x:.1f} y={90 - 86 * before / top:.1f} width={w:.1f} height={86 * before / top:.1f} />"
            f"<rect class=b x={x + 1:.1f} y={90 - 86 * now / top:.1f} width={max(w - 2, 1):.1f} height={86 * now / top:.1f} /></g>"
        )
    ends = f"<text x=0 y=104>{escape(shown[0][0][:22])}</text>"
    ends += f"<text x=320 y=104 text-anchor=end>{escape(shown[-1][0][:22])}</text>"
    name = escape(f"Histogram of {row['column']}, reference and batch", quote=True)
    return f'<svg viewBox="0 0 320 108" role=img aria-label="{name}">{"".join(parts)}{ends}</svg>'


def grid(head: str, rows: list[list[str]], caption: str) -> str:
    """An HTML table from cells that are safe already; the first cell of a row is its header."""
    top = "".join(f"<th scope=col>{escape(h)}</th>" for h in head.split("|"))
    body = "".join(
        f"<tr><th scope=row>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    return (
        f'<div class=scroll tabindex=0 role=region aria-label="{caption}"><table><caption>{caption}'
        f"</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def card(row: dict[str, Any]) -> str:
    """One drifted column, drawn, with what is to be said of it."""
    says = escape("; ".join(row["says"]))
    return f"<article><h3>{escape(row['column'])}</h3>{drawing(row)}<p>{says}</p></article>"


def line(row: dict[str, Any]) -> list[str]:
    """One row of the table of all columns."""
    state = "drifted" if row["drifted"] else "small" if row["significant"] else "–"
    more = f"<details><summary>draw</summary>{drawing(row)}</details>" if bars(row) else ""
    meter = (
        f"<meter min=0 max=3 high=1 value={min(row['effect'], 3):.3g}></meter> {row['effect']:.2f}"
    )
    missing = f"{100 * row['missing_reference']:.1f} → {100 * row['missing_current']:.1f} %"
    says = escape("; ".join(row["says"]))
    kind = row["kind"] if row["role"] == "feature" else f"{row['kind']}, {row['role']}"
    return [escape(row["column"]), kind, state, meter, f"{row['p']:.2g}", missing, says, more]


def html(out: dict[str, Any], title: str) -> str:
    """The whole page: self-contained, no script, light and dark, fit to print."""
    metrics, rows = out["metrics"], worst_first(out)
    drifted = [row for row in rows if row["drifted"]]
    rest = [f"<p class=note>{escape(note)}</p>" for note in out["notes"]]
    cards = "".join(card(row) for row in drifted[:DRAWN])
    blocks = [
        f"<section><h2>Columns that drifted most</h2><div class=cards>{cards}</div></section>"
        if cards
        else ""
    ]
    if out["pairs"]:
        cells = [
            [f"{escape(a)} and {escape(b)}", f"{r:.2f}", f"{s:.2f}"]
            for a, b, r, s in out["pairs"][:20]
        ]
        blocks.append(grid("Columns|before|now", cells, "Rank correlations that changed"))
    if out["segments"]:
        cells = [
            [escape(s["segment"]), str(s["rows"]), f"{s['before']:.4g}", f"{s['now']:.4g}"]
            for s in out["segments"]
        ]
        blocks.append(grid("Segment|rows|loss before|loss now", cells, "Where the model got worse"))
    if rows:
        head = "Column|kind|state|effect / threshold|p|missing|remarks|"
        blocks.append(grid(head, [line(row) for row in rows], "All columns"))
    facts = [[escape(name.replace("_", " ")), f"{value:.6g}"] for name, value in metrics.items()]
    blocks.append(
        f"<details><summary>All figures</summary>{grid('Figure|value', facts, 'Metrics')}</details>"
    )
    page = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    filled = {
        "title": escape(title),
        "action": out["action"],
        "headline": escape(HEADLINES[out["action"]]),
        "advice": escape(out["advice"]),
        "rows": f"{metrics['rows_current']:,} rows against {metrics['rows_reference']:,}",
        "reasons": "".join(f"<li>{escape(reason)}</li>" for reason in out["reasons"]),
        "body": "".join([*rest, *blocks]),
    }
    for name, text in filled.items():
        page = page.replace(f"<!--{name}-->", text)
    return page


HEADLINES = {
    "keep": "No drift that matters",
    "retrain": "The data drifted",
    "rework": "The concept drifted",
    "unusable": "The batch cannot be used",
}
