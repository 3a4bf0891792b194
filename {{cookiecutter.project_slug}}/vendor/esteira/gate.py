"""The gate: rules as data, judged over the metric files that the line wrote. It is not a stage.

DVC keeps no output of a stage that fails, so the stages measure and this command judges.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from esteira.drift import verdicts
from esteira.line.errors import UserError
from esteira.line.files import md5_of, read_yaml, significant
from esteira.line.nearest import closest
from esteira.line.params import parse
from esteira.page.words import apart, figure
from esteira.repository import git, snapshot
from esteira.repository.snapshot import Stored

if TYPE_CHECKING:
    from esteira.comparison import Comparison

DRIFT_FILE = "reports/drift_check/metrics.json"
DRIFT_METRIC = "action"
EVALUATION = "reports/evaluate/metrics.json"  # whose metrics are of rows held out
# Why a metric has no value at the base, where that is as it should be.
NO_RESULTS = "the base has no results yet."
NEW = "the base does not measure it yet."
AGAIN = "run `uv run dvc repro`, and commit both."

Better = Literal["higher", "lower"]
Blockable = Literal["retrain", "rework"]


class Rule(BaseModel):
    """One line of gates.yaml: the worst value of a metric, and how much worse it may become."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    better: Better
    limit: float
    regression: float | None = None
    file: str = EVALUATION


class Gates(BaseModel):
    """The whole of gates.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: list[Rule]
    drift: list[Blockable] = []
    drift_accepted: str = ""  # why `rework` lets a change pass, said where it does


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
    not_compared: str = ""  # why `base` is not known although there is a base, one sentence
    comparison: "Comparison | None" = None  # with the base on the same rows, whence `base` is then
    blocked: tuple[Blockable, ...] = ()  # actions of the drift check that refuse

    @property
    def of_holdout(self) -> bool:
        """Whether its metric is of the rows held out."""
        return self.file == EVALUATION

    @property
    def must_be(self) -> str:
        """Say what the rule asks for; what it asks beside a base that is not known is left out."""
        if self.file == DRIFT_FILE and self.limit is None:
            return drift_terms(self.blocked)
        return terms(self.better, self.limit, None if self.base is None else self.regression)


@dataclass(frozen=True)
class Before:
    """A metric at the base: its value, or None and why.

    Where models were compared on the same rows, the value is of those rows, as is `beside`.
    """

    value: float | None
    why_not: str = ""
    comparison: "Comparison | None" = None

    @property
    def beside(self) -> float | None:
        """The value now that is of the same rows, where that is not the metric as it is now."""
        return self.comparison.now if self.comparison else None


@dataclass(frozen=True)
class MetricsFile:
    """A metrics file, in the working tree or in a Git revision; `place` says which."""

    place: str
    values: dict[str, object]

    def number(self, name: str) -> float:
        """Return a metric that is a finite number. Raises UserError for anything else."""
        value = self.values.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and abs(value) <= sys.float_info.max:  # NaN compares with nothing
            return value
        if name not in self.values:
            raise UserError(f"{name} is missing in {self.place}: {closest(name, self.values)}")
        raise UserError(f"{name} is {value!r}, not a number in {self.place}.")


def read_metrics(file: str, revision: str | None = None) -> MetricsFile:
    """Read a metrics file from the working tree, or as it stood in a Git revision.

    Raises UserError where it is absent, not JSON, or not a flat mapping.
    """
    place = file if revision is None else f"{file} at {revision[:10]}"
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


def judge_rule(rule: Rule, before: Before, locked: Mapping[str, Stored]) -> Verdict:
    """Judge one rule over its metric as it is now and as it was at the base.

    `locked` is what dvc.lock names, by path.
    """
    now, reason = None, ""
    try:
        measured = read_metrics(rule.file)
        reason = not_the_locked_one(rule.file, locked)
        if not reason:
            now = measured.number(rule.metric)
            reason = broken(rule, now, before.value, before.beside)
            if reason and not broken(rule, now):
                reason = _as_noise(reason, before)
    except UserError as error:
        reason = str(error)
    return Verdict(
        file=rule.file,
        metric=rule.metric,
        better=rule.better,
        base=before.value,
        now=now,
        limit=rule.limit,
        regression=rule.regression,
        reason=reason,
        not_compared=before.why_not,
        comparison=before.comparison,
    )


def _as_noise(reason: str, before: Before) -> str:
    """Say of a loss that its rule does not allow that it may be none, and what to do."""
    found = before.comparison
    if found is None or found.verdict != "within noise":
        return reason
    return (
        f"{reason.removesuffix('.')}: on {found.rows:,} rows it may be noise, so hold out more"
        " rows, or allow more in gates.yaml."
    )


def compared(
    rules: list[Rule], base: str | None, by_name: Mapping[str, "Comparison"]
) -> list[Before]:
    """Return each rule's metric at the base.

    A metric of the evaluation is that of the rows which both models answered, or is not known.
    """
    return [
        before(rule, base, by_name.get(rule.metric) if rule.file == EVALUATION else None)
        for rule in rules
    ]


def before(rule: Rule, base: str | None, same_rows: "Comparison | None") -> Before:
    """Return one rule's metric at the base, by the comparison on the same rows if there is one."""
    in_file = value_at(rule, base)
    if same_rows is None:
        return in_file
    if same_rows.base is None:
        return Before(None, in_file.why_not or same_rows.reason)
    if same_rows.unchanged:
        return in_file  # the same answers; where the numbers differ, they are measured otherwise
    return Before(same_rows.base, comparison=same_rows)


def compare(base: str | None) -> dict[str, "Comparison"]:
    """Compare the evaluation's metrics on the rows that both models answered, by their names.

    Those of gates.yaml, and every other that was measured. Where all answers are those of the base
    there is nothing to compare: its metrics files say what is to be said.
    """
    asked = [rule.metric for rule in read_gates().rules if rule.file == EVALUATION]
    if base is None or not asked or snapshot.same_answers(base):
        return {}
    from esteira import comparison  # imports pandas, which takes as long as all the rest

    try:
        measured = list(read_metrics(EVALUATION).values)
    except UserError:  # which every rule tells
        measured = []
    return {
        found.metric: found
        for found in comparison.compare(base, list(dict.fromkeys([*asked, *measured])))
    }


def value_at(rule: Rule, base: str | None) -> Before:
    """Return the rule's metric at the base."""
    if base is None:
        return Before(None)
    if git.text_at(base, rule.file) is None:
        return Before(None, NO_RESULTS)
    try:
        measured = read_metrics(rule.file, base)
        if rule.metric not in measured.values:
            return Before(None, NEW)
        return Before(measured.number(rule.metric))
    except UserError as error:
        return Before(None, str(error))


def terms(better: str, limit: float | None, regression: float | None) -> str:
    """Say what a rule asks for, in signs: `≤ 0.25 and ≤ base + 0.05`; "" where nothing."""
    sign, loss = ("≥", "−") if better == "higher" else ("≤", "+")
    asked = [f"{sign} {figure(limit)}"] if limit is not None else []
    if regression is not None:
        asked.append(f"{sign} base {loss} {figure(regression)}")
    return " and ".join(asked)


def drift_terms(blocked: Sequence[Blockable]) -> str:
    """Say what the drift check must not say."""
    return f"not {' or '.join([*blocked, verdicts.UNUSABLE.action])}"


def not_the_locked_one(file: str, locked: Mapping[str, Stored]) -> str:
    """Say in one sentence why a report is not what the line is known to give; "" where it is."""
    if file not in locked:
        return f"dvc.lock does not name {file}, so no stage is known to have written it: {AGAIN}"
    if md5_of(file) != locked[file].md5:
        return f"{file} is not the one that dvc.lock names: {AGAIN}"
    return ""


def broken(rule: Rule, now: float, base: float | None = None, beside: float | None = None) -> str:
    """Say in one sentence how a value breaks a rule; "" where it keeps it.

    `beside` is what stands beside `base`, where that is not `now`: a value of the same rows.
    """
    higher_is_better = rule.better == "higher"
    beyond_limit = now < rule.limit if higher_is_better else now > rule.limit
    if beyond_limit:
        side = "below" if higher_is_better else "above"
        found, _ = apart(now, rule.limit)
        return f"{rule.metric} is {found}, {side} the limit of {rule.limit:g}."
    if base is None or rule.regression is None:
        return ""
    beside = now if beside is None else beside
    loss = base - beside if higher_is_better else beside - base
    if loss <= rule.regression:
        return ""
    comparison = "lower" if higher_is_better else "higher"
    before, after = apart(base, beside)
    return (
        f"{rule.metric} went from {before} to {after}, {comparison} by "
        f"{significant(loss, 3):g}, where {rule.regression:g} is allowed."
    )


def judge_drift(blocked: list[Blockable], locked: Mapping[str, Stored]) -> Verdict:
    """Judge the drift check's action against the actions that gates.yaml blocks."""
    word = ""
    try:
        measured = read_metrics(DRIFT_FILE)
        reason = not_the_locked_one(DRIFT_FILE, locked)
        if not reason:
            code = measured.number(DRIFT_METRIC)
            verdict = next((known for known in verdicts.VERDICTS if known.code == code), None)
            word = verdict.action if verdict else f"{code:g}"
            reason = blocked_because(word, blocked)
    except UserError as error:
        reason = str(error)
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
        blocked=tuple(blocked),
    )


def blocked_because(action: str, blocked: list[Blockable]) -> str:
    """Say in one sentence why the drift check's action stops a merge; "" where it does not."""
    if action not in verdicts.BY_ACTION:
        return f"action is {action} in {DRIFT_FILE}, which means nothing: run `uv run dvc repro`."
    if action == verdicts.UNUSABLE.action:
        why = "so nothing can be said"
    elif action in blocked:
        why = "which gates.yaml does not let pass"
    else:
        return ""
    return f"the drift check says `{action}`, {why}; read reports/drift_check/report.html."


def read_gates(path: str = "gates.yaml") -> Gates:
    """Read gates.yaml. Raises UserError for a broken file, and for one without a rule."""
    gates = parse(read_yaml(path), Gates, path)
    if not gates.rules:
        raise UserError(f"{path} has no rules, so it cannot say yes: add one.")
    return gates


def judge_all(
    base: str | None = None, compared_with: Mapping[str, "Comparison"] | None = None
) -> list[Verdict]:
    """Judge every rule of gates.yaml; against the commit `base`, or by the limits alone.

    `compared_with` is what `compare` found, where that is known already.

    Raises UserError for a broken gates.yaml or dvc.lock, and for an unknown `base`.
    """
    gates = read_gates()
    if base is not None and git.commit(base) is None:
        raise UserError(f"the base {base!r} is no commit here: fetch it, or name another.")
    if not Path("dvc.lock").is_file():
        raise UserError("there is no dvc.lock, so no report can be believed: `uv run dvc repro`.")
    locked = snapshot.locked_outputs(None)
    by_name = compare(base) if compared_with is None else compared_with
    befores = compared(gates.rules, base, by_name)
    pairs = zip(gates.rules, befores, strict=True)
    judged = [judge_rule(rule, before, locked) for rule, before in pairs]
    return [*judged, judge_drift(gates.drift, locked)]


def remarks(judged: list[Verdict]) -> list[str]:
    """Say in a sentence each what gates.yaml lets pass on purpose."""
    accepted = read_gates().drift_accepted
    says_rework = any(verdict.word == verdicts.REWORK.action for verdict in judged)
    refused = any(verdict.word and verdict.reason for verdict in judged)
    if not accepted or not says_rework or refused:
        return []
    return [f"the drift check says `rework`, and gates.yaml accepts it: {accepted}"]
