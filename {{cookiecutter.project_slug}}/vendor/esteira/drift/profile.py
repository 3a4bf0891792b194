"""The reference profile: all that a batch is compared with, so the training data can stay away.

`build` describes the columns, `follow` adds how the model does, `calibrate` what the blocks of a
time series differ by anyway; each returns a new profile.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from esteira.drift.columns import describe, encode
from esteira.drift.limits import Settings
from esteira.drift.measure import measure
from esteira.drift.profile_file import VERSION
from esteira.drift.records import (
    Followed,
    Measured,
    Profile,
    ReferenceColumn,
    Sizes,
    UsualChanges,
)
from esteira.drift.source import Source, numbers, texts
from esteira.drift.statistics import losses
from esteira.line import parts
from esteira.line.errors import UserError
from esteira.line.files import significant

MOST_BLOCKS, FEWEST_BLOCKS = 20, 4  # of a time series; fewer tell nothing
ROWS_OF_BLOCK = 50  # at least
MOST_ROWS_OF_BLOCKS = 200_000  # together; of a longer series every second row, or third, or so
BEYOND_USUAL = 0.01  # chance that one of all columns exceeds what is usual


# ---- making


def of_line(
    train: Any, holdout: Any, model: Any, schema: Any, importance: Mapping[str, float]
) -> Profile:
    """Make the profile of the line: its two tables, fitted model and schema.yaml.

    The tables are pandas' or the paths of Parquet files, which are never wholly in memory.
    `importance` is what the model's score loses without an input, of those that it is known of.
    """
    positive = schema.positive
    profile = build(train, schema.target, schema.features)
    profile = weigh(profile, importance)

    def predict(places: np.ndarray) -> np.ndarray:
        return ask(model, _rows_of(holdout, places)[schema.inputs], positive)

    profile = follow(profile, holdout, predict, positive)
    if schema.time is None:
        return profile
    step = -(-profile.rows // MOST_ROWS_OF_BLOCKS)
    series = _rows_of(train, np.arange(0, profile.rows, step)) if step > 1 else train
    return calibrate(profile, series, step)


def _rows_of(table: Any, places: np.ndarray) -> Any:
    """Return the rows at these places of a pandas table, or of a Parquet file by its path."""
    if isinstance(table, str | Path):
        return parts.take(table, places)
    return table.iloc[places]


def of_table(source: Source, target: str | None, predictions: str | None) -> Profile:
    """Make a profile of a table that may hold the model's answers in a column. Raises UserError.

    Numbers that predict one of two classes are probabilities of the one they are higher for.
    """
    for name in filter(None, (target, predictions)):
        if source.kinds.get(name) not in ("number", "category"):
            raise UserError(f"the reference has no column `{name}` of numbers or classes.")
    features = [name for name in source.kinds if name not in (target, predictions)]
    profile = build(source, target, features)
    if not predictions:
        return profile
    if target is None or target == predictions:
        raise UserError("predictions need their target, another column: name it with --target.")
    said = source.sample(predictions)
    positive = None
    if source.kinds[target] != source.kinds[predictions]:
        positive = guess_positive(source, target, predictions)
    return follow(profile, source, lambda _: said, positive)


def guess_positive(source: Source, target: str, predictions: str) -> str:
    """The class of `target` for which the probabilities in `predictions` are higher.

    Raises UserError where the target has not two classes, or the predictions are no numbers.
    """
    label = np.array(texts(source.sample(target)), dtype=object)
    classes = sorted({*label} - {None})
    if len(classes) != 2 or source.kinds[predictions] != "number":
        must = "numbers for numbers, classes for classes, or odds of one of two classes"
        raise UserError(f"`{predictions}` cannot predict `{target}`: give {must}.")
    probability = numbers(source.sample(predictions))
    return max(classes, key=lambda name: np.nanmean([0, *probability[label == name]]))


def build(train: Any, target: str | None = None, features: Sequence[str] | None = None) -> Profile:
    """Describe the columns that a batch is checked against. Raises UserError for an empty table.

    Parameters
    ----------
    train: what the columns' distributions come from: pandas, Arrow or a `Source`.
    target: column to predict; without it neither target nor concept drift is checked.
    features: columns to watch; all but the target if not given.
    """
    source = train if isinstance(train, Source) else Source(train)
    names = features or [name for name in source.kinds if name != target]
    if not (source.rows and names):
        raise UserError("the reference has no rows, or no column besides the target.")
    watched = [*names, target] if target else [*names]
    profile = describe_columns(source, target, names)
    others = tuple(name for name in source.kinds if name not in watched)
    return replace(profile, others=others, repeated=significant(source.repeated(watched)))


def weigh(profile: Profile, importance: Mapping[str, float]) -> Profile:
    """Add to a profile how much the model relies on each feature, where that is known."""
    features = [
        replace(column, importance=importance.get(column.name)) for column in profile.features
    ]
    return replace(profile, features=tuple(features))


def without(profile: Profile, names: Sequence[str]) -> Profile:
    """Watch some features no more: those that a batch of the service's log does not have.

    Raises UserError where none is left.
    """
    kept = tuple(column for column in profile.features if column.name not in names)
    dropped = [column.name for column in profile.features if column.name in names]
    if not kept:
        raise UserError("the log keeps no feature (`log:` in schema.yaml): nothing can be checked.")
    return replace(profile, features=kept, others=(*profile.others, *dropped))


def describe_columns(source: Source, target: str | None, features: Sequence[str]) -> Profile:
    """Describe the columns of a reference that has rows."""
    return Profile(
        version=VERSION,
        rows=source.rows,
        features=tuple(describe(source, name) for name in features),
        target=describe(source, target) if target else None,
    )


def follow(
    profile: Profile,
    holdout: Any,
    predict: Callable[[np.ndarray], Any],
    positive: str | None = None,
) -> Profile:
    """Add to a profile with a target how the model does, so that concept drift can be told.

    Parameters
    ----------
    holdout: rows the model has not learnt from, with features and target.
    predict: gives the model's answers, of shape (rows,), for the rows of `holdout` that have these
        numbers: predicted numbers, predicted classes, or probabilities of the class `positive`.
    """
    from esteira.drift.concept import residuals  # imports pandas

    if profile.target is None:
        raise ValueError("a model can be followed only where the profile has a target")
    held = holdout if isinstance(holdout, Source) else Source(holdout)
    answers = pa.array(predict(held.drawn), from_pandas=True)
    prediction = describe(Source(pa.table({"prediction": answers})), "prediction")
    missed = residuals(profile.target, positive, held.sample(profile.target.name), answers)
    answered = np.isfinite(missed)
    features = []
    for feature in profile.features:
        codes = encode(feature.cells, held.sample(feature.name))[answered]
        features.append(replace(feature, holdout_codes=codes.tobytes()))
    probabilities = () if positive is None else numbers(answers)[answered]
    followed = Followed(
        prediction=prediction,
        positive=positive,
        residuals=tuple(significant(residual) for residual in missed[answered]),
        probabilities=tuple(significant(probability) for probability in probabilities),
    )
    return replace(profile, features=tuple(features), followed=followed)


def ask(model: Any, frame: Any, positive: str | None) -> np.ndarray:
    """Ask a fitted scikit-learn model for what `follow` wants: odds of `positive`, or its answers.

    An infinite input is taken as missing, as everywhere in the check.
    """
    frame = frame.replace([np.inf, -np.inf], np.nan)
    if positive is None:
        return model.predict(frame)
    return model.predict_proba(frame)[:, list(model.classes_).index(positive)]


# ---- what blocks of a time series differ by anyway


@dataclass(frozen=True)
class Observed:
    """The size of one change, on one scale, in one block; `column` is empty for a joint one."""

    scale: str
    size: float
    column: str = ""


def calibrate(profile: Profile, train: Any, step: int = 1) -> Profile:
    """Add to a profile the sizes of change that a batch must exceed beside its limits.

    Rows of a time series are not independent, so blocks of them, in the order of `train`, differ
    without drift. Of what the check measures of each block, against all the other rows, this is the
    upper prediction limit for one more (by Student's t; Hahn & Meeker 1991), at 1 % over the number
    of columns. Fewer than four blocks tell nothing, and the limits stay as they are. `train` has
    every `step`-th row of the series.
    """
    source = Source(train)
    blocks = min(MOST_BLOCKS, source.rows // ROWS_OF_BLOCK)
    if blocks < FEWEST_BLOCKS:
        return profile
    of_columns: list[Observed] = []
    joint: list[Observed] = []
    for measured in measure_blocks(profile, source, blocks):
        of_columns += column_sizes(measured)
        joint += joint_sizes(measured)
    joint += block_losses(profile, blocks)

    usual = usual_sizes(of_columns, blocks, profile)
    together = usual_sizes(joint, blocks, profile)
    features = tuple(with_usual(feature, usual) for feature in profile.features)
    target = None if profile.target is None else with_usual(profile.target, usual)
    of_both = {observed.scale: observed.size for observed in together}
    changes = UsualChanges(**of_both, block_rows=source.rows * step // blocks)
    return replace(profile, features=features, target=target, usual=changes)


def measure_blocks(profile: Profile, source: Source, blocks: int) -> Iterable[Measured]:
    """Measure each block of rows against a profile of all the others."""
    columns = {}
    for column in profile.watched:
        pieces = [piece.cells for piece in source.pieces(column.name)]
        columns[column.name] = pa.chunked_array(pieces)
    table = pa.table(columns)
    target = profile.target.name if profile.target else None
    features = [feature.name for feature in profile.features]
    for rows in np.array_split(np.arange(source.rows), blocks):
        first, end = rows[0], rows[-1] + 1
        block = table.slice(first, len(rows))
        rest = pa.concat_tables([table.slice(0, first), table.slice(end)])
        known = describe_columns(Source(rest), target, features)
        yield measure(known, Source(block), Settings(), None)


def column_sizes(measured: Measured) -> Iterable[Observed]:
    """Sizes of the changes of each column of one block."""
    for column in measured.columns:
        for scale in fields(Sizes):
            size = column.size(scale.name)
            if size is not None:
                yield Observed(scale.name, size, column.name)


def joint_sizes(measured: Measured) -> Iterable[Observed]:
    """Sizes of the changes of one block beside its columns."""
    if measured.separation is not None:
        yield Observed("auc", measured.separation.area)
    if measured.correlations is not None:
        change = np.abs(measured.correlations.before - measured.correlations.now)
        for size in change[measured.correlations.tested].tolist():
            yield Observed("correlation", size)


def block_losses(profile: Profile, blocks: int) -> Iterable[Observed]:
    """How much the model's loss on each block of the holdout exceeds that on all, as a share."""
    if profile.followed is None:
        return
    loss = losses(np.array(profile.followed.residuals), profile.followed.positive)
    mean = loss.mean() or 1.0
    for part in np.array_split(loss, blocks):
        if len(part):
            yield Observed("loss", part.mean() / mean - 1)


def usual_sizes(observed: Sequence[Observed], blocks: int, profile: Profile) -> list[Observed]:
    """The size that one more block would hardly exceed, of each column and scale."""
    import pandas as pd
    from scipy import stats

    level = BEYOND_USUAL / len(profile.watched)
    far = stats.t.isf(level, blocks - 1) * np.sqrt(1 + 1 / blocks)
    groups = pd.DataFrame(observed, columns=["scale", "size", "column"])
    of_blocks = groups.groupby(["column", "scale"], sort=False)["size"].agg(["mean", "std"])
    sizes = (of_blocks["mean"] + far * of_blocks["std"]).dropna()
    found = []
    for (column, scale), size in sizes.items():
        is_share = scale in ("ks", "total_variation", "unseen")
        most = 1.0 if is_share else np.inf  # of a whole column
        found.append(Observed(scale, round(min(size, most), 6), column))
    return found


def with_usual(column: ReferenceColumn, usual: Iterable[Observed]) -> ReferenceColumn:
    """A column with the sizes that were observed of it."""
    own = {observed.scale: observed.size for observed in usual if observed.column == column.name}
    return replace(column, usual=Sizes(**own))
