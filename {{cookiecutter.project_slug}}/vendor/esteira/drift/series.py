"""What the blocks of a time series differ by anyway.

Rows of a time series are not independent, so blocks of them differ without drift. Each block is
compared with all the other rows; a batch must differ by more than they do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from esteira.drift import dates, joint, statistics
from esteira.drift.columns import changes, count, encode
from esteira.drift.records import (
    Calendar,
    Cells,
    Counted,
    Profile,
    ReferenceColumn,
    Sizes,
    UsualChanges,
)
from esteira.drift.source import Source, sampled

MOST_BLOCKS, FEWEST_BLOCKS = 20, 4  # fewer tell nothing
ROWS_OF_BLOCK = 50  # at least
BEYOND_USUAL = 0.01  # chance that one of all columns exceeds what is usual
# A classifier tells only some blocks of a wide table from the others: each takes long to fit.
COLUMNS_TOLD, FEWEST_TOLD = 800, 8  # columns times blocks; blocks
TOLD_BEYOND_USUAL = 0.001  # chance that the classifier exceeds what is usual
MOST_CORRELATED = 50  # columns, of whose pairs the usual change of a correlation is


class Observed(NamedTuple):
    """The size of one change, on one scale, in one block; `column` is empty for a joint one."""

    scale: str
    size: float
    column: str = ""


@dataclass(frozen=True)
class Block:
    """Some rows that follow each other."""

    start: int
    end: int  # after the last

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.end - self.start


def calibrate(profile: Profile, train: Any, step: int = 1) -> Profile:
    """Add to a profile the sizes of change that a batch must exceed beside its limits.

    Of what the check measures of each block of `train`, in the order of its rows, against all the
    other rows, this is the upper prediction limit for one more (by Student's t; Hahn & Meeker
    1991), at BEYOND_USUAL over the number of columns; of the classifier, which tells only some
    blocks of a wide table, at TOLD_BEYOND_USUAL. Values are counted in the cells of the profile.
    Fewer than FEWEST_BLOCKS tell nothing, and the limits stay as they are. `train` has every
    `step`-th row of the series.
    """
    source = Source(train)
    number = min(MOST_BLOCKS, source.rows // ROWS_OF_BLOCK)
    if number < FEWEST_BLOCKS:
        return profile
    places = np.array_split(np.arange(source.rows), number)
    blocks = [Block(int(rows[0]), int(rows[-1]) + 1) for rows in places]
    cells = {column.name: whole(source, column.name) for column in profile.watched}
    level = BEYOND_USUAL / len(profile.watched)

    of_columns: list[Observed] = []
    for column in profile.watched:
        is_target = column is profile.target
        of_columns += column_sizes(column, cells[column.name], blocks, is_target)
    usual = usual_sizes(of_columns, number, level)
    features = tuple(with_usual(feature, usual) for feature in profile.features)
    target = None if profile.target is None else with_usual(profile.target, usual)

    codes = np.stack([encode(x.cells, cells[x.name]) for x in profile.features])
    told = told_apart(codes, blocks)
    together = [
        *usual_sizes(told, len(told), TOLD_BEYOND_USUAL),
        *usual_sizes([*correlated(profile, codes, blocks)], number, level),
        *usual_sizes([*block_losses(profile, number)], number, level),
    ]
    of_both = {observed.scale: observed.size for observed in together}
    joint_changes = UsualChanges(**of_both, block_rows=source.rows * step // number)
    return replace(profile, features=features, target=target, usual=joint_changes)


def whole(source: Source, name: str) -> pa.Array:
    """Return all cells of one column."""
    return pa.chunked_array([piece.cells for piece in source.pieces(name)]).combine_chunks()


# ---- column by column


def column_sizes(
    column: ReferenceColumn, values: pa.Array, blocks: Sequence[Block], is_target: bool
) -> Iterator[Observed]:
    """Yield the sizes of the changes of each block of one column.

    Labels come late: that some are missing is no change of the target.
    """
    form = pa.table({column.name: values})
    counted = [
        count(column.cells, Source(form.slice(block.start, block.rows)), column.name, coded=False)
        for block in blocks
    ]
    for block, rest in zip(counted, others(counted), strict=True):
        for aspect, sizes in changes(column.kind, rest, as_batch(column.cells, rest, block)):
            if is_target and aspect == "missing":
                continue
            for scale in fields(Sizes):
                size = getattr(sizes, scale.name)
                if size is not None:
                    yield Observed(scale.name, size, column.name)


def with_usual(column: ReferenceColumn, usual: Sequence[Observed]) -> ReferenceColumn:
    """Add to a column what was observed of it."""
    own = {observed.scale: observed.size for observed in usual if observed.column == column.name}
    return replace(column, usual=Sizes(**own))


def others(blocks: Sequence[Counted]) -> Iterator[Counted]:
    """Yield, for each block, what all the others hold together."""
    counts = np.array([block.counts for block in blocks], dtype=int)
    of_others = counts.sum(axis=0) - counts
    none: Calendar | None = None
    for place in range(len(blocks)):
        rest = [*blocks[:place], *blocks[place + 1 :]]
        yield Counted(
            rows=sum(block.rows for block in rest),
            missing=sum(block.missing for block in rest),
            infinite=sum(block.infinite for block in rest),
            counts=tuple(of_others[place].tolist()),
            codes=b"",
            calendar=reduce(dates.merge, (block.calendar for block in rest), none),
        )


def as_batch(cells: Cells, rest: Counted, block: Counted) -> Counted:
    """Count a block as a batch of which the other rows are the reference: they lack categories."""
    if cells.kind != "category":
        return block
    unseen = dict(block.unseen)
    counts = list(block.counts)
    for place, (before, now) in enumerate(zip(rest.counts, block.counts, strict=True)):
        if now and not before:
            unseen[cells.categories[place]] = now
            counts[place] = 0
    return replace(block, counts=tuple(counts), unseen=unseen)


# ---- together


def sample_of(block: Block, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows beside a block and rows of it, as the check draws those of two tables."""
    beside_it = sampled(rows - block.rows)
    beside_it = np.where(beside_it < block.start, beside_it, beside_it + block.rows)
    return beside_it, block.start + sampled(block.rows)


def told_apart(codes: np.ndarray, blocks: Sequence[Block]) -> list[Observed]:
    """Tell how well a classifier tells blocks from the other rows.

    `codes` are of shape (features, rows).
    """
    columns, rows = codes.shape
    number = min(len(blocks), max(COLUMNS_TOLD // columns, FEWEST_TOLD))
    chosen = np.unique(np.linspace(0, len(blocks) - 1, number).round().astype(int))
    observed = []
    for place in chosen:
        before, now = sample_of(blocks[place], rows)
        both = codes[:, np.append(before, now)]
        observed.append(Observed("auc", joint.tell_apart(both, len(before)).area))
    return observed


def correlated(profile: Profile, codes: np.ndarray, blocks: Sequence[Block]) -> Iterator[Observed]:
    """Yield by how much the rank correlations of numeric columns differ, of all pairs of them."""
    numeric = np.array([x.kind == "number" for x in profile.features]).nonzero()[0]
    kept = np.linspace(0, len(numeric) - 1, min(len(numeric), MOST_CORRELATED)).round().astype(int)
    chosen = numeric[kept]
    features = [profile.features[place] for place in chosen]
    for block in blocks:
        before, now = sample_of(block, codes.shape[1])
        found = joint.compare_correlations(
            features, codes[np.ix_(chosen, before)], codes[np.ix_(chosen, now)]
        )
        change = np.abs(found.before - found.now)
        for size in change[found.tested].tolist():
            yield Observed("correlation", size)


def block_losses(profile: Profile, blocks: int) -> Iterator[Observed]:
    """Yield how much the model's loss on each block of the holdout exceeds that on all, a share."""
    if profile.followed is None:
        return
    loss = statistics.losses(np.array(profile.followed.residuals), profile.followed.positive)
    mean = loss.mean() or 1.0
    for part in np.array_split(loss, blocks):
        if len(part):
            yield Observed("loss", part.mean() / mean - 1)


# ---- one more block


def usual_sizes(observed: Sequence[Observed], blocks: int, level: float) -> list[Observed]:
    """Return the size that one more block would hardly exceed, of each column and scale."""
    import pandas as pd
    from scipy import stats

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
