"""The rows of a request: types made from schema.yaml, and every fault told at once, by field.

A request is decoded and checked in one pass by msgspec (https://jcristharif.com/msgspec/), which
stops at the first fault. Only a request that has one is gone through again, field by field.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pandas as pd
from msgspec import Meta

from esteira.line import table
from esteira.line.errors import UserError
from esteira.line.schema import Column, Schema

MOST_FAULTS = 100  # told of one request
MOST_ROWS = 10_000  # of one request
MOST_KEPT = 50_000  # dates that are not read twice
BOOLEANS = {**dict.fromkeys(table.TRUE, "true"), **dict.fromkeys(table.FALSE, "false")}
PLAIN_ISO = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")
LONGEST_TEXT = 100_000  # characters of one cell


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a request."""

    row: int  # from 1
    field: str
    problem: str


class RefusedError(Exception):
    """A request that is not answered: a status of HTTP, a sentence, and the faults by field."""

    def __init__(self, status: int, sentence: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(sentence)
        self.status = status
        self.faults = list(faults)


class Rows:
    """Reads the rows of requests for one schema."""

    def __init__(self, what: Schema) -> None:
        """Make the types."""
        self.what = what
        self.inputs = what.inputs
        self._moments = [n for n in self.inputs if is_a_moment(what.columns[n])]
        words = ("category", "text", "boolean")
        self._words = [n for n in self.inputs if what.columns[n].type in words]
        self._tokens = {token.strip() for token in what.file.missing}
        self._known_moments: dict[str, dict[str | None, Any]] = {n: {} for n in self._moments}
        tokens = pd.to_numeric(pd.Series(what.file.missing, dtype="str"), errors="coerce")
        self._sentinels = tokens.dropna().to_numpy()  # numbers that stand for a missing one
        self._known = [n for n, column in what.columns.items() if column.role != "target"]
        self._places = {name: f"f{place}" for place, name in enumerate(self._known)}
        self.type = self._struct()
        self._one = msgspec.json.Decoder(self.type)
        self._many = msgspec.json.Decoder(list[self.type])  # type: ignore[name-defined]

    def _struct(self) -> Any:
        """Return the type of one row."""
        needed, free = [], []
        for name in self._known:
            column = self.what.columns[name]
            kind = type_of(column)
            if name not in self.inputs or column.missing:
                free.append((self._places[name], kind | None, None))
            else:
                needed.append((self._places[name], kind))
        renamed = {place: name for name, place in self._places.items()}
        return msgspec.defstruct(
            "Row",
            [*needed, *free],
            rename=renamed,
            forbid_unknown_fields=True,
            omit_defaults=True,
            gc=False,
        )

    def read(self, body: bytes) -> list[Any]:
        """Return the rows of a request: one object, or a list of them.

        Raises RefusedError with all faults of the request.
        """
        is_list = body.lstrip()[:1] == b"["
        try:
            found = self._many.decode(body) if is_list else [self._one.decode(body)]
        except msgspec.ValidationError as error:
            raise self._refusal(body, str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RefusedError(400, f"The body is no JSON: {_reason(error)}.") from None
        except RecursionError:
            raise RefusedError(400, "The body is nested too deeply.") from None
        if not found:
            raise RefusedError(422, "The list is empty: send at least one row.")
        if len(found) > MOST_ROWS:
            raise RefusedError(
                413, f"The request has {len(found)} rows: send at most {MOST_ROWS} at once."
            )
        faults = [*self._unread_dates(found), *self._empty_words(found)][:MOST_FAULTS]
        if faults:
            raise RefusedError(422, _counted(faults), faults)
        return found

    def _refusal(self, body: bytes, first: str) -> RefusedError:
        """Go through a refused request again, and tell all its faults."""
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return RefusedError(400, f"The body is no JSON: {_reason(error)}.")
        except RecursionError:
            return RefusedError(400, "The body is nested too deeply.")
        rows = value if isinstance(value, list) else [value]
        faults: list[Fault] = []
        for number, row in enumerate(rows, start=1):
            faults += self._faults_of(number, row)
            if len(faults) > MOST_FAULTS:
                break
        if not faults:
            faults = [Fault(1, "", first)]
        return RefusedError(422, _counted(faults), faults[:MOST_FAULTS])

    def _faults_of(self, number: int, row: Any) -> Iterable[Fault]:
        if not isinstance(row, dict):
            yield Fault(number, "", "a row must be an object of fields")
            return
        for name in self._known:
            column = self.what.columns[name]
            is_needed = name in self.inputs and not column.missing
            if name not in row:
                if is_needed:
                    yield Fault(number, name, "is missing")
            elif row[name] is None:
                if is_needed:
                    yield Fault(number, name, "is null, and may not be missing")
            else:
                problem = problem_of(row[name], column)
                if problem:
                    yield Fault(number, name, problem)
        for name in row:
            if name not in self._places:
                why = "is what is asked for" if name == self.what.target else "is not known"
                yield Fault(number, str(name), why)

    def _unread_dates(self, rows: list[Any]) -> Iterable[Fault]:
        """Tell of dates and times of day that cannot be read as such; keep those that can."""
        for name in self._moments:
            column = self.what.columns[name]
            cells = self._cells(rows, name)
            moments = self._read_moments(name, cells)
            for number, (cell, moment) in enumerate(zip(cells, moments, strict=True), start=1):
                if cell is not None and cell.strip() not in self._tokens and pd.isna(moment):
                    yield Fault(number, name, f"{cell!r} is no {_called(column)}")

    def _read_moments(self, name: str, cells: Sequence[str | None]) -> list[Any]:
        """Return dates (or hours) of texts, missing ones as such; each text is read once."""
        known = self._known_moments[name]
        try:
            return [known[cell] for cell in cells]
        except KeyError:
            pass
        if len(known) > MOST_KEPT:
            known = self._known_moments[name] = {}
        column = self.what.columns[name]
        missing: Any = np.nan if column.numeric else np.datetime64("NaT", "us")
        known[None] = missing
        new = [cell for cell in dict.fromkeys(cells) if cell is not None and cell not in known]
        plain = [cell for cell in new if is_plain_iso(cell, column)]
        known |= {cell: np.datetime64(cell.replace(" ", "T"), "us") for cell in plain}
        others = [cell for cell in new if cell not in known]
        if others:
            text = table.plain_cells(pd.Series(others, dtype="str"), self.what.file)
            read = table.cast(text, column, self.what.file)
            known |= dict(zip(others, read.to_numpy(), strict=True))
        return [known[cell] for cell in cells]

    def _empty_words(self, rows: list[Any]) -> Iterable[Fault]:
        """Tell of words that stand for a missing cell where none may be missing."""
        for name in self._words:
            if self.what.columns[name].missing:
                continue
            for number, cell in enumerate(self._cells(rows, name), start=1):
                if isinstance(cell, str) and cell.strip() in self._tokens:
                    yield Fault(number, name, f"is {cell!r}, which is missing, and may not be")

    def _cells(self, rows: list[Any], name: str) -> list[Any]:
        place = self._places[name]
        return [getattr(row, place) for row in rows]

    def frame(self, rows: list[Any]) -> pd.DataFrame:
        """Return rows as the table that the model is asked with: the line's own types."""
        columns: dict[str, Any] = {}
        fields = self.type.__struct_fields__
        by_field = dict(
            zip(fields, zip(*map(msgspec.structs.astuple, rows), strict=True), strict=True)
        )
        for name in self.inputs:
            cells = by_field[self._places[name]]
            column = self.what.columns[name]
            if name in self._moments:
                kind = np.float64 if column.numeric else "datetime64[us]"
                columns[name] = np.array(self._read_moments(name, cells), dtype=kind)
            elif column.numeric:
                numbers = np.array(cells, dtype=np.float64)
                if len(self._sentinels):
                    numbers = np.where(np.isin(numbers, self._sentinels), np.nan, numbers)
                columns[name] = numbers
            else:
                columns[name] = pd.array(self._plain_words(cells, column), dtype="str")
        return pd.DataFrame(columns)

    def _plain_words(self, cells: Sequence[Any], column: Column) -> list[str | None]:
        """Return cells of words as the line has them; see `table.plain_cells` and `table.cast`."""
        words = [_plain(cell) for cell in cells]
        if column.allowed is None or column.type == "boolean":
            stripped = (None if word is None else word.strip() for word in words)
            words = [None if word in self._tokens else word for word in stripped]
        if column.type == "boolean":
            return [None if word is None else BOOLEANS.get(word.lower()) for word in words]
        return words

    def as_given(self, row: Any) -> dict[str, Any]:
        """Return the cells of one row by the columns' names; those that are missing left out."""
        return msgspec.to_builtins(row)

    def replaced(self, row: Any, name: str, cell: Any) -> Any:
        """Return a row with one cell changed."""
        return msgspec.structs.replace(row, **{self._places[name]: cell})

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema of one row, for OpenAPI."""
        return msgspec.json.schema(self.type)["$defs"]["Row"]


def is_a_moment(column: Column) -> bool:
    """Whether a cell is written as a date, or as a time of day."""
    return column.type == "datetime" or is_time_of_day(column)


def is_plain_iso(text: str, column: Column) -> bool:
    """Whether a text is a date that numpy reads as pandas does, and in a tenth of the time."""
    if column.type != "datetime" or has_marks(column):
        return False
    if not PLAIN_ISO.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)  # the 31st of February is none, nor is the year 0
    except ValueError:
        return False
    return True


def is_time_of_day(column: Column) -> bool:
    """Whether a number is written as a time of day."""
    return column.numeric and column.format is not None


def has_marks(column: Column) -> bool:
    """Whether the format of dates is written in marks such as %d; ISO8601 is a name."""
    return "%" in (column.format or "")


def type_of(column: Column) -> Any:
    """Return the type of a cell in a request, its limits included."""
    if is_a_moment(column):
        return Annotated[str, Meta(max_length=LONGEST_TEXT)]
    if column.numeric:
        limits: dict[str, Any] = {}
        if column.min is not None:
            limits["ge"] = column.min
        if column.max is not None:
            limits["le"] = column.max
        if column.type == "integer":
            limits["multiple_of"] = 1
        return Annotated[float, Meta(**limits)] if limits else float
    if column.allowed is not None:
        return _one_of([*column.allowed, *_codes(column.allowed)])
    if column.type == "boolean":
        return bool | _one_of([*dict.fromkeys(_booleans()), 0, 1])
    return Annotated[str, Meta(max_length=LONGEST_TEXT)] | int | float


def _one_of(values: Sequence[str | int]) -> Any:
    """Return the type of a cell that holds one of some values."""
    literal: Any = Literal  # a checker of types wants the values spelt out
    return literal[tuple(values)]


def _codes(allowed: Sequence[str]) -> list[int]:
    """Return the categories that are written in whole numbers, which JSON may well have as such."""
    return [int(word) for word in allowed if re.fullmatch(r"-?\d{1,15}", word)]


def _booleans() -> list[str]:
    words = sorted(table.TRUE | table.FALSE)
    return [
        *words,
        *(word.capitalize() for word in words if word.isalpha()),
        *map(str.upper, words),
    ]


def problem_of(cell: Any, column: Column) -> str:
    """Say in a few words what is wrong with a cell that is there; "" where nothing is."""
    try:
        msgspec.convert(cell, type_of(column), strict=True)
    except msgspec.ValidationError:
        pass
    else:
        return ""
    if column.numeric and not is_time_of_day(column):
        if isinstance(cell, bool) or not isinstance(cell, int | float):
            return f"{_shown(cell)} is no number"
        if column.type == "integer" and cell != int(cell):
            return f"{cell} is no whole number"
        if column.min is not None and cell < column.min:
            return f"{cell} is below {column.min:g}"
        if column.max is not None and cell > column.max:
            return f"{cell} is above {column.max:g}"
        return f"{cell} is too large a number"
    if column.allowed is not None:
        return f"{_shown(cell)} is none of {', '.join(column.allowed[:20])}"
    if isinstance(cell, str) and column.type != "boolean":
        return f"a text of {len(cell)} characters is too long"
    return f"{_shown(cell)} is no {_called(column)}"


def _called(column: Column) -> str:
    """Name the kind of cells of a column."""
    if is_time_of_day(column):
        return f"time of day as {column.format}"
    if column.type == "datetime":
        return f"date as {column.format}" if has_marks(column) else "date"
    return "text" if column.type in ("text", "category") else column.type


def _shown(cell: Any) -> str:
    """Show a cell in a sentence, cut where it is long."""
    try:
        text = json.dumps(cell, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = type(cell).__name__
    return text if len(text) <= 60 else f"{text[:59]}…"


def _plain(cell: Any) -> str | None:
    """Return a cell of words as text; a number among them as a file would have it."""
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return str(cell).lower()
    return str(int(cell)) if cell == int(cell) else str(cell)


def _counted(faults: Sequence[Fault]) -> str:
    if len(faults) == 1:
        fault = faults[0]
        return f"Row {fault.row}: {fault.field} {fault.problem}.".replace(":  ", ": ")
    more = f"{MOST_FAULTS} or more" if len(faults) >= MOST_FAULTS else str(len(faults))
    return f"{more} fields are wrong; see `faults`."


def _reason(error: Exception) -> str:
    return str(error).removeprefix("JSON is malformed: ").rstrip(".")


def require_answerable(what: Schema) -> None:
    """Raise UserError for a schema whose requests could not be told apart."""
    odd = [name for name in what.columns if not name.strip()]
    if odd:
        raise UserError("schema.yaml has a column without a name: name it.")
