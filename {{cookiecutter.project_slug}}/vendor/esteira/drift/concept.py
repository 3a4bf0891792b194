"""Does the target still follow from the inputs as the model learnt it?

Imports pandas: batches without labels are checked without this module.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from esteira.drift import statistics
from esteira.drift.columns import MISSING, stack
from esteira.drift.expected import require_probabilities
from esteira.drift.joint import cross_fit, tell_apart
from esteira.drift.limits import Settings
from esteira.drift.records import (
    MeasuredConcept,
    Overlap,
    Profile,
    ReferenceColumn,
    Segment,
    TooFewAnswers,
    TooLittleOverlap,
)
from esteira.drift.source import numbers, texts
from esteira.drift.statistics import losses
from esteira.line.files import significant

NOTHING = np.array(None, dtype=object)  # what a missing label or answer equals
DENSEST = 10  # inputs this much denser in the batch than in the holdout are out of its reach
LEAST_OF_SEGMENT = 30  # rows, on either side
SEGMENTS = 5  # told at most
ROUNDING = 1e-12  # of the largest value: a loss below it is none


@dataclass(frozen=True)
class Explained:
    """Share of the squared residual that the inputs explain, and its standard error."""

    share: float
    error: float


# ---- what the model missed


def residuals(
    target: ReferenceColumn, positive: str | None, truth: pa.Array, answers: pa.Array
) -> np.ndarray:
    """What the model missed, per row; NaN where there is no label or no answer.

    Returns target less prediction; of a probability of the class `positive`, 1 or 0 less it; of a
    class, 1 for a wrong one. A label that the reference never had counts as 1. Raises UserError for
    probabilities beyond 0 and 1.
    """
    if positive is None and target.kind == "number":
        return numbers(truth) - numbers(answers)
    label = np.array(texts(truth), dtype=object)
    said = np.array(texts(answers), dtype=object)
    if positive is None:
        missed = label != said
    else:
        probability = numbers(answers)
        require_probabilities(probability)
        missed = (label == positive) - probability
    if target.kind == "category":
        missed = np.where(np.isin(label, target.cells.categories), missed, 1.0)
    unknown = np.equal(label, NOTHING) | np.equal(said, NOTHING)
    return np.where(unknown, np.nan, missed)


# ---- measuring


def measure(
    profile: Profile, codes: np.ndarray, residual: np.ndarray, settings: Settings
) -> MeasuredConcept | TooFewAnswers | TooLittleOverlap:
    """Compare the model's loss on a batch with what the holdout lets one expect.

    Two measurements where the inputs overlap. One is the batch's loss against the holdout's loss
    reweighted to the batch's inputs (the decomposition of Cai, Namkoong & Yadlowsky 2023), the
    other whether the residual follows from the inputs more than it did on the holdout.

    `codes`, of shape (features, rows), and `residual`, of shape (rows,), are of the batch's sample.
    """
    followed = profile.followed
    assert followed is not None, "a model is followed where the concept is measured"  # noqa: S101
    answered = np.isfinite(residual)
    n, m = len(followed.residuals), int(answered.sum())
    if min(n, m) < settings.least_rows:
        return TooFewAnswers(min(n, m), settings.least_rows)
    holdout = stack(feature.holdout_codes for feature in profile.features)
    both = np.append(holdout, codes[:, answered], axis=1)
    missed = np.append(followed.residuals, residual[answered])
    rows = pd.DataFrame({"residual": missed, "loss": losses(missed, followed.positive)})
    rows["own"] = np.arange(n + m) >= n
    mean_loss = rows.groupby("own")["loss"].mean()
    probability = tell_apart(both, n).probability
    rows["weight"] = probability / (1 - probability) * n / m
    rows = rows[rows["weight"] <= DENSEST]
    before, now = rows[~rows["own"]], rows[rows["own"]]
    support = len(now) / m
    weight = before["weight"].to_numpy()
    effective_rows = weight.sum() ** 2 / (weight**2).sum()
    too_few = min(effective_rows, len(now)) < settings.least_rows
    if len(now) < settings.support * m or too_few:
        return TooLittleOverlap(mean_loss[False], mean_loss[True], support)

    loss_before, loss_now = before["loss"].to_numpy(), now["loss"].to_numpy()
    expected = np.average(loss_before, weights=weight)
    observed = loss_now.mean()
    error_before = np.sqrt((weight**2 * (loss_before - expected) ** 2).sum()) / weight.sum()
    error_now = loss_now.std() / np.sqrt(len(now))
    smallest = ROUNDING * largest_value(profile.target)
    rise_z = (observed - expected) / max(np.hypot(error_before, error_now), smallest)
    overlap = Overlap(both, rows)
    explained_before, explained_now = explained(overlap, own=False), explained(overlap, own=True)
    gain = explained_now.share - max(0.0, explained_before.share)
    gain_z = gain / max(np.hypot(explained_before.error, explained_now.error), 1e-12)
    return MeasuredConcept(
        loss_reference=mean_loss[False],
        loss_current=mean_loss[True],
        support=support,
        loss_observed=observed,
        loss_expected=expected,
        rise_p=statistics.normal_upper(rise_z),
        smallest_loss=smallest,
        gain=gain,
        gain_p=statistics.normal_upper(gain_z),
        overlap=overlap,
    )


def largest_value(target: ReferenceColumn | None) -> float:
    """Largest absolute value of a target of numbers; 1 for classes."""
    if target is None or target.kind != "number":
        return 1.0
    return max(abs(edge) for edge in target.cells.edges)


def explained(overlap: Overlap, own: bool) -> Explained:
    """How much of the squared residual the inputs explain, in the batch (`own`) or the holdout.

    Both sides are fitted on equally many rows: more rows would find more of what the model always
    missed.
    """
    rows = overlap.rows
    side = rows[rows["own"] == own]
    fewest = rows["own"].value_counts().min()
    draw = np.random.default_rng(len(side)).permutation(len(side))
    taken = side.iloc[np.sort(draw[:fewest])]
    unit = 2.0 ** np.frexp(rows["residual"].abs().max())[1]  # trees count in single precision
    residual = taken["residual"].to_numpy() / unit
    weight = np.ones(len(taken)) if own else taken["weight"].to_numpy()
    guess = cross_fit("Regressor", overlap.codes[:, taken.index], residual, weight).answers
    gained = residual**2 - (residual - guess) ** 2
    scale = np.average(residual**2, weights=weight) or 1.0
    share = np.average(gained, weights=weight) / scale
    deviation = weight * (gained - share * residual**2) / scale
    return Explained(share, np.sqrt((deviation**2).sum()) / weight.sum())


# ---- where the model got worse


def segments(features: Sequence[ReferenceColumn], overlap: Overlap) -> tuple[Segment, ...]:
    """Values and fifths of single columns in which the loss surely rose: the worst."""
    rows = overlap.rows
    per_feature = zip(features, overlap.codes, strict=True)
    names = [segment_names(feature)[codes] for feature, codes in per_feature]
    parts = np.transpose(names)[rows.index].tolist()
    each = rows.assign(part=parts).explode("part")
    before = each[~each["own"]].groupby("part")["loss"].agg(["size", "mean", "sem"])
    now = each[each["own"]].groupby("part")["loss"].agg(["size", "mean", "sem"])
    rise = now["mean"] - before["mean"]
    sure = rise > 3 * np.hypot(before["sem"], now["sem"])
    large_enough = np.minimum(before["size"], now["size"]) >= LEAST_OF_SEGMENT
    worst = rise[sure & large_enough].nlargest(SEGMENTS).index
    return tuple(
        Segment(name, int(now["size"][name]), before["mean"][name], now["mean"][name])
        for name in worst
    )


def segment_names(feature: ReferenceColumn) -> np.ndarray:
    """The segment that each of a column's 256 codes lies in, in words, or None."""
    name, cells, counts = feature.name, feature.cells, feature.counted.counts
    names = np.full(256, None)
    if counts:
        names[MISSING] = f"{name} is missing"
    if cells.kind == "number":
        fifth_of_cell = statistics.deciles(np.array(counts)) // 2
        for fifth in np.unique(fifth_of_cell):
            in_fifth = np.nonzero(fifth_of_cell == fifth)[0]
            low, high = edge_near(cells.edges, in_fifth[0]), edge_near(cells.edges, in_fifth[-1])
            is_one = low == high
            names[in_fifth] = f"{name} is {low}" if is_one else f"{name} from {low} to {high}"
    elif cells.own_codes:
        names[: len(cells.categories)] = [f"{name} is {cell}" for cell in cells.categories]
    return names


def edge_near(edges: Sequence[float], cell: int) -> str:
    """The edge that says best where a cell of numbers lies."""
    place = min(max(1, cell), len(edges) - 1)
    return f"{significant(edges[place], 3):g}"
