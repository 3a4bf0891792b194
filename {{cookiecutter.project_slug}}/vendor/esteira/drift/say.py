"""The third step of the check, *say*: the verdict and what it stands on, in words."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from esteira.drift import dates
from esteira.drift.records import (
    Absent,
    Counted,
    DatePart,
    Fault,
    ForeignLabels,
    Judged,
    JudgedColumn,
    Kind,
    Measured,
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
from esteira.drift.verdicts import KEEP, RETRAIN
from esteira.page.words import counted, exact, of_data, of_error, percent

COLUMNS_TOLD, PAIRS_TOLD, CATEGORIES_TOLD = 5, 3, 5
CLEAR = 0.001  # chance below which nobody need ask whether a change came by chance
MOST_DIGITS = 6  # of a share in percent
REPEATED_BY_CHANCE = 0.01  # share of rows, where the reference has repeated ones as well
BEYOND, HALF = 0.01, 0.5  # shares of the batch: told of beyond all values of the reference
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
        error=error_in_words(judged),
        notes=(*own_notes(judged), *notes),
    )


def summary(judged: Judged, told: Told) -> str:
    """The verdict in a few lines of text."""
    first = f"{judged.verdict.action}: {told.advice}"
    return "\n  ".join([first, *told.reasons, told.error, *told.notes])


def advice(judged: Judged) -> str:
    """What to do, in a sentence or two."""
    faults = judged.measured.faults
    if faults and all(isinstance(fault, TooFewRows) for fault in faults):
        return "Wait for more rows."
    if judged.verdict == KEEP and not_tested(judged):
        return f"Nothing to do for the data; {not_tested(judged)}."
    gaps = [column for column in judged.drifted if "missing" in column.sure]
    retrain = RETRAIN.advice
    if judged.verdict == RETRAIN and not_tested(judged):
        retrain = f"{RETRAIN.advice} Mind that {not_tested(judged)}."
    if judged.verdict == RETRAIN and 2 * len(gaps) > len(judged.drifted):
        columns = counted(len(gaps), "column")
        have = "has" if len(gaps) == 1 else "have"
        return f"Look at the feed first: {columns} {have} other gaps. {retrain}"
    return retrain if judged.verdict == RETRAIN else judged.verdict.advice


def not_tested(judged: Judged) -> str:
    """Say that the concept was not tested, and what that needs, as a clause; "" where it was."""
    said = "the concept was not tested"
    match judged.measured.concept:
        case MeasuredConcept():
            return ""
        case TooLittleOverlap():
            return f"{said}: too few rows are like those of the holdout"
        case TooFewAnswers():
            return f"{said}: too few rows have a label and an answer"
    why = " and ".join(judged.measured.lacking)
    return f"{said}: it needs {why}" if why else said


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
    """Which features drifted, whether the target did, and how sure that is."""
    drifted = judged.drifted
    if not drifted:
        return []
    said = []
    features = [column for column in drifted if column.measured.role == "feature"]
    if features:
        names = [named(column) for column in features]
        more = f" and {len(names) - COLUMNS_TOLD} more" if len(names) > COLUMNS_TOLD else ""
        listed = ", ".join(names[:COLUMNS_TOLD])
        said.append(f"{len(names)} of {len(judged.features)} features drifted: {listed}{more}.")
    if judged.target is not None and judged.target.drifted:
        name = judged.target.measured.name
        said.append(f"The target `{name}` drifted: {remarks(judged.target)}.")
    chance = min(column.p for column in drifted) * len(judged.columns)
    if chance >= CLEAR:
        said.append(f"Without drift, at most {chance:.1%} of batches change this clearly.")
    return said


def named(column: JudgedColumn) -> str:
    """A column's name; of dates, with what of them moved."""
    name = f"`{column.measured.name}`"
    moved = [part for part in dates.CELLS if part in column.sure]
    if not moved:
        return name
    return f"the {' and the '.join(moved)} of {name}"


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
                figures = f"mean error {of_error(observed)}, expected {of_error(expected)}"
                return [f"The model errs more than these inputs explain ({figures})."]
    return []


def error_in_words(judged: Judged) -> str:
    """The model's mean error on the batch, beside what is expected; or why it is not known."""
    measured = judged.measured
    before = measured.loss_reference
    holdout = "no holdout" if before is None else f"{of_error(before)} on the holdout"
    match measured.concept:
        case MeasuredConcept() as concept:
            observed = of_error(concept.loss_observed)
            return (
                f"Model error ({measured.loss_name}): {observed} on the batch,"
                f" {of_error(concept.loss_expected)} expected of such inputs, {holdout}."
            )
        case TooLittleOverlap() as concept:
            observed = of_error(concept.loss_current)
            return (
                f"Model error ({measured.loss_name}): {observed} on the batch,"
                f" {holdout}; what to expect is not assessable, as {concept.support:.0%} of the"
                " batch is like the holdout."
            )
        case TooFewAnswers(rows, needed):
            return f"Model error: not assessable, {rows} rows have an answer, {needed} are needed."
    if measured.faults:
        return "Model error: not assessable, as the batch cannot be used."
    known = f"Model error: not assessable without {' and '.join(measured.lacking)}"
    if measured.expected is not None:
        quality = measured.expected
        known += (
            f"; by its calibrated probabilities {quality.accuracy:.1%} of the answers are expected"
            f" to be right, with a Brier score of {quality.brier:.4g}"
            " (an expectation, blind to concept drift)"
        )
    return f"{known}."


def own_notes(judged: Judged) -> list[str]:
    """What else a reader should know."""
    notes = []
    if judged.measured.lacking:
        lacking = " and ".join(judged.measured.lacking)
        notes.append(f"Concept drift cannot be told without {lacking}.")
    if judged.prediction is not None and judged.prediction.drifted:
        how = remarks(judged.prediction)
        notes.append(f"The predictions drifted: {how} (a hint, no alarm).")
    if judged.concept_drift and any(x.measured.role == "feature" for x in judged.drifted):
        notes.append("Data and concept moved together: see first where the model got worse.")
    return [*notes, *notes_on_table(judged.measured)]


def notes_on_table(measured: Measured) -> list[str]:
    """What else a reader should know of the batch as a table."""
    notes = []
    if measured.extra:
        names = ", ".join(f"`{name}`" for name in measured.extra[:COLUMNS_TOLD])
        more = len(measured.extra) - COLUMNS_TOLD
        listed = f"{names} and {more} more" if more > 0 else names
        notes.append(f"Columns that the reference does not have, not checked: {listed}.")
    usual = measured.repeated_reference
    tolerated = usual + REPEATED_BY_CHANCE if usual else 0.0
    if measured.repeated > tolerated:
        words = told_apart(usual, measured.repeated)
        notes.append(
            f"Rows that repeat an earlier one: {words.now} of the batch,"
            f" {words.before} of the reference."
        )
    return notes


# ---- one column


def remarks(column: JudgedColumn) -> str:
    """What is remarkable about one column."""
    reference, batch = column.measured.reference, column.measured.batch
    before, now = reference.counted.missing_share, batch.missing_share
    says = []
    parts = [test.aspect for test in column.measured.comparisons if test.aspect in dates.CELLS]
    if parts:
        says.append(f"dates move on: compared by {' and '.join(parts)}")
    elif reference.kind in NOT_COMPARED:
        says.append(NOT_COMPARED[reference.kind])
    if np.count_nonzero(reference.counted.counts) == 1:
        says.append("constant in the reference")
    if column.measured.role == "target" and batch.missing:
        says.append(f"{percent(now)} of the rows have no label")
    if "missing" in column.sure:
        words = told_apart(before, now)
        says.append(f"missing {words.before} → {words.now}")
    if batch.infinite:
        says.append(f"{batch.infinite} infinite values, taken as missing")
    if batch.unseen:
        share = column.measured.size("unseen") or 0
        listed = ", ".join(commonest(batch))
        says.append(f"never seen before, in {told_apart(0, share).now} of rows: {listed}")
    if "distribution" in column.sure:
        says.append(movement(reference, batch))
    for part in dates.CELLS:
        if part in column.sure:
            says.append(movement_of_dates(reference, batch, part))
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
        return movement_of_numbers(reference, batch)
    before, now = shares(reference.counted), shares(batch)
    most = np.abs(before - now).argmax()
    words = told_apart(before[most], now[most])
    return f"{reference.cells.categories[most]} {words.before} → {words.now}"


def movement_of_numbers(reference: ReferenceColumn, batch: Counted) -> str:
    """How numbers moved: their median, or else the value up to which the share moved most."""
    beyond = beyond_the_old(reference, batch)
    for written in (of_data, exact):  # the fewer digits, if they tell the two apart
        before = median(reference, reference.counted, written)
        now = median(reference, batch, written)
        if before != now:
            return "; ".join([f"median {before} → {now}", *beyond])
    upto_before, upto_now = upto(reference.counted), upto(batch)
    most = np.abs(upto_before - upto_now)[:-1].argmax()
    edge = reference.cells.edges[max(1, most)]
    words = told_apart(upto_before[most], upto_now[most])
    below = "below" if most == 0 else "up to"
    moved = f"{below} {exact(edge)}: {words.before} → {words.now}, around an unmoved median {now}"
    return "; ".join([moved, *beyond])


def beyond_the_old(reference: ReferenceColumn, batch: Counted) -> list[str]:
    """How much of a batch lies where no value of the reference did, unless the median says so."""
    there = shares(batch)
    edges = reference.cells.edges
    said = []
    if BEYOND <= there[-1] < HALF:
        said.append(f"{there[-1]:.0%} above the old maximum {exact(edges[-1])}")
    if BEYOND <= there[0] < HALF:
        said.append(f"{there[0]:.0%} below the old minimum {exact(edges[1])}")
    return said


def movement_of_dates(reference: ReferenceColumn, batch: Counted, part: DatePart) -> str:
    """How the rows moved between the hours, weekdays or months."""
    before, now = reference.counted.calendar, batch.calendar
    counts = dates.expected(before, now, part) if before and now else None
    if counts is None:
        return part
    expected = counts.reference / counts.reference.sum()
    seen = counts.batch / counts.batch.sum()
    most = int(np.abs(expected - seen).argmax())
    words = told_apart(expected[most], seen[most])
    return f"{part} {counts.names[most]}: {words.before} → {words.now}"


@dataclass(frozen=True)
class TwoShares:
    """Two shares in percent, with as many digits as tell them apart."""

    before: str
    now: str


def told_apart(before: float, now: float) -> TwoShares:
    """Two shares in words that differ where the shares do."""
    for digits in range(1, MOST_DIGITS):
        words = TwoShares(f"{before:.{digits}%}", f"{now:.{digits}%}")
        if words.before != words.now or before == now:
            return words
    return TwoShares(f"{before:.3e}", f"{now:.3e}")


def upto(counted: Counted) -> np.ndarray:
    """Share of the rows up to each cell's upper end."""
    rows = np.cumsum(counted.counts)
    return rows / rows[-1]


def median(reference: ReferenceColumn, counted: Counted, written: Callable[[float], str]) -> str:
    """The edge below which half of the rows lie, in words."""
    upto = np.cumsum(counted.counts)
    cell = int(np.searchsorted(upto, upto[-1] / 2))
    edges = reference.cells.edges
    if cell == 0:
        return f"below {written(edges[1])}"
    if cell == len(edges):
        return f"above {written(edges[-1])}"
    return written(edges[cell])


def shares(counted: Counted) -> np.ndarray:
    """Share of the rows that are there in each cell."""
    there = max(1, counted.rows - counted.missing)
    return np.array(counted.counts) / there
