"""The third step of the check, *say*: the verdict and what it stands on, in words."""

from collections.abc import Iterable

import numpy as np

from esteira.drift.records import (
    Absent,
    Counted,
    Fault,
    ForeignLabels,
    Judged,
    JudgedColumn,
    Kind,
    MeasuredConcept,
    NoPredictions,
    ReferenceColumn,
    Told,
    TooFewAnswers,
    TooFewRows,
    TooLittleOverlap,
    TypeChanged,
    WhollyMissing,
)
from esteira.drift.verdicts import KEEP

COLUMNS_TOLD, PAIRS_TOLD, CATEGORIES_TOLD = 5, 3, 5
SMALLEST_P = 1e-6  # told of: the tails beyond are no more exact than this
NOT_COMPARED: dict[Kind, str] = {
    "date": "dates move on: only missing ones are tested",
    "empty": "not compared: the reference has no values",
    "other": "not compared: neither numbers, words nor dates",
    "text": "free text: only missing ones are tested",
}


def say(judged: Judged, notes: Iterable[str] = ()) -> Told:
    """Put a judgement into words; `notes` are further remarks, such as of who read the batch."""
    faults = [fault_in_words(fault) for fault in judged.measured.faults]
    found = [*drifted_columns(judged), *other_reasons(judged)]
    return Told(
        advice=advice(judged),
        reasons=tuple(faults or found or ["Nothing is both significant and large."]),
        notes=(*own_notes(judged), *notes),
    )


def summary(judged: Judged, told: Told) -> str:
    """The verdict in a few lines of text."""
    first = f"{judged.verdict.action}: {told.advice}"
    return "\n  ".join([first, *told.reasons, *told.notes])


def advice(judged: Judged) -> str:
    """What to do, in one sentence."""
    if judged.verdict == KEEP and not isinstance(judged.measured.concept, MeasuredConcept):
        return "Nothing to do for the data; the concept was not tested."
    return judged.verdict.advice


def fault_in_words(fault: Fault) -> str:
    """What keeps the batch from being judged, in one sentence."""
    match fault:
        case TooFewRows(side, rows, needed):
            return f"The {side} has {rows} rows: for a verdict it needs at least {needed}."
        case Absent(column):
            return f"Column `{column}` is absent."
        case TypeChanged(column, before, now):
            return f"Column `{column}` changed its type: {before} before, {now} now."
        case WhollyMissing(column):
            return f"Column `{column}` is wholly missing."
        case ForeignLabels(column, labels):
            return f"Most labels are classes that `{column}` never had: {', '.join(labels)}."
        case NoPredictions():
            return "The predictions are wholly missing."


def drifted_columns(judged: Judged) -> list[str]:
    """Which columns drifted, and how sure that is."""
    drifted = judged.drifted
    if not drifted:
        return []
    names = [named(column) for column in drifted]
    more = f" and {len(names) - COLUMNS_TOLD} more" if len(names) > COLUMNS_TOLD else ""
    listed = ", ".join(names[:COLUMNS_TOLD])
    columns = len(judged.columns)
    smallest_p = max(SMALLEST_P, min(column.p for column in drifted))
    chance = 100 * min(1.0, smallest_p * columns)
    return [
        f"{len(names)} of {columns} columns drifted: {listed}{more}.",
        f"Without drift, the chance of a change this clear is at most {chance:.2g} %.",
    ]


def named(column: JudgedColumn) -> str:
    """A column's name, and that it is the target if it is."""
    target = " (target)" if column.measured.role == "target" else ""
    return f"`{column.measured.name}`{target}"


def other_reasons(judged: Judged) -> list[str]:
    """What was found beside single columns."""
    said = [
        f"`{pair.left}` and `{pair.right}` no longer go together as they did:"
        f" rank correlation {pair.before:.2f} → {pair.now:.2f}."
        for pair in judged.pairs[:PAIRS_TOLD]
    ]
    separation = judged.measured.separation
    if judged.told_apart and separation is not None:
        said.append(f"A classifier can tell batch from reference (AUC {separation.area:.2f}).")
    return [*said, *concept_in_words(judged)]


def concept_in_words(judged: Judged) -> list[str]:
    """What was found of the concept, or why it is not assessable."""
    cannot = "Concept drift is not assessable:"
    match judged.measured.concept:
        case TooFewAnswers(rows, needed):
            have = f"{rows} rows have a label and a prediction"
            return [f"{cannot} {have}, at least {needed} are needed."]
        case TooLittleOverlap(support=support):
            return [f"{cannot} only {support:.0%} of the batch is like the holdout; retrain on it."]
        case MeasuredConcept(loss_observed=observed, loss_expected=expected):
            if judged.concept_drift:
                figures = f"mean error {observed:.4g}, expected {expected:.4g}"
                return [f"The model errs more than these inputs explain ({figures})."]
    return []


def own_notes(judged: Judged) -> list[str]:
    """What else a reader should know."""
    notes = []
    if judged.measured.lacking:
        lacking = " and ".join(judged.measured.lacking)
        notes.append(f"Concept drift cannot be told without {lacking}.")
    if judged.prediction is not None and judged.prediction.drifted:
        how = remarks(judged.prediction)
        notes.append(f"The predictions drifted: {how} (a hint, no alarm).")
    if judged.data_drift and judged.concept_drift:
        notes.append("Data and concept moved together: see first where the model got worse.")
    return notes


# ---- one column


def remarks(column: JudgedColumn) -> str:
    """What is remarkable about one column."""
    reference, batch = column.measured.reference, column.measured.batch
    before, now = reference.counted.missing_share, batch.missing_share
    says = []
    if reference.kind in NOT_COMPARED:
        says.append(NOT_COMPARED[reference.kind])
    if np.count_nonzero(reference.counted.counts) == 1:
        says.append("constant in the reference")
    if column.measured.role == "target" and batch.missing:
        says.append(f"{now:.0%} of the rows have no label")
    if "missing" in column.sure:
        says.append(f"missing {before:.1%} → {now:.1%}")
    if batch.infinite:
        says.append(f"{batch.infinite} infinite values, taken as missing")
    if batch.unseen:
        share = column.measured.size("unseen") or 0
        listed = ", ".join(commonest(batch))
        says.append(f"never seen before, in {share:.1%} of rows: {listed}")
    if "distribution" in column.sure:
        says.append(movement(reference, batch))
    if column.significant and not column.drifted:
        says.append("significant but small")
    return "; ".join(says)


def commonest(batch: Counted) -> list[str]:
    """The categories never seen before, the commonest first."""
    by_name = sorted(batch.unseen)
    by_rows = sorted(by_name, key=lambda name: batch.unseen[name], reverse=True)
    return by_rows[:CATEGORIES_TOLD]


def movement(reference: ReferenceColumn, batch: Counted) -> str:
    """How the distribution of one column moved."""
    if reference.kind == "number":
        before, now = median(reference, reference.counted), median(reference, batch)
        return f"median {before} → {now}" if before != now else f"the median stays {now}"
    before, now = shares(reference.counted), shares(batch)
    most = np.abs(before - now).argmax()
    return f"{reference.cells.categories[most]} {before[most]:.1%} → {now[most]:.1%}"


def median(reference: ReferenceColumn, counted: Counted) -> str:
    """The edge below which half of the rows lie, in words."""
    upto = np.cumsum(counted.counts)
    cell = int(np.searchsorted(upto, upto[-1] / 2))
    edges = reference.cells.edges
    if cell == 0:
        return f"below {edges[1]:.6g}"
    if cell == len(edges):
        return f"above {edges[-1]:.6g}"
    return f"{edges[cell]:.6g}"


def shares(counted: Counted) -> np.ndarray:
    """Share of the rows that are there in each cell."""
    there = max(1, counted.rows - counted.missing)
    return np.array(counted.counts) / there
