"""The gate: rules as data, judged over the metric files that the line wrote. It is not a stage.

DVC keeps no output of a stage that fails, so the stages measure and this command judges.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from esteira.drift import verdicts
from esteira.line.errors import UserError
from esteira.line.files import read_yaml, significant
from esteira.line.params import parse
from esteira.repository import git

DRIFT_FILE = "reports/drift_check/metrics.json"
DRIFT_METRIC = "action"

Better = Literal["higher", "lower"]


class Rule(BaseModel):
    """One line of gates.yaml: the worst value of a metric, and how much worse it may become."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    better: Better
    limit: float
    regression: float | None = None
    file: str = "reports/evaluate/metrics.json"


class Gates(BaseModel):
    """The whole of gates.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: list[Rule]
    drift: list[Literal["retrain", "rework"]] = []


@dataclass(frozen=True)
class Verdict:
    """What one rule found. `reason` is one sentence where it refuses, else ""."""

    file: str
    metric: str
    better: Better | Literal[""]
    base: float | None
    now: float | None
    limit: float | None
    regression: float | None  # how much worse than the base it may become
    reason: str
    word: str = ""  # instead of `now`, for what is no number: the drift check's action


@dataclass(frozen=True)
class MetricsFile:
    """A metrics file, in the working tree or in a Git revision; `place` says which."""

    place: str
    values: dict[str, object]

    def number(self, name: str) -> float:
        """Return a metric that is a finite number. Raises UserError for anything else."""
        value = self.values.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            if abs(value) <= sys.float_info.max:  # NaN compares with nothing
                return value
        found = "is missing" if name not in self.values else f"is {value!r}, not a number"
        raise UserError(f"{name} {found} in {self.place}.")


def read_metrics(file: str, revision: str | None = None) -> MetricsFile:
    """Read a metrics file from the working tree, or as it stood in a Git revision.

    Raises UserError where it is absent, not JSON, or not a flat mapping.
    """
    place = file if revision is None else f"{file} in {revision}"
    if revision is not None:
        text = git.text_at(revision, file)
        if text is None:
            raise UserError(f"{place} does not exist.")
    elif Path(file).is_file():
        text = Path(file).read_text(encoding="utf-8")
    else:
        raise UserError(f"{place} does not exist: run `uv run dvc repro`, and commit it.")
    try:
        values = json.loads(text)
    except ValueError as error:
        raise UserError(f"{place} is not JSON ({error}): run `uv run dvc repro`.") from None
    if not isinstance(values, dict):
        raise UserError(f"{place} must hold a mapping of metrics to numbers.")
    return MetricsFile(place, values)


def judge_rule(rule: Rule, base: str | None) -> Verdict:
    """Judge one rule over its metric as it is now and, where there is a base, as it was there."""
    before = value_at(rule, base)
    now, reason = None, ""
    try:
        now = read_metrics(rule.file).number(rule.metric)
    except UserError as error:
        reason = str(error)
    else:
        reason = broken(rule, before, now)
    return Verdict(
        file=rule.file,
        metric=rule.metric,
        better=rule.better,
        base=before,
        now=now,
        limit=rule.limit,
        regression=rule.regression,
        reason=reason,
    )


def value_at(rule: Rule, base: str | None) -> float | None:
    """Return the rule's metric at the base, or None where there is none."""
    if base is None:
        return None
    try:
        return read_metrics(rule.file, base).number(rule.metric)
    except UserError:
        return None


def broken(rule: Rule, base: float | None, now: float) -> str:
    """Say in one sentence how a value breaks a rule; "" where it keeps it."""
    higher_is_better = rule.better == "higher"
    beyond_limit = now < rule.limit if higher_is_better else now > rule.limit
    if beyond_limit:
        side = "below" if higher_is_better else "above"
        return f"{rule.metric} is {now:g}, {side} the limit of {rule.limit:g}."
    if base is None or rule.regression is None:
        return ""
    loss = base - now if higher_is_better else now - base
    if loss <= rule.regression:
        return ""
    comparison = "lower" if higher_is_better else "higher"
    return (
        f"{rule.metric} went from {base:g} to {now:g}, {comparison} by "
        f"{significant(loss, 3):g}, where {rule.regression:g} is allowed."
    )


def judge_drift(blocked: list[Literal["retrain", "rework"]]) -> Verdict:
    """Judge the drift check's action against the actions that gates.yaml blocks."""
    word = ""
    try:
        code = read_metrics(DRIFT_FILE).number(DRIFT_METRIC)
    except UserError as error:
        reason = str(error)
    else:
        verdict = verdicts.BY_CODE.get(code)
        word = verdict.action if verdict else f"{code:g}"
        reason = blocked_because(word, blocked)
    return Verdict(
        file=DRIFT_FILE,
        metric="drift",
        better="",
        base=None,
        now=None,
        limit=None,
        regression=None,
        reason=reason,
        word=word,
    )


def blocked_because(action: str, blocked: list[Literal["retrain", "rework"]]) -> str:
    """Say in one sentence why the drift check's action stops a merge; "" where it does not."""
    if action not in verdicts.BY_ACTION:
        return f"action is {action} in {DRIFT_FILE}, which means nothing: run `uv run dvc repro`."
    if action == verdicts.UNUSABLE.action:
        why = "so nothing can be said"
    elif action in blocked:
        why = "which gates.yaml blocks"
    else:
        return ""
    return f"the drift check says `{action}`, {why}; read reports/drift_check/report.html."


def judge_all(base: str | None = None, path: str = "gates.yaml") -> list[Verdict]:
    """Judge every rule of gates.yaml. Raises UserError for a broken file or an unknown `base`."""
    gates = parse(read_yaml(path), Gates, path)
    if base is not None and git.commit(base) is None:
        raise UserError(f"the base {base!r} is no commit here: fetch it, or name another.")
    if not gates.rules:
        raise UserError(f"{path} has no rules, so it cannot say yes: add one.")
    return [*(judge_rule(rule, base) for rule in gates.rules), judge_drift(gates.drift)]
