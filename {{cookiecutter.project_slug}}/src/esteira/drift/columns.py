"""One column: its cells fixed on the reference, counted in a batch, and the two compared.

Counts at fixed edges add up. So a batch read by row group, or counted part by part elsewhere,
gives the same answer as a batch read whole.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from esteira.drift import statistics as st
from esteira.drift.tables import Source, kind_of, numbers, tally, texts

Entry = dict[str, Any]
Codes = NDArray[np.uint8]
INTERVALS = 250  # quantile cells of a numeric column, and the most categories with own codes
CATEGORIES = 10_000  # more distinct texts than that are free text
RARE = 0.01  # share of rows whose category comes once, from which on a list is not complete
UNSEEN, MISSING = 254, 255  # among the codes of cells, which are kept as one byte each
LARGEST = float(np.finfo(float).max)
NEVER = "never seen before"
BARS, TOP = 20, 12  # most bars of a drawing, of numbers and of categories
WEIGHTS = (0.6, 0.2, 0.2)  # location, scale, shape: a moved level is the drift most often met


def describe(source: Source, name: str) -> Entry:
    """Fix the cells of one reference column: quantile edges, or categories by name."""
    kind, pieces = source.kinds[name], source.pieces(name)
    if kind == "category":
        counter = sum((tally(piece) for piece, _ in pieces), Counter[str]())
        if len(counter) > max(INTERVALS, min(counter.total() / 2, CATEGORIES)):
            return {"kind": "text"}
        rare = sum(n == 1 for n in counter.values()) > RARE * counter.total()
        own = len(counter) <= INTERVALS and not rare
        known = {"kind": kind, "cells": sorted(counter), "own": own}
        return known if counter else {"kind": "empty"}
    if kind != "number":
        return {"kind": kind}
    values = np.concatenate([numbers(piece) for piece, _ in pieces])
    values = np.sort(values[np.isfinite(values)])  # numpy's quantile takes longer
    if not len(values):
        return {"kind": "empty"}
    last = np.ceil(np.linspace(0, 1, INTERVALS + 1) * len(values)).astype(int).clip(1) - 1
    edges = np.unique(values[last])
    below = max(float(np.nextafter(edges[0], -np.inf)), -LARGEST)
    return {"kind": kind, "edges": [below, *edges.tolist()]}


def count(entry: Entry, source: Source, name: str) -> Entry:
    """Count the cells of `entry` in one column of `source`.

    Returns `counts` per cell, `missing`, the `infinite` among them and `unseen` (name to count),
    which add up over pieces, and `sample`: the codes of the rows drawn.
    """
    found: Entry = {"missing": 0, "infinite": 0, "unseen": Counter()}
    cells = len(entry["edges"]) + 1 if "edges" in entry else len(entry.get("cells", ()))
    counts, codes = np.zeros(cells, dtype=np.int64), []
    for piece, drawn in source.pieces(name):
        codes.append(encode(entry, drawn))
        if "edges" in entry:
            # sorting once and finding the edges beats finding each value's cell; NaN comes last
            values = np.sort(numbers(piece))
            low, high, end = np.searchsorted(values, [-LARGEST, np.inf, np.nan])
            upto = np.searchsorted(values[low:high], entry["edges"], side="right")
            counts += np.diff(upto, prepend=0, append=high - low)
            found["missing"] += int(len(values) - high + low)
            found["infinite"] += int(low + end - high)
        elif "cells" in entry and kind_of(piece.type) == "category":
            told = tally(piece)
            found["missing"] += len(piece) - told.total()
            counts += np.array([told.pop(cell, 0) for cell in entry["cells"]], dtype=np.int64)
            found["unseen"] += told
        else:
            bare = kind_of(piece.type) == "number"  # of a reference that has none
            gone = (~np.isfinite(numbers(piece))).sum() if bare else piece.null_count
            found["missing"] += int(gone)
    return found | {"counts": counts, "sample": np.concatenate(codes)}


def fits(entry: Entry, kind: str) -> bool:
    """Whether a column of this kind can be compared with the reference's."""
    return "empty" in (entry["kind"], kind) or entry["kind"].replace("text", "category") == kind


def encode(entry: Entry, cells: pa.Array) -> Codes:
    """Number of the cell of each value; it keeps order, and hides the values themselves.

    Of a long list all categories have one code: one that knew how often the reference has a
    category, or that it has it at all, would tell any two samples apart.
    """
    if "edges" in entry:
        values = numbers(cells)
        found = np.searchsorted(entry["edges"], values, side="left").astype(np.uint8)
        return np.where(np.isfinite(values), found, np.uint8(MISSING))
    place = {cell: i for i, cell in enumerate(entry["cells"])} if entry.get("own") else {}
    known = texts(cells) if "cells" in entry else [None] * len(cells)
    return np.array([MISSING if x is None else place.get(x, UNSEEN) for x in known], np.uint8)


def entry_of(source: Source, name: str) -> tuple[Entry, Codes]:
    """Describe and count one reference column, as JSON holds it; also the codes of its sample."""
    entry = describe(source, name)
    entry |= {"rows": source.rows} | count(entry, source, name)
    del entry["unseen"]
    codes = entry.pop("sample")
    return entry | {"counts": entry["counts"].tolist()}, codes


def compare(entry: Entry, found: Entry, m: int) -> Iterator[tuple[str, float, dict[str, float]]]:
    """Test a reference column against what was found in `m` rows of a batch.

    Yields what may have changed (`missing`, `distribution`, `unseen`), a p-value, and effect sizes.
    Infinite values count as missing.
    """
    n, lost, gone = entry["rows"], entry["missing"], found["missing"]
    if lost + gone:
        yield "missing", st.rate_p(lost, n, gone, m), {"missing": st.cohens_h(lost / n, gone / m)}
    a, b, unseen = np.array(entry["counts"]), found["counts"], found["unseen"].total()
    if not a.any() or not (b.any() or unseen):
        return
    if "edges" in entry:
        tenth = st.deciles(a)
        tenths = [np.bincount(tenth, side, 10) for side in (a, b)]
        p = *st.location_scale_p(a, b), st.chi2_p(*st.merge_rare(*tenths))
        sizes = {"ks": st.ks_distance(a, b), "psi": st.psi(*tenths)}
        yield "distribution", st.cauchy_combination(p, WEIGHTS), sizes
        return
    if unseen or (a == 1).any():
        new = list(found["unseen"].values())
        yield "unseen", st.unseen_p(a, new, m - gone), {"unseen": unseen / m}
    a, b = st.merge_rare(a, b, unseen)
    sizes = {"total_variation": st.total_variation(a, b), "psi": st.psi(a, b)}
    yield "distribution", st.chi2_p(a, b), sizes


def bars(entry: Entry, found: Entry) -> list[tuple[str, float, float]]:
    """Label, share of the reference and share of the batch, for each bar of a column's drawing."""
    a, b = (np.asarray(side["counts"], dtype=float) for side in (entry, found))
    if not len(a):
        return []
    a, b = a / max(1, a.sum()), b / max(1, b.sum() + found["unseen"].total())
    if "edges" not in entry:
        top = np.argsort(-np.maximum(a, b), kind="stable")[:TOP]
        drawn = [(entry["cells"][i], a[i], b[i]) for i in top]
        drawn.append(("all others", max(0, 1 - a[top].sum()), max(0, b.sum() - b[top].sum())))
        drawn.append((NEVER, 0.0, 1 - b.sum() if found["unseen"] else 0.0))
        return [(name, float(x), float(y)) for name, x, y in drawn if x + y > 1e-9]
    edges, before, now = np.array(entry["edges"]), np.cumsum(a)[:-1], np.cumsum(b)[:-1]
    first, last = np.searchsorted(before, [0.005, 0.995]).clip(1, len(edges) - 1)
    grid = names = edges[first : last + 1]  # the bars' upper ends; few values have a bar each
    if len(grid) > BARS:
        grid = np.linspace(grid[0], grid[-1], BARS + 1)[1:]
        names = grid - (grid[1] - grid[0]) / 2
    labels = [f"below {edges[first]:.6g}", *(f"{name:.6g}" for name in names)]
    grid = np.append(edges[first - 1], grid)  # a heap at the lowest end is in the first bar
    uptos = (np.interp(grid, edges, upto) for upto in (before, now))
    sides = [np.diff(upto, prepend=0, append=1).round(9).clip(0).tolist() for upto in uptos]
    return list(zip((*labels, f"above {edges[last]:.6g}"), *sides, strict=True))
