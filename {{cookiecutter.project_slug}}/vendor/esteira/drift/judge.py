"""The second step of the check, *judge*: what is significant and large, and so what to do.

The limits themselves are decided in `limits.py`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import fields

import numpy as np

from esteira.drift import statistics
from esteira.drift.limits import ColumnLimits, Settings
from esteira.drift.records import (
    Against,
    ChangedPair,
    Comparison,
    Correlations,
    Judged,
    JudgedColumn,
    Measured,
    MeasuredColumn,
    MeasuredConcept,
    Profile,
    Separation,
    Sizes,
    UsualChanges,
)
from esteira.drift.verdicts import KEEP, RETRAIN, REWORK, UNUSABLE, Verdict

ENOUGH_BLOCKS = 2  # whose rows make a batch steady; by benchmarks/drift_quality.py, one is too few
SMALLEST_LIMIT = 1e-9  # so that a limit of 0 can be divided by


def judge(measured: Measured, profile: Profile, settings: Settings) -> Judged:
    """Judge what was measured, by the settings' limits and the profile's usual changes."""
    widening = widening_of(profile.usual, measured.rows_current)
    usual = widened_together(profile.usual, widening)
    columns = judge_columns(measured.columns, settings, widening)
    predictions = [] if measured.prediction is None else [measured.prediction]
    prediction = next(iter(judge_columns(predictions, settings, widening)), None)
    pairs = changed_pairs(measured.correlations, settings, usual)
    told_apart = is_told_apart(measured.separation, settings, usual)
    data_drift = bool(pairs) or told_apart or any(column.drifted for column in columns)
    segments = ()
    concept_drift = False
    if isinstance(measured.concept, MeasuredConcept):
        concept_drift = has_drifted(measured.concept, settings, usual)
        if concept_drift:
            from esteira.drift import concept  # imports pandas

            segments = concept.segments(profile.features, measured.concept.overlap)
    return Judged(
        measured=measured,
        verdict=conclude(bool(measured.faults), data_drift, concept_drift),
        columns=columns,
        prediction=prediction,
        pairs=pairs,
        told_apart=told_apart,
        data_drift=data_drift,
        concept_drift=concept_drift,
        segments=segments,
    )


def conclude(faults: bool, data_drift: bool, concept_drift: bool) -> Verdict:
    """What to do: see the verdicts."""
    if faults:
        return UNUSABLE
    if concept_drift:
        return REWORK
    return RETRAIN if data_drift else KEEP


# ---- batches smaller than the blocks of a time series


def widening_of(usual: UsualChanges, rows: int) -> float:
    """How much more a batch of so many rows differs anyway than the blocks that were measured.

    As means do: by the root of how many times fewer rows it has than ENOUGH_BLOCKS blocks.
    """
    return float(np.sqrt(max(1.0, ENOUGH_BLOCKS * usual.block_rows / max(1, rows))))


def widened(usual: Sizes, widening: float) -> Sizes:
    """What a column of the smaller batch differs by anyway.

    A share comes nearer to 1 and never reaches it, so that what differs wholly is told.
    """
    sizes = {}
    for scale in fields(Sizes):
        size = getattr(usual, scale.name)
        if size is None:
            continue
        if scale.name in ("ks", "total_variation", "unseen"):
            sizes[scale.name] = 1 - (1 - size) ** widening
        elif scale.name == "psi":  # grows with the squares of differences
            sizes[scale.name] = size * widening**2
        else:
            sizes[scale.name] = size * widening
    return Sizes(**sizes)


def widened_together(usual: UsualChanges, widening: float) -> UsualChanges:
    """What the smaller batch differs by anyway beside its columns."""
    chance = 0.5  # the area that tells nothing apart
    return UsualChanges(
        correlation=usual.correlation * widening,
        auc=chance + (usual.auc - chance) * widening if usual.auc > chance else usual.auc,
        loss=usual.loss * widening,
        block_rows=usual.block_rows,
    )


# ---- columns and pairs


def judge_columns(
    measured: Iterable[MeasuredColumn], settings: Settings, widening: float = 1.0
) -> tuple[JudgedColumn, ...]:
    """Say which columns changed for sure, and which of them by much.

    As in Rabanser, Günnemann & Lipton 2019, each column is tested alone and the tests share the
    chance of a false alarm: Bonferroni over a column's tests, Benjamini-Hochberg over columns.
    """
    measured = list(measured)
    smallest_p = np.array([adjusted_p(column) for column in measured])
    cut = statistics.benjamini_hochberg(smallest_p, settings.alpha)
    judged = []
    for column in measured:
        limits = settings.of_column(column.name)
        usual = widened(column.reference.usual, widening)
        tests = column.comparisons
        found = [size for test in tests for size in against(test, limits, usual)]
        sure = frozenset(test.aspect for test in tests if test.p * len(tests) <= cut)
        judged.append(
            JudgedColumn(
                measured=column,
                p=adjusted_p(column),
                against=tuple(found),
                sure=sure,
                drifted=any(size.effect >= 1 for size in found if size.aspect in sure),
            )
        )
    return tuple(judged)


def adjusted_p(column: MeasuredColumn) -> float:
    """Smallest p-value of a column's tests, times their number."""
    tests = len(column.comparisons)
    return min([1.0, *(test.p * tests for test in column.comparisons)])


def against(test: Comparison, limits: ColumnLimits, usual: Sizes) -> Iterator[Against]:
    """Set the sizes that one test found beside their limits.

    A limit is that of the settings, or what blocks of a time series differ by anyway.
    """
    for scale in fields(Sizes):
        size = getattr(test.sizes, scale.name)
        if size is not None:
            limit = max(getattr(limits, scale.name), SMALLEST_LIMIT)
            anyway = getattr(usual, scale.name) or 0.0
            is_usual = anyway > limit
            yield Against(test.aspect, scale.name, size, max(limit, anyway), is_usual)


def changed_pairs(
    correlations: Correlations | None, settings: Settings, usual: UsualChanges
) -> tuple[ChangedPair, ...]:
    """Pairs of columns whose rank correlation changed, with false-discovery control."""
    if correlations is None:
        return ()
    p, tested = correlations.p, correlations.tested
    cut = statistics.benjamini_hochberg(p[tested], settings.correlation_alpha)
    change = np.abs(correlations.before - correlations.now)
    large = change >= max(settings.correlation, usual.correlation)
    changed = tested & (p <= cut) & large
    pairs = [
        ChangedPair(
            left=correlations.names[left],
            right=correlations.names[right],
            before=float(correlations.before[left, right]),
            now=float(correlations.now[left, right]),
        )
        for left, right in np.argwhere(changed)
    ]
    return tuple(sorted(pairs, key=lambda pair: -abs(pair.before - pair.now)))


def is_told_apart(separation: Separation | None, settings: Settings, usual: UsualChanges) -> bool:
    """Whether the classifier can tell the batch from the reference."""
    if separation is None:
        return False
    significant = statistics.normal_upper(separation.z) <= settings.auc_alpha
    return significant and separation.area >= max(settings.auc, usual.auc)


def has_drifted(concept: MeasuredConcept, settings: Settings, usual: UsualChanges) -> bool:
    """Whether the concept drifted: the loss rose for sure, and either by much or with a pattern."""
    tests = np.array([concept.rise_p, concept.gain_p])
    cut = statistics.benjamini_hochberg(tests, settings.concept_alpha)
    rise = concept.loss_observed - concept.loss_expected
    base = max(concept.loss_expected, concept.smallest_loss)
    large = rise >= base * max(settings.loss, usual.loss)
    pattern = concept.gain_p <= cut and concept.gain >= settings.gain
    return bool(concept.rise_p <= cut and (large or pattern))
