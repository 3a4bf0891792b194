"""What the report shows, as records; collect.py fills them, page.html draws them."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from esteira import gate
from esteira.card.measure import Card
from esteira.drift.shown import Shown
from esteira.readiness import Tone
from esteira.standing import Standing

Found = TypeVar("Found")
State = Literal["fresh", "changed", "stale", "new"]


@dataclass(frozen=True)
class Part(Generic[Found]):
    """A part of the page, or why it is not there and what to do."""

    found: Found | None
    why: str = ""


@dataclass(frozen=True)
class Moved:
    """How a metric moved against the base."""

    word: str  # better, worse, within noise, or unchanged
    amount: str  # with its interval

    def says(self) -> str:
        """Say it in a few words."""
        return f"{self.word} {self.amount}".strip()


@dataclass(frozen=True)
class Measured:
    """One metric on the rows held out, beside the base's."""

    name: str
    better: gate.Better
    now: float
    low: float | None  # of its 95 % interval, where the answers are here
    high: float | None
    base: float | None
    moved: Moved | None  # None where it is not compared
    tone: Tone
    must_be: str  # what its gate asks for; "" without one
    refused: str  # why a gate refuses it; "" where none does


@dataclass(frozen=True)
class Curve:
    """Points of one drawing, and those of the base where they differ."""

    title: str
    x: str
    y: str
    now: tuple[tuple[float, float], ...]
    base: tuple[tuple[float, float], ...] = ()
    shares: bool = False  # whether both axes go from 0 to 1
    ideal: str = ""  # what the diagonal stands for, where it is drawn
    level: bool = False  # whether zero is drawn
    dots: bool = False
    of_rows: int = 0  # rows held out, of which the points are some; 0 where they are no rows


@dataclass(frozen=True)
class Confusion:
    """Rows held out by class and by the class that was predicted."""

    classes: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]  # of shape (actual, predicted)


@dataclass(frozen=True)
class Important:
    """What the model's score loses when an input is shuffled."""

    name: str
    loss: float
    spread: float | None  # standard deviation over the repeats


@dataclass(frozen=True)
class Drawings:
    """The model drawn, from the plots that `evaluate` wrote."""

    curves: tuple[Curve, ...]
    confusion: Confusion | None
    importance: tuple[Important, ...]
    importance_of: str  # the score
    importance_rows: int  # that were shuffled; 0 where it is not known


@dataclass(frozen=True)
class Violation:
    """A rule of schema.yaml that rows break."""

    column: str
    rule: str
    rows: int
    examples: str


@dataclass(frozen=True)
class Validation:
    """What `validate` found."""

    rows: int
    kept: int
    violations: tuple[Violation, ...]


@dataclass(frozen=True)
class Candidates:
    """What a search tried: a table, the best first."""

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    scores: tuple[tuple[float, float, float], ...]  # rank, mean score, its spread over the folds
    tried: int


@dataclass(frozen=True)
class Stage:
    """A stage of the line, and where its box stands."""

    name: str
    across: int  # column of the drawing, from 0
    down: int  # place within the column, from 0
    state: State
    when: str  # when its entry of dvc.lock was made


@dataclass(frozen=True)
class Line:
    """The line as a graph."""

    stages: tuple[Stage, ...]
    arrows: tuple[tuple[str, str], ...]
    compared: bool  # whether there is a base


@dataclass(frozen=True)
class Origin:
    """One step from the raw file to the model."""

    what: str
    path: str
    md5: str
    note: str


@dataclass(frozen=True)
class Lineage:
    """Where the model comes from."""

    steps: tuple[Origin, ...]
    commit: str
    dirty: bool
    environment: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Term:
    """A column of the table, as schema.yaml says."""

    name: str
    role: str
    type: str
    unit: str
    description: str
    rules: str
    loss: float | None  # what the model's score loses without it


@dataclass(frozen=True)
class Feature:
    """A feature that `engineer` makes, and what the model makes of it."""

    name: str
    raw: bool  # whether it is a column of the table as it is
    share: float | None  # of all weights


@dataclass(frozen=True)
class Features:
    """The features, and how their weights are told."""

    features: tuple[Feature, ...]
    weights: str  # what the shares are of; "" where the model tells none


@dataclass(frozen=True)
class Report:
    """All of the page."""

    name: str
    made: str  # commit and date
    against: str  # what base it is compared with, or why it is not compared
    compared: bool  # whether some metric is
    standing: Standing
    metrics: tuple[Measured, ...]
    card: Part[Card]
    drawings: Part[Drawings]
    drift: Part[Shown]
    validation: Part[Validation]
    search: Part[Candidates]
    line: Part[Line]
    lineage: Part[Lineage]
    dictionary: tuple[Term, ...]
    features: Part[Features]
