"""What a notebook file keeps of a run, found in its own text.

JSON that is read and written again has another indentation, other escapes and other numbers. So
what is to go is cut out of the text, and every other byte stays where it is.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

COUNTS = ("execution_count", "prompt_number")  # of nbformat 4, and of nbformat 3
TRACES = ("execution", "ExecuteTime")  # in a cell's metadata: when it ran
WIDGETS = "widgets"  # in the notebook's metadata: the state that widgets were left in

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


class NotANotebook(ValueError):
    """A text that is not a notebook; says why."""


@dataclass(frozen=True)
class Cut:
    """A part of the text, and what is to stand there instead."""

    start: int
    end: int
    instead: str = ""


@dataclass(frozen=True)
class Kept:
    """What a notebook keeps of a run, in numbers, and its text without that."""

    outputs: int
    counts: int  # of executions
    traces: int  # cells that say when they ran
    widgets: bool  # whether the state of widgets is kept
    clean: str

    def says(self) -> str:
        """Say what there is, such as "3 outputs and 1 execution count"; "" if there is nothing."""
        parts = [
            _counted(self.outputs, "output"),
            _counted(self.counts, "execution count"),
            _counted(self.traces, "time of execution", "times of execution"),
            "the state of widgets" if self.widgets else "",
        ]
        *most, last = [part for part in parts if part] or [""]
        return f"{', '.join(most)} and {last}" if most else last


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}" if number else ""


def look(text: str) -> Kept:
    """Find what a notebook of nbformat 3 or 4 keeps of a run. Raises NotANotebook."""
    _demand_notebook(text)
    cells = [cell for cells in _lists_of_cells(text) for cell in _items(text, cells)]
    outputs = [cut for cell in cells for cut in _outputs(text, cell)]
    counts = [cut for cell in cells for cut in _counts(text, cell)]
    traces = [cut for cell in cells for cut in _of_metadata(text, cell, TRACES)]
    root = _after_space(text, 0)
    widgets = list(_of_metadata(text, root, (WIDGETS,)))
    return Kept(
        outputs=sum(_number_of_outputs(text, cut.start) for cut in outputs),
        counts=len(counts),
        traces=len(traces),
        widgets=bool(widgets),
        clean=_without(text, [*outputs, *counts, *traces, *widgets]),
    )


def _demand_notebook(text: str) -> None:
    """Raise NotANotebook unless the text is JSON with cells where a notebook has them."""
    try:
        content = json.loads(text)
    except RecursionError:
        raise NotANotebook("it is nested too deeply") from None
    except ValueError as error:
        raise NotANotebook(f"it is not valid JSON: {error}") from None
    holders = [content]
    if isinstance(content, dict) and "worksheets" in content:  # nbformat 3
        holders = content["worksheets"]
    if not isinstance(content, dict) or "nbformat" not in content or not _hold_cells(holders):
        raise NotANotebook("it has no list of cells")


def _hold_cells(holders: object) -> bool:
    """Whether this is a list of objects, each with a list of objects as its `cells`."""
    if not _is_list_of_objects(holders):
        return False
    return all(_is_list_of_objects(holder.get("cells")) for holder in holders)


def _is_list_of_objects(value: object) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


# ---- where things stand in the text, which is known to be JSON


@dataclass(frozen=True)
class Member:
    """A name of a JSON object and its value, by their places in the text."""

    name: str
    start: int  # of the name
    value: int
    end: int


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _end(text: str, value: int) -> int:
    return _DECODER.raw_decode(text, value)[1]


def _members(text: str, start: int) -> list[Member]:
    """Return the members of the object at `start`; none for another value."""
    found: list[Member] = []
    if text[start] != "{":
        return found
    place = _after_space(text, start + 1)
    while text[place] != "}":
        name, after_name = _DECODER.raw_decode(text, place)
        value = _after_space(text, _after_space(text, after_name) + 1)  # past the colon
        found.append(Member(name, place, value, _end(text, value)))
        place = _after_comma(text, found[-1].end)
    return found


def _items(text: str, start: int) -> Iterator[int]:
    """Yield the places of the values in the list at `start`; none for another value."""
    if text[start] != "[":
        return
    place = _after_space(text, start + 1)
    while text[place] != "]":
        yield place
        place = _after_comma(text, _end(text, place))


def _after_comma(text: str, place: int) -> int:
    """Return the place of the next name or value, or of the closing bracket."""
    place = _after_space(text, place)
    return _after_space(text, place + 1) if text[place] == "," else place


def _lists_of_cells(text: str) -> list[int]:
    """Return where the lists of cells begin: one, or in nbformat 3 one of each worksheet."""
    holders = [_after_space(text, 0)]
    for member in _members(text, holders[0]):
        if member.name == "worksheets":
            holders += _items(text, member.value)
    members = [member for holder in holders for member in _members(text, holder)]
    return [member.value for member in members if member.name == "cells"]


# ---- what is to go


def _outputs(text: str, cell: int) -> Iterator[Cut]:
    for member in _members(text, cell):
        if member.name == "outputs" and not _is_empty_list(text, member.value):
            yield Cut(member.value, member.end, "[]")


def _is_empty_list(text: str, value: int) -> bool:
    return text[value] == "[" and text[_after_space(text, value + 1)] == "]"


def _number_of_outputs(text: str, value: int) -> int:
    return len(list(_items(text, value))) or 1


def _counts(text: str, cell: int) -> Iterator[Cut]:
    for member in _members(text, cell):
        if member.name in COUNTS and text[member.value : member.end] != "null":
            yield Cut(member.value, member.end, "null")


def _of_metadata(text: str, holder: int, names: tuple[str, ...]) -> Iterator[Cut]:
    """Yield the cuts that take members of these names out of a holder's `metadata`."""
    for member in _members(text, holder):
        if member.name == "metadata":
            yield from _removals(text, member, names)


def _removals(text: str, holder: Member, names: tuple[str, ...]) -> Iterator[Cut]:
    """Yield the cuts that take members out of an object, each with one comma."""
    members = _members(text, holder.value)
    stay = [place for place, member in enumerate(members) if member.name not in names]
    if members and not stay:
        yield Cut(holder.value + 1, holder.end - 1)
        return
    for place, member in enumerate(members):
        if member.name not in names:
            continue
        if place < stay[-1]:
            yield Cut(member.start, members[place + 1].start)
        else:
            yield Cut(members[place - 1].end, member.end)


def _without(text: str, cuts: list[Cut]) -> str:
    """Return the text with its cuts made; they do not overlap."""
    parts, place = [], 0
    for cut in sorted(cuts, key=lambda cut: cut.start):
        parts += [text[place : cut.start], cut.instead]
        place = cut.end
    return "".join([*parts, text[place:]])
