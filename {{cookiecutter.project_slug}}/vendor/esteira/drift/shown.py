"""What the drift page shows, as a record: made of a check, kept as JSON, drawn by section.html.

It is kept so that the project's report can show the check without the batch it was made of.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from esteira.drift.bars import Bar, Bars, bars_of
from esteira.drift.check import Checked
from esteira.drift.records import (
    Absent,
    Against,
    ChangedPair,
    Judged,
    JudgedColumn,
    Kind,
    MeasuredConcept,
    Role,
    Segment,
    TooLittleOverlap,
)
from esteira.drift.say import remarks
from esteira.drift.verdicts import BY_ACTION, KEEP, RETRAIN, Action, Verdict
from esteira.line.errors import UserError
from esteira.line.files import significant, write_text

PAIRS, SEGMENTS = 10, 10  # shown
CERTAIN = 1e-4  # a chance below which a change is called certain
DIGITS = 6
SCALES = {
    "ks": "KS",
    "psi": "PSI",
    "total_variation": "total variation",
    "missing": "missing (Cohen's h)",
    "unseen": "unseen categories",
}

State = Literal["drifted", "small", "chance", "untested"]
Tone = Literal["good", "look", "bad", "none"]


@dataclass(frozen=True)
class Limit:
    """A size beside the limit from which on it is drift, and where that limit is set."""

    scale: str
    size: float
    limit: float
    where: str


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    role: Role
    kind: Kind
    state: State
    sure: str  # certain, likely, or ""
    says: str
    reliance: float | None  # share of all importance that is this feature's, 0 to 1
    effect: float  # in units of its limit
    limits: tuple[Limit, ...]
    missing: Bar
    drawn: Bars


@dataclass(frozen=True)
class Tile:
    """One of the few figures that come first."""

    name: str
    value: str
    note: str
    tone: Tone = "none"


@dataclass(frozen=True)
class Shown:
    """All that the page shows of one check."""

    title: str
    action: Action
    advice: str
    reasons: tuple[str, ...]
    error: str
    notes: tuple[str, ...]
    tiles: tuple[Tile, ...]
    columns: tuple[Column, ...]  # drifted first, by how much the model relies on them
    pairs: tuple[ChangedPair, ...]
    segments: tuple[Segment, ...]
    figures: tuple[tuple[str, float], ...]

    __pydantic_config__ = ConfigDict(extra="forbid")

    @property
    def verdict(self) -> Verdict:
        """What the check concludes."""
        return BY_ACTION[self.action]

    @property
    def tone(self) -> Tone:
        """How the verdict is to be taken."""
        if self.action == KEEP.action:
            return "good"
        return "look" if self.action == RETRAIN.action else "bad"

    @property
    def drifted(self) -> list[Column]:
        """The columns that are shown large."""
        return [column for column in self.columns if column.state == "drifted"]

    @property
    def others(self) -> list[Column]:
        """The columns that one table shows."""
        return [column for column in self.columns if column.state != "drifted"]


def shown(found: Checked, title: str) -> Shown:
    """Say what the page shows of a check."""
    judged = found.judged
    total = sum(max(x.measured.reference.importance or 0.0, 0.0) for x in judged.features)
    columns = [*judged.columns, *([judged.prediction] if judged.prediction else [])]
    order = sorted(columns, key=_place)
    return Shown(
        title=title,
        action=found.verdict.action,
        advice=found.told.advice,
        reasons=found.told.reasons,
        error=found.told.error,
        notes=found.told.notes,
        tiles=tuple(_tiles(judged)),
        columns=(*_absent(judged), *(_column(column, total) for column in order)),
        pairs=judged.pairs[:PAIRS],
        segments=judged.segments[:SEGMENTS],
        figures=tuple(found.metrics.known().items()),
    )


def _place(column: JudgedColumn) -> tuple[float, ...]:
    """Order columns: what drifted, by how much the model relies on it; then by effect."""
    hint = column.measured.role == "prediction"  # and no alarm
    weight = (column.measured.reference.importance or 0.0) if column.drifted else 0.0
    return (-column.drifted, hint, -weight, -column.significant, -column.effect)


def _column(column: JudgedColumn, total: float) -> Column:
    measured = column.measured
    importance = measured.reference.importance
    known = importance is not None and total > 0
    bars = bars_of(column)
    before, now = measured.reference.counted.missing_share, measured.batch.missing_share
    return Column(
        name=measured.name,
        role=measured.role,
        kind=measured.reference.kind,
        state=_state(column),
        sure=_sure(column),
        says=remarks(column),
        reliance=significant(max(importance or 0.0, 0.0) / total, 3) if known else None,
        effect=significant(column.effect, 3),
        limits=tuple(_limits(column)),
        missing=_rounded(Bar("missing", before, now)),
        drawn=replace(bars, bars=tuple(map(_rounded, bars.bars))),
    )


def _absent(judged: Judged) -> list[Column]:
    """Return the columns that the batch lacks, which were not measured."""
    absent = [fault.column for fault in judged.measured.faults if isinstance(fault, Absent)]
    return [
        Column(
            name=name,
            role="feature",
            kind="empty",
            state="untested",
            sure="",
            says="absent from the batch",
            reliance=None,
            effect=0.0,
            limits=(),
            missing=Bar("missing", 0.0, 1.0),
            drawn=Bars(),
        )
        for name in absent
    ]


def _rounded(bar: Bar) -> Bar:
    return Bar(bar.label, significant(bar.reference, DIGITS), significant(bar.batch, DIGITS))


def _state(column: JudgedColumn) -> State:
    if not column.measured.comparisons:
        return "untested"
    if column.drifted:
        return "drifted"
    return "small" if column.significant else "chance"


def _sure(column: JudgedColumn) -> str:
    if not column.significant:
        return ""
    return "certain" if column.p < CERTAIN else "likely"


def _limits(column: JudgedColumn) -> list[Limit]:
    """Return the sizes that are sure, the largest effect first, one for each scale."""
    largest: dict[str, Against] = {}
    for found in sorted(column.against, key=lambda found: found.effect):
        if found.aspect in column.sure:
            largest[found.scale] = found
    ordered = sorted(largest.values(), key=lambda found: -found.effect)
    return [
        Limit(
            SCALES[found.scale],
            significant(found.size, 3),
            significant(found.limit, 3),
            _where(found),
        )
        for found in ordered
    ]


def _where(found: Against) -> str:
    if found.usual:
        return "set by itself: by so much parts of the training data differ from each other"
    return f"`drift_check.{found.scale}`"


# ---- tiles


def _tiles(judged: Judged) -> list[Tile]:
    measured = judged.measured
    drifted = sum(column.drifted for column in judged.features)
    columns = f"{drifted} of {len(judged.features)}"
    none = "no change is both certain and large"
    drift = Tile("Columns drifted", columns, "" if drifted else none, "look" if drifted else "good")
    if judged.data_drift and not drifted:
        drift = Tile("Columns drifted", columns, "of the inputs; see what did above", "look")
    if measured.faults:
        drift = Tile("Columns drifted", "not known", "the batch cannot be used")
    return [
        Tile(
            "Rows", f"{measured.rows_current:,}", f"compared with {measured.rows_reference:,} rows"
        ),
        drift,
        _error_tile(judged),
        _concept_tile(judged),
    ]


def _error_tile(judged: Judged) -> Tile:
    name, measured = "Model error", judged.measured
    match measured.concept:
        case MeasuredConcept() as concept:
            value = f"{significant(concept.loss_observed, 3):g}"
            note = (
                f"{measured.loss_name};"
                f" {significant(concept.loss_expected, 3):g} expected of such inputs,"
                f" {significant(concept.loss_reference, 3):g} on the holdout"
            )
            return Tile(name, value, note, "bad" if judged.concept_drift else "good")
        case TooLittleOverlap() as concept:
            before = f"{significant(concept.loss_reference, 3):g} on the holdout"
            note = f"{measured.loss_name}; {before}"
            return Tile(name, f"{significant(concept.loss_current, 3):g}", note, "look")
    expected = measured.expected
    if expected is not None:
        note = "of the answers are expected to be wrong, by the model's own probabilities"
        return Tile(name, f"{1 - expected.accuracy:.1%}", note)
    return Tile(name, "not known", _why_not(judged))


def _concept_tile(judged: Judged) -> Tile:
    name = "Concept"
    match judged.measured.concept:
        case MeasuredConcept():
            if judged.concept_drift:
                return Tile(name, "drifted", "the model errs more than its inputs explain", "bad")
            return Tile(name, "holds", "the model errs as much as its inputs explain", "good")
        case TooLittleOverlap(support=support):
            return Tile(name, "not known", f"only {support:.0%} of the batch is like the holdout")
    return Tile(name, "not known", _why_not(judged))


def _why_not(judged: Judged) -> str:
    measured = judged.measured
    if measured.faults:
        return "the batch cannot be used"
    if measured.lacking:
        return f"it needs {' and '.join(measured.lacking)}"
    return "too few rows have a label and an answer"


# ---- the file


@cache
def adapter() -> TypeAdapter[Shown]:
    """What turns the record into JSON and back."""
    return TypeAdapter(Shown)


def write(path: str | Path, record: Shown) -> None:
    """Write the record."""
    write_text(path, adapter().dump_json(record).decode() + "\n")


def read(path: str | Path) -> Shown:
    """Read the record. Raises UserError where it is absent or of another version."""
    try:
        return adapter().validate_json(Path(path).read_bytes())
    except (OSError, ValidationError):
        raise UserError(
            f"{path} is absent or of another version: run `uv run dvc repro drift_check`."
        ) from None
