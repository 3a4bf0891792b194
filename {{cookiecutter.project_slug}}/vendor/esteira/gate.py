"""The gate: rules as data, judged over the metric files that the line wrote. It is not a stage.

DVC keeps no output of a stage that fails, so the stages measure and this command judges.
"""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from esteira.line.errors import UserError
from esteira.line.files import read_yaml, significant
from esteira.line.params import parse

DRIFT_FILE = "reports/drift_check/metrics.json"
ACTIONS = dict(enumerate(("keep", "retrain", "rework", "unusable")))  # as the drift check writes


class Rule(BaseModel):
    """One line of gates.yaml: the worst value of a metric, and how much worse it may become."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    better: Literal["higher", "lower"]
    limit: float
    regression: float | None = None
    file: str = "reports/evaluate/metrics.json"


class Gates(BaseModel):
    """The whole of gates.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: list[Rule]
    drift: list[Literal["retrain", "rework"]] = []


class Verdict(NamedTuple):
    """What one rule found. `reason` is None where it passes, else one sentence."""

    metric: str
    better: str
    base: float | None
    value: float | str | None
    limit: float | None
    reason: str | None
    file: str = DRIFT_FILE
    regression: float | None = None  # how much worse than the base it may become


def read_metrics(file: str, revision: str | None = None) -> dict[str, Any]:
    """Read a metrics file from the working tree, or as it stood in a Git revision.

    Raises UserError where it is absent, not JSON, or not a flat mapping.
    """
    place = file if revision is None else f"{file} in {revision}"
    if revision is None:
        if not Path(file).is_file():
            raise UserError(f"{place} does not exist: run `uv run dvc repro`, and commit it.")
        text = Path(file).read_text(encoding="utf-8")
    else:
        shown = subprocess.run(["git", "show", f"{revision}:{file}"], capture_output=True)
        if shown.returncode:
            raise UserError(f"{place} does not exist.")
        text = shown.stdout.decode("utf-8", "replace")
    try:
        metrics = json.loads(text)
    except ValueError as error:
        raise UserError(f"{place} is not JSON ({error}): run `uv run dvc repro`.") from None
    if not isinstance(metrics, dict):
        raise UserError(f"{place} must hold a mapping of metrics to numbers.")
    return metrics


def number(metrics: dict[str, Any], name: str, place: str) -> float:
    """Return a metric that is a finite number. Raises UserError for anything else."""
    value = metrics.get(name)
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known or not abs(value) <= sys.float_info.max:  # NaN compares with nothing
        found = "is missing" if name not in metrics else f"is {value!r}, not a number"
        raise UserError(f"{name} {found} in {place}.")
    return value


def judge(rule: Rule, base: str | None) -> Verdict:
    """Judge one rule against the working tree and, where `base` is given, that Git revision."""

    def verdict(before: float | None, value: float | None, reason: str | None) -> Verdict:
        terms = (rule.limit, reason, rule.file, rule.regression)
        return Verdict(rule.metric, rule.better, before, value, *terms)

    before = None
    if base is not None:
        # Absent in the first change that has the metric: there is nothing to lose yet.
        with suppress(UserError):
            before = number(read_metrics(rule.file, base), rule.metric, f"{rule.file} in {base}")
    try:
        value = number(read_metrics(rule.file), rule.metric, rule.file)
    except UserError as error:
        return verdict(before, None, str(error))
    sign = 1 if rule.better == "higher" else -1
    word, loss = ("below", "lower") if sign == 1 else ("above", "higher")
    reason = None
    if sign * value < sign * rule.limit:
        reason = f"{rule.metric} is {value:g}, {word} the limit of {rule.limit:g}."
    elif None not in (before, rule.regression) and sign * (before - value) > rule.regression:
        reason = (
            f"{rule.metric} went from {before:g} to {value:g}, {loss} by "
            f"{abs(significant(before - value, 3)):g}, where {rule.regression:g} is allowed."
        )
    return verdict(before, value, reason)


def judge_drift(blocked: list[str]) -> Verdict:
    """Judge the drift check's action against the actions that gates.yaml blocks."""
    try:
        code = number(read_metrics(DRIFT_FILE), "action", DRIFT_FILE)
    except UserError as error:
        return Verdict("drift", "", None, None, None, str(error))
    action, reason = ACTIONS.get(code, f"{code:g}"), None
    if action not in ACTIONS.values():
        reason = f"action is {action} in {DRIFT_FILE}, which means nothing: run `uv run dvc repro`."
    elif action == "unusable" or action in blocked:
        why = "so nothing can be said" if action == "unusable" else "which gates.yaml blocks"
        reason = f"the drift check says `{action}`, {why}; read reports/drift_check/report.html."
    return Verdict("drift", "", None, action, None, reason)


def judge_all(base: str | None = None, path: str = "gates.yaml") -> list[Verdict]:
    """Judge every rule of gates.yaml. Raises UserError for a broken file or an unknown `base`."""
    gates = parse(read_yaml(path), Gates, path)
    if base is not None:
        found = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}"], capture_output=True
        )
        if found.returncode:
            raise UserError(f"the base {base!r} is no commit here: fetch it, or name another.")
    if not gates.rules:
        raise UserError(f"{path} has no rules, so it cannot say yes: add one.")
    return [judge(rule, base) for rule in gates.rules] + [judge_drift(gates.drift)]
