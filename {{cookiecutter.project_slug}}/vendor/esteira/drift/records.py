"""What the drift check knows and finds, as records.

First what is stored of a reference (`Profile`), then what each of the three steps returns:
`Measured` by measure.py, `Judged` by judge.py and `Told` by say.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from esteira.drift.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd  # not where small batches are checked: it takes half a second

Kind = Literal["number", "category", "date", "empty", "other", "text"]
Role = Literal["feature", "target", "prediction"]
DatePart = Literal["hour", "weekday", "month"]
Aspect = Literal["missing", "distribution", "unseen", "hour", "weekday", "month"]  # what may change
Need = Literal["labels", "predictions"]  # for concept drift to be told
Rows = Annotated[int, Field(ge=0, le=2**53)]
Size = Annotated[float, Field(ge=0)]

# in a profile's file, bytes are text of base64, numbers finite, and a field not known is an error
IN_A_FILE = {
    "ser_json_bytes": "base64",
    "val_json_bytes": "base64",
    "allow_inf_nan": False,
    "extra": "forbid",
}


# ---- the reference


@dataclass(frozen=True)
class Sizes:
    """How large a change of one column is, on each scale that fits the column; else None."""

    ks: Size | None = None
    psi: Size | None = None
    total_variation: Size | None = None
    missing: Size | None = None
    unseen: Size | None = None

    __pydantic_config__ = IN_A_FILE


@dataclass(frozen=True)
class Calendar:
    """Rows of a column of dates by hour of the day, weekday (from Monday) and month.

    They lie between `first` and `last`, in seconds from 1970 on.
    """

    first: int
    last: int
    hour: tuple[Rows, ...]
    weekday: tuple[Rows, ...]
    month: tuple[Rows, ...]

    __pydantic_config__ = IN_A_FILE


@dataclass(frozen=True)
class Counted:
    """Rows of one column, counted in the reference's cells.

    `counts` and `unseen` are of rows that are neither missing nor infinite, and add up over parts
    of a table. `codes` are the cells of the rows in the sample, one byte each.
    """

    rows: Rows
    missing: Rows  # the infinite ones among them
    infinite: Rows
    counts: tuple[Rows, ...]  # one per cell; none where the reference has no cells
    codes: bytes
    unseen: Mapping[str, Rows] = field(default_factory=dict)  # rows by category never seen before
    calendar: Calendar | None = None  # of dates, where there are any

    __pydantic_config__ = IN_A_FILE

    @property
    def missing_share(self) -> float:
        """Share of the rows that are missing, 0 to 1."""
        return self.missing / self.rows

    @property
    def unseen_rows(self) -> int:
        """Rows with a category that the reference never had."""
        return sum(self.unseen.values())


@dataclass(frozen=True)
class Cells:
    """The cells that a column's values are counted in.

    Those of numbers are intervals: up to the first edge, between each two, beyond the last; a value
    at an edge lies below it. Those of categories are the categories. Other kinds have none.
    """

    kind: Kind
    edges: tuple[float, ...] = ()  # ascending
    categories: tuple[str, ...] = ()  # ascending
    own_codes: bool = False  # whether each category has a code of its own, or all share one

    __pydantic_config__ = IN_A_FILE


@dataclass(frozen=True)
class ReferenceColumn:
    """One column of the reference: its cells, and how many of its rows lie in each."""

    name: str
    cells: Cells
    counted: Counted
    holdout_codes: bytes = b""  # as `counted.codes`, of the rows that `Followed` tells of
    usual: Sizes = Sizes()  # what blocks of a time series differ by anyway
    importance: float | None = None  # what the model's score loses without it, where it is known

    __pydantic_config__ = IN_A_FILE

    @property
    def kind(self) -> Kind:
        """What the column holds."""
        return self.cells.kind


@dataclass(frozen=True)
class Followed:
    """How the model does on rows that it has not learnt from."""

    prediction: ReferenceColumn
    positive: str | None  # the class that predictions are probabilities of; else None
    residuals: tuple[float, ...]  # one per row of the holdout's sample, see concept.residuals
    probabilities: tuple[float, ...] = ()  # of these rows, where `positive` is a class

    __pydantic_config__ = IN_A_FILE


@dataclass(frozen=True)
class UsualChanges:
    """What blocks of a time series differ by anyway, beside its columns; 0 where not calibrated."""

    correlation: float = 0.0
    auc: float = 0.0
    loss: float = 0.0
    block_rows: int = 0  # rows of the smallest block

    __pydantic_config__ = IN_A_FILE


@dataclass(frozen=True)
class Profile:
    """All that a batch is compared with, so that the training data can stay away."""

    version: int
    rows: Rows
    features: tuple[ReferenceColumn, ...]
    target: ReferenceColumn | None = None
    others: tuple[str, ...] = ()  # columns that the reference had, and that are not watched
    repeated: Size = 0.0  # share of the rows that repeat another in all that is watched
    followed: Followed | None = None  # where a model's answers are known, and a target
    usual: UsualChanges = UsualChanges()

    __pydantic_config__ = IN_A_FILE

    @property
    def watched(self) -> tuple[ReferenceColumn, ...]:
        """The features and, where there is one, the target."""
        return self.features if self.target is None else (*self.features, self.target)


# ---- what keeps a batch from being judged


@dataclass(frozen=True)
class TooFewRows:
    """The reference or the batch has too few rows for any verdict."""

    side: Literal["reference", "batch"]
    rows: int
    needed: int


@dataclass(frozen=True)
class Absent:
    """The batch lacks a column."""

    column: str


@dataclass(frozen=True)
class TypeChanged:
    """A column holds something else than in the reference."""

    column: str
    before: Kind
    now: Kind


@dataclass(frozen=True)
class WhollyMissing:
    """A column of the batch has no value, and the reference has some."""

    column: str


@dataclass(frozen=True)
class ForeignLabels:
    """Most labels of the batch are none of the reference's."""

    column: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class NoPredictions:
    """The model answered nothing."""


Fault = TooFewRows | Absent | TypeChanged | WhollyMissing | ForeignLabels | NoPredictions


# ---- measured


@dataclass(frozen=True)
class Comparison:
    """One comparison of a column with the reference.

    `p` is the chance of such a change without drift; `sizes` say how large it is.
    """

    aspect: Aspect
    p: float
    sizes: Sizes


@dataclass(frozen=True)
class MeasuredColumn:
    """One column of the batch beside the reference's, and what comparing them gave."""

    role: Role
    reference: ReferenceColumn
    batch: Counted
    comparisons: tuple[Comparison, ...]

    @property
    def name(self) -> str:
        """The column's name."""
        return self.reference.name

    @property
    def missing_increase(self) -> float:
        """Share of missing cells in the batch less that in the reference."""
        return self.batch.missing_share - self.reference.counted.missing_share

    def size(self, scale: str) -> float | None:
        """Largest change on one scale, a field of `Sizes`; None where it was not measured."""
        sizes = [getattr(test.sizes, scale) for test in self.comparisons]
        return max((size for size in sizes if size is not None), default=None)


@dataclass(frozen=True, eq=False)
class Correlations:
    """Rank correlations of the numeric columns, before and now; arrays (columns, columns).

    `p` is the chance of such a change without drift; `tested` marks each pair once.
    """

    names: tuple[str, ...]
    before: np.ndarray
    now: np.ndarray
    p: np.ndarray
    tested: np.ndarray


@dataclass(frozen=True, eq=False)
class Separation:
    """How well a classifier tells the batch's rows from the reference's.

    `area` is that under the ROC curve, 0.5 where it cannot; `z` its z-score; `probability`, of
    shape (rows,), is each row's to be of the batch.
    """

    probability: np.ndarray
    area: float
    z: float


@dataclass(frozen=True, eq=False)
class Overlap:
    """Rows of the holdout and the batch, each like some on the other side.

    `rows` has, per row, `residual`, `loss`, `own` (is it of the batch) and `weight` (how much more
    often the batch has such inputs than the holdout); its index is the row's place in `codes`, of
    shape (features, rows).
    """

    codes: np.ndarray
    rows: "pd.DataFrame"


@dataclass(frozen=True)
class TooFewAnswers:
    """Concept drift is not assessable: too few rows have both a label and a prediction."""

    rows: int
    needed: int


@dataclass(frozen=True)
class TooLittleOverlap:
    """Concept drift is not assessable: too little of the batch is like the holdout."""

    loss_reference: float
    loss_current: float
    support: float  # share of the batch that is


@dataclass(frozen=True)
class MeasuredConcept:
    """The model's loss on the batch, beside what the holdout lets one expect of these inputs."""

    loss_reference: float  # mean over the holdout
    loss_current: float  # mean over the batch
    support: float  # share of the batch that is like the holdout
    loss_observed: float  # mean over that part of the batch
    loss_expected: float  # mean over the holdout, reweighted to it
    rise_p: float  # chance of such a rise if the concept stays
    smallest_loss: float  # what is less is rounding
    gain: float  # share of the squared residual that the inputs explain, beyond the holdout's
    gain_p: float
    overlap: Overlap


@dataclass(frozen=True)
class ExpectedQuality:
    """What to expect of the model on a batch without labels, from its calibrated probabilities."""

    accuracy: float
    brier: float


@dataclass(frozen=True)
class Measured:
    """All that was measured of a batch; with faults, what could be measured in spite of them."""

    rows_reference: int
    rows_current: int
    faults: tuple[Fault, ...] = ()
    columns: tuple[MeasuredColumn, ...] = ()  # features, then the target where it has labels
    correlations: Correlations | None = None
    separation: Separation | None = None
    prediction: MeasuredColumn | None = None
    concept: MeasuredConcept | TooFewAnswers | TooLittleOverlap | None = None
    lacking: tuple[Need, ...] = ()  # what concept drift cannot be told without
    loss_name: str = "error"  # what the model's losses are called
    loss_reference: float | None = None  # mean over the holdout, where a model was followed
    expected: ExpectedQuality | None = None  # where labels are lacking
    extra: tuple[str, ...] = ()  # columns that the reference does not have
    repeated: float = 0.0  # share of the rows that repeat another in all that is watched
    repeated_reference: float = 0.0


# ---- judged


@dataclass(frozen=True)
class Against:
    """The size of a change on one scale, beside the limit from which on it can be drift."""

    aspect: Aspect
    scale: str  # a field of `Sizes`
    size: float
    limit: float
    usual: bool  # whether the limit is what blocks of a time series differ by anyway

    @property
    def effect(self) -> float:
        """The size in units of its limit."""
        return self.size / self.limit


@dataclass(frozen=True)
class JudgedColumn:
    """Whether a column drifted.

    `p` is adjusted to the number of the column's tests; `sure` are the aspects whose change is
    significant.
    """

    measured: MeasuredColumn
    p: float
    against: tuple[Against, ...]
    sure: frozenset[Aspect]
    drifted: bool  # something is both significant and large

    @property
    def effect(self) -> float:
        """The largest change, in units of its limit."""
        return max([0.0, *(found.effect for found in self.against)])

    @property
    def significant(self) -> bool:
        """Whether anything about the column changed for sure, however little."""
        return bool(self.sure)


@dataclass(frozen=True)
class ChangedPair:
    """Two columns whose rank correlation changed."""

    left: str
    right: str
    before: float
    now: float


@dataclass(frozen=True)
class Segment:
    """Rows of one value, or one fifth, of a column, where the model got worse."""

    rows_with: str
    rows: int  # of the batch
    loss_before: float
    loss_now: float


@dataclass(frozen=True)
class Judged:
    """What is to be thought of all that was measured, and the verdict."""

    measured: Measured
    verdict: Verdict
    columns: tuple[JudgedColumn, ...] = ()  # features, then the target
    prediction: JudgedColumn | None = None
    pairs: tuple[ChangedPair, ...] = ()  # the largest change first
    told_apart: bool = False  # by the classifier
    data_drift: bool = False
    concept_drift: bool = False
    segments: tuple[Segment, ...] = ()  # the worst first

    @property
    def features(self) -> list[JudgedColumn]:
        """The columns that the model is given."""
        return [column for column in self.columns if column.measured.role == "feature"]

    @property
    def target(self) -> JudgedColumn | None:
        """The target; None where the batch has no labels."""
        return next((x for x in self.columns if x.measured.role == "target"), None)

    @property
    def drifted(self) -> list[JudgedColumn]:
        """Features and target that drifted: first what the model relies on most."""

        def weight(column: JudgedColumn) -> tuple[float, float]:
            return (column.measured.reference.importance or 0.0, column.effect)

        return sorted((x for x in self.columns if x.drifted), key=weight, reverse=True)


# ---- told


@dataclass(frozen=True)
class Told:
    """The verdict in words: `advice` says what to do, `reasons` why, `notes` what else."""

    advice: str
    reasons: tuple[str, ...]
    error: str  # of the model on the batch, beside what is expected; or why it is not known
    notes: tuple[str, ...]
