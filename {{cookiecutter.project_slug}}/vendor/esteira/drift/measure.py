"""The first step of the check, *measure*: compare all that can be compared, and judge nothing."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from esteira.drift import joint
from esteira.drift.columns import compare, count, fits, stack
from esteira.drift.expected import expected_quality, require_probabilities
from esteira.drift.limits import Settings
from esteira.drift.records import (
    Absent,
    Fault,
    ForeignLabels,
    Measured,
    MeasuredColumn,
    Need,
    NoPredictions,
    Profile,
    ReferenceColumn,
    Role,
    TooFewRows,
    TypeChanged,
    WhollyMissing,
)
from esteira.drift.source import Source, numbers
from esteira.drift.statistics import losses

# Numbers of rows to the model's answers, in NumPy or Arrow; None where there is no model.
Predict = Callable[[np.ndarray], Any] | None
FOREIGN_LABELS_TOLD = 5


def measure(profile: Profile, source: Source, settings: Settings, predict: Predict) -> Measured:
    """Measure a batch against a profile.

    `predict` gives the model's answers for the rows of these numbers, as in `profile.follow`. The
    model is not asked about a batch with faults, which it need not bear.
    """
    measured = measure_table(profile, source)
    measured = replace(measured, faults=too_few_rows(profile, source, settings))
    if measured.faults:
        return measured

    labels = labels_of(profile.target, source)
    labelled = labels.is_null(nan_is_null=True).false_count > 0
    measured = measure_columns(measured, profile, source, labelled)
    features = [column for column in measured.columns if column.role == "feature"]
    if len(features) < len(profile.features):
        return measured

    before = stack(feature.reference.counted.codes for feature in features)
    now = stack(feature.batch.codes for feature in features)
    known = predict is not None and profile.followed is not None
    needs: dict[Need, bool] = {"labels": labelled, "predictions": known}
    measured = replace(
        measured,
        correlations=joint.compare_correlations(profile.features, before, now),
        lacking=tuple(need for need, there in needs.items() if not there),
    )
    if settings.classifier:
        both = np.append(before, now, axis=1)
        measured = replace(measured, separation=joint.tell_apart(both, before.shape[1]))
    if measured.faults or predict is None or profile.followed is None:
        return measured

    told = pa.array(predict(source.drawn), from_pandas=True)
    answers = Source(pa.table({profile.followed.prediction.name: told}))
    prediction = measure_column("prediction", profile.followed.prediction, answers)
    measured = replace(measured, prediction=prediction)
    if prediction.batch.missing == prediction.batch.rows:
        measured = replace(measured, faults=(NoPredictions(),))
    if not labelled and profile.followed.positive is not None:
        probabilities = numbers(told)
        require_probabilities(probabilities)
        quality = expected_quality(profile.followed, probabilities)
        measured = replace(measured, expected=quality)
    if labelled and profile.target is not None:
        from esteira.drift import concept  # imports pandas

        positive = profile.followed.positive
        residual = concept.residuals(profile.target, positive, labels, told)
        found = concept.measure(profile, now, residual, settings)
        measured = replace(measured, concept=found)
    return measured


def too_few_rows(profile: Profile, source: Source, settings: Settings) -> tuple[TooFewRows, ...]:
    """Which of the two sides has too few rows."""
    least = settings.least_rows
    sides = (
        TooFewRows("reference", profile.rows, least),
        TooFewRows("batch", source.rows, least),
    )
    return tuple(side for side in sides if side.rows < least)


def labels_of(target: ReferenceColumn | None, source: Source) -> pa.Array:
    """The labels of the batch's sample; none where the target is absent."""
    if target is None or target.name not in source.kinds:
        return pa.nulls(0)
    return source.sample(target.name)


def measure_table(profile: Profile, source: Source) -> Measured:
    """What can be told of the table without a look at single columns."""
    watched = [column.name for column in profile.watched]
    known = {*watched, *profile.others}
    return Measured(
        rows_reference=profile.rows,
        rows_current=source.rows,
        loss_name=loss_name(profile),
        loss_reference=holdout_loss(profile),
        extra=tuple(name for name in source.kinds if name not in known),
        repeated=source.repeated([name for name in watched if name in source.kinds]),
        repeated_reference=profile.repeated,
    )


def loss_name(profile: Profile) -> str:
    """Name the loss of `statistics.losses`."""
    if profile.followed is None or profile.followed.positive is None:
        return "mean absolute error"
    return "Brier score"


def holdout_loss(profile: Profile) -> float | None:
    """Mean loss of the model on the holdout; None where no model was followed."""
    followed = profile.followed
    if followed is None or not followed.residuals:
        return None
    loss = losses(np.array(followed.residuals), followed.positive)
    return float(loss.mean())


def measure_columns(
    measured: Measured, profile: Profile, source: Source, labelled: bool
) -> Measured:
    """Measure each column of the profile that the batch has; the target where it has labels."""
    columns: list[MeasuredColumn] = []
    faults: list[Fault] = []
    watched: list[tuple[Role, ReferenceColumn]] = [("feature", x) for x in profile.features]
    if labelled and profile.target is not None:
        watched.append(("target", profile.target))
    for role, reference in watched:
        now = source.kinds.get(reference.name)
        if now is None:
            faults.append(Absent(reference.name))
        elif not fits(reference, now):
            faults.append(TypeChanged(reference.name, reference.kind, now))
        else:
            column = measure_column(role, reference, source)
            columns.append(column)
            faults += faults_of(column)
    return replace(measured, faults=tuple(faults), columns=tuple(columns))


def measure_column(role: Role, reference: ReferenceColumn, source: Source) -> MeasuredColumn:
    """Count one column of the batch, and compare it with the reference's.

    Labels come late: that some are missing is no change of the target.
    """
    batch = count(reference.cells, source, reference.name)
    found: Iterable = compare(reference, batch)
    if role == "target":
        found = (comparison for comparison in found if comparison.aspect != "missing")
    return MeasuredColumn(role, reference, batch, tuple(found))


def faults_of(column: MeasuredColumn) -> list[Fault]:
    """What keeps a batch with this column from being judged."""
    reference, batch = column.reference.counted, column.batch
    faults: list[Fault] = []
    if batch.missing == batch.rows and reference.missing < reference.rows:
        faults.append(WhollyMissing(column.name))
    if column.role == "target" and batch.unseen_rows > sum(batch.counts):
        labels = sorted(batch.unseen)[:FOREIGN_LABELS_TOLD]
        faults.append(ForeignLabels(column.name, tuple(labels)))
    return faults
