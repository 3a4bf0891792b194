"""Which rows are held out from training: a property of the row, not of the table's length.

A row is drawn by its *key*, 64 bits of BLAKE2b over its cells, so that rows that come later never
move it to the other side, and equal rows land on one. The cells are hashed as bytes that no
platform and no version of pandas decides: numbers as IEEE 754 doubles, dates as microseconds since
1970, texts as UTF-8, columns in the order of their names.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from esteira.line import engine, parts, table
from esteira.line.errors import UserError
from esteira.line.nearest import closest
from esteira.line.params import Section
from esteira.line.schema import Schema

PARTS = Path("data/parts.parquet")  # which row went where, the oldest first
MISSING = np.uint64(0x7FF8000000000000)  # any missing cell, of whatever type: the double NaN
MOST_REMARKS = 5

Part = Literal["train", "holdout", "current"]
NAMES: tuple[Part, ...] = ("train", "holdout", "current")


class Settings(Section):
    """Section `split:` of params.yaml."""

    current: Annotated[float, Field(ge=0, lt=1)]  # share of the newest rows; they play the batch
    order: Literal["rows", "random"]  # of the file, if no column is the time
    holdout: Annotated[float, Field(gt=0, lt=1)]  # share of the rest that evaluates the model
    shuffle: bool  # hold out rows by their keys, or else the newest ones
    group: str | None = None  # column whose equal values belong together: held out whole
    seed: int


@dataclass(frozen=True)
class Looked:
    """What decides where the rows of a table go; each array has shape (rows,)."""

    whole: np.ndarray  # uint64: keys of all cells of each row
    own: np.ndarray  # uint64: keys of the identifiers, or else of all cells
    named: np.ndarray  # uint64: the keys that decide a row's side: of the groups, or else `own`
    moments: np.ndarray | None  # of the time column, if there is one
    targets: np.ndarray  # numbers, or places in `classes`
    classes: tuple[str, ...]  # of a classification, as they came


@dataclass(frozen=True)
class Sides:
    """Where each row of a table goes, the oldest first; each array has shape (rows,)."""

    order: np.ndarray  # places of the rows in the table
    keys: np.ndarray  # uint64: tells a row from the others, in this table and in later ones
    parts: np.ndarray  # int8: places in NAMES
    targets: np.ndarray  # as `Looked` has them
    remarks: tuple[str, ...]  # what is uneven, in sentences

    def are(self, name: Part) -> np.ndarray:
        """Return which rows go to a part, as bool of shape (rows,)."""
        return self.parts == NAMES.index(name)

    def rows(self, name: Part) -> int:
        """Count the rows of a part."""
        return int(self.are(name).sum())

    def can_learn(self, name: Part) -> bool:
        """Whether a part has two different targets at least."""
        return len(np.unique(self.targets[self.are(name)])) >= 2


@dataclass(frozen=True)
class Split:
    """Where each row of a table in memory went."""

    rows: pd.DataFrame  # the oldest first where their order is known
    keys: np.ndarray  # uint64 (rows,): tells a row from the others, in this table and in later ones
    parts: np.ndarray  # str (rows,): `train`, `holdout` or `current`
    remarks: tuple[str, ...]  # what is uneven, in sentences

    def part(self, name: Part) -> pd.DataFrame:
        """Return the rows of one part, in order."""
        return self.rows[self.parts == name]


def keys(rows: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Return a key of each row's cells in `columns`, as uint64 of shape (rows,)."""
    cells = np.column_stack([_codes(rows[name]) for name in sorted(columns)]).astype("<u8")
    content, width = memoryview(cells.tobytes()), 8 * len(columns)
    starts = range(0, len(content), width)
    hashed = (blake2b(content[start : start + width], digest_size=8).digest() for start in starts)
    return np.frombuffer(b"".join(hashed), dtype="<u8").astype(np.uint64)


def _codes(values: pd.Series) -> np.ndarray:
    """Return 64 bits for each cell, the same for equal cells whatever the column's dtype."""
    missing = values.isna().to_numpy()
    if pd.api.types.is_datetime64_any_dtype(values):
        codes = values.to_numpy("datetime64[us]").astype(np.int64).view(np.uint64)
    elif pd.api.types.is_numeric_dtype(values):
        numbers = values.to_numpy(np.float64, na_value=np.nan) + 0.0  # -0.0 is 0.0
        codes = numbers.view(np.uint64)
    else:
        places, words = pd.factorize(values.astype("str"))
        texts = (str(word).encode("utf-8", "surrogatepass") for word in words)
        hashed = b"".join(blake2b(text, digest_size=8).digest() for text in texts)
        codes = np.append(np.frombuffer(hashed, dtype="<u8"), MISSING)[places]
    return np.where(missing, MISSING, codes).astype(np.uint64)


def look(tables: Iterable[pd.DataFrame], schema: Schema, group: str | None = None) -> Looked:
    """Read the parts of a table once, and keep what decides where its rows go.

    Raises UserError for a group that is no column.
    """
    if group is not None and group not in schema.columns:
        raise UserError(
            f"`split.group` of params.yaml names {group!r}, which is no column of schema.yaml:"
            f" {closest(group, schema.columns)}"
        )
    looking = partial(_look_at, schema=schema, group=group)
    seen = list(engine.mapped(looking, tables))
    places: dict[str, int] = {}
    if schema.task == "classification":
        targets = [_placed(part.targets, part.classes, places) for part in seen]
    else:
        targets = [part.targets for part in seen]
    whole = np.concatenate([part.whole for part in seen])
    # What is the same is kept once: eight bytes a row each.
    own = np.concatenate([part.own for part in seen]) if schema.named("identifier") else whole
    named = np.concatenate([part.named for part in seen]) if group else own
    times = None
    if schema.time is not None:
        times = np.concatenate([part.moments for part in seen if part.moments is not None])
    return Looked(whole, own, named, times, np.concatenate(targets), tuple(places))


def _look_at(rows: pd.DataFrame, schema: Schema, group: str | None) -> Looked:
    """Look at one part; its classes are numbered by themselves."""
    whole = keys(rows, list(schema.columns))
    identifier = next(iter(schema.named("identifier")), None)
    own = whole if identifier is None else _keys_of(rows, identifier, whole)
    named = own if group is None else _keys_of(rows, group, whole)
    moments = None if schema.time is None else rows[schema.time].to_numpy()
    if schema.task == "regression":
        return Looked(whole, own, named, moments, rows[schema.target].to_numpy(), ())
    codes, words = pd.factorize(rows[schema.target].astype("str"))
    classes = tuple(str(word) for word in words)
    return Looked(whole, own, named, moments, codes.astype(np.int32), classes)


def _keys_of(rows: pd.DataFrame, name: str, whole: np.ndarray) -> np.ndarray:
    """Return the keys of one column's cells; a row without a cell there is its whole self."""
    return np.where(rows[name].isna(), whole, keys(rows, [name]))


def _placed(codes: np.ndarray, classes: tuple[str, ...], places: dict[str, int]) -> np.ndarray:
    """Number the classes of a part as those of all, int32 (rows,); new ones get the next places."""
    of_names = [places.setdefault(name, len(places)) for name in classes]
    return np.array([*of_names, -1], dtype=np.int32)[codes]


def distinct(looked: Looked) -> np.ndarray:
    """Return the key that tells a row from the others, as uint64 of shape (rows,).

    Rows that share an identifier are told apart by their whole content.
    """
    if looked.own is looked.whole:
        return looked.whole
    told = looked.own.copy()
    in_order = np.sort(told)
    repeated = np.unique(in_order[1:][in_order[1:] == in_order[:-1]])
    if not len(repeated):
        return told
    for first in range(0, len(told), parts.ROWS):  # some at once: the places are eight bytes a row
        rows = slice(first, first + parts.ROWS)
        place = np.searchsorted(repeated, told[rows]).clip(max=len(repeated) - 1)
        told[rows] = np.where(repeated[place] == told[rows], looked.whole[rows], told[rows])
    return told


def draws(named: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """Return a number from 0 to 1 for each key, of shape (rows,): uniform, and always the same."""
    salt = blake2b(f"{purpose} {seed}".encode(), digest_size=32).digest()
    drawn = np.empty(len(named))
    for first in range(0, len(named), parts.ROWS):  # each hash is an object of its own
        content = memoryview(named[first : first + parts.ROWS].astype("<u8").tobytes())
        starts = range(0, len(content), 8)
        hashed = (blake2b(content[at : at + 8], digest_size=8, key=salt).digest() for at in starts)
        numbers = np.frombuffer(b"".join(hashed), dtype="<u8")
        drawn[first : first + parts.ROWS] = numbers / 2.0**64
    return drawn


def newest(count: int, share: float, moments: np.ndarray | None, time: str | None) -> np.ndarray:
    """Return which of `count` rows in order are the last `share`, as bool of shape (rows,).

    Rows of one moment stay together, so the share is met as nearly as they allow. Raises UserError
    where every row has the same moment in the column `time`.
    """
    cut = count - round(count * share)
    if moments is not None and 0 < cut < count:
        first = int(np.searchsorted(moments, moments[cut], side="left"))
        after = int(np.searchsorted(moments, moments[cut], side="right"))
        if first == 0 and after == count:
            raise UserError(
                f"`{time}` is the same in all {count} rows, so none is the newest: give it"
                " another role than `time` in schema.yaml."
            )
        earlier = after == count or (first > 0 and cut - first <= after - cut)
        cut = first if earlier else after
    return np.arange(count) >= cut


def split(rows: pd.DataFrame, schema: Schema, settings: Settings) -> Split:
    """Say of each row of a table in memory where it goes: see `decide`. Raises UserError."""
    sides = decide(look([rows], schema, settings.group), schema, settings)
    ordered = rows if schema.time is None else rows.iloc[sides.order].reset_index(drop=True)
    names = np.array(NAMES, dtype=object)[sides.parts]
    return Split(ordered, sides.keys, names, sides.remarks)


def decide(looked: Looked, schema: Schema, settings: Settings) -> Sides:
    """Say of each row whether it is trained on, held out, or in the current batch.

    With a time column the newest rows are the batch, else the last ones of the file, or, where the
    file's order means nothing, rows drawn by their keys. Of the rest, rows drawn by their keys are
    held out, or the newest. A row can leave the batch as rows are appended, for the side that its
    key has always had. Raises UserError for settings that do not fit the table.
    """
    count = len(looked.whole)
    order = np.arange(count)
    named, targets, moments = looked.named, looked.targets, looked.moments
    if moments is not None:
        order = np.argsort(moments, kind="stable")
        named, targets, moments = named[order], targets[order], moments[order]
    if moments is not None or settings.order == "rows":
        current = newest(count, settings.current, moments, schema.time)
    else:
        current = draws(named, settings.seed, "current") < settings.current
    rest = ~current
    held, remarks = np.zeros(int(rest.sum()), dtype=bool), []
    if settings.shuffle or settings.group is not None:
        drawn = draws(named[rest], settings.seed, "holdout")
        held = drawn < settings.holdout
        if schema.task == "classification":
            classes = _Classes(targets[rest], looked.classes)
            if settings.group is None:
                held, remarks = _both_sides(held, drawn, classes, settings.holdout)
            remarks += _uneven(held, classes, settings.holdout)
    elif len(held):
        of_rest = None if moments is None else moments[rest]
        held = newest(len(held), settings.holdout, of_rest, schema.time)
    parts_of = np.full(count, NAMES.index("current"), dtype=np.int8)
    parts_of[rest] = np.where(held, NAMES.index("holdout"), NAMES.index("train"))
    return Sides(order, distinct(looked)[order], parts_of, targets, tuple(remarks[:MOST_REMARKS]))


@dataclass(frozen=True)
class _Classes:
    """The classes of some rows."""

    codes: np.ndarray  # (rows,): places in `names`
    names: tuple[str, ...]

    def rarest_first(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each class with the places of its rows, the rarest first."""
        counts = pd.Series(self.codes).value_counts(ascending=True)
        for code in counts.index:
            yield self.names[code], np.flatnonzero(self.codes == code)


def _both_sides(
    held: np.ndarray, drawn: np.ndarray, classes: _Classes, share: float
) -> tuple[np.ndarray, list[str]]:
    """Let every class be learnt and, where it has enough rows, held out: chance may do neither.

    Only a class that chance put wholly on one side is mended, by the row nearest to the other.
    """
    held, remarks = held.copy(), []
    for name, at in classes.rarest_first():
        numbers = drawn[at]
        if held[at].all():
            held[at] = numbers < numbers.max()
            what = "held out"
        elif not held[at].any() and round(len(at) * share) and numbers.min() < numbers.max():
            held[at] = numbers == numbers.min()
            what = "trained on"
        else:
            continue
        remarks.append(
            f"Chance had all {len(at)} rows of class {name!r} {what}: now {held[at].sum()} are"
            " held out. Rows of so rare a class may change sides as others come."
        )
    return held, remarks


def _uneven(held: np.ndarray, classes: _Classes, share: float) -> list[str]:
    """Say which classes are held out much more or less than `share` says."""
    remarks = []
    for name, at in classes.rarest_first():
        found = held[at].mean()
        if len(at) * share >= 1 and abs(found - share) > share / 2:
            remarks.append(
                f"Of the {len(at)} rows of class {name!r} {found:.0%} are held out, where"
                f" {share:.0%} is meant: rows are drawn one by one, and so few come unevenly."
            )
    return remarks


def demand_enough(found: Sides, schema: Schema, settings: Settings) -> None:
    """Raise UserError for a part that nothing can be learnt from, or a batch without rows."""
    for name in NAMES:
        rows = found.rows(name)
        needed = name != "current" or settings.current > 0
        too_few = rows == 0 if name == "current" else not found.can_learn(name)
        if needed and too_few:
            raise UserError(
                f"{len(found.keys)} rows are too few for this split: `{name}` would have {rows} "
                f"rows and fewer than two values of `{schema.target}`; change `split:` in "
                "params.yaml."
            )


def write(found: Sides) -> None:
    """Write data/parts.parquet: the key and the part of each row, the oldest first."""
    names = np.array(NAMES, dtype=object)
    with parts.writing(PARTS) as out:
        for start in range(0, max(len(found.keys), 1), parts.ROW_GROUP):
            rows = slice(start, start + parts.ROW_GROUP)
            told = pd.Series(names[found.parts[rows]], dtype="str")
            out.write(pd.DataFrame({"row": found.keys[rows], "part": told}))


def read(path: str | Path = PARTS) -> pd.DataFrame:
    """Read what `write` wrote: columns `row` (uint64) and `part`. Raises UserError."""
    return table.read(path, ["row", "part"])


def part_keys(name: Part, path: str | Path = PARTS) -> np.ndarray:
    """Return the keys of the rows of one part, in the order of its table. Raises UserError."""
    read_parts = parts.read(path, columns=["row", "part"])
    return np.concatenate([rows.loc[rows["part"] == name, "row"].to_numpy() for rows in read_parts])


def latest(train: str | Path, held: str | Path, count: int) -> pd.DataFrame:
    """Return the newest `count` of the rows trained on and held out, oldest first.

    `train` and `held` are the paths of their tables; data/parts.parquet tells in which order the
    rows come. Raises UserError where one is absent.
    """
    is_held = np.concatenate(
        [
            (rows["part"] == "holdout").to_numpy()[rows["part"] != "current"]
            for rows in parts.read(PARTS, columns=["part"])
        ]
    )
    wanted = np.flatnonzero(np.arange(len(is_held)) >= len(is_held) - count)
    of_held = is_held[wanted]
    rank = np.where(is_held, np.cumsum(is_held), np.cumsum(~is_held)) - 1  # in its own table
    sides = [
        parts.take(path, rank[wanted[of_held == holds]])
        for path, holds in ((train, False), (held, True))
    ]
    place = np.argsort(np.argsort(of_held, kind="stable"), kind="stable")
    return pd.concat(sides, ignore_index=True).iloc[place].reset_index(drop=True)
