"""The model that is served: where it comes from, what it says, and what is logged of that."""

import gc
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from threadpoolctl import threadpool_limits

from esteira.drift import profile_file
from esteira.drift.records import Profile
from esteira.line import answers
from esteira.line import schema as schemas
from esteira.line.answers import Origin
from esteira.line.errors import UserError
from esteira.line.files import read_json
from esteira.line.predictions import PROBABILITY
from esteira.line.schema import Schema
from esteira.log.writer import Answered, Log
from esteira.repository import model_here, own_code
from esteira.repository.releases import MODEL
from esteira.serve.rows import Rows

EVALUATION = Path("reports/evaluate/metrics.json")


@dataclass(frozen=True)
class Place:
    """Where the files of a model lie."""

    model: Path
    schema: Path
    profile: Path
    release: Path | None  # what `esteira model get` wrote beside them
    card: Path


PROJECT = Place(
    Path(MODEL), Path("schema.yaml"), Path("models/reference.json"), None, Path("reports/card.md")
)


def place_in(folder: Path) -> Place:
    """Return where a folder of `esteira model get` has its files. Raises UserError."""
    if not folder.is_dir():
        raise UserError(
            f"{folder} is no folder: bring a version by `uv run esteira model get VERSION --out"
            f" {folder}`."
        )
    found = Place(
        model=folder / Path(MODEL).name,
        schema=folder / "schema.yaml",
        profile=folder / "reference.json",
        release=folder / "release.json",
        card=folder / "card.md",
    )
    for path in (found.model, found.schema):
        if not path.is_file():
            raise UserError(f"{folder} holds no {path.name}: is it what `esteira model get` wrote?")
    return found


class Said(msgspec.Struct, omit_defaults=True):
    """What the model says of one row."""

    prediction: str | float
    probabilities: dict[str, float] | None = None


class Measured(msgspec.Struct, omit_defaults=True):
    """A metric of the model, with its 95 % interval where that is known."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


class Release(msgspec.Struct):
    """What release.json says, which `esteira model get` writes beside a model."""

    version: str
    tag: str
    commit: str
    date: str
    model: str  # hash
    metrics: list[Measured]


class Facts(msgspec.Struct, omit_defaults=True):
    """What the service tells of its model."""

    model: str  # release, or hash
    data: str  # hash of the rows that it learnt
    task: str
    target: str
    schema: dict[str, Any]  # as schema.yaml has it
    metrics: list[Measured] = []
    version: str = ""  # of a release, as are commit and date
    commit: str = ""
    date: str = ""
    card: str = ""  # in Markdown


@dataclass(frozen=True)
class Asked:
    """One request: its rows, as `Rows` decoded them, and its identifier."""

    rows: list[Any]
    request: str
    logged: bool = True


class LogError(Exception):
    """The log cannot be written, so no answer may be given."""


@dataclass
class Service:
    """A loaded model, and all that is told of it."""

    what: Schema
    origin: Origin
    model: Any
    rows: Rows
    profile: Profile | None
    facts: Facts
    log: Log | None = None
    log_fails: str = ""  # why the last answer could not be logged

    def answer(self, requests: Sequence[Asked]) -> Sequence[list[Said] | Exception]:
        """Answer requests together; one that the model fails on fails alone."""
        try:
            answered = self._ask(requests)
        except Exception as error:  # whatever the squad's code raises
            if len(requests) == 1:
                return [error]
            middle = len(requests) // 2
            return [*self.answer(requests[:middle]), *self.answer(requests[middle:])]
        try:
            self._write(requests, answered)
        except OSError as error:
            self.log_fails = error.strerror or str(error)
            return [
                LogError(self.log_fails) if request.logged and self.log else said
                for request, said in zip(requests, answered, strict=True)
            ]
        self.log_fails = ""
        return answered

    def _ask(self, requests: Sequence[Asked]) -> list[list[Said]]:
        rows = [row for request in requests for row in request.rows]
        found = answers.ask(self.model, self.rows.frame(rows))
        said = _by_row(found)
        parts, start = [], 0
        for request in requests:
            parts.append(said[start : start + len(request.rows)])
            start += len(request.rows)
        return parts

    def _write(self, requests: Sequence[Asked], answered: list[list[Said]]) -> None:
        """Log what will be answered; raises OSError where it cannot be."""
        if self.log is None:
            return
        now = datetime.now(UTC)
        records = []
        for request, said in zip(requests, answered, strict=True):
            if not request.logged:
                continue
            single = len(said) == 1
            for number, (row, one) in enumerate(zip(request.rows, said, strict=True), start=1):
                records.append(
                    Answered(
                        time=now,
                        request=request.request if single else f"{request.request}/{number}",
                        row=row,
                        prediction=one.prediction,
                        probabilities=one.probabilities,
                        reasons="",  # a row that breaks a rule is refused
                        model=self.origin.version,
                        data=self.origin.data,
                    )
                )
        self.log.append(records)


def _by_row(found: dict[str, Any]) -> list[Said]:
    """Return the model's answers row by row."""
    predictions = found[answers.PREDICTION].tolist()
    columns = {
        name.removeprefix(PROBABILITY): values.tolist()
        for name, values in found.items()
        if name.startswith(PROBABILITY)
    }
    if not columns:
        return [Said(prediction) for prediction in predictions]
    names = list(columns)
    odds = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [Said(said, row) for said, row in zip(predictions, odds, strict=True)]


def load(folder: Path | None, log: Path | None) -> Service:
    """Load the model of the project, or of a folder that `esteira model get` wrote.

    Raises UserError where it cannot be loaded, belongs to another schema, or the log cannot be
    written.
    """
    place = PROJECT if folder is None else place_in(folder)
    what = schemas.load(place.schema)
    origin = _origin(place)
    facts = _facts(place, what, origin)
    model = own_code.module("model").load(place.model)
    # On one thread, as the line computes: split over several, last digits depend on their number.
    threadpool_limits(1, user_api="blas")
    return Service(
        what=what,
        origin=replace(origin, version=facts.model),
        model=model,
        rows=Rows(what),
        profile=profile_file.read(place.profile) if place.profile.is_file() else None,
        facts=facts,
        log=Log(log, what) if log is not None else None,
    )


def _origin(place: Place) -> Origin:
    """Say which model it is. Raises UserError where it belongs to another schema."""
    if place.release is None:
        return model_here.origin_of_model()
    mend = "take both from one version, by `uv run esteira model get`"
    return answers.origin_of(place.model, place.schema, mend)


def _facts(place: Place, what: Schema, origin: Origin) -> Facts:
    """Say what the model is. Raises UserError for a release.json that is another model's."""
    facts = Facts(
        model=origin.version,
        data=origin.data,
        task=what.task,
        target=what.target,
        schema=what.model_dump(exclude_defaults=True, mode="json"),
        card=place.card.read_text(encoding="utf-8") if place.card.is_file() else "",
    )
    if place.release is None:
        return msgspec.structs.replace(facts, metrics=_evaluated())
    if not place.release.is_file():
        return facts
    try:
        release = msgspec.json.decode(place.release.read_bytes(), type=Release)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UserError(f"{place.release} cannot be read: {error}") from None
    if release.model != origin.version:
        raise UserError(f"{place.release} is of another model than {place.model}: take both anew.")
    return msgspec.structs.replace(
        facts,
        model=release.tag,
        metrics=release.metrics,
        version=release.version,
        commit=release.commit,
        date=release.date,
    )


def _evaluated() -> list[Measured]:
    """Return the metrics of the project's own model."""
    if not EVALUATION.is_file():
        return []
    return [Measured(name, value) for name, value in read_json(EVALUATION).items()]


def settle() -> None:
    """Let the collector of garbage pass over what is loaded: it stays as long as the process."""
    gc.collect()
    gc.freeze()


def close(service: Service) -> None:
    """End the log."""
    if service.log is not None:
        with suppress(OSError):
            service.log.close()
