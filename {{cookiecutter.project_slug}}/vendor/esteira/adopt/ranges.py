"""What a column may hold: ranges and lists of values, and numbers that stand for missing."""

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

import pandas as pd

from esteira.adopt.decisions import Decision, of_column
from esteira.line.schema import Column, Schema

MOST_CODES = 31  # as many as days in a month: a short range that is full stays as it is
LARGEST = 1e300


@dataclass(frozen=True)
class Sentinel:
    """A number that probably stands for missing: far from all others, and repeated."""

    column: str
    value: float
    token: str  # as it is written in the file
    cells: int
    low: float  # of all others
    high: float

    def decision(self) -> Decision:
        """Say it, and what to write if it is so."""
        why = f"{self.cells} cells, all others are {self.low:g} to {self.high:g}"
        hint = f"if it means missing, add '{self.token}' to file.missing, `missing: true` here"
        what = f"`{self.column}`: {self.token} is kept as a number"
        return Decision(what, f"{why}; {hint}", "schema.yaml, file.missing", warning=True)


@dataclass(frozen=True)
class Bounded:
    """One column with what it may hold, remarks for its line in schema.yaml, and decisions."""

    column: Column
    remarks: list[str]
    decisions: list[Decision]
    sentinel: Sentinel | None = None


def bound(
    name: str, column: Column, raw: pd.Series, typed: pd.Series, rejects: pd.DataFrame
) -> Bounded:
    """Decide what one column may hold, from its raw and typed cells and `table.parse`'s rejects."""
    filled = typed.dropna()
    gaps = len(typed) - len(filled)
    learnt = column.role in ("feature", "target")
    update: dict[str, Any] = {}
    remarks, decisions, sentinel = [], [], None
    lost = rejects.loc[rejects["column"] == name, "value"]
    if len(lost):
        why = f"{len(lost)} cells are not, as {lost.iloc[0]!r:.40}; they count as missing"
        decisions.append(of_column(name, column.type, why, warning=True))
        update["missing"] = True
    elif gaps and column.role == "feature":
        why = f"{len(filled)} of {len(typed)} cells; {gaps} missing"
        decisions.append(of_column(name, column.type, why))
    if column.numeric and len(filled) and (column.unit or column.format):
        decisions.append(_how_read(name, column, raw, filled))
    if column.numeric and learnt and len(filled):
        counts = filled.value_counts().sort_index()
        is_clock = column.format is not None
        update["min"], update["max"] = (0.0, 24.0) if is_clock else _span(counts)
        remarks.append(f"{filled.min():g} to {filled.max():g}")
        sentinel = None if is_clock else find_sentinel(filled, counts, raw)
        if sentinel:
            decisions.append(sentinel.decision())
    elif column.type == "category" and learnt:
        update["allowed"] = tuple(sorted(filled.unique()))
        decisions += written_alike(name, update["allowed"])
    if gaps and len(filled):
        remarks.append(f"{gaps} missing")
    return Bounded(column.model_copy(update=update), remarks, decisions, sentinel)


def written_alike(name: str, categories: tuple[str, ...]) -> list[Decision]:
    """Warn of categories that differ by case, accents or blanks alone, such as `São` and `SAO`."""
    spellings: dict[str, list[str]] = {}
    for category in categories:
        spellings.setdefault(_plain(category), []).append(category)
    alike = [found for found in spellings.values() if len(found) > 1]
    if not alike:
        return []
    example = " and ".join(f"`{category}`" for category in alike[0])
    more = f", and {len(alike) - 1} more" if len(alike) > 1 else ""
    why = f"{example}{more}: write them alike, if they mean the same"
    return [of_column(name, "categories that differ in spelling alone", why, warning=True)]


def _plain(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(bare.split())


def _how_read(name: str, column: Column, raw: pd.Series, filled: pd.Series) -> Decision:
    """Say with an example how cells with a unit, or times of day, are read."""
    written, read = raw[filled.index[0]], filled.iloc[0]
    if column.format:
        what = "time of day, read as hours since midnight"
    else:
        what = f"{column.type} in {column.unit}"
    return of_column(name, what, f"`{written}` is read as {read:.10g}")


def _span(counts: pd.Series) -> tuple[float, float]:
    """Bounds for blunders, not for drift: what was seen, widened by its own width.

    `counts` are the numbers of cells by value, ascending. Codes that fill a short range, such as
    months, keep the range as it is.
    """
    low, high = float(counts.index[0]), float(counts.index[-1])
    full = len(counts) == high - low + 1 <= MOST_CODES
    if full and counts.min() >= 5 and (counts.index % 1 == 0).all():
        return low, high
    width = min(high - low, LARGEST - max(-low, high))
    if width <= 0:  # as large as numbers can be
        return low, high
    lowest = 0.0 if low >= 0 else -_rounded_up(width - low)
    return lowest, _rounded_up(high + width)


def _rounded_up(bound: float) -> float:
    """Round up to two significant digits."""
    if abs(bound) < 1 / LARGEST:
        return max(bound, 0.0)
    step = 10.0 ** (math.floor(math.log10(abs(bound))) - 1)
    return max(bound, float(f"{math.ceil(bound / step) * step:.3g}"))


def find_sentinel(values: pd.Series, counts: pd.Series, written: pd.Series) -> Sentinel | None:
    """Find a repeated lowest or highest value that is far from all others.

    `values` are the filled numbers, `counts` the numbers of cells by value, ascending, and
    `written` the same column as it stands in the file.
    """
    for place in (0, -1):
        value, count = float(counts.index[place]), int(counts.iloc[place])
        others = counts.index[1:] if place == 0 else counts.index[:-1]
        if len(others) < 5 or count < max(5, 0.002 * len(values)):
            continue
        low, high = float(others[0]), float(others[-1])
        if _stands_apart(value, low, high):
            token = str(written[values.index[values == value][0]])
            return Sentinel(str(values.name), value, token, count, low, high)
    return None


def _stands_apart(value: float, low: float, high: float) -> bool:
    """Whether a value is too far from the range of the others to be one of them."""
    gap = low - value if value < low else value - high
    width = high - low
    only_nines = re.fullmatch(r"-?9{2,}", f"{value:g}") is not None and gap > 0.2 * width
    only_negative = value < 0 <= low
    return gap > width or only_nines or only_negative


def kinds(schema: Schema) -> list[Decision]:
    """Say in one line for each type which features have it."""
    found = []
    rules = {"category": "allowed values", "number": "range", "integer": "range"}
    for kind in ("number", "integer", "category", "boolean", "datetime", "text"):
        names = [name for name in schema.features if schema.columns[name].type == kind]
        if not names:
            continue
        seen = ", ".join(names[:6]) + (" …" if len(names) > 6 else "")
        where = "schema.yaml, columns"
        if kind in rules:
            where += f"; {rules[kind]} there too"
        found.append(Decision(f"{kind}, {len(names)} features", seen, where))
    return found
