"""The page where a person fills in a row, and sees the answer and what moved it."""

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from jinja2 import Environment, StrictUndefined

from esteira.drift.records import ReferenceColumn
from esteira.line.schema import Column
from esteira.serve.rows import has_marks, is_time_of_day
from esteira.serve.service import Said, Service

MOST_CHOICES = 50
HERE = Path(__file__).parent

Cell = str | float | None


@dataclass(frozen=True)
class Field:
    """One field of the form."""

    name: str
    kind: str  # number, choice or text
    hint: str  # what it may hold, in words
    required: bool
    usual: Cell  # the median, or the commonest: what the form is filled in with
    low: float | None = None
    high: float | None = None
    whole: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """The page, and the headers that go with it."""

    html: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Variant:
    """A row with one input put to its usual value."""

    name: str
    was: Cell
    usual: Cell
    row: Any


class Moved(msgspec.Struct):
    """What one input did: `difference` is the answer as it is, less the answer with `usual`."""

    input: str
    value: str | float | None
    usual: str | float | None
    difference: float


class Explained(msgspec.Struct):
    """An answer, and what moved it, the most first."""

    answer: Said
    of: str  # what the differences are of
    moved: list[Moved]


def render(service: Service) -> Page:
    """Return the page of a model. Scripts and styles run from it alone, by their hashes."""
    script = (HERE / "page.js").read_text(encoding="utf-8")
    style = (HERE / "page.css").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string((HERE / "page.html").read_text(encoding="utf-8"))
    form = fields(service)
    html = template.render(
        model=service.origin.version,
        target=service.what.target,
        measured=_measured,
        fields=form,
        metrics=service.facts.metrics,
        released=service.facts.date,
        script=script,
        style=style,
    )
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}';"
        " connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return Page(html, {"Content-Security-Policy": policy, "Cache-Control": "no-store"})


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _measured(value: float) -> str:
    return f"{value:.4g}"


def fields(service: Service) -> list[Field]:
    """Return the form's fields, in the table's order."""
    usual = usual_values(service)
    return [_field(n, service.what.columns[n], usual.get(n)) for n in service.what.inputs]


def _field(name: str, column: Column, usual: Cell) -> Field:
    optional = "" if not column.missing else "; may be left empty"
    required = not column.missing
    if column.type == "datetime" or is_time_of_day(column):
        written = column.format if has_marks(column) else "2026-11-26 09:30"
        hint = f"written as {written}{optional}"
        # A profile keeps no commonest date: the form begins with today, where one must be given.
        example = today(column) if usual is None and required else usual
        return Field(name, "text", hint, required, example)
    if column.numeric:
        whole = column.type == "integer"
        kind = "a whole number" if whole else "a number"
        hint = f"{kind}{_range(column.min, column.max)}{optional}"
        return Field(name, "number", hint, required, usual, column.min, column.max, whole)
    choices = column.allowed or (("true", "false") if column.type == "boolean" else ())
    if choices and len(choices) <= MOST_CHOICES:
        return Field(name, "choice", f"one of {len(choices)}{optional}", required, usual,
                     choices=tuple(choices))  # fmt: skip
    return Field(name, "text", f"text{optional}", required, usual)


def today(column: Column) -> str:
    """Return this morning as a column has its dates or times of day."""
    morning = datetime.now(UTC).replace(hour=9, minute=30, second=0, microsecond=0, tzinfo=None)
    return morning.strftime((column.format or "") if has_marks(column) else "%Y-%m-%d %H:%M")


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if low is not None:
        return f" from {low:g} on"
    return f" up to {high:g}" if high is not None else ""


def usual_values(service: Service) -> dict[str, Cell]:
    """Return the median of each number and the commonest of each category that was learnt."""
    if service.profile is None:
        return {}
    found: dict[str, Cell] = {}
    for reference in service.profile.features:
        column = service.what.columns.get(reference.name)
        if column is not None:
            usual = _usual(reference, column)
            if usual is not None:
                found[reference.name] = usual
    return found


def _usual(reference: ReferenceColumn, column: Column) -> Cell:
    counts = np.array(reference.counted.counts)
    if not counts.sum():
        return None
    if reference.kind == "category":
        return reference.cells.categories[int(counts.argmax())]
    if reference.kind != "number" or column.type == "datetime":
        return None
    edges = reference.cells.edges
    cell = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    median = float(edges[min(max(cell, 0), len(edges) - 1)])
    median = float(f"{median:.6g}")
    if column.type == "integer":
        median = float(round(median))
    if column.min is not None:
        median = max(median, column.min)
    if column.max is not None:
        median = min(median, column.max)
    if not is_time_of_day(column):
        return median
    seconds = round(median * 3600)
    moment = {"%H": seconds // 3600, "%M": seconds % 3600 // 60, "%S": seconds % 60}
    text = column.format or ""
    for mark, number in moment.items():
        text = text.replace(mark, f"{number:02d}")
    return text


def variants(service: Service, row: Any) -> list[Variant]:
    """Return the row with each input put to its usual value, one at a time."""
    given = service.rows.as_given(row)
    found = []
    for name, usual in usual_values(service).items():
        if name in service.what.inputs and given.get(name) != usual:
            changed = service.rows.replaced(row, name, usual)
            found.append(Variant(name, given.get(name), usual, changed))
    return found


def explained(service: Service, said: list[Said], changed: list[Variant]) -> Explained:
    """Say what each input did, from the answers to a row and to its variants."""
    answer, *others = said
    name = ""
    if answer.probabilities is not None:
        name = service.what.positive or str(answer.prediction)
    before = _number(answer, name)
    moved = [
        Moved(variant.name, variant.was, variant.usual, float(f"{before - _number(s, name):.6g}"))
        for variant, s in zip(changed, others, strict=True)
    ]
    moved.sort(key=lambda each: -abs(each.difference))
    of = f"the probability of {name}" if name else service.what.target
    return Explained(answer, of, moved)


def _number(said: Said, name: str) -> float:
    """Return what is compared: the probability of a class, or the predicted number."""
    return float((said.probabilities or {}).get(name, 0.0)) if name else float(said.prediction)
