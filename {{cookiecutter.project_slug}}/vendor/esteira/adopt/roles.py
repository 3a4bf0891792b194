"""Columns that cannot be learnt from: identifiers, constants, free text, numbers with a unit."""

import re
from collections.abc import Iterator

import numpy as np

from esteira.adopt.rules import Cells, Finding, Rule
from esteira.line import table

FEW_ROWS = 20  # below, "every value differs" says nothing
NEARLY_ALL = 0.9  # share of different values from which text is an identifier
IDENTIFIER = re.compile(r"(^|[^a-z])(id|key|uuid|guid|index|idx|nr|no|rowid|instant)$")
WORDS = ("category", "text")
UNIT = re.compile(r"([$€£¥]?) ?[+-]?\d[\d.,' ]*?(|%|[$€£¥]| ?[^\W\d]{1,4})")


def first_finding(cells: Cells) -> tuple[Rule[Cells], Finding] | None:
    """Return the first rule of the table that finds something in this column, with what it found."""
    for rule in RULES:
        for finding in rule.find(cells):
            return rule, finding
    return None


def empty(cells: Cells) -> Iterator[Finding]:
    """No cell is filled."""
    if cells.different == 0:
        yield cells.finding("all cells are missing")


def constant(cells: Cells) -> Iterator[Finding]:
    """The same value in every row."""
    if cells.different == 1 and cells.filled == len(cells.values):
        yield cells.finding(f"constant: always {cells.counts.index[0]!s:.40}")


def row_number(cells: Cells) -> Iterator[Finding]:
    """Whole numbers without gap or repetition."""
    if cells.column.type != "integer" or cells.filled < FEW_ROWS:
        return
    numbers = table.cast(cells.values, cells.column, cells.form).dropna()
    span = numbers.max() - numbers.min() + 1
    if span == cells.different == cells.filled:
        yield cells.finding("counts the rows")


def named_number(cells: Cells) -> Iterator[Finding]:
    """Whole numbers that mostly differ, under a name that means an identifier."""
    if cells.column.type == "integer" and cells.filled >= FEW_ROWS and _named(cells):
        yield cells.finding(f"its name, and {cells.share}")


def unit(cells: Cells) -> Iterator[Finding]:
    """Numbers that all have the same unit, before or behind."""
    if cells.column.type not in WORDS or cells.different <= FEW_ROWS:
        return
    mark = _common_unit(cells.first_words)
    if mark:
        example = cells.counts.index[0]
        yield cells.finding(f"numbers with the unit {mark!r}, as {example!r}: write them without it")


def free_text(cells: Cells) -> Iterator[Finding]:
    """Sentences, nearly each its own."""
    if not _mostly_different(cells):
        return
    blanks = np.mean([word.count(" ") for word in cells.first_words])
    if blanks >= 3:
        yield cells.finding(f"free text: {cells.share}")


def code(cells: Cells) -> Iterator[Finding]:
    """Words, nearly each its own."""
    if not _mostly_different(cells):
        return
    nearly = "" if cells.different == cells.filled else "nearly so: "
    yield cells.finding(nearly + cells.share)


def high_cardinality(cells: Cells) -> Iterator[Finding]:
    """Words with too many different values to be listed."""
    if cells.column.type == "text":
        yield cells.finding(f"high cardinality: {cells.share}")


RULES: tuple[Rule[Cells], ...] = (
    Rule("empty", empty, role="ignored"),
    Rule("constant", constant, role="ignored"),
    Rule("row number", row_number, role="identifier"),
    Rule("named number", named_number, role="identifier"),
    Rule("unit", unit, role="ignored", warning=True),
    Rule("free text", free_text, role="ignored", type="text", warning=True),
    Rule("code", code, role="identifier", type="text"),
    Rule("high cardinality", high_cardinality),
)


def _named(cells: Cells) -> bool:
    """Whether the name means an identifier, and more than half of the cells differ."""
    snake_case = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cells.name).lower()
    return bool(IDENTIFIER.search(snake_case)) and cells.different > 0.5 * cells.filled


def _mostly_different(cells: Cells) -> bool:
    if cells.column.type not in WORDS or cells.filled < FEW_ROWS:
        return False
    return _named(cells) or cells.different >= NEARLY_ALL * cells.filled


def _common_unit(words: list[str]) -> str:
    """Return the one unit that stands before or behind all the numbers, if there is one."""
    units = set()
    for word in words:
        parts = UNIT.fullmatch(word)
        if parts is None:
            return ""
        units.add((parts[1] + parts[2]).strip())
    return units.pop() if len(units) == 1 else ""
