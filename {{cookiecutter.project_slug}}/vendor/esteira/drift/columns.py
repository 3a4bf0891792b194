"""One column: read piece by piece, its cells fixed on the reference and counted, and compared.

Counts at fixed edges add up. So a batch read by row group, or counted part by part elsewhere,
gives the same answer as a batch read whole. Tables are read in Arrow, without pandas.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from esteira.drift import statistics as st
from esteira.line.errors import UserError

Row = dict[str, Any]  # facts by name: of a column, or of a batch
PIECE, SAMPLE = 2**20, 2000  # rows read at a time; rows drawn for what needs whole rows
# quantile cells of a numeric column, and the most categories with own codes; more are free text
INTERVALS, CATEGORIES = 250, 10_000
UNSEEN, MISSING = 254, 255  # among the codes of cells, which are kept as one byte each
LARGEST = float(np.finfo(float).max)
KINDS = {  # by kind: Arrow's names of its types, its type in a text file, why it is not compared
    "number": ("u?int|half|float|double|decimal", "number", ""),
    "category": ("(large_)?string(_view)?$|bool", "text", ""),
    "date": ("timestamp|date", "datetime", "dates move on: only missing ones are tested"),
    "empty": ("null", "", "not compared: the reference has no values"),
    "other": ("", "", "not compared: neither numbers, words nor dates"),
    "text": ("", "text", "free text: only missing ones are tested"),  # categories, too many of them
}


class Source:
    """One table: a pandas or an Arrow one, or the path of a Parquet file.

    `rows` is their number, `kinds` the kind of each column by name, `drawn` the numbers of the
    rows in the sample, ascending: at most SAMPLE, always the same ones for as many rows.
    Raises UserError for a table that cannot be read, or names two columns alike.
    """

    def __init__(self, table: Any) -> None:
        called = table if isinstance(table, str | Path) else "the table"
        try:
            if called is table:
                # texts as dictionaries: a tenth of the time
                words = [f.name for f in pq.read_schema(table) if kind_of(f.type) == "category"]
                file = pq.ParquetFile(table, read_dictionary=words)
                self.batches = lambda names: file.iter_batches(PIECE, columns=names)
                self.rows, form = file.metadata.num_rows, file.schema_arrow
            else:
                ready = isinstance(table, pa.Table)
                whole = table if ready else pa.Table.from_pandas(table, preserve_index=False)
                self.batches = lambda names: whole.select(names).to_batches()
                self.rows, form = whole.num_rows, whole.schema
        except (pa.ArrowException, ValueError, TypeError, OverflowError, OSError) as error:
            raise UserError(f"{called} cannot be read as a table: {error.args[-1]}") from None
        if twice := [name for name, n in Counter(form.names).items() if n > 1]:
            raise UserError(f"more than one column is called `{twice[0]}`: rename all but one.")
        self.kinds = {field.name: kind_of(field.type) for field in form}
        draw = np.random.default_rng(self.rows)
        self.drawn = np.sort(draw.choice(self.rows, min(self.rows, SAMPLE), replace=False))

    def pieces(self, name: str) -> Iterator[tuple[pa.Array, pa.Array]]:
        """Read one column piece by piece: the piece, and its rows that are in the sample."""
        start = 0
        for piece in (batch[name] for batch in self.batches([name])):
            here = self.drawn[(self.drawn >= start) & (self.drawn < start + len(piece))] - start
            # pa.array() would import pandas to look at its argument
            at = pa.Array.from_buffers(pa.int64(), len(here), [None, pa.py_buffer(here)])
            yield piece, piece.take(at)
            start += len(piece)

    def sample(self, name: str) -> pa.Array:
        """The cells of one column in the rows of the sample."""
        return pa.chunked_array([drawn for _, drawn in self.pieces(name)]).combine_chunks()


def kind_of(form: pa.DataType) -> str:
    """What the check does with an Arrow type: one of KINDS, the first that it matches."""
    name = str(form.value_type if pa.types.is_dictionary(form) else form)
    return next(kind for kind, (names, *_) in KINDS.items() if re.match(names, name))


def numbers(cells: pa.Array) -> np.ndarray:
    """Cells as float64, missing as NaN."""
    cells = cells.cast(pa.float64(), safe=False)
    # to_numpy() would import pandas
    return np.from_dlpack(cells.fill_null(np.nan) if cells.null_count else cells)


def texts(cells: pa.Array) -> list[str | None]:
    """Cells as text, missing as None."""
    return cells.cast(pa.string()).to_pylist()


def tally(cells: pa.Array) -> Counter[str]:
    """Count the categories of one piece."""
    coded = cells.dictionary_encode()  # of coded cells, themselves
    names = texts(coded.dictionary)
    # a third of the time of Arrow's own value_counts
    counts = np.bincount(np.from_dlpack(coded.indices.drop_null()), minlength=len(names)).tolist()
    return Counter({k: n for k, n in zip(names, counts, strict=True) if n and k is not None})


def describe(source: Source, name: str) -> Row:
    """Fix the cells of one reference column, quantile edges or categories by name; count them."""
    kind, pieces = source.kinds[name], (piece for piece, _ in source.pieces(name))
    entry: Row = {"kind": "empty" if kind in ("category", "number") else kind}
    if kind == "category" and (told := sum(map(tally, pieces), Counter[str]())):
        rare = sum(n == 1 for n in told.values()) > 0.01 * told.total()  # so it is not complete
        entry = {"kind": kind, "cells": sorted(told), "own": len(told) <= INTERVALS and not rare}
        if len(told) > max(INTERVALS, min(told.total() / 2, CATEGORIES)):
            entry = {"kind": "text"}
    elif kind == "number":
        values = np.concatenate([numbers(piece) for piece in pieces])
        values = np.sort(values[np.isfinite(values)])  # numpy's quantile takes longer
        if len(values):
            last = np.ceil(np.linspace(0, 1, INTERVALS + 1) * len(values)).astype(int).clip(1) - 1
            edges = np.unique(values[last]).tolist()
            entry = {"kind": kind, "edges": [float(np.nextafter(edges[0], -LARGEST)), *edges]}
    return entry | count(entry, source, name)


def count(entry: Row, source: Source, name: str) -> Row:
    """Count the cells of `entry` in one column of `source`, as JSON can hold it.

    Returns `rows`, `counts` per cell, `missing`, the `infinite` among them and `unseen` (name to
    count), which add up over pieces, and `sample`: the codes of the rows drawn, in hexadecimal.
    """
    counts, codes = np.zeros(len(entry.get("edges", ())) + 1, np.int64), ""
    told, there, infinite = Counter[str](), 0, 0
    for piece, drawn in source.pieces(name):
        codes += encode(entry, drawn).tobytes().hex()
        if "cells" in entry:
            told += tally(piece)
        elif kind_of(piece.type) == "number":  # of a reference that has none, as well
            # sorting once and finding the edges beats finding each value's cell; NaN comes last
            values = np.sort(numbers(piece))
            low, high, end = np.searchsorted(values, [-LARGEST, np.inf, np.nan])
            upto = np.searchsorted(values[low:high], entry.get("edges", ()), side="right")
            counts += np.diff(upto, prepend=0, append=high - low)
            infinite += int(low + end - high)
        else:
            there += len(piece) - piece.null_count
    missing = source.rows - int(counts.sum()) - there - told.total()
    each = counts.tolist() if "edges" in entry else [told.pop(c, 0) for c in entry.get("cells", ())]
    found = {"rows": source.rows, "counts": each, "sample": codes}
    return found | {"missing": missing, "infinite": infinite, "unseen": told}


def fits(entry: Row, kind: str) -> bool:
    """Whether a column of this kind can be compared with the reference's."""
    return "empty" in (entry["kind"], kind) or entry["kind"].replace("text", "category") == kind


def encode(entry: Row, cells: pa.Array) -> np.ndarray:
    """Number of the cell of each value; it keeps order, and hides the values themselves.

    Of a long list all categories have one code: one that knew how often the reference has a
    category, or that it has it at all, would tell any two samples apart.
    """
    if "edges" in entry:
        x, edges = numbers(cells), entry["edges"]
        return np.where(np.isfinite(x), np.searchsorted(edges, x), MISSING).astype(np.uint8)
    place = {cell: i for i, cell in enumerate(entry["cells"])} if entry.get("own") else {}
    known = texts(cells) if "cells" in entry else [None] * len(cells)
    return np.array([MISSING if x is None else place.get(x, UNSEEN) for x in known], np.uint8)


def decode(entries: Iterable[Row], name: str = "sample") -> np.ndarray:
    """Codes of shape (columns, rows), of columns that hold them in hexadecimal by this name."""
    return np.stack([np.frombuffer(bytes.fromhex(entry[name]), np.uint8) for entry in entries])


def compare(entry: Row, found: Row) -> Iterator[tuple[str, float, dict[str, float]]]:
    """Test a reference column against what was found in a batch.

    Yields what may have changed (`missing`, `distribution`, `unseen`), a p-value, and effect sizes.
    Infinite values count as missing.
    """
    (n, lost), (m, gone) = ((side["rows"], side["missing"]) for side in (entry, found))
    if lost + gone:
        yield "missing", st.rate_p(lost, n, gone, m), {"missing": st.cohens_h(lost / n, gone / m)}
    a, b, unseen = np.array(entry["counts"]), np.array(found["counts"]), found["unseen"].total()
    if not (b.any() or unseen):
        return
    if "edges" in entry:
        tenths = [np.bincount(st.deciles(a), side, 10) for side in (a, b)]
        each = *st.location_scale_p(a, b), st.chi2_p(*st.merge_rare(*tenths))
        # location, scale, shape: a moved level is the drift most often met
        p, sizes = st.cauchy_combination(each, (0.6, 0.2, 0.2)), {"ks": st.ks_distance(a, b)}
    else:
        if unseen or (a == 1).any():
            p = st.unseen_p(a, [*found["unseen"].values()], m - gone) if unseen else 1.0
            yield "unseen", p, {"unseen": unseen / m}
        tenths = a, b = st.merge_rare(a, b, unseen)
        p, sizes = st.chi2_p(a, b), {"total_variation": st.total_variation(a, b)}
    yield "distribution", p, sizes | {"psi": st.psi(*tenths)}
