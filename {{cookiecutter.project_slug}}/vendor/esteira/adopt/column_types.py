"""The type that a column's cells show: the first of these rules that knows one decides."""

from collections.abc import Callable

import pandas as pd

from esteira.adopt import dates
from esteira.adopt.cells import MOST, fits, numeric
from esteira.adopt.rules import Cells
from esteira.adopt.units import taken_off, unit_of
from esteira.line import table
from esteira.line.schema import Column

MANY = 50  # categories from which a text column counts as high-cardinality
CODE = r"0\d{2,}|\d{16,}"  # digits that a number would not keep: zeros in front, or too many


def of(cells: Cells, is_time: bool = False) -> Column:
    """Return the column's type, with the format of its dates; `is_time` if the user says it is."""
    for rule in RULES:
        column = rule(cells, is_time)
        if column is not None:
            return column
    return Column(type="category" if cells.different <= MANY else "text")


def empty(cells: Cells, is_time: bool) -> Column | None:
    """No cell is filled: text, for want of any evidence."""
    return Column(type="text") if cells.different == 0 else None


def stored_type(cells: Cells, is_time: bool) -> Column | None:
    """The file itself says it: Parquet and JSON know truth values and dates."""
    if pd.api.types.is_bool_dtype(cells.values):
        return Column(type="boolean")
    if pd.api.types.is_datetime64_any_dtype(cells.values):
        return Column(type="datetime")
    return None


def two_truth_values(cells: Cells, is_time: bool) -> Column | None:
    """Two different cells, one a word for true and one a word for false."""
    words = {str(value).lower() for value in cells.counts.index[:3]}
    both = len(words & table.TRUE) == 1 and len(words & table.FALSE) == 1
    return Column(type="boolean") if len(words) == 2 and both else None


def stored_number(cells: Cells, is_time: bool) -> Column | None:
    """The file itself says that it holds numbers; integers beside gaps arrive as floats."""
    if not pd.api.types.is_numeric_dtype(cells.values):
        return None
    has_gaps = cells.values.isna().any()
    whole = pd.api.types.is_integer_dtype(cells.values)
    whole = whole or bool(has_gaps and (cells.counts.index % 1 == 0).all())
    return Column(type="integer" if whole else "number")


def written_date(cells: Cells, is_time: bool) -> Column | None:
    """Most cells are dates in one format."""
    form = dates.format_of(cells, is_time)
    return Column(type="datetime", format=form) if form else None


def time_of_day(cells: Cells, is_time: bool) -> Column | None:
    """Most cells are times of day: a number of hours."""
    form = dates.time_of_day(cells)
    return Column(type="number", format=form) if form else None


def written_number(cells: Cells, is_time: bool) -> Column | None:
    """Most cells are numbers, with one unit or none, and none is a code that looks like one."""
    unit = unit_of(cells.first_words)
    words = taken_off(cells.counts.index.tolist(), unit)
    is_number = numeric(words, cells.form)
    enough = cells.counts[is_number].sum() >= MOST * cells.filled
    if not enough or fits(words, CODE).any():
        return None
    numbers = [word for word, good in zip(words, is_number, strict=True) if good]
    whole = fits(numbers, r"[+-]?\d+").all()
    return Column(type="integer" if whole else "number", unit=unit)


RULES: tuple[Callable[[Cells, bool], Column | None], ...] = (
    empty,
    stored_type,
    two_truth_values,
    stored_number,
    written_date,
    time_of_day,
    written_number,
)
