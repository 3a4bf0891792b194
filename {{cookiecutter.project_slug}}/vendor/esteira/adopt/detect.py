"""Decide from a raw table what each of its columns is: pure functions, decisions as data."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from esteira.adopt import column_types, dates, leaks, ranges, roles, target, time_column
from esteira.adopt.cells import Conventions, conventions
from esteira.adopt.decisions import Decision, of_column
from esteira.adopt.relations import Related, relate
from esteira.adopt.rules import Cells
from esteira.line import table
from esteira.line.errors import UserError
from esteira.line.nearest import closest
from esteira.line.schema import Column, FileFormat, Schema

MOST_LINES_ABOVE = 5  # a header that is not the first line


@dataclass(frozen=True)
class Asked:
    """What the user said of the table; None is for adopt to decide."""

    target: str
    time: str | None = None
    task: str | None = None
    positive: str | None = None


@dataclass(frozen=True)
class Found:
    """What was decided: the schema, a remark for some columns, and every decision to print."""

    schema: Schema
    notes: dict[str, str]
    decisions: list[Decision]
    group: str | None  # the column whose rows are held out together
    raw: pd.DataFrame  # as ingest will read it: tokens, notes and empty rows are left out
    typed: pd.DataFrame  # the same with the schema's types
    rejects: pd.DataFrame  # cells that could not have their type, see `table.parse`


@dataclass(frozen=True)
class Guess:
    """One column as its cells show it, with what speaks for that."""

    cells: Cells  # typed
    column: Column  # with the role that a rule set
    evidence: str = ""
    warning: bool = False

    @property
    def aside(self) -> bool:
        """Whether the column is no feature."""
        return self.column.role != "feature"


def detect(raw: pd.DataFrame, form: FileFormat, asked: Asked) -> Found:
    """Decide the schema of a raw table (text cells, or typed ones from Parquet and JSON).

    Raises UserError where the line could not run: unknown or useless target or time, no rows,
    no usable feature.
    """
    _require_columns(raw, form, asked)
    written = conventions(raw, form, asked.target)
    raw, form = written.table, written.form
    if raw[asked.target].count() == 0:
        raise UserError(f"the target `{asked.target}` is missing in all {len(raw)} rows.")
    guesses = {name: guess(written, name, name == asked.time) for name in raw.columns}
    time, about_time = _time(guesses, asked)
    wanted = target.decide(guesses[asked.target].cells, asked.task, asked.positive)
    columns = {name: found.column for name, found in guesses.items()}
    columns[asked.target] = wanted.column
    if time:
        columns[time] = columns[time].model_copy(update={"role": "time"})
    columns = {
        name: column.model_copy(update={"missing": bool(raw[name].isna().any())})
        for name, column in columns.items()
    }
    schema = _schema(wanted, form, columns)
    typed, rejects = table.parse(raw, schema)
    bounded = {
        name: ranges.bound(name, column, raw[name], typed[name], rejects)
        for name, column in schema.columns.items()
    }
    columns = {name: part.column for name, part in bounded.items()}
    schema = schema.model_copy(update={"columns": columns})
    related = relate(typed, schema)
    sentinels = [part.sentinel for part in bounded.values() if part.sentinel]
    leaking = leaks.set_aside(_without(sentinels, typed), related.schema)
    anchors = {asked.target, time}
    decisions = [
        *written.decisions,
        *_header_like_data(raw, form),
        *about_time,
        *_put_aside(guesses, related, anchors),
        *_rows_left_out(raw, anchors),
        *target.remarks(typed[schema.target].dropna(), schema),
        *(decision for part in bounded.values() for decision in part.decisions),
        *ranges.kinds(leaking.schema),
        *related.decisions,
        *leaking.decisions,
    ]
    notes = _notes(guesses, bounded, anchors) | related.remarks | leaking.remarks
    return Found(leaking.schema, notes, decisions, related.group, raw, typed, rejects)


def _without(sentinels: list[ranges.Sentinel], typed: pd.DataFrame) -> pd.DataFrame:
    """Return the typed table with the numbers that probably mean missing blanked out.

    A column would seem to tell the target where both have such a number in the same rows.
    """
    blanked = {
        sentinel.column: typed[sentinel.column].mask(typed[sentinel.column] == sentinel.value)
        for sentinel in sentinels
    }
    return typed.assign(**blanked)


def guess(written: Conventions, name: str, is_time: bool = False) -> Guess:
    """Guess type and role of one column whose missing tokens are blanked out."""
    counted = Cells.of(written.table[name], written.form_of(name), written.counts.get(name))
    column = column_types.of(counted, is_time)
    if column.unit and name in written.own:
        column = column.model_copy(update=written.own[name]._asdict())
    cells = counted.typed(column)
    first = roles.first_finding(cells)
    if first is None:
        return Guess(cells, column)
    rule, finding = first
    return Guess(cells, rule.set(column), finding.evidence, rule.warning)


def _require_columns(raw: pd.DataFrame, form: FileFormat, asked: Asked) -> None:
    """Raise UserError for a table without rows, or without the columns that the user named."""
    if raw.empty:
        raise UserError("the table has a header and no rows: there is nothing to learn from.")
    for name in filter(None, (asked.target, asked.time)):
        if name in raw:
            continue
        hints = [f" Perhaps {decision.evidence}." for decision in _header_like_data(raw, form)]
        hints.append(_header_below(raw, form, name))
        known = closest(name, list(raw.columns))
        raise UserError(f"the table has no column `{name}`: {known}{''.join(hints)}")
    if asked.target == asked.time:
        raise UserError(f"`{asked.target}` cannot be both target and time: choose one.")


def _header_below(raw: pd.DataFrame, form: FileFormat, name: str) -> str:
    """Say which of the first rows names a column; "" where none does."""
    places = np.flatnonzero((raw.head(MOST_LINES_ABOVE) == name).any(axis=1))
    if not len(places):
        return ""
    line = form.skip + 2 + places[0]  # the first row's is the one below the header's
    return f" Line {line} names it: is the header there? Take away what stands above it."


def _header_like_data(raw: pd.DataFrame, form: FileFormat) -> list[Decision]:
    """Warn where the names look like a row of data."""
    if not form.header:
        return []
    numbers = [name for name in raw.columns if re.fullmatch(r"[+-]?\d+([.,]\d+)?(\.\d+)?", name)]
    words = [name for name in raw.columns if name not in numbers and raw[name].dtype == "str"]
    repeated = [name for name in words if (raw[name] == name).any()]
    like_data = [*numbers, *repeated]
    if len(like_data) < max(2, 0.5 * raw.shape[1]):
        return []
    why = (
        f"the names {', '.join(like_data[:3])} look like data: if the file has no header, say"
        " --no-header, and its columns are column_1, column_2 …"
    )
    return [Decision("the first line is the header", why, "schema.yaml, file.header", warning=True)]


def _time(guesses: dict[str, Guess], asked: Asked) -> time_column.Choice:
    labelled = guesses[asked.target].cells.values.notna()
    if asked.time is not None:
        return time_column.confirm(guesses[asked.time].cells, labelled)
    candidates = [
        found.cells
        for name, found in guesses.items()
        if name != asked.target and not found.aside and _can_be_time(found)
    ]
    return time_column.choose(candidates, labelled)


def _can_be_time(found: Guess) -> bool:
    """Whether a column has dates, or numbers that count time since 1970."""
    return found.column.type == "datetime" or dates.clock(found.cells) is not None


def _put_aside(guesses: dict[str, Guess], related: Related, but: set[str | None]) -> list[Decision]:
    """Say which columns are no features, and why: by themselves, or beside another column."""
    found = []
    for name, seen in guesses.items():
        if name in but or name == related.group:
            continue
        column = related.schema.columns[name]
        why = [seen.evidence if seen.aside else "", related.equal.get(name, "")]
        if any(why):
            evidence = "; ".join(filter(None, why))
            found.append(of_column(name, column.role, evidence, seen.aside and seen.warning))
    return found


def _rows_left_out(raw: pd.DataFrame, anchors: set[str | None]) -> list[Decision]:
    """Say how many rows lack the target or the time, without which no stage can use them."""
    found = []
    for name in raw.columns:
        gaps = int(raw[name].isna().sum())
        if gaps and name in anchors:
            why = f"`{name}` is missing in {gaps} of {len(raw)} rows"
            found.append(Decision(f"{gaps} rows are left out", why, warning=True))
    return found


def _schema(wanted: target.Target, form: FileFormat, columns: dict[str, Column]) -> Schema:
    try:
        return Schema(task=wanted.task, positive=wanted.positive, file=form, columns=columns)
    except ValueError:
        name = next(name for name, column in columns.items() if column.role == "target")
        raise UserError(
            f"no column is left to learn `{name}` from: the others are constant, empty,"
            " identifiers or dates."
        ) from None


def _notes(
    guesses: dict[str, Guess], bounded: dict[str, ranges.Bounded], anchors: set[str | None]
) -> dict[str, str]:
    """Return the remark that stands beside each column in schema.yaml."""
    notes = {}
    for name, found in guesses.items():
        own = [found.evidence] if name not in anchors or not found.aside else []
        remark = ", ".join(text for text in (*own, *bounded[name].remarks) if text)
        if remark:
            notes[name] = remark
    return notes
