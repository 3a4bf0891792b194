"""How the cells of a raw table are written: tokens for missing, marks in numbers."""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from esteira.adopt.sniff import Decision
from esteira.line.schema import FileFormat

TOKENS = {"?", "na", "n/a", "n.a.", "nan", "null", "#n/a", "<na>", "nil", "unknown", "(blank)"}
SOFT_TOKENS = {"-", "--", "---", ".", "..", "*", "none", "missing", "n.d.", "nd"}
MOST = 0.95  # share of cells that must fit a type for the column to have it
EXPONENT = r"([eE][+-]?\d+)?"


def conventions(
    raw: pd.DataFrame, form: FileFormat, target: str | None = None
) -> tuple[pd.DataFrame, FileFormat, list[Decision]]:
    """Find missing-value tokens and the marks in numbers; blank the tokens out of the table."""
    cells = {n: raw[n].value_counts() for n in raw if pd.api.types.is_string_dtype(raw[n])}
    shares = raw[target].value_counts(normalize=True) if target else pd.Series(dtype=float)
    kept = {str(v) for v, share in shares.items() if share > 0.2}  # of a class, "None" is a name
    where: dict[str, list[str]] = {}
    for name, counts in cells.items():
        for token in counts.index.tolist():
            if token.lower() in TOKENS and token not in kept:
                where.setdefault(token, []).append(name)
    decimal, thousands, evidence = _marks(cells, where, form)
    form = form.model_copy(update={"decimal": decimal, "thousands": thousands})
    for name, counts in cells.items():
        words = counts.index[~counts.index.isin(list(where))]
        odd = words[~numeric(words, form)]
        if 0 < len(odd) < len(words) and all(w.lower() in SOFT_TOKENS for w in odd):
            for token in odd:
                where.setdefault(token, []).append(name)
    decisions = []
    if (decimal, thousands) != (".", None):
        mark = f"decimal mark {decimal!r}" + (f", thousands {thousands!r}" if thousands else "")
        decisions.append(Decision(mark, evidence, "schema.yaml, file.decimal"))
    for token, names in where.items():
        count = sum(int(cells[n].get(token, 0)) for n in cells)
        seen = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
        what = f"missing value {token!r}"
        decisions.append(Decision(what, f"{count} cells ({seen})", "schema.yaml, file.missing"))
    form = form.model_copy(update={"missing": (*form.missing, *where)})
    if where:
        raw = raw.assign(**{n: raw[n].mask(raw[n].isin(list(where))) for n in cells})
    empty = int(raw.isna().all(axis=1).sum())
    if empty:
        raw = raw.dropna(how="all", ignore_index=True)
        decisions.append(Decision(f"{empty} empty rows are dropped", "no cell has a value"))
    return raw, form, decisions


def _pattern(decimal: str, thousands: str | None) -> str:
    """Regular expression of a number that `table.cast` reads rightly under these marks."""
    mark = re.escape(decimal) if thousands or decimal == "." else "[.,]"
    plain = rf"(\d+{mark}?\d*|{mark}\d+)"
    if thousands:
        plain += rf"|[1-9]\d{{0,2}}({re.escape(thousands)}\d{{3}})+({mark}\d+)?"
    return rf"[+-]?({plain}){EXPONENT}"


def fits(cells: Iterable[str], pattern: str) -> np.ndarray:
    """Which cells match the whole pattern. (pandas would compile the pattern at each call.)"""
    whole = re.compile(pattern).fullmatch
    words = cells.tolist() if isinstance(cells, pd.Index) else cells
    return np.array([whole(word) is not None for word in words], dtype=bool)


def numeric(cells: pd.Index, form: FileFormat) -> np.ndarray:
    """Which cells are numbers under the marks of `form`."""
    return fits(cells, _pattern(form.decimal, form.thousands))


def _marks(
    cells: dict[str, pd.Series], tokens: dict[str, list[str]], form: FileFormat
) -> tuple[str, str | None, str]:
    """Choose the marks under which most columns are numbers; the plainest wins a tie."""
    comma, grouped = (",", None), (".", ",")
    choices: list[tuple[str, str | None]] = [(".", None)]
    choices += [grouped, comma] if form.delimiter == "," else [comma, grouped]
    choices += [(",", "."), (",", " "), (".", " "), (",", "\xa0"), (".", "\xa0"), (".", "'")]
    votes: dict[tuple[str, str | None], list[str]] = {choice: [] for choice in choices}
    for name, counts in cells.items():
        words = counts.index[~counts.index.isin(list(tokens))]
        words = [w for w in words[:200] if w.lower() not in SOFT_TOKENS]
        plain = fits(words, r"[+-]?\d+").all()  # these are numbers whatever the marks
        if plain or fits(words, r"[+\-\d.,].*").mean() < MOST:
            continue
        for choice in choices:
            if fits(words, _pattern(*choice)).mean() >= MOST:
                votes[choice].append(name)
    best = max(choices, key=lambda choice: len(votes[choice]))
    gained = [name for name in votes[best] if name not in votes[choices[0]]]
    example = f", as `{cells[gained[0]].index[0]}`" if gained else ""
    said = "1 more column is a number" if len(gained) == 1 else f"{len(gained)} more are numbers"
    return *best, f"{said} that way{example}"
