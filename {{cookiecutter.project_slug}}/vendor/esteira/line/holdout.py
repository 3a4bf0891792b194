"""Which rows are held out from training: a property of the row, not of the table's length.

A row is drawn by its *key*, 64 bits of BLAKE2b over its cells, so that rows that come later never
move it to the other side, and equal rows land on one. The cells are hashed as bytes that no
platform and no version of pandas decides: numbers as IEEE 754 doubles, dates as microseconds since
1970, texts as UTF-8, columns in the order of their names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from esteira.line import table
from esteira.line.errors import UserError
from esteira.line.nearest import closest
from esteira.line.params import Section
from esteira.line.schema import Schema

PARTS = Path("data/parts.parquet")  # which row went where, the oldest first
MISSING = np.uint64(0x7FF8000000000000)  # any missing cell, of whatever type: the double NaN
MOST_REMARKS = 5

Part = Literal["train", "holdout", "current"]


class Settings(Section):
    """Section `split:` of params.yaml."""

    current: Annotated[float, Field(ge=0, lt=1)]  # share of the newest rows; they play the batch
    order: Literal["rows", "random"]  # of the file, if no column is the time
    holdout: Annotated[float, Field(gt=0, lt=1)]  # share of the rest that evaluates the model
    shuffle: bool  # hold out rows by their keys, or else the newest ones
    group: str | None = None  # column whose equal values belong together: held out whole
    seed: int


@dataclass(frozen=True)
class Split:
    """Where each row of a table went."""

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


def identity(rows: pd.DataFrame, schema: Schema, group: str | None = None) -> np.ndarray:
    """Return the key that decides a row's side, as uint64 of shape (rows,).

    It is made of the group, else of the first identifier, else of the whole row; a row without the
    cell that names it is its whole self. Raises UserError for a group that is no column.
    """
    if group is not None and group not in schema.columns:
        raise UserError(
            f"`split.group` of params.yaml names {group!r}, which is no column of schema.yaml:"
            f" {closest(group, schema.columns)}"
        )
    whole = keys(rows, list(schema.columns))
    name = group or next(iter(schema.named("identifier")), None)
    if name is None:
        return whole
    return np.where(rows[name].isna(), whole, keys(rows, [name]))


def distinct(rows: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Return the key that tells a row from the others, as uint64 of shape (rows,).

    As `identity`, but rows that share an identifier are told apart by their whole content.
    """
    told = identity(rows, schema).copy()
    repeated = pd.Series(told).duplicated(keep=False).to_numpy()
    told[repeated] = keys(rows[repeated], list(schema.columns))
    return told


def draws(named: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """Return a number from 0 to 1 for each key, of shape (rows,): uniform, and always the same."""
    salt = blake2b(f"{purpose} {seed}".encode(), digest_size=32).digest()
    content = memoryview(named.astype("<u8").tobytes())
    starts = range(0, len(content), 8)
    hashed = (blake2b(content[at : at + 8], digest_size=8, key=salt).digest() for at in starts)
    return np.frombuffer(b"".join(hashed), dtype="<u8") / 2.0**64


def newest(rows: pd.DataFrame, share: float, time: str | None) -> np.ndarray:
    """Return which rows are the last `share` of a table in order, as bool of shape (rows,).

    Rows of one moment stay together, so the share is met as nearly as they allow. Raises UserError
    where every row has the same moment.
    """
    cut = len(rows) - round(len(rows) * share)
    if time is not None and 0 < cut < len(rows):
        moments = rows[time].to_numpy()
        first = int(np.searchsorted(moments, moments[cut], side="left"))
        after = int(np.searchsorted(moments, moments[cut], side="right"))
        if first == 0 and after == len(rows):
            raise UserError(
                f"`{time}` is the same in all {len(rows)} rows, so none is the newest: give it"
                " another role than `time` in schema.yaml."
            )
        earlier = after == len(rows) or (first > 0 and cut - first <= after - cut)
        cut = first if earlier else after
    return np.arange(len(rows)) >= cut


def split(rows: pd.DataFrame, schema: Schema, settings: Settings) -> Split:
    """Say of each row whether it is trained on, held out, or in the current batch.

    With a time column the newest rows are the batch, else the last ones of the file, or, where the
    file's order means nothing, rows drawn by their keys. Of the rest, rows drawn by their keys are
    held out, or the newest. A row can leave the batch as rows are appended, for the side that its
    key has always had. Raises UserError for settings that do not fit the table.
    """
    if schema.time is not None:
        rows = rows.sort_values(schema.time, kind="stable", ignore_index=True)
    named = identity(rows, schema, settings.group)
    if schema.time is not None or settings.order == "rows":
        current = newest(rows, settings.current, schema.time)
    else:
        current = draws(named, settings.seed, "current") < settings.current
    rest = rows[~current]
    held, remarks = np.zeros(len(rest), dtype=bool), []
    if settings.shuffle or settings.group is not None:
        drawn = draws(named[~current], settings.seed, "holdout")
        held = drawn < settings.holdout
        if schema.task == "classification":
            classes = rest[schema.target].to_numpy()
            if settings.group is None:
                held, remarks = _both_sides(held, drawn, classes, settings.holdout)
            remarks += _uneven(held, classes, settings.holdout)
    elif len(rest):
        held = newest(rest, settings.holdout, schema.time)
    parts = np.full(len(rows), "current", dtype=object)
    parts[~current] = np.where(held, "holdout", "train")
    return Split(rows, distinct(rows, schema), parts, tuple(remarks[:MOST_REMARKS]))


def _classes(classes: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each class with the places of its rows, the rarest first."""
    counts = pd.Series(classes).value_counts(ascending=True)
    for name in counts.index:
        yield name, np.flatnonzero(classes == name)


def _both_sides(
    held: np.ndarray, drawn: np.ndarray, classes: np.ndarray, share: float
) -> tuple[np.ndarray, list[str]]:
    """Let every class be learnt and, where it has enough rows, held out: chance may do neither.

    Only a class that chance put wholly on one side is mended, by the row nearest to the other.
    """
    held, remarks = held.copy(), []
    for name, at in _classes(classes):
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


def _uneven(held: np.ndarray, classes: np.ndarray, share: float) -> list[str]:
    """Say which classes are held out much more or less than `share` says."""
    remarks = []
    for name, at in _classes(classes):
        found = held[at].mean()
        if len(at) * share >= 1 and abs(found - share) > share / 2:
            remarks.append(
                f"Of the {len(at)} rows of class {name!r} {found:.0%} are held out, where"
                f" {share:.0%} is meant: rows are drawn one by one, and so few come unevenly."
            )
    return remarks


def write(found: Split) -> None:
    """Write data/parts.parquet: the key and the part of each row, in the order of `rows`."""
    parts = pd.DataFrame({"row": found.keys, "part": pd.Series(found.parts, dtype="str")})
    table.write(parts, PARTS)


def read(path: str | Path = PARTS) -> pd.DataFrame:
    """Read what `write` wrote: columns `row` (uint64) and `part`. Raises UserError."""
    return table.read(path, ["row", "part"])


def part_keys(name: Part, path: str | Path = PARTS) -> np.ndarray:
    """Return the keys of the rows of one part, in the order of its table. Raises UserError."""
    parts = read(path)
    return parts.loc[parts["part"] == name, "row"].to_numpy()


def latest(train: pd.DataFrame, held: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the newest `count` of the rows trained on and held out, oldest first.

    data/parts.parquet tells in which order they come. Raises UserError where it is absent.
    """
    parts = read()["part"].to_numpy()
    parts = parts[parts != "current"]
    places = np.concatenate([np.flatnonzero(parts == name) for name in ("train", "holdout")])
    rows = pd.concat([train, held], ignore_index=True)
    return rows.iloc[np.argsort(places)].tail(count).reset_index(drop=True)
