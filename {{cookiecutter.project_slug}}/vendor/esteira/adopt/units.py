"""Marks that stand beside numbers: a currency, per cent, a unit of measurement."""

import re

import pandas as pd

from esteira.line.table import without_unit

SIGNS = "$€£¥¢₹₽₩₺₪₫₴₦₱₿฿₡₲₵₸₼₾₮₭"
CURRENCIES = (
    *("USD", "EUR", "BRL", "GBP", "CHF", "JPY", "INR", "PLN", "SEK", "NOK", "DKK", "CZK", "HUF"),
    *("RUB", "TRY", "ZAR", "MXN", "ARS", "CLP", "COP", "AUD", "CAD", "NZD", "CNY", "Rs", "kr"),
    *("Fr", "RM", "Rp"),
)
CODES = "|".join(rf"{code}\.?" for code in CURRENCIES)
MONEY = rf"[A-Za-z]{{0,3}}[{SIGNS}]|{CODES}"
SHARE = "[%‰]"
LETTERS = r"[^\W\d_]{1,4}[²³]?|°[CF]"
BLANK = r"[ \xa0\u202f]?"
NUMBER = r"[+-]?(?:\d[\d.,'’ \xa0\u202f]*\d|\d)"
WRITTEN = re.compile(
    rf"\(?[+-]?{BLANK}(?P<before>{MONEY})?{BLANK}{NUMBER}"
    rf"{BLANK}(?P<behind>{SHARE}|{MONEY}|{LETTERS})?\)?"
)
MOST = 0.95  # share of cells that must be numbers, with or without the unit
USUALLY = 0.5  # share of them that must bear it
FEW_WORDS = 20  # different cells, up to which letters behind numbers rather make codes


def units_of(words: list[str]) -> set[str]:
    """Return the units of cells that nearly all are numbers with a unit; of others none."""
    found = [_unit(word) for word in words]
    numbers = [unit for unit in found if unit is not None]
    borne = [unit for unit in numbers if unit]
    if not words or len(numbers) < MOST * len(words) or len(borne) < USUALLY * len(numbers):
        return set()
    return set(borne)


def unit_of(words: list[str]) -> str | None:
    """Return the one unit of a column, from its different cells."""
    units = units_of(words)
    if len(units) != 1:
        return None
    (unit,) = units
    only_letters = re.fullmatch(LETTERS, unit) and not re.fullmatch(MONEY, unit)
    if only_letters and len(words) <= FEW_WORDS:
        return None
    return unit


def is_number(word: str) -> bool:
    """Whether a cell is a number, with or without a unit."""
    return _unit(word) is not None


def taken_off(words: list[str], unit: str | None) -> list[str]:
    """Return the numbers without their unit, as `table.cast` reads them."""
    if unit is None:
        return words
    return without_unit(pd.Series(words, dtype="str"), unit).tolist()


def _unit(word: str) -> str | None:
    """Return the unit of one cell, "" for a number without one, None for any other cell."""
    parts = WRITTEN.fullmatch(word)
    if parts is None or (parts["before"] and parts["behind"]):
        return None
    return parts["before"] or parts["behind"] or ""
