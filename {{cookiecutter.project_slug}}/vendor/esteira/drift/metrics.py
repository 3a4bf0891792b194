"""The check's figures for `metrics.json`: flat, and few enough to be read in a diff."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from esteira.drift.records import Judged, JudgedColumn, MeasuredConcept, TooLittleOverlap


@dataclass(frozen=True)
class Metrics:
    """Figures of one check, in the order of the file; what is None does not come into it.

    What is told of columns is told of features alone.
    """

    rows_reference: int
    rows_current: int
    data_drift: int  # 0 or 1, as are all that are named for a drift
    concept_assessable: int  # 0 or 1
    concept_drift: int
    domain_auc: float | None  # how well a classifier tells the batch from the reference
    loss_reference: float | None  # mean loss of the model on the holdout
    loss_current: float | None  # and on the batch
    concept_support: float | None  # share of the batch that is like the holdout
    loss_current_expected: float | None  # of that part, by the holdout
    concept_residual_gain: float | None  # share of the residual that the inputs explain, more
    columns_checked: int
    columns_drifted: int
    share_drifted: float
    max_ks: float
    max_psi: float
    missing_max_increase: float
    unseen_category_max_share: float
    correlation_pairs_changed: int
    schema_faults: int
    target_drifted: int | None  # 0 or 1, where the batch has labels
    target_psi: float | None
    prediction_drifted: int | None  # 0 or 1, where there are predictions
    prediction_psi: float | None
    accuracy_expected: float | None  # without labels: of calibrated probabilities, no measure
    brier_expected: float | None
    columns_extra: int  # that the reference does not have
    rows_repeated_share: float  # of the batch's rows, that repeat another
    action: int  # code of the verdict

    def known(self) -> dict[str, float]:
        """The figures by name, without those that are not known."""
        return {name: figure for name, figure in asdict(self).items() if figure is not None}


def metrics_of(judged: Judged) -> Metrics:
    """Draw the figures from a judgement."""
    measured = judged.measured
    concept = measured.concept
    assessed = concept if isinstance(concept, MeasuredConcept) else None
    asked = concept if isinstance(concept, MeasuredConcept | TooLittleOverlap) else None
    separation = measured.separation
    expected = measured.expected
    features = judged.features
    drifted = sum(column.drifted for column in features)
    targets = [column for column in judged.columns if column.measured.role == "target"]
    predictions = [] if judged.prediction is None else [judged.prediction]
    increases = [column.measured.missing_increase for column in features]
    return Metrics(
        rows_reference=measured.rows_reference,
        rows_current=measured.rows_current,
        data_drift=int(judged.data_drift),
        concept_assessable=int(assessed is not None),
        concept_drift=int(judged.concept_drift),
        domain_auc=separation.area if separation else None,
        loss_reference=asked.loss_reference if asked else measured.loss_reference,
        loss_current=asked.loss_current if asked else None,
        concept_support=asked.support if asked else None,
        loss_current_expected=assessed.loss_expected if assessed else None,
        concept_residual_gain=assessed.gain if assessed else None,
        columns_checked=len(features),
        columns_drifted=drifted,
        share_drifted=drifted / max(1, len(features)),
        max_ks=max([0.0, *sizes(features, "ks")]),
        max_psi=max([0.0, *sizes(features, "psi")]),
        missing_max_increase=max([0.0, *increases]),
        unseen_category_max_share=max([0.0, *sizes(features, "unseen")]),
        correlation_pairs_changed=len(judged.pairs),
        schema_faults=len(measured.faults),
        target_drifted=next((int(column.drifted) for column in targets), None),
        target_psi=next(iter(sizes(targets, "psi")), None),
        prediction_drifted=next((int(column.drifted) for column in predictions), None),
        prediction_psi=next(iter(sizes(predictions, "psi")), None),
        accuracy_expected=expected.accuracy if expected else None,
        brier_expected=expected.brier if expected else None,
        columns_extra=len(measured.extra),
        rows_repeated_share=measured.repeated,
        action=judged.verdict.code,
    )


def sizes(columns: Iterable[JudgedColumn], scale: str) -> list[float]:
    """Sizes of the columns' changes on one scale, where it was measured."""
    measured = (column.measured.size(scale) for column in columns)
    return [size for size in measured if size is not None]
