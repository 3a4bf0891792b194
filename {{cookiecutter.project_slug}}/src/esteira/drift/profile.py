"""The reference profile: all that a batch is compared with, so the training data can stay away.

Counts at fixed edges add up. So a batch read by row group, or counted part by part elsewhere,
gives the same answer as a batch read whole.
"""

import base64
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from esteira.drift import statistics as st
from esteira.drift.tables import (
    Source,
    draw,
    fields,
    kind_of,
    numbers,
    pick,
    pieces,
    rows,
    scan,
    tally,
    to_source,
)
from esteira.errors import UserError

if TYPE_CHECKING:
    from esteira.schema import Schema

Profile = dict[str, Any]
VERSION = 1
INTERVALS = 250  # quantile cells of a numeric column, and the most categories with own codes
CATEGORIES = 10_000  # more distinct texts than that are free text
BLOCKS = 20  # of neighbouring rows, to see how much a time series varies by itself
MISSING = 255  # among the codes of cells, which are kept as one byte each


def describe(source: Source, name: str, kind: str) -> dict[str, Any]:
    """Fix the cells of one reference column: quantile edges, or categories by name."""
    if kind == "category":
        counter: Counter[str] = Counter()
        for chunk in scan(source, name):
            counter.update(tally(chunk))
        known = sorted((c for c in counter if counter[c]), key=lambda c: (-counter[c], c))
        if len(known) <= INTERVALS or len(known) <= min(counter.total() / 2, CATEGORIES):
            singletons = sum(counter[c] == 1 for c in known)
            return {"kind": kind, "cells": known, "singletons": singletons}
        kind = "text"
    if kind in ("number", "text"):
        parts = [numbers(chunk, kind) for chunk in scan(source, name)]
        values = np.concatenate([p[np.isfinite(p)] for p in parts]) if parts else np.empty(0)
        if not len(values):
            return {"kind": "empty"}
        values.sort()
        at = np.ceil(np.linspace(0, 1, INTERVALS + 1) * len(values)).astype(int) - 1
        edges = np.unique(values[np.maximum(at, 0)])
        return {"kind": kind, "edges": [float(np.nextafter(edges[0], -np.inf)), *edges.tolist()]}
    return {"kind": kind}


def count(
    entry: dict[str, Any], source: Source, name: str, at: NDArray[np.int64] | None = None
) -> dict[str, Any]:
    """Count the cells of `entry` in one column of `source`: additive over its pieces.

    Returns `missing`, `infinite` and, by kind, `counts` per cell, `unseen` (name to count), or
    `first` and `last`; and with `at` the `sample`: the codes of the rows of these numbers.
    """
    kind = entry["kind"]
    found: dict[str, Any] = {"missing": 0, "infinite": 0}
    unseen: Counter[str] = Counter()
    kept: list[pa.Array] = []
    if kind in ("number", "text"):
        edges = np.asarray(entry["edges"])
        counts = np.zeros(len(edges) + 1, dtype=np.int64)
        for chunk in scan(source, name, at, kept):
            # sorting once and finding the edges beats finding each value's cell; NaN comes last
            values = np.sort(numbers(chunk, kind))
            low, high, end = np.searchsorted(values, [-np.nextafter(np.inf, 0), np.inf, np.nan])
            upto = np.searchsorted(values[low:high], edges, side="right")
            counts += np.diff(upto, prepend=0, append=high - low)
            found["missing"] += int(len(values) - end)
            found["infinite"] += int(low + end - high)
        found["counts"] = counts
    elif kind == "category":
        counts = np.zeros(len(entry["cells"]), dtype=np.int64)
        place = {cell: i for i, cell in enumerate(entry["cells"])}
        for chunk in scan(source, name, at, kept):
            found["missing"] += chunk.null_count
            for cell, n in tally(chunk).items():
                if cell in place:
                    counts[place[cell]] += n
                elif n:
                    unseen[cell] += n
        found |= {"counts": counts, "unseen": unseen}
    else:
        for chunk in scan(source, name, at, kept):
            found["missing"] += chunk.null_count
            if kind == "date" and len(chunk) > chunk.null_count:
                ends = pc.min_max(chunk).as_py()
                found["first"] = min(found.get("first", "9"), str(ends["min"]))
                found["last"] = max(found.get("last", ""), str(ends["max"]))
    if at is not None:
        found["sample"] = encode(entry, kept)
    return found


def encode(entry: dict[str, Any], parts: Sequence[pa.Array]) -> NDArray[np.uint8]:
    """Number of the cell of each value; it keeps order, and hides the values themselves."""
    length = sum(len(part) for part in parts)
    if entry["kind"] in ("number", "text"):
        values = np.concatenate([numbers(part, entry["kind"]) for part in parts] or [np.empty(0)])
        found = np.searchsorted(entry["edges"], values, side="left").astype(np.uint8)
        return np.where(np.isnan(values), np.uint8(MISSING), found)
    if entry["kind"] == "category":
        few = entry["cells"] if len(entry["cells"]) <= INTERVALS else []
        place = {cell: i for i, cell in enumerate(few)} | {None: MISSING}
        texts = [text for part in parts for text in part.cast(pa.string()).to_pylist()]
        # A code of their own for the rare and the unseen would tell any two samples apart.
        found = (place[t] if t in place else crc32(t.encode()) % INTERVALS for t in texts)
        return np.fromiter(found, dtype=np.uint8)
    return np.full(length, MISSING, dtype=np.uint8)


def pack(codes: NDArray[np.uint8]) -> str:
    """One byte per cell as text for JSON."""
    return base64.b64encode(codes.tobytes()).decode()


def unpack(text: str, columns: int) -> NDArray[np.uint8]:
    """Undo `pack`: codes of shape (columns, rows)."""
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(columns, -1)


def read(path: str | Path) -> Profile:
    """Read a profile. Raises UserError if it is absent or of another version."""
    try:
        profile = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run `uv run dvc repro` to make it.") from None
    except ValueError:
        raise UserError(f"{path} is not a reference profile: it is not JSON.") from None
    if not isinstance(profile, dict) or profile.get("drift_profile") != VERSION:
        raise UserError(f"{path} is not a reference profile of this version: make it anew.")
    return profile


def effects(entry: dict[str, Any], found: dict[str, Any], m: int) -> dict[str, float]:
    """Sizes of the change from a reference column to what was found in `m` rows."""
    lost = [side["missing"] + side["infinite"] for side in (entry, found)]
    sizes = {"missing": st.cohens_h(lost[0] / entry["rows"], lost[1] / m)}
    if "counts" not in entry or entry["rows"] == lost[0] or m == lost[1]:
        return sizes
    a, b = np.array(entry["counts"]), found["counts"]
    if "edges" in entry:
        tenth = st.deciles(a)
        cells = np.stack([np.bincount(tenth, side, 10) for side in (a, b)])
        return sizes | {"ks": st.ks_distance(a, b), "psi": st.psi(*cells[:, cells.any(axis=0)])}
    unseen = found["unseen"].total()
    a, b = st.merge_rare(a, b, unseen)
    sizes |= {"total_variation": st.total_variation(a, b), "psi": st.psi(a, b)}
    return sizes | {"unseen": unseen / m}


def median(entry: dict[str, Any], counts: Any) -> str:
    """Median of a numeric column, to the nearest edge, in words."""
    upto, edges = np.cumsum(counts), entry["edges"]
    cell = int(np.searchsorted(upto, upto[-1] / 2))
    if cell in (0, len(edges)):
        return f"below {edges[1]:.4g}" if cell == 0 else f"above {edges[-1]:.4g}"
    return f"{edges[cell]:.4g}"


def entry_of(
    source: Source, name: str, ordered: bool = False
) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Describe and count one reference column as JSON holds it, and code its sampled rows."""
    column = pa.table({name: pa.chunked_array(list(pieces(source, name)))})
    entry = describe(column, name, kind_of(column[name].type))
    found = count(entry, column, name, draw(column.num_rows))
    sample = found.pop("sample")
    found.pop("unseen", None)
    entry |= {"rows": column.num_rows, **found}
    if ordered:
        entry["usual"] = usual(entry, column, name)
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in entry.items()}, sample


def usual(entry: dict[str, Any], column: pa.Table, name: str) -> dict[str, float]:
    """Sizes of change that blocks of neighbouring rows show within the reference.

    Rows of a time series are not independent, so blocks differ without drift: the 99th percentile
    over blocks, each against the rest, is what a batch must exceed.
    """
    sizes: dict[str, list[float]] = {}
    for at in np.array_split(np.arange(column.num_rows), BLOCKS):
        if not len(at):
            continue
        block = count(entry, column.slice(at[0], len(at)), name)
        keys = [key for key in ("counts", "missing", "infinite") if key in entry]
        rest = entry | {key: entry[key] - block[key] for key in keys}
        rest["rows"] = max(1, column.num_rows - len(at))
        for size, value in effects(rest, block, len(at)).items():
            sizes.setdefault(size, []).append(value)
    return {size: float(f"{np.quantile(values, 0.99):.6g}") for size, values in sizes.items()}


def residuals(task: dict[str, Any], target: pa.ChunkedArray, predicted: Any) -> NDArray[Any]:
    """What the model missed, per row; NaN where there is no label.

    `predicted` holds numbers for `regression`, class probabilities of shape (rows, classes) for
    `probabilities`, and the classes themselves for `labels`. Returns target less prediction, for
    two classes 1 or 0 less the probability of the second, otherwise 1 less the probability of the
    true class (0 or 1 for labels).
    """
    if task["kind"] == "regression":
        return numbers(target.combine_chunks().cast(pa.float64()), "number") - predicted
    truth = np.array(target.cast(pa.string()).to_pylist(), dtype=object)
    unknown = np.array([cell is None for cell in truth])
    if task["kind"] == "labels":
        found = (truth != np.asarray(predicted, dtype=object)).astype(float)
    elif len(task["classes"]) == 2:
        found = (truth == task["classes"][1]) - predicted[:, 1]
    else:
        known = truth[:, None] == np.array(task["classes"], dtype=object)
        found = 1 - (known * predicted).sum(axis=1)
    return np.where(unknown, np.nan, found)


def outcome(task: dict[str, Any], predicted: Any) -> pa.Table:
    """One column that says what the model answered: a number, or a class among three or more."""
    if task["kind"] == "probabilities":
        many = len(task["classes"]) > 2
        predicted = np.asarray(task["classes"])[predicted.argmax(1)] if many else predicted[:, 1]
    return pa.table({"prediction": pa.array(predicted)})


def build(
    train: Any,
    *,
    features: Sequence[str] | None = None,
    target: str | None = None,
    ordered: bool = False,
    holdout: Any = None,
    predictions: Any = None,
    classes: Sequence[str] | None = None,
) -> Profile:
    """Make the profile that a batch is checked against.

    Parameters
    ----------
    train: table the columns' distributions come from (pandas, Arrow or an open Parquet file).
    features: columns to watch; all but the target if not given.
    target: column to predict; without it neither target nor concept drift is checked.
    ordered: whether rows follow each other in time; then what blocks of neighbouring rows show
        anyway is no drift.
    holdout: rows the model has not learnt from, with features and target.
    predictions: the model's answer for each row of `holdout`: numbers of shape (rows,), or class
        probabilities of shape (rows, len(classes)) in the order of `classes`.
    """
    source = to_source(train)
    if rows(source) == 0:
        raise UserError("the reference has no rows: give a table that has some.")
    names = list(features) if features else [name for name in fields(source) if name != target]
    made = {name: entry_of(source, name, ordered) for name in names}
    columns = {name: entry for name, (entry, _) in made.items()}
    profile: Profile = {"drift_profile": VERSION, "rows": rows(source), "columns": columns}
    profile["sample"] = pack(np.stack([sample for _, sample in made.values()]))
    if target:
        profile["target"] = {"name": target} | entry_of(source, target, ordered)[0]
    if holdout is not None and predictions is not None and target:
        predictions = np.array(predictions)
        textual = predictions.dtype.kind not in "fiub"
        kind = "probabilities" if classes is not None else "labels" if textual else "regression"
        task = {"kind": kind, "classes": [str(c) for c in (() if classes is None else classes)]}
        profile |= {"task": task} | held_out(columns, target, task, holdout, predictions)
    if ordered:
        from esteira.drift import joint

        profile["usual"] = joint.usual(profile)
    return profile


def answers(model: Any, frame: Any) -> tuple[Any, list[str] | None]:
    """Ask a fitted scikit-learn model: numbers and None, or class probabilities and the classes.

    An infinite input is taken as missing, as everywhere in the check.
    """
    frame = frame.replace([np.inf, -np.inf], np.nan)
    if hasattr(model, "predict_proba"):
        return model.predict_proba(frame), [str(c) for c in model.classes_]
    return model.predict(frame), None


def of_line(train: Any, holdout: Any, model: Any, schema: "Schema") -> Profile:
    """Make the profile of the line's two pandas tables and its fitted model."""
    predictions, classes = answers(model, holdout[schema.inputs])
    return build(
        train,
        features=schema.features,
        target=schema.target,
        ordered=schema.time is not None,
        holdout=holdout,
        predictions=predictions,
        classes=classes,
    )


def of_table(table: Source, target: str | None, predictions: str | None) -> Profile:
    """Make a profile of one table that may hold the model's answers in a column of its own."""
    for name in filter(None, (target, predictions)):
        if name not in fields(table):
            raise UserError(f"the reference has no column `{name}`: name one that it has.")
    features = [name for name in fields(table) if name not in (target, predictions)]
    if not (target and predictions):
        return build(table, features=features, target=target)
    pair = pick(table, [target, predictions], np.arange(rows(table)))
    task, text = {"kind": "given", "classes": None}, pair[target].cast(pa.string())
    if kind_of(pair[predictions].type) == "number" and kind_of(pair[target].type) == "category":
        mean = (
            pa.table({"c": text, "p": pair[predictions]}).group_by("c").aggregate([("p", "mean")])
        )
        mean = mean.filter(pc.is_valid(mean["c"])).sort_by(
            [("p_mean", "ascending"), ("c", "ascending")]
        )
        task["classes"] = mean["c"].to_pylist()
        if len(task["classes"]) != 2:
            raise UserError(
                f"`{predictions}` holds numbers, but `{target}` has {len(task['classes'])} classes:"
                " give the predicted classes instead."
            )
    guesses = given(table, predictions, task, np.arange(rows(table)))
    return build(
        table,
        features=features,
        target=target,
        holdout=table,
        predictions=guesses,
        classes=task["classes"],
    )


def given(source: Source, name: str, task: dict[str, Any], at: NDArray[np.int64]) -> Any:
    """The model's answers, from a column of the table, in the shape that `build` takes."""
    column = pick(source, [name], at)[name]
    if kind_of(column.type) != "number":
        return np.array(column.cast(pa.string()).to_pylist(), dtype=object)
    values = numbers(column.combine_chunks(), "number")
    return np.stack([1 - values, values], axis=1) if task["classes"] else values


def held_out(
    columns: dict[str, Any], target: str, task: dict[str, Any], holdout: Any, predicted: Any
) -> Profile:
    """Keep what concept drift needs of the holdout: coded inputs, and what the model missed."""
    source = to_source(holdout)
    at = draw(rows(source))
    truth = pick(source, [target], at)[target]
    missed = residuals(task, truth, predicted[at])
    known = np.isfinite(missed)
    coded = [encode(e, pick(source, [name], at)[name].chunks) for name, e in columns.items()]
    kept: Profile = {
        "prediction": entry_of(outcome(task, predicted), "prediction")[0],
        "holdout": pack(np.stack(coded)[:, known]),
        "residuals": [float(f"{value:.6g}") for value in missed[known]],
    }
    if task["kind"] == "probabilities":
        text = np.array(truth.cast(pa.string()).to_pylist(), dtype=object)
        told = [predicted[at][text == c].mean(axis=0).round(6) for c in task["classes"]]
        shares = [round(float((text == c).mean()), 6) for c in task["classes"]]
        kept["told"] = {"means": np.nan_to_num(told).tolist(), "shares": shares}
    return kept
