"""The rows of a request: types made from schema.yaml, and every fault told at once, by field.

A request is decoded and checked in one pass by msgspec (https://jcristharif.com/msgspec/), which
stops at the first fault. Only a request that has one is gone through again, field by field.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pandas as pd
from msgspec import Meta

from esteira.line import table
from esteira.line.schema import Column, Schema
from esteira.log.records import plain

MOST_FAULTS = 100  # told of one request
MOST_ROWS = 10_000  # of one request
MOST_KEPT = 50_000  # dates that are not read twice
BOOLEANS = {**dict.fromkeys(table.TRUE, "true"), **dict.fromkeys(table.FALSE, "false")}
PLAIN_ISO = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")
LONGEST_TEXT = 100_000  # characters of one cell
LONGEST_MOMENT = 100  # characters of a date or a time of day


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
        self._types = {name: type_of(column) for name, column in what.columns.items()}
        self._known_moments: dict[str, dict[str | None, Any]] = {n: {} for n in self._moments}
        tokens = pd.to_numeric(pd.Series(what.file.missing, dtype="str"), errors="coerce")
        self._sentinels = tokens.dropna().tolist()  # numbers that stand for a missing one
        self._known = [n for n, column in what.columns.items() if column.role != "target"]
        self._places = {name: f"f{place}" for place, name in enumerate(self._known)}
        self._checked = [name for name in self.inputs if self._may_be_nothing(name)]
        self.type = self._struct()
        self._one = msgspec.json.Decoder(self.type)
        self._many = msgspec.json.Decoder(list[self.type])  # type: ignore[name-defined]

    def _struct(self) -> Any:
        """Return the type of one row."""
        needed, free = [], []
        for name in self._known:
            kind = self._types[name]
            if self._is_needed(name):
                needed.append((self._places[name], kind))
            else:
                free.append((self._places[name], kind | None, None))
        renamed = {place: name for name, place in self._places.items()}
        return msgspec.defstruct(
            "Row",
            [*needed, *free],
            rename=renamed,
            forbid_unknown_fields=True,
            omit_defaults=True,
            gc=False,
        )

    def _is_needed(self, name: str) -> bool:
        """Whether every row must have a cell of this column."""
        return name in self.inputs and not self.what.columns[name].missing

    def read(self, body: bytes) -> list[Any]:
        """Return the rows of a request: one object, or a list of them.

        Raises RefusedError with all faults of the request.
        """
        is_list = body.lstrip()[:1] == b"["
        try:
            found = _decoded(self._many, body) if is_list else [_decoded(self._one, body)]
        except msgspec.ValidationError as error:
            raise self._refusal(body, str(error)) from None
        if not found:
            raise RefusedError(422, "The list is empty: send at least one row.")
        _require_few(found)
        faults = list(self._empty_or_unread(found))
        if faults:
            raise _refusal_of(faults)
        return found

    def _refusal(self, body: bytes, first: str) -> RefusedError:
        """Go through a refused request again, and return what tells all its faults.

        Raises RefusedError where it is no JSON beyond its first fault.
        """
        value = _decoded(msgspec.json.Decoder(), body)
        rows = value if isinstance(value, list) else [value]
        _require_few(rows)
        sound: dict[int, Any] = {}  # by number of the row, from 1
        faults: list[Fault] = []
        for number, row in enumerate(rows, start=1):
            try:
                sound[number] = msgspec.convert(row, self.type)
            except msgspec.ValidationError:
                faults += self._faults_of(number, row)
            if len(faults) >= MOST_FAULTS:
                break
        numbers = list(sound)
        for fault in self._empty_or_unread(list(sound.values())):
            faults.append(replace(fault, row=numbers[fault.row - 1]))
        faults.sort(key=lambda fault: fault.row)
        return _refusal_of(faults or [Fault(1, "", first)])

    def _faults_of(self, number: int, row: Any) -> Iterable[Fault]:
        if not isinstance(row, dict):
            yield Fault(number, "", "a row must be an object of fields")
            return
        for name in self._known:
            if name not in row:
                problem = "is missing" if self._is_needed(name) else ""
            elif row[name] is None:
                problem = "is null, and may not be missing" if self._is_needed(name) else ""
            else:
                cell = row[name]
                problem = problem_of(cell, self.what.columns[name], self._types[name])
                if not problem and name in self.inputs:
                    problem = next(self._problems_of_cells(name, [cell]), (0, ""))[1]
            if problem:
                yield Fault(number, name, problem)
        for name in row:
            if name not in self._places:
                why = "is what is asked for" if name == self.what.target else "is not known"
                yield Fault(number, str(name), why)

    def _empty_or_unread(self, rows: list[Any]) -> Iterable[Fault]:
        """Tell of cells of the right type that stand for nothing; keep dates that are read."""
        for name in self._checked:
            for number, problem in self._problems_of_cells(name, self._cells(rows, name)):
                yield Fault(number, name, problem)

    def _may_be_nothing(self, name: str) -> bool:
        """Whether a cell of the right type may be no date, or missing where none may be."""
        if name in self._moments:
            return True
        allowed = self.what.columns[name].allowed
        words = self._tokens if allowed is None else self._tokens.intersection(allowed)
        may_be_missing = words if name in self._words else self._sentinels
        return self._is_needed(name) and len(may_be_missing) > 0

    def _problems_of_cells(self, name: str, cells: Sequence[Any]) -> Iterator[tuple[int, str]]:
        """Say what is wrong with cells that have the right type, by their number from 1."""
        is_needed, column = self._is_needed(name), self.what.columns[name]
        places: Sequence[int] = range(len(cells))
        if name in self._moments:
            moments = np.array(self._read_moments(name, cells), dtype=_dtype(column))
            places = np.flatnonzero(pd.isna(moments)).tolist()
        for place in places:
            cell = cells[place]
            if cell is None:
                continue
            if self._stands_for_missing(cell):
                if is_needed:
                    yield place + 1, f"is {_quoted(cell)}, which is missing, and may not be"
            elif name in self._moments:
                yield place + 1, f"{cell!r} is no {_called(column)}"

    def _stands_for_missing(self, cell: Any) -> bool:
        if isinstance(cell, str):
            return cell.strip() in self._tokens
        return cell in self._sentinels

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
        if column.type == "datetime" and column.format is None:
            # The line takes the format of a table's first cell; here that may be another client's.
            column = column.model_copy(update={"format": "ISO8601"})
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
                moments = self._read_moments(name, cells)
                columns[name] = np.array(moments, dtype=_dtype(column))
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


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """Decode a body. Raises RefusedError for no JSON, ValidationError for other types."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(400, f"The body is no JSON: {_reason(error)}.") from None
    except RecursionError:
        raise RefusedError(400, "The body is nested too deeply.") from None


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


def _dtype(column: Column) -> np.dtype[Any]:
    """Return as what the line holds a date, or a time of day."""
    return np.dtype("float64" if column.numeric else "datetime64[us]")


def has_marks(column: Column) -> bool:
    """Whether the format of dates is written in marks such as %d; ISO8601 is a name."""
    return "%" in (column.format or "")


def type_of(column: Column) -> Any:
    """Return the type of a cell in a request, its limits included."""
    if is_a_moment(column):
        return Annotated[str, Meta(max_length=LONGEST_MOMENT)]
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


def problem_of(cell: Any, column: Column, kind: Any) -> str:
    """Say in a few words what is wrong with a cell that is no `kind`; "" where it is one."""
    try:
        msgspec.convert(cell, kind, strict=True)
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
        return f"{_shown(cell)} is too large a number"
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
    return cell if cell is None or isinstance(cell, str) else plain(cell)


def _quoted(cell: Any) -> str:
    """Return a cell as a sentence has it: words between marks, numbers as they are written."""
    return repr(cell) if isinstance(cell, str) else str(_plain(cell))


def _require_few(rows: Sequence[Any]) -> None:
    """Raise RefusedError for more rows than one request may have."""
    if len(rows) > MOST_ROWS:
        raise RefusedError(
            413, f"The request has {len(rows)} rows: send at most {MOST_ROWS} at once."
        )


def _refusal_of(faults: Sequence[Fault]) -> RefusedError:
    """Return what is told of a request with faults."""
    told = faults[:MOST_FAULTS]
    return RefusedError(422, _counted(told), told)


def _counted(faults: Sequence[Fault]) -> str:
    if len(faults) == 1:
        fault = faults[0]
        return f"Row {fault.row}: {fault.field} {fault.problem}.".replace(":  ", ": ")
    more = f"{MOST_FAULTS} or more" if len(faults) >= MOST_FAULTS else str(len(faults))
    return f"{more} fields are wrong; see `faults`."


def _reason(error: Exception) -> str:
    return str(error).removeprefix("JSON is malformed: ").rstrip(".")
