"""Is the model better than the base's? Asked on the rows that both have answered, and on no others.

`evaluate` keeps the model's answers on the rows held out, and dvc.lock names them, at the base as
now. A metric's difference comes with an interval from the paired rows (see influence.py). Where
base and now share too few rows, the base's model is asked today's, by the base's own code.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel
from ruamel.yaml.error import YAMLError

from esteira.line import predictions
from esteira.line.errors import UserError
from esteira.line.files import parse_yaml, read_yaml, significant
from esteira.line.influence import CLASSIFICATION, REGRESSION, Metric, Undefined
from esteira.line.params import parse
from esteira.line.predictions import Answers
from esteira.line.schema import Schema
from esteira.page.words import ROUNDING
from esteira.repository import dvc, git

LEAST_ROWS = 30  # that both answered, or the interval says nothing
CONFIDENCE = 0.95
STAGE = "evaluate"
METRICS = CLASSIFICATION | REGRESSION

Verdict = Literal["better", "worse", "within noise", "not comparable"]


@dataclass(frozen=True)
class Comparison:
    """One metric of two models on the same rows; without a number where it is not comparable."""

    metric: str
    base: float | None  # on the shared rows, as are all numbers here
    now: float | None
    difference: float | None  # now less base
    low: float | None  # of the interval for the difference
    high: float | None
    rows: int  # shared
    verdict: Verdict
    reason: str  # which rows these are, or why there is no comparison; one sentence

    @property
    def unchanged(self) -> bool:
        """Whether the two differ by no more than rounding."""
        ends = (self.difference, self.low, self.high)
        return all(end is not None and abs(end) < ROUNDING for end in ends)


@dataclass(frozen=True)
class Difference:
    """What one metric is for two models on the same rows, and how sure their difference is."""

    base: float
    now: float
    difference: float
    low: float
    high: float
    verdict: Verdict


class LockedFile(BaseModel):
    """A file that a stage read or wrote."""

    path: str
    md5: str | None = None


class LockedStage(BaseModel):
    """What dvc.lock says of a stage."""

    deps: list[LockedFile] = []
    outs: list[LockedFile] = []


class Lock(BaseModel):
    """What dvc.lock says of the line."""

    stages: dict[str, LockedStage] = {}


@dataclass(frozen=True)
class Side:
    """One of the two commits, by its files in Git: what it predicts, and what DVC keeps for it."""

    name: str
    schema: Schema
    lock: Lock
    group: str | None  # `split.group` of params.yaml

    def outputs(self) -> dict[str, str]:
        """Return the hash of each file that the line has written, by its path."""
        outs = [out for stage in self.lock.stages.values() for out in stage.outs]
        return {out.path: out.md5 for out in outs if out.md5}

    def fetch(self, path: str) -> Path:
        """Return a file of the line as dvc.lock names it. Raises UserError."""
        known = self.outputs()
        if path not in known:
            raise UserError(f"{path} is not in dvc.lock of {self.name}.")
        if dvc.is_whole(Path(path), known[path]):  # as it lies here, at the base or now
            return Path(path)
        return dvc.fetch(known[path], f"{path} of {self.name}")

    def names_a_row_by(self) -> list[str]:
        """Return the columns whose cells make a row's key."""
        return self.schema.named("identifier")[:1] or sorted(self.schema.columns)


@dataclass(frozen=True)
class Pair:
    """The answers of both models on the same rows, in one order."""

    base: Answers
    now: Answers
    reason: str


def compare(base_commit: str, metrics: list[str]) -> list[Comparison]:
    """Compare metrics of the base with those of the working tree, on the rows both have answered.

    Never raises for what a user may meet: what cannot be compared is told as such, with the reason.
    """
    try:
        base, now = _base(base_commit), _now()
        _refuse_another_target(base.schema, now.schema)
        same = base.outputs().get(predictions.PATH) == now.outputs().get(predictions.PATH)
        if same and predictions.PATH in now.outputs():
            return [_unchanged(name, now.schema) for name in metrics]
        pair = _pair(base_commit, base, now)
    except UserError as error:
        return [_not_comparable(name, str(error)) for name in metrics]
    return [_compare(name, pair, now.schema) for name in metrics]


def says(found: Comparison) -> str:
    """Say a comparison in a few words: `better, +0.004 [+0.001, +0.007] on 121 rows (…)`."""
    if found.difference is None or found.low is None or found.high is None:
        return f"not comparable: {found.reason}"
    better = "higher" if METRICS[found.metric].higher else "lower"
    moved, low, high = (signed(value) for value in (found.difference, found.low, found.high))
    return f"{found.verdict}, {moved} [{low}, {high}] on {found.rows} rows ({better} is better)"


def signed(value: float) -> str:
    """Write a difference with three significant digits and its sign."""
    digits = f"{significant(value, 3):+g}"
    return digits.removeprefix("+") if value == 0 else digits


def difference(metric: Metric, base: Answers, now: Answers, positive: str | None) -> Difference:
    """Compare one metric on rows in one order. Raises Undefined where the rows do not define it.

    The interval is Student's t for the mean of paired differences, here of influences.
    """
    from scipy.special import stdtrit  # quantiles of Student's t; scipy.stats loads much more

    before, after = metric.measure(base, positive), metric.measure(now, positive)
    rows = len(now.keys)
    moved = after.value - before.value
    error = float(np.std(after.influence - before.influence, ddof=1)) / np.sqrt(rows)
    reach = float(stdtrit(rows - 1, (1 + CONFIDENCE) / 2)) * error
    low, high = moved - reach, moved + reach
    verdict: Verdict = "within noise"
    if low > 0 or high < 0:
        verdict = "better" if (moved > 0) == metric.higher else "worse"
    base_value, now_value, moved, low, high = map(
        significant, (before.value, after.value, moved, low, high)
    )
    return Difference(base_value, now_value, moved, low, high, verdict)


def _compare(name: str, pair: Pair, schema: Schema) -> Comparison:
    known = CLASSIFICATION if schema.task == "classification" else REGRESSION
    if name not in known:
        return _not_comparable(name, _unknown(name))
    try:
        found = difference(known[name], pair.base, pair.now, schema.positive)
    except Undefined as error:
        return _not_comparable(
            name, f"{name} means nothing on the {len(pair.now.keys)} rows: {error}."
        )
    numbers = (found.base, found.now, found.difference, found.low, found.high)
    return Comparison(name, *numbers, len(pair.now.keys), found.verdict, pair.reason)


def _unknown(name: str) -> str:
    return f"{name} is not measured row by row on the rows held out."


def _not_comparable(name: str, reason: str) -> Comparison:
    return Comparison(name, None, None, None, None, None, 0, "not comparable", reason)


def _unchanged(name: str, schema: Schema) -> Comparison:
    """Compare without a look at the answers: dvc.lock names the same ones twice."""
    known = CLASSIFICATION if schema.task == "classification" else REGRESSION
    measured = read_yaml(f"reports/{STAGE}/metrics.json")  # JSON is YAML
    value, rows = measured.get(name), measured.get("rows")
    if name not in known or not isinstance(value, int | float) or not isinstance(rows, int):
        return _not_comparable(name, _unknown(name))
    reason = f"The answers on the {rows} rows held out are the same."
    return Comparison(name, value, value, 0.0, 0.0, 0.0, rows, "within noise", reason)


def _base(commit: str) -> Side:
    """Read the base from Git. Raises UserError."""
    name = "the base"

    def mapping(path: str) -> dict[str, Any]:
        text = git.text_at(commit, path)
        if text is None:
            raise UserError(f"{name} has no {path}.")
        try:
            value = parse_yaml(text)
        except YAMLError:
            value = None
        if not isinstance(value, dict):
            raise UserError(f"{path} of {name} is not a mapping in YAML.")
        return value

    return _side(name, mapping("schema.yaml"), mapping("dvc.lock"), mapping("params.yaml"))


def _now() -> Side:
    """Read the working tree. Raises UserError."""
    files = (read_yaml(path) for path in ("schema.yaml", "dvc.lock", "params.yaml"))
    return _side("this commit", *files)


def _side(name: str, schema: Any, lock: Any, params: dict[str, Any]) -> Side:
    split = params.get("split")
    group = split.get("group") if isinstance(split, dict) else None
    columns = parse(schema, Schema, f"schema.yaml of {name}")
    return Side(name, columns, parse(lock, Lock, f"dvc.lock of {name}"), group)


def _refuse_another_target(base: Schema, now: Schema) -> None:
    """Raise UserError where the two models do not predict the same thing."""
    then, today = (f"`{x.target}` ({x.task})" for x in (base, now))
    if then != today:
        raise UserError(f"another target: the base predicts {then}, and this {today}.")
    if base.positive != now.positive:
        raise UserError(
            f"another class of interest: {base.positive!r} at the base, {now.positive!r} now."
        )


def _pair(commit: str, base: Side, now: Side) -> Pair:
    """Find both models' answers on the same rows. Raises UserError."""
    if predictions.PATH not in base.outputs():
        raise UserError("the base has no saved predictions, so there is nothing to compare with.")
    today = predictions.read(now.fetch(predictions.PATH))
    before = predictions.read(base.fetch(predictions.PATH))
    pair = _shared(before, today, "{} rows were held out at the base and now.")
    if len(pair.now.keys) >= LEAST_ROWS:
        return pair
    few = f"base and now share {len(pair.now.keys)} rows held out"
    if len(today.keys) < LEAST_ROWS:
        raise UserError(f"{few}; a comparison needs {LEAST_ROWS}, and only {len(today.keys)} are.")
    try:
        answers = _ask(commit, base, now)
    except UserError as error:
        raise UserError(f"{few}, and the base's model cannot be asked the rest: {error}") from None
    return _shared(answers, today, "The base's model was asked {} rows of today.")


def _shared(base: Answers, now: Answers, reason: str) -> Pair:
    """Keep the rows that both answered and that have one truth; equal rows count once."""
    _, here, there = np.intersect1d(now.keys, base.keys, return_indices=True)
    same = now.actual[here] == base.actual[there]
    here, there = here[same], there[same]
    return Pair(base.take(there), now.take(here), reason.format(len(here)))


def _ask(commit: str, base: Side, now: Side) -> Answers:
    """Let the base's `evaluate` answer today's held-out rows that its model has not learnt.

    It runs in a checkout of the base, on the base's model and files, with only the held-out rows
    exchanged. Raises UserError.
    """
    import pandas as pd  # only here: it takes long to import

    from esteira.line import holdout, table

    if STAGE not in base.lock.stages:
        raise UserError(f"the base has no stage `{STAGE}`.")
    _refuse_other_columns(base, now)
    rows = table.read(now.fetch("data/holdout.parquet"))
    parts = holdout.read(now.fetch(holdout.PARTS.as_posix()))
    held = parts[parts["part"] == "holdout"].reset_index(drop=True)
    before = holdout.read(base.fetch(holdout.PARTS.as_posix()))
    learnt = held["row"].isin(before.loc[before["part"] == "train", "row"]).to_numpy()
    if now.group is not None:
        taught = table.read(base.fetch("data/train.parquet"))
        if now.group not in taught:
            raise UserError(f"the base's rows have no column `{now.group}`, the group now.")
        known = holdout.keys(taught, [now.group])
        learnt = learnt | np.isin(holdout.keys(rows, [now.group]), known)
    rows, held = rows[~learnt], held[~learnt]
    if len(rows) < LEAST_ROWS:
        raise UserError(f"it has learnt all but {len(rows)} of them.")
    with tempfile.TemporaryDirectory(prefix="esteira-base-") as temporary:
        project = git.check_out(commit, Path(temporary) / "base")
        for dep in base.lock.stages[STAGE].deps:
            if dep.path in base.outputs():
                target = project / dep.path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(base.fetch(dep.path), target)
        table.write(rows, project / "data/holdout.parquet")
        mixed = pd.concat([before[before["part"] != "holdout"], held], ignore_index=True)
        table.write(mixed, project / holdout.PARTS)
        _run_stage(project)
        return predictions.read(project / predictions.PATH)


def _refuse_other_columns(base: Side, now: Side) -> None:
    """Raise UserError where the base's model cannot read today's rows, or they cannot be told."""
    if base.names_a_row_by() != now.names_a_row_by():
        raise UserError(
            "the columns by which a row is known changed in schema.yaml, so which rows the base has"
            " learnt cannot be told; a column with `role: identifier` would tell."
        )
    for name in base.schema.inputs:
        column = now.schema.columns.get(name)
        if column is None:
            raise UserError(f"it needs the column `{name}`, which schema.yaml no longer has.")
        before = base.schema.columns[name]
        if (before.numeric, before.type == "datetime") != (
            column.numeric,
            column.type == "datetime",
        ):
            raise UserError(f"`{name}` is a {column.type} now, and was a {before.type}.")


def _run_stage(project: Path) -> None:
    """Run the base's `evaluate` with the base's own code. Raises UserError with its last words."""
    folders = (str(project / "src"), str(project / "vendor"))
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env["PYTHONPATH"] = os.pathsep.join(folders)
    command = [sys.executable, "-m", "esteira.line", STAGE]
    done = subprocess.run(command, cwd=project, env=env, capture_output=True)
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        raise UserError(f"its `{STAGE}` failed: {said[-1][:300] if said else 'it said nothing.'}")
