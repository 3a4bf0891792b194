"""What the comment shows, section by section: records that comment.md fills in, made from facts.

A section that has nothing to say is None. Records hold texts as they came: comment.md escapes them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, Self, TypeVar

from esteira import gate as gates
from esteira.drift import verdicts
from esteira.github.markdown import Markdown, code, difference, joined, row, words
from esteira.page.words import apart, counted, figure
from esteira.pull_request import facts as f
from esteira.pull_request.by_github import NOTHING_ELSE, Outside
from esteira.pull_request.first_sentence import (
    FirstSentence,
    first_sentence,
    leading_gate,
)
from esteira.pull_request.judge import DRIFT, contradictions, refusal, refusals
from esteira.pull_request.movement import UNCHANGED, movement, verdict_of
from esteira.pull_request.next_step import next_step

MARKER = Markdown("<!-- esteira:pull-request -->")  # finds the comment that is there already
VALIDATION = "reports/validate/metrics.json"
MOST_ROWS = 12  # of a table outside of the details
MOST_GATES = 50
MOST_NAMES = 10  # within a sentence
FEWEST_POINTS, MOST_POINTS = 3, 8  # of the chart; more labels would overlap

Record = TypeVar("Record")
Icon = Literal["✅", "⚠️", "❌", "➖"]
UNKNOWN: Icon = "➖"
AS_COMMITTED = "(by the figures that were committed: not reproduced)"
NOT_THERE_YET = (gates.NO_RESULTS, gates.NEW)  # at the base


@dataclass(frozen=True)
class Place:
    """Where the report was made: known from GitHub, not from the pull request's own code."""

    run: str = ""  # address of the run's page
    moved: str = ""  # the pull request's newest commit, where it is not the one reported
    red: bool = False  # the run failed, whatever the facts say: its tests, for one
    outside: Outside = NOTHING_ELSE


@dataclass(frozen=True)
class Some(Generic[Record]):
    """The first of many records, and how many more there are."""

    shown: tuple[Record, ...]
    more: int

    @classmethod
    def of(cls, records: Iterable[Record], most: int = MOST_ROWS) -> Self:
        """Keep the first `most` records."""
        known = tuple(records)
        return cls(known[:most], max(0, len(known) - most))


@dataclass(frozen=True)
class Check:
    """One line of the checklist."""

    icon: Icon
    name: str
    says: Markdown
    step: str = ""  # the next command, where it is not as it should be


@dataclass(frozen=True)
class Remedy:
    """What failed or lacks, so that the commands which mend it are shown."""

    last_lines: tuple[str, ...]  # of a run that failed
    settle_lock: bool


@dataclass(frozen=True)
class GateRow:
    """One rule of gates.yaml, with what it judged."""

    icon: Icon
    metric: str
    name: Markdown
    base: str
    now: str
    change: str
    must_be: str
    not_compared: str
    reason: str  # why it refuses; "" where it passes


@dataclass(frozen=True)
class GateTable:
    """All rules with a number, those that refuse first; whether any has a base."""

    rows: Some[GateRow]
    compared: bool
    shared_rows: int  # that both models answered; 0 where they were not compared so

    @property
    def intervals(self) -> bool:
        """Whether any metric that moved has an interval."""
        return any("[" in gate.change for gate in self.rows.shown)

    @property
    def other_reasons(self) -> list[GateRow]:
        """The gates that refuse, but for the first: the comment begins with that one's reason."""
        return [gate for gate in self.rows.shown if gate.reason][1:]


@dataclass(frozen=True)
class DriftView:
    """What the drift check found, where it found something."""

    action: str
    counted: str  # how many features drifted, and what beside them; "" where nobody knows
    advice: str
    reasons: Some[str]  # where the columns that drifted do not tell them
    error: str  # of the model, seen and expected
    columns: Some[f.Column]
    steps: tuple[str, ...]  # the next commands


@dataclass(frozen=True)
class DataRow:
    """One of DVC's files, before and after; hashes are cut, sizes in bytes."""

    path: str
    old_hash: str | None
    new_hash: str | None
    old_size: int | None
    new_size: int | None


@dataclass(frozen=True)
class ChangedView:
    """What the pull request changed, in words; `hashes` of the data, for those who compare them."""

    code: Some[str]
    settings: Some[f.Change]
    columns: Some[f.Change]
    rules: Some[f.Change]
    packages: Some[f.Change]
    rows: str  # of the table, such as +82 rows (569 → 651)
    data: Some[str]  # raw files: what the line makes of them is in `hashes` alone
    hashes: tuple[DataRow, ...]

    @property
    def files(self) -> int:
        """How many of DVC's files differ."""
        return len(self.hashes)


@dataclass(frozen=True)
class StageGroup:
    """The stages of which the same is to be said."""

    word: str
    names: tuple[Markdown, ...]


@dataclass(frozen=True)
class StagesView:
    """Which stages are fresh, which ran, and which gave something else than at the base."""

    fresh: int
    total: int
    groups: tuple[StageGroup, ...]
    changed: tuple[str, ...]
    impossible: str  # why the line could not be reproduced, or ""


@dataclass(frozen=True)
class Chart:
    """A line of finite numbers over names; its axis runs from `low` to `high`."""

    title: str
    unit: str
    names: tuple[str, ...]
    values: tuple[float, ...]
    low: float
    high: float


@dataclass(frozen=True)
class Fold:
    """A table in the details. Its rows are made beforehand: their size decides how many fit."""

    total: int
    rows: tuple[Markdown, ...]

    @property
    def more(self) -> int:
        """How many rows are left out."""
        return self.total - len(self.rows)


@dataclass(frozen=True)
class View:
    """The whole comment, in its order."""

    first_sentence: FirstSentence
    next_step: Markdown
    judging: Some[str]  # files that judge the pull request, and that it changes
    checks: tuple[Check, ...]
    remedy: Remedy
    gates: GateTable | None
    changed: ChangedView | None
    violations: Some[f.Violation]
    drift: DriftView | None
    stages: StagesView | None
    chart: Chart | None
    moved_metrics: Fold | None
    other_metrics: Fold | None
    shortened: bool
    fetch: str  # what Git fetches to have the commit
    head: str
    base: str
    run: str
    left_out: int


def whole(facts: f.Facts, place: Place) -> View:
    """Return all that there is to show; see render.py for what is left out where it is too long."""
    moved = [metric for metric in facts.metrics if metric.fault or metric.base != metric.now]
    others = [metric for metric in facts.metrics if metric not in moved]
    return View(
        first_sentence=first_sentence(facts, place.outside, place.red, place.moved[:10]),
        next_step=next_step(facts, place.outside, place.red, bool(place.moved)),
        judging=Some.of(place.outside.judging),
        checks=(*outer_checks(facts, place), *checks(facts)),
        remedy=remedy(facts),
        gates=gate_table(facts),
        changed=changed(facts),
        violations=Some.of(facts.violations),
        drift=drift(facts.drift),
        stages=stages(facts),
        chart=history_chart(facts),
        moved_metrics=metric_rows(moved),
        other_metrics=metric_rows(others),
        shortened=False,
        fetch=f"pull/{facts.number}/head" if facts.number else facts.head,
        head=facts.head,
        base=(facts.base or "")[:10],
        run=place.run,
        left_out=facts.left_out,
    )


def remedy(facts: f.Facts) -> Remedy:
    """Tell what has to be mended by hand."""
    return Remedy(
        last_lines=tuple(facts.run.lines),
        settle_lock=facts.lock.state == "stale" and facts.run.state != "failed",
    )


# ---- the checklist


def checks(facts: f.Facts) -> Iterator[Check]:
    """Say of each thing that is checked how it stands, and what to do next."""
    if facts.gates:
        yield gates_check(facts)
        yield comparison_check(facts)
    yield drift_check(facts)
    yield lock_check(facts)
    yield data_check(facts)


def outer_checks(facts: f.Facts, place: Place) -> Iterator[Check]:
    """Say what is known from outside of the facts, where that spoils what they say."""
    if place.outside.judging:
        files = counted(len(place.outside.judging), "file")
        says = f"{files} of the checks changed, and decided what follows"
        yield Check("⚠️", "Trust", Markdown(says))
    if place.red and not refusals(facts):
        yield Check("❌", "Run", Markdown("failed, for none of the reasons below"))


def gates_check(facts: f.Facts) -> Check:
    """Count the gates that refuse."""
    refusing = [gate.metric for gate in facts.gates if refusal(gate, facts)]
    total = len(facts.gates)
    if not refusing:
        icon: Icon = UNKNOWN if facts.run.state == "impossible" else "✅"
        return Check(icon, "Gates", as_committed(Markdown(f"{total} of {total} pass"), facts))
    names = joined([code(name, 60) for name in refusing[:MOST_NAMES]])
    says = Markdown(f"{len(refusing)} of {total} fail: {names}")
    step = "" if contradictions(facts) else "uv run esteira report --open"
    return Check("❌", "Gates", says, step)


def comparison_check(facts: f.Facts) -> Check:
    """Say how the metrics moved against the base."""
    judged = [gate for gate in facts.gates if gate.limit is not None]
    lacking = [
        gate
        for gate in judged
        if gate.not_compared not in ("", *NOT_THERE_YET)
        or (gate.base is not None and gate.now is None)
    ]
    of_answers = [gate for gate in judged if gate.file == gates.EVALUATION] or judged
    moved = [(gate, verdict_of(gate)) for gate in judged]
    known = [gate for gate in of_answers if verdict_of(gate)]
    if contradictions(facts):
        return Check(UNKNOWN, "Comparison", Markdown("not believed: the report contradicts itself"))
    if not known:
        why = facts.not_compared or next((gate.not_compared for gate in lacking), "")
        says = f"not compared: {(why or 'no base yet').rstrip('.')}; only the limits are judged"
        return Check(UNKNOWN, "Comparison", words(says))
    told = [
        Markdown(f"{code(gate.metric, 60)} {verdict}")
        for gate, verdict in moved
        if verdict not in ("", UNCHANGED)
    ]
    told += [Markdown(f"{code(gate.metric, 60)} not compared") for gate in lacking]
    worse = lacking or any(verdict == "worse" for _, verdict in moved)
    icon: Icon = UNKNOWN if facts.run.state == "impossible" else "⚠️" if worse else "✅"
    said = joined(told[:MOST_NAMES]) if told else Markdown("no metric of the gates moved")
    if others := other_metrics(facts):
        differ = "differs" if others == 1 else "differ"
        said = Markdown(f"{said}; {counted(others, 'other metric')} {differ}")
    return Check(icon, "Comparison", as_committed(said, facts))


def other_metrics(facts: f.Facts) -> int:
    """Count the metrics that no gate is of, and that are others than at the base.

    Those of the drift check are of a batch, and told by it; rows are told with what changed.
    """
    judged = {(gate.file, gate.metric) for gate in facts.gates}
    return sum(
        metric.base is not None and metric.now is not None and metric.base != metric.now
        for metric in facts.metrics
        if (metric.file, metric.name) not in judged
        and metric.file not in (gates.DRIFT_FILE, VALIDATION)
    )


def as_committed(says: Markdown, facts: f.Facts) -> Markdown:
    """Add that figures are not of this code, where the line could not be reproduced."""
    return Markdown(f"{says} {AS_COMMITTED}") if facts.run.state == "impossible" else says


def drift_check(facts: f.Facts) -> Check:
    """Say what the drift check concluded."""
    found = facts.drift
    if found is None:
        return Check(UNKNOWN, "Drift", Markdown("not checked"))
    if found.action == verdicts.KEEP.action:
        keep: Icon = UNKNOWN if facts.run.state == "impossible" else "✅"
        return Check(keep, "Drift", as_committed(words(f"keep: {counted_drift(found)}"), facts))
    refused = any(refusal(gate, facts) for gate in facts.gates if gate.metric == DRIFT)
    says = [f"{found.action}: {counted_drift(found)}"]
    if found.action in facts.drift_blocks:
        says.append(f"gates.yaml does not let {found.action} pass")
    return Check("❌" if refused else "⚠️", "Drift", words("; ".join(says)))


def counted_drift(found: f.Drift) -> str:
    """Say how many features drifted, or why nobody could count them."""
    if found.action == verdicts.UNUSABLE.action:
        return found.reasons[0].rstrip(".") if found.reasons else "the batch cannot be used"
    return f"{found.drifted} of {found.checked} features drifted"


def lock_check(facts: f.Facts) -> Check:
    """Say whether dvc.lock describes this commit."""
    if facts.lock.state == "fresh":
        return Check("✅", "Lock", Markdown("dvc.lock is fresh"))
    if facts.lock.state == "unknown":
        return Check(UNKNOWN, "Lock", Markdown("not checked"))
    names = [_stale(entry) for entry in facts.lock.stages[:MOST_NAMES]]
    says = Markdown(f"dvc.lock is stale: {joined(names, '; ')}")
    step = "" if facts.run.state == "failed" else "uv run dvc repro"  # it would fail again
    return Check("❌", "Lock", says, step)


def _stale(entry: f.Stale) -> Markdown:
    why = f" ({words(entry.why, 200)})" if entry.why else ""
    return Markdown(f"{code(entry.stage, 40)}{why}")


def data_check(facts: f.Facts) -> Check:
    """Say whether everybody can have the data."""
    pushed = facts.pushed
    if pushed.state == "pushed":
        return Check("✅", "Data", Markdown("all of it is pushed"))
    if pushed.state == "missing":
        names = joined([code(path) for path in pushed.paths[:MOST_NAMES]])
        return Check("❌", "Data", Markdown(f"not pushed: {names}"), "uv run dvc push")
    why = f": {pushed.reason.rstrip('.')}" if pushed.reason else ""
    return Check(UNKNOWN, "Data", words(f"not checked{why}"))


# ---- the gates


def gate_table(facts: f.Facts) -> GateTable | None:
    """Prepare the gates: those that refuse first, else in the order of gates.yaml."""
    made = (gate_row(gate, facts) for gate in facts.gates)
    rows = sorted(made, key=lambda gate: gate.reason == "")
    if not rows:
        return None
    shared = [gate.compared.rows for gate in facts.gates if gate.compared]
    compared = any(gate.base is not None for gate in facts.gates)
    return GateTable(Some.of(rows, MOST_GATES), compared, max(shared, default=0))


def gate_row(gate: f.Gate, facts: f.Facts) -> GateRow:
    """Prepare one gate; its verdict is that of the numbers, whatever the report says."""
    base, now = figure(gate.base), figure(gate.now)
    if gate.base is not None and gate.now is not None:
        base, now = apart(gate.base, gate.now)
    reason = refusal(gate, facts)
    not_run = facts.run.state == "impossible"
    calm = gate.word in ("", verdicts.KEEP.action)
    passes: Icon = UNKNOWN if not_run else "✅" if calm else "⚠️"
    allowed = gate.regression if gate.base is not None else None  # else it is not judged
    terms = gates.terms(gate.better, gate.limit, allowed)
    if gate.metric == DRIFT and gate.limit is None:
        terms = gates.drift_terms(facts.drift_blocks)
    return GateRow(
        icon="❌" if reason else passes,
        metric=gate.metric,
        name=code(gate.metric),
        base=base,
        now=words(gate.word, 40) or now,
        change="not run" if not_run else movement(gate),
        must_be=terms or "–",
        not_compared="" if is_told(gate, facts) else gate.not_compared,
        reason=reason,
    )


def is_told(gate: f.Gate, facts: f.Facts) -> bool:
    """Whether the checklist says why a gate is not compared, or nothing is wrong with that."""
    known = any(verdict_of(other) for other in facts.gates if other.file == gates.EVALUATION)
    return gate.not_compared in NOT_THERE_YET or not known


# ---- drift


def drift(found: f.Drift | None) -> DriftView | None:
    """Prepare what drifted; None where nothing did."""
    if found is None:
        return None
    columns = [column for column in found.columns if column.drifted]
    if found.action == verdicts.KEEP.action and not columns:
        return None
    beside = {"the target": found.target, "the predictions": found.prediction}
    also = "".join(f", and {what} did" for what, drifted in beside.items() if drifted)
    usable = found.action != verdicts.UNUSABLE.action
    retrain = found.action == verdicts.RETRAIN.action
    return DriftView(
        action=found.action,
        counted=f"{counted_drift(found)}{also}." if usable else "",
        advice=found.advice or verdicts.BY_ACTION[found.action].advice,
        reasons=Some.of(found.reasons if not retrain or not columns else ()),
        error=found.error,
        columns=Some.of(columns),
        steps=(f"uv run esteira absorb {found.batch or 'BATCH'}",) if retrain else (),
    )


# ---- what changed


def changed(facts: f.Facts) -> ChangedView | None:
    """Prepare what the pull request changed: code, settings, schema, gates, packages, data."""
    differs = (facts.code, facts.params, facts.columns, facts.rules, facts.environment, facts.data)
    if not any(differs):
        return None
    counted = (m for m in facts.metrics if m.file == VALIDATION and m.name == "rows")
    return ChangedView(
        code=Some.of(facts.code),
        settings=Some.of(facts.params),
        columns=Some.of(facts.columns),
        rules=Some.of(facts.rules),
        packages=Some.of(facts.environment),
        rows=rows_in_words(next(counted, None)) if facts.data else "",
        data=Some.of(entry.path for entry in facts.data if entry.raw),
        hashes=tuple(data_row(entry) for entry in facts.data[: f.MOST_ENTRIES]),
    )


def rows_in_words(rows: f.Metric | None) -> str:
    """Say how many rows the table won or lost; "" where it did not."""
    if rows is None or rows.base is None or rows.now is None or rows.base == rows.now:
        return ""
    return f"{rows.now - rows.base:+,.0f} rows ({rows.base:,.0f} → {rows.now:,.0f})"


def data_row(entry: f.Data) -> DataRow:
    """Prepare one of DVC's files: of a hash, as many digits as people compare."""
    return DataRow(
        path=entry.path,
        old_hash=entry.old_hash[:8] if entry.old_hash else None,
        new_hash=entry.new_hash[:8] if entry.new_hash else None,
        old_size=entry.old_size,
        new_size=entry.new_size,
    )


# ---- stages


def stages(facts: f.Facts) -> StagesView | None:
    """Tell fresh and changed apart: a stage may be fresh and give something else than before."""
    run = facts.run
    known = {
        "ran": "ran here",
        "failed": "failed",
        "not reached": "not reached",
        "removed": "removed",
    }
    groups = []
    for state, word in known.items():
        here = [stage_name(stage) for stage in run.stages if stage.state == state]
        if here:
            groups.append(StageGroup(word, tuple(here[:20])))
    reason = run.reason.rstrip(".") if run.state == "impossible" else ""
    impossible = run.state == "impossible"
    there = [stage for stage in run.stages if stage.state != "removed"]
    if not there and not groups and not impossible:
        return None
    return StagesView(
        fresh=sum(stage.state == "cached" for stage in there),
        total=len(there),
        groups=tuple(groups),
        changed=tuple(facts.changed_stages[:MOST_NAMES]),
        impossible=(reason or "no reason is given") if impossible else "",
    )


def stage_name(stage: f.Stage) -> Markdown:
    """Name a stage, with its time where it ran."""
    seconds = "" if stage.seconds is None else f" {stage.seconds:.1f} s"
    return Markdown(f"{code(stage.name, 40)}{seconds}")


# ---- the chart, and all metrics


def history_chart(facts: f.Facts) -> Chart | None:
    """Draw the leading metric at the base's last commits and here, where it moved."""
    gate = leading_gate(facts)
    if gate is None or gate.now is None or gate.now == gate.base or gate.not_compared:
        return None
    before = facts.history[-MOST_POINTS + 1 :]
    values = (*(point.value for point in before), gate.now)
    if len(values) < FEWEST_POINTS:
        return None
    lowest, highest = min(values), max(values)
    margin = (highest - lowest) * 0.1 or abs(highest) * 0.1 or 1.0
    return Chart(
        title=f"{gate.metric} before and here",
        unit=gate.metric,
        names=(*(point.commit[:7] for point in before), "this"),
        values=values,
        low=lowest - margin,
        high=highest + margin,
    )


def metric_rows(metrics: list[f.Metric]) -> Fold | None:
    """Make a row of every metric."""
    rows = tuple(metric_row(metric) for metric in metrics)
    return Fold(len(rows), rows) if rows else None


def metric_row(metric: f.Metric) -> Markdown:
    """Make the row of one metric."""
    base, now = figure(metric.base), figure(metric.now)
    if metric.base is not None and metric.now is not None:
        base, now = apart(metric.base, metric.now)
    moved = difference(metric.base, metric.now)
    return row(code(metric.name), base, metric.fault or now, moved, code(metric.file))
