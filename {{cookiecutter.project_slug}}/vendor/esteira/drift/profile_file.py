"""A profile in its file: written whole, and read like a report from a stranger.

A file that was cut, edited by hand or made up must never let a batch pass. So it may not be large,
every field has its type and its range, and what can be counted twice must agree.
"""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from esteira.drift.columns import INTERVALS, MOST_CATEGORIES
from esteira.drift.dates import CELLS, LARGEST
from esteira.drift.records import Calendar, Cells, Counted, Followed, Profile, ReferenceColumn
from esteira.drift.source import ROWS_IN_SAMPLE
from esteira.line.errors import UserError
from esteira.line.files import write_text

VERSION = 7
MOST_BYTES = 256 * 2**20
MADE_BY = "`uv run dvc repro` makes it"


class UnbelievableProfile(ValueError):
    """What contradicts itself in a profile, in half a sentence."""


class ForeignVersion(ValueError):
    """The profile is of another version of the toolbox."""


@cache
def adapter() -> TypeAdapter[Profile]:
    """What turns profiles into JSON and back, checking every type."""
    return TypeAdapter(Profile)


def to_json(profile: Profile) -> str:
    """A profile as JSON, on one line."""
    return adapter().dump_json(profile, exclude_defaults=True).decode() + "\n"


def from_json(text: str | bytes) -> Profile:
    """A profile from JSON. Raises ValueError for anything else."""
    profile = adapter().validate_json(text, strict=True)
    if profile.version != VERSION:
        raise ForeignVersion(f"version {profile.version}, not {VERSION}")
    for fault in faults_of(profile):
        raise UnbelievableProfile(fault)
    return profile


def write(path: str | Path, profile: Profile) -> None:
    """Write a profile, whole or not at all."""
    write_text(path, to_json(profile))


def read(path: str | Path) -> Profile:
    """Read a profile. Raises UserError if it is absent, outdated or not to be believed."""
    file = Path(path)
    foreign = f"{path} is absent or no profile of this version: {MADE_BY}."
    try:
        if file.stat().st_size > MOST_BYTES:
            raise UserError(f"{path} is too large to be a profile: {MADE_BY} anew.")
        text = file.read_bytes()
    except OSError:
        raise UserError(foreign) from None
    try:
        return from_json(text)
    except ForeignVersion:
        raise UserError(foreign) from None
    except UnbelievableProfile as error:
        fault = str(error)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["loc"] in ((), ("version",)):
            raise UserError(foreign) from None
        place = ".".join(map(str, first["loc"]))
        fault = f"`{place}`: {first['msg'].lower()}"
    raise UserError(f"{path} cannot be believed ({fault}): {MADE_BY} anew.")


# ---- what must agree


def faults_of(profile: Profile) -> Iterator[str]:
    """What contradicts itself in a profile."""
    names = [column.name for column in profile.watched]
    if not profile.features:
        yield "it has no feature"
    if len({*names}) < len(names):
        yield "two columns have one name"
    for column in profile.watched:
        if column.counted.rows != profile.rows:
            yield f"`{column.name}` has not as many rows as the profile"
        yield from faults_of_column(column)
    followed = profile.followed
    answered = len(followed.residuals) if followed else 0
    for feature in profile.features:
        if len(feature.holdout_codes) != answered:
            yield f"`{feature.name}` has not as many codes of the holdout as there are residuals"
    if followed:
        if profile.target is None:
            yield "it follows a model and has no target"
        yield from faults_of_column(followed.prediction)
        yield from faults_of_answers(followed)


def faults_of_column(column: ReferenceColumn) -> Iterator[str]:
    """What contradicts itself in one column."""
    name, cells, counted = column.name, column.cells, column.counted
    yield from (f"`{name}` {fault}" for fault in faults_of_cells(cells))
    has_cells = cells.kind in ("number", "category")
    number_of_cells = {"number": len(cells.edges) + 1, "category": len(cells.categories)}
    if len(counted.counts) != number_of_cells.get(cells.kind, 0):
        yield f"`{name}` has not one count for each cell"
    there = sum(counted.counts)
    if has_cells and (there + counted.missing != counted.rows or not there):
        yield f"the counts of `{name}` do not add up to its rows"
    if counted.missing > counted.rows or counted.infinite > counted.missing:
        yield f"`{name}` has more missing rows than rows"
    if counted.unseen:
        yield f"`{name}` has categories that it never saw"
    if len(counted.codes) != min(counted.rows, ROWS_IN_SAMPLE):
        yield f"`{name}` has not one code for each row of the sample"
    if counted.calendar:
        found = faults_of_calendar(counted.calendar, counted)
        yield from (f"`{name}` {fault}" for fault in found)


def faults_of_cells(cells: Cells) -> Iterator[str]:
    """What contradicts itself in the cells of one column."""
    if bool(cells.edges) != (cells.kind == "number"):
        yield "has edges that its kind has not, or none"
    if bool(cells.categories) != (cells.kind == "category"):
        yield "has categories that its kind has not, or none"
    if len(cells.edges) > INTERVALS + 2 or len(cells.edges) == 1:
        yield "has too many edges, or too few"
    most = INTERVALS if cells.own_codes else MOST_CATEGORIES
    if len(cells.categories) > most:
        yield "has too many categories"
    edges_ascend = all(left < right for left, right in pairwise(cells.edges))
    categories_ascend = all(left < right for left, right in pairwise(cells.categories))
    if not (edges_ascend and categories_ascend):
        yield "has cells that do not ascend"


def faults_of_calendar(calendar: Calendar, counted: Counted) -> Iterator[str]:
    """What contradicts itself in the dates of one column."""
    if not -LARGEST <= calendar.first <= calendar.last <= LARGEST:
        yield "has dates that do not ascend"
    for part, cells in CELLS.items():
        rows = getattr(calendar, part)
        if len(rows) != cells or not 0 < sum(rows) <= counted.rows - counted.missing:
            yield f"has not one count for each {part}, or more than it has rows"


def faults_of_answers(followed: Followed) -> Iterator[str]:
    """What contradicts itself in the answers of the model that is followed."""
    residuals, probabilities = followed.residuals, followed.probabilities
    if followed.positive is None:
        if probabilities:
            yield "it has probabilities of no class"
        return
    if len(probabilities) != len(residuals):
        yield "it has not one probability for each residual"
    if any(not 0 <= probability <= 1 for probability in probabilities):
        yield "it has probabilities beyond 0 and 1"
    if any(abs(residual) > 1 for residual in residuals):
        yield "it has residuals of probabilities beyond 1"
