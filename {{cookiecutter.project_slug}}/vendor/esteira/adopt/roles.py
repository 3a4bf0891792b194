"""Columns that cannot be learnt from: identifiers, constants, free text, lists."""

import json
import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from esteira.adopt import dates
from esteira.adopt.rules import Cells, Finding, Rule
from esteira.adopt.units import MONEY, SHARE, units_of
from esteira.line import table

FEW_ROWS = 20  # below, "every value differs" says nothing
NEARLY_ALL = 0.9  # share of different values from which text is an identifier
IDENTIFIER = re.compile(
    r"(^|[^a-z])(id|ids|key|uuid|guid|index|idx|nr|no|rowid|instant|code|codigo|código|cod|matricula"
    r"|matrícula|cpf|cnpj|nummer|kennung|protocolo|serial|ref)\d*$"
)
WORDS = ("category", "text")
REPEATS = 10  # that chance would make among whole numbers in their range; none means codes
LONG = 7  # digits, from which whole numbers of one length are rather codes than amounts
IN_ORDER = 0.95  # rank correlation with the row number: what rises row by row is measured
NEARLY_EMPTY = 0.05
NESTED = 0.95  # share of cells that hold lists or objects


def first_finding(cells: Cells) -> tuple[Rule[Cells], Finding] | None:
    """Return the first rule of the table that sees something in this column, and its finding."""
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
    unique = cells.different == cells.filled >= FEW_ROWS
    if cells.column.type != "integer" or not unique:
        return
    numbers = table.cast(cells.values, cells.column, cells.form).dropna()
    span = numbers.max() - numbers.min() + 1
    if span == cells.filled:
        yield cells.finding("counts the rows")


def named_number(cells: Cells) -> Iterator[Finding]:
    """Whole numbers that mostly differ, under a name that means an identifier."""
    if cells.column.type == "integer" and cells.filled >= FEW_ROWS and _named(cells):
        yield cells.finding(f"its name, and {cells.share}")


def unordered_code(cells: Cells) -> Iterator[Finding]:
    """Whole numbers that never repeat, though chance would make them, and in no order."""
    unique = cells.different == cells.filled >= FEW_ROWS
    is_time = dates.clock(cells) is not None
    if cells.column.type != "integer" or cells.column.unit or not unique or is_time:
        return
    numbers = table.cast(cells.values, cells.column, cells.form).dropna().reset_index(drop=True)
    span = numbers.max() - numbers.min() + 1
    by_chance = len(numbers) * (len(numbers) - 1) / 2 / span  # the birthday problem
    lengths = numbers.abs().astype("int64").astype("str").str.len()
    long = lengths.nunique() == 1 and lengths.iloc[0] >= LONG and len(numbers) >= 50
    if by_chance < REPEATS and not long:
        return
    in_order = abs(numbers.rank().corr(pd.Series(numbers.index))) > IN_ORDER
    if not in_order:
        yield cells.finding(
            f"unique codes in no order, {numbers.min():.0f} to {numbers.max():.0f}; if it measures"
            " something, make it a feature"
        )


def nameless(cells: Cells) -> Iterator[Finding]:
    """A column without a name, in which hardly a cell is filled."""
    unnamed = re.fullmatch(r"column_\d+|Unnamed: \d+(\.\d+)?", cells.name)
    if unnamed and cells.form.header and cells.filled <= NEARLY_EMPTY * len(cells.values):
        yield cells.finding(f"it has no name, and {cells.filled} of {len(cells.values)} cells")


def nested(cells: Cells) -> Iterator[Finding]:
    """Lists, or objects of no common form, in cells."""
    if cells.column.type not in WORDS:
        return
    words = [str(word) for word in cells.first_words]
    likely = [word for word in words if word[:1] in "[{" and word[-1:] in "]}"]
    if len(likely) < NESTED * len(words):
        return
    kinds = {_json_kind(word) for word in likely}
    if None not in kinds:
        what = " or ".join(sorted(filter(None, kinds)))
        yield cells.finding(f"{what}, as `{words[0]:.40}`: make columns of what they hold")


def mixed_units(cells: Cells) -> Iterator[Finding]:
    """Numbers with more than one unit."""
    if cells.column.type not in WORDS or cells.different <= FEW_ROWS:
        return
    words = [str(word) for word in cells.first_words]
    units = sorted(units_of(words))
    money = [unit for unit in units if re.fullmatch(f"{SHARE}|{MONEY}", unit)]
    if len(units) > 1 and money == units:
        yield cells.finding(f"numbers in {', '.join(units)}: write them in one unit")


def mixed_dates(cells: Cells) -> Iterator[Finding]:
    """Dates in more than one format."""
    if cells.column.type not in WORDS or cells.different < 2:
        return
    said = dates.in_several_formats(cells)
    if said:
        yield cells.finding(said)


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
    Rule("nameless", nameless, role="ignored"),
    Rule("constant", constant, role="ignored"),
    Rule("row number", row_number, role="identifier"),
    Rule("unordered code", unordered_code, role="identifier"),
    Rule("named number", named_number, role="identifier"),
    Rule("nested", nested, role="ignored", type="text", warning=True),
    Rule("mixed units", mixed_units, role="ignored", type="text", warning=True),
    Rule("mixed dates", mixed_dates, role="ignored", type="text", warning=True),
    Rule("free text", free_text, role="ignored", type="text", warning=True),
    Rule("code", code, role="identifier", type="text"),
    Rule("high cardinality", high_cardinality),
)


def snake_case(name: str) -> str:
    """Write customerID as customer_id."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _named(cells: Cells) -> bool:
    """Whether the name means an identifier, and more than half of the cells differ."""
    return bool(IDENTIFIER.search(snake_case(cells.name))) and cells.different > 0.5 * cells.filled


def _mostly_different(cells: Cells) -> bool:
    if cells.column.type not in WORDS or cells.filled < FEW_ROWS:
        return False
    return _named(cells) or cells.different >= NEARLY_ALL * cells.filled


def _json_kind(word: str) -> str | None:
    """Tell lists from objects; None for what is no JSON, or neither."""
    try:
        value = json.loads(word)
    except (ValueError, RecursionError):
        return None
    return {list: "lists", dict: "objects"}.get(type(value))
