"""How the cells of a raw table are written: tokens for missing, marks in numbers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from esteira.adopt.decisions import Decision
from esteira.adopt.titles import below
from esteira.adopt.units import taken_off, unit_of
from esteira.line.schema import FileFormat

TOKENS = {
    *("?", "na", "n/a", "n.a.", "nan", "null", "<na>", "nil", "unknown", "(blank)"),
    *("#n/a", "#ref!", "#div/0!", "#value!", "#name?", "#num!"),  # a spreadsheet's own
    *("(vazio)", "não informado", "nao informado", "sem informação", "(leer)", "k. a.", "s/d"),
    *("n/d", "s/i"),
}
STARS = re.compile(r"\*+|#{3,}|x{4,}|X{4,}")  # hidden by the source, or too wide for its cell
SOFT_TOKENS = {"-", "--", "---", ".", "..", "*", "none", "missing", "n.d.", "nd"}
MOST = 0.95  # share of cells that must fit a type for the column to have it
COMMON_CLASS = 0.2  # share of rows from which a token in the target is the name of a class
SAMPLE = 200  # different cells of a column, enough to see how its numbers are written
EXPONENT = r"([eE][+-]?\d+)?"


class Marks(NamedTuple):
    """The marks in numbers: 1.234,5 has the decimal mark "," and "." between thousands."""

    decimal: str
    thousands: str | None

    def pattern(self) -> str:
        """Regular expression of a number that `table.cast` reads rightly under these marks."""
        mark = re.escape(self.decimal) if self.thousands or self.decimal == "." else "[.,]"
        plain = rf"(\d+{mark}?\d*|{mark}\d+)"
        if self.thousands:
            plain += rf"|[1-9]\d{{0,2}}({re.escape(self.thousands)}\d{{3}})+({mark}\d+)?"
        return rf"[+-]?({plain}){EXPONENT}"


POINT, COMMA, GROUPED = Marks(".", None), Marks(",", None), Marks(".", ",")
RARER = (
    *(Marks(",", "."), Marks(",", " "), Marks(".", " ")),
    *(Marks(",", "\xa0"), Marks(".", "\xa0"), Marks(".", "'")),
)

Counts = dict[str, pd.Series]  # by column: number of cells by different text
Tokens = dict[str, list[str]]  # by token: the columns in which it stands for missing


@dataclass(frozen=True)
class Conventions:
    """A table whose missing cells are blank, how its cells are written, and what was decided."""

    table: pd.DataFrame
    form: FileFormat
    decisions: list[Decision]
    counts: Counts  # of the text columns, without tokens
    own: dict[str, Marks]  # marks of the columns that have others than the file

    def form_of(self, name: str) -> FileFormat:
        """Return how the cells of one column are written."""
        marks = self.own.get(name)
        if marks is None:
            return self.form
        return self.form.model_copy(update=marks._asdict())


def conventions(raw: pd.DataFrame, form: FileFormat, target: str | None = None) -> Conventions:
    """Find missing-value tokens, the marks in numbers, and notes below; leave tokens and notes out.

    `target` is the name of the column to predict, whose classes are no tokens.
    """
    notes = below(raw)
    raw = notes.table
    texts = [name for name in raw.columns if pd.api.types.is_string_dtype(raw[name])]
    cells = {name: raw[name].value_counts() for name in texts}
    classes = _common_classes(raw[target]) if target else set()
    tokens = _tokens(cells, classes)
    units = {name: _unit(counts, tokens) for name, counts in cells.items()}
    votes = _votes(cells, units, tokens, form)
    marks, why = _most(votes, cells)
    own = _own_marks(votes, marks, units)
    form = form.model_copy(update={"decimal": marks.decimal, "thousands": marks.thousands})
    _add_soft_tokens(tokens, cells, units, form, own)
    decisions = [*notes.decisions, *_about_marks(marks, why), *_about_tokens(tokens, cells)]
    form = form.model_copy(update={"missing": (*form.missing, *tokens), "footer": notes.rows})
    if tokens:
        blanked = {name: raw[name].mask(raw[name].isin(list(tokens))) for name in cells}
        raw = raw.assign(**blanked)
    empty = int(raw.isna().all(axis=1).sum())
    if empty:
        raw = raw.dropna(how="all", ignore_index=True)
        decisions.append(Decision(f"{empty} empty rows are dropped", "no cell has a value"))
    counts = {name: found[~found.index.isin(list(tokens))] for name, found in cells.items()}
    return Conventions(raw, form, decisions, counts, own)


def fits(cells: Iterable[str], pattern: str) -> np.ndarray:
    """Which cells match the whole pattern. (pandas would compile the pattern at each call.)"""
    matches = re.compile(pattern).fullmatch
    words = cells.tolist() if isinstance(cells, pd.Index) else cells
    return np.array([matches(word) is not None for word in words], dtype=bool)


def numeric(cells: Iterable[str], form: FileFormat) -> np.ndarray:
    """Which cells are numbers under the marks of `form`."""
    return fits(cells, Marks(form.decimal, form.thousands).pattern())


def _common_classes(target: pd.Series) -> set[str]:
    """Return the target's values that are too common to stand for missing: "None" is a name."""
    shares = target.value_counts(normalize=True)
    return {str(value) for value, share in shares.items() if share > COMMON_CLASS}


def _tokens(cells: Counts, classes: set[str]) -> Tokens:
    """Find the words that mean missing wherever they stand."""
    found: Tokens = {}
    for name, counts in cells.items():
        for token in counts.index.tolist():
            if token.lower() in TOKENS and token not in classes:
                found.setdefault(token, []).append(name)
    for token, names in _stars(cells).items():
        if token not in classes:
            found.setdefault(token, []).extend(names)
    return found


def _stars(cells: Counts) -> Tokens:
    """Find cells of stars only, save where their number means something: ratings."""
    found: Tokens = {}
    ratings: set[str] = set()
    for name, counts in cells.items():
        stars = counts.index[fits(counts.index, STARS.pattern)].tolist()
        if len(stars) == 1 and len(counts) > 1:
            found.setdefault(stars[0], []).append(name)
        else:
            ratings.update(stars)
    return {token: names for token, names in found.items() if token not in ratings}


def _unit(counts: pd.Series, tokens: Tokens) -> str | None:
    """Return the unit beside a column's numbers, if it has one."""
    words = [word for word in counts.index[:SAMPLE] if word not in tokens]
    return unit_of([word for word in words if word.lower() not in SOFT_TOKENS])


def _add_soft_tokens(
    tokens: Tokens,
    cells: Counts,
    units: dict[str, str | None],
    form: FileFormat,
    own: dict[str, Marks],
) -> None:
    """Add the marks that mean missing only where all other cells of a column are numbers."""
    known = list(tokens)
    for name, counts in cells.items():
        words = counts.index[~counts.index.isin(known)]
        marks = own.get(name, Marks(form.decimal, form.thousands))
        odd = words[~fits(taken_off(words.tolist(), units[name]), marks.pattern())]
        if 0 < len(odd) < len(words) and all(word.lower() in SOFT_TOKENS for word in odd):
            for token in odd:
                tokens.setdefault(token, []).append(name)


def _about_marks(marks: Marks, why: str) -> list[Decision]:
    if marks == POINT:
        return []
    thousands = f", thousands {marks.thousands!r}" if marks.thousands else ""
    what = f"decimal mark {marks.decimal!r}{thousands}"
    return [Decision(what, why, "schema.yaml, file.decimal")]


def _about_tokens(tokens: Tokens, cells: Counts) -> list[Decision]:
    found = []
    for token, names in tokens.items():
        count = sum(int(counts.get(token, 0)) for counts in cells.values())
        seen = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
        where = "schema.yaml, file.missing"
        found.append(Decision(f"missing value {token!r}", f"{count} cells ({seen})", where))
    return found


def _votes(
    cells: Counts, units: dict[str, str | None], tokens: Tokens, form: FileFormat
) -> dict[Marks, list[str]]:
    """Return for each choice of marks, the plainest first, the columns that are numbers by it."""
    likely = (GROUPED, COMMA) if form.delimiter == "," else (COMMA, GROUPED)
    votes: dict[Marks, list[str]] = {choice: [] for choice in (POINT, *likely, *RARER)}
    for name, counts in cells.items():
        words = counts.index[~counts.index.isin(list(tokens))]
        words = [word for word in words[:SAMPLE] if word.lower() not in SOFT_TOKENS]
        words = taken_off(words, units[name])
        whole = fits(words, r"[+-]?\d+").all()  # numbers whatever the marks
        if whole or fits(words, r"[+\-\d.,].*").mean() < MOST:
            continue
        for choice, names in votes.items():
            if fits(words, choice.pattern()).mean() >= MOST:
                names.append(name)
    return votes


def _most(votes: dict[Marks, list[str]], cells: Counts) -> tuple[Marks, str]:
    """Choose the marks under which most columns are numbers; the plainest wins a tie."""
    best = max(votes, key=lambda choice: len(votes[choice]))
    gained = [name for name in votes[best] if name not in votes[POINT]]
    example = f", as `{cells[gained[0]].index[0]}`" if gained else ""
    said = "1 column is a number" if len(gained) == 1 else f"{len(gained)} columns are numbers"
    return best, f"{said} by this mark alone{example}"


def _own_marks(
    votes: dict[Marks, list[str]], of_file: Marks, units: dict[str, str | None]
) -> dict[str, Marks]:
    """Return the marks of columns with a unit that are no numbers by the marks of the file."""
    own: dict[str, Marks] = {}
    for choice, names in votes.items():
        for name in names:
            if units[name] and name not in votes[of_file]:
                own.setdefault(name, choice)
    return own
