"""One column: its cells fixed on the reference, counted in a table, and the two counts tested.

Counts at fixed edges add up. So a batch read by row group, or counted part by part elsewhere,
gives the same answer as a batch read whole.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from esteira.drift import dates, statistics
from esteira.drift.records import (
    Aspect,
    Cells,
    Comparison,
    Counted,
    Kind,
    ReferenceColumn,
    Sizes,
)
from esteira.drift.source import Source, kind_of, numbers, tally, texts

INTERVALS = 250  # quantile cells of a numeric column, and the most categories with own codes
MOST_CATEGORIES = 10_000  # more are free text
RARE_SHARE = 0.01  # of rows; with more categories seen once, a list of them is not complete
UNSEEN, MISSING = 254, 255  # among the codes of cells, which are kept as one byte each
LARGEST = float(np.finfo(float).max)
# of location, scale and shape: a moved level is the drift most often met
WEIGHTS = (0.6, 0.2, 0.2)


# ---- cells


def describe(source: Source, name: str) -> ReferenceColumn:
    """Fix the cells of one reference column, quantile edges or categories by name; count them."""
    kind = source.kinds[name]
    if kind == "number":
        cells = intervals(source, name)
    elif kind == "category":
        cells = categories(source, name)
    else:
        cells = Cells(kind)
    return ReferenceColumn(name, cells, count(cells, source, name))


def intervals(source: Source, name: str) -> Cells:
    """Fix the edges of a numeric column: its quantiles, and one below all values."""
    values = np.concatenate([numbers(piece.cells) for piece in source.pieces(name)])
    ascending = np.sort(values[np.isfinite(values)])  # numpy's quantile takes longer
    if not len(ascending):
        return Cells("empty")
    upto = np.ceil(np.linspace(0, 1, INTERVALS + 1) * len(ascending)).astype(int)
    edges = np.unique(ascending[upto.clip(1) - 1]).tolist()
    below_all = float(np.nextafter(edges[0], -LARGEST))
    return Cells("number", edges=(below_all, *edges))


def categories(source: Source, name: str) -> Cells:
    """List the categories of a column; where there are very many, it is free text."""
    told = sum((tally(piece.cells) for piece in source.pieces(name)), Counter[str]())
    rows = told.total()
    if not rows:
        return Cells("empty")
    if len(told) > max(INTERVALS, min(rows / 2, MOST_CATEGORIES)):
        return Cells("text")
    seen_once = sum(times == 1 for times in told.values())
    complete = seen_once <= RARE_SHARE * rows
    own_codes = complete and len(told) <= INTERVALS
    return Cells("category", categories=tuple(sorted(told)), own_codes=own_codes)


def fits(reference: ReferenceColumn, kind: Kind) -> bool:
    """Whether a column of this kind can be compared with the reference's."""
    before = "category" if reference.kind == "text" else reference.kind
    return "empty" in (before, kind) or before == kind


# ---- counting


def count(cells: Cells, source: Source, name: str, coded: bool = True) -> Counted:
    """Count the rows of one column of `source` in the cells that the reference has.

    Without the codes of its sample unless `coded`: a third of the time goes into them.
    """
    in_cells = np.zeros(len(cells.edges) + 1, np.int64)
    told = Counter[str]()
    uncounted = infinite = 0  # rows that are there, of a kind that has no cells
    codes = []
    calendar = None
    for piece in source.pieces(name):
        if coded:
            codes.append(encode(cells, piece.drawn).tobytes())
        if cells.kind == "category":
            told += tally(piece.cells)
        elif kind_of(piece.cells.type) == "number":  # of a reference that has none, as well
            # sorting once and finding the edges beats finding each value's cell; NaN comes last
            values = np.sort(numbers(piece.cells))
            low, high, end = np.searchsorted(values, [-LARGEST, np.inf, np.nan])
            upto = np.searchsorted(values[low:high], cells.edges, side="right")
            in_cells += np.diff(upto, prepend=0, append=high - low)
            infinite += int(low + end - high)
        else:
            uncounted += len(piece.cells) - piece.cells.null_count
            if cells.kind == "date" == kind_of(piece.cells.type):
                calendar = dates.merge(calendar, dates.tally(dates.seconds(piece.cells)))
    there = int(in_cells.sum()) + uncounted + told.total()
    if cells.kind == "number":
        counts = in_cells.tolist()
    else:
        counts = [told.pop(category, 0) for category in cells.categories]
    missing = source.rows - there
    return Counted(
        rows=source.rows,
        missing=missing,
        infinite=infinite,
        counts=tuple(counts),
        codes=b"".join(codes),
        unseen=told,
        calendar=calendar,
    )


def encode(cells: Cells, values: pa.Array) -> np.ndarray:
    """Number of the cell of each value, one byte; it keeps order, and hides the values themselves.

    Of a long list all categories have one code: one that knew how often the reference has a
    category, or that it has it at all, would tell any two samples apart.
    """
    if cells.kind == "number":
        values = numbers(values)
        places = np.searchsorted(cells.edges, values)
        return np.where(np.isfinite(values), places, MISSING).astype(np.uint8)
    if cells.kind != "category":
        return np.full(len(values), MISSING, np.uint8)
    own = cells.categories if cells.own_codes else ()
    code = {category: place for place, category in enumerate(own)}
    codes = [MISSING if text is None else code.get(text, UNSEEN) for text in texts(values)]
    return np.array(codes, np.uint8)


def stack(codes: Iterable[bytes]) -> np.ndarray:
    """Codes of several columns as one array of shape (columns, rows)."""
    return np.stack([np.frombuffer(column, np.uint8) for column in codes])


# ---- testing


@dataclass(frozen=True)
class Test:
    """A test of two counts of one column, the reference's and the batch's."""

    aspect: Aspect
    sizes: Callable[[Counted, Counted], Sizes]
    p: Callable[[Counted, Counted], float]


def compare(reference: ReferenceColumn, batch: Counted) -> tuple[Comparison, ...]:
    """Compare all that can have changed in one column. Infinite values count as missing."""
    before = reference.counted
    found = [
        Comparison(test.aspect, test.p(before, batch), test.sizes(before, batch))
        for test in tests(reference.kind, before, batch)
    ]
    if before.calendar and batch.calendar:
        found += dates.compare(before.calendar, batch.calendar)
    return tuple(found)


def changes(kind: Kind, before: Counted, batch: Counted) -> Iterator[tuple[Aspect, Sizes]]:
    """Yield how large each change is that `compare` finds: its chance takes most of the time."""
    for test in tests(kind, before, batch):
        yield test.aspect, test.sizes(before, batch)
    if before.calendar and batch.calendar:
        for comparison in dates.compare(before.calendar, batch.calendar):
            yield comparison.aspect, comparison.sizes


def tests(kind: Kind, before: Counted, batch: Counted) -> Iterator[Test]:
    """Yield the tests that two counts allow."""
    if before.missing + batch.missing:
        yield MISSING_CELLS
    something_there = any(batch.counts) or batch.unseen
    if not (something_there and any(before.counts)):
        return
    if kind == "number":
        yield NUMBERS
        return
    if batch.unseen or 1 in before.counts:
        yield UNSEEN_CATEGORIES
    yield CATEGORIES


def missing_sizes(before: Counted, batch: Counted) -> Sizes:
    """By how much the share of missing cells changed."""
    return Sizes(missing=statistics.cohens_h(before.missing_share, batch.missing_share))


def missing_p(before: Counted, batch: Counted) -> float:
    """Chance of such shares of missing cells without drift."""
    return statistics.rate_p(before.missing, before.rows, batch.missing, batch.rows)


def unseen_sizes(before: Counted, batch: Counted) -> Sizes:
    """Share of the rows with categories that the reference never had."""
    return Sizes(unseen=batch.unseen_rows / (batch.rows - batch.missing))


def unseen_p(before: Counted, batch: Counted) -> float:
    """Chance of so many unseen categories without drift."""
    if not batch.unseen:
        return 1.0
    there = batch.rows - batch.missing
    return statistics.unseen_p(np.array(before.counts), [*batch.unseen.values()], there)


def number_sizes(before: Counted, batch: Counted) -> Sizes:
    """By how much a distribution of numbers changed."""
    reference, now = np.array(before.counts), np.array(batch.counts)
    tenths = by_tenths(reference, now)
    return Sizes(
        ks=statistics.ks_distance(reference, now),
        psi=statistics.psi(tenths.reference, tenths.batch),
    )


def number_p(before: Counted, batch: Counted) -> float:
    """Chance of such a location, scale and shape (by tenths) without drift."""
    reference, now = np.array(before.counts), np.array(batch.counts)
    rank_tests = statistics.location_scale_p(reference, now)
    tenths = by_tenths(reference, now)
    merged = statistics.merge_rare(tenths.reference, tenths.batch)
    shape = statistics.chi2_p(merged.reference, merged.batch)
    return statistics.cauchy_combination((rank_tests.location, rank_tests.scale, shape), WEIGHTS)


def by_tenths(reference: np.ndarray, batch: np.ndarray) -> statistics.BothCounts:
    """Both counts in the tenths of the reference."""
    tenth = statistics.deciles(reference)
    return statistics.BothCounts(np.bincount(tenth, reference, 10), np.bincount(tenth, batch, 10))


def category_sizes(before: Counted, batch: Counted) -> Sizes:
    """By how much the frequencies of categories changed, the rare ones taken together."""
    merged = common(before, batch)
    return Sizes(
        total_variation=statistics.total_variation(merged.reference, merged.batch),
        psi=statistics.psi(merged.reference, merged.batch),
    )


def category_p(before: Counted, batch: Counted) -> float:
    """Chance of such frequencies without drift."""
    merged = common(before, batch)
    return statistics.chi2_p(merged.reference, merged.batch)


def common(before: Counted, batch: Counted) -> statistics.BothCounts:
    """Both counts, their rare categories together."""
    counts = np.array(before.counts), np.array(batch.counts)
    return statistics.merge_rare(*counts, batch.unseen_rows)


MISSING_CELLS = Test("missing", missing_sizes, missing_p)
UNSEEN_CATEGORIES = Test("unseen", unseen_sizes, unseen_p)
NUMBERS = Test("distribution", number_sizes, number_p)
CATEGORIES = Test("distribution", category_sizes, category_p)
