"""What the comment shows, section by section: records that comment.md fills in, made from facts.

A section that has nothing to say is None. Records hold texts as they came: comment.md escapes them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from esteira.drift import verdicts
from esteira.github.markdown import Markdown, code, difference, digits, number, row, words
from esteira.pull_request import facts as f
from esteira.pull_request.by_github import NOTHING_ELSE, Outside
from esteira.pull_request.first_sentence import (
    FirstSentence,
    first_sentence,
    leading_gate,
)
from esteira.pull_request.judge import refusal
from esteira.pull_request.movement import movement

MARKER = Markdown("<!-- esteira:pull-request -->")  # finds the comment that is there already
VALIDATION = "reports/validate/metrics.json"
MOST_ROWS = 12  # of a table outside of the details
MOST_GATES = 50
MOST_NAMES = 10  # within a sentence
CHART_LIMIT = 1e6  # a bar beyond it would hide all others

Record = TypeVar("Record")


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
class Remedy:
    """What failed or lacks, so that the commands which mend it are shown."""

    last_lines: tuple[str, ...]  # of a run that failed
    settle_lock: bool
    push: bool


@dataclass(frozen=True)
class GateRow:
    """One rule of gates.yaml, with what it judged."""

    metric: str
    better: str
    base: float | None
    now: str | float | None
    change: str
    must_be: str
    not_compared: str
    reason: str  # why it refuses; "" where it passes


@dataclass(frozen=True)
class GateTable:
    """All rules, and how many rows both models answered: 0 where they were not compared so."""

    rows: Some[GateRow]
    shared_rows: int


@dataclass(frozen=True)
class DriftView:
    """The drift check's verdict; `worst` is None where nothing drifted."""

    action: str
    advice: str
    drifted: int
    checked: int
    also: str  # what drifted beside features
    worst: tuple[f.Column, ...] | None


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
    """What the pull request changed; `rows` of the table before and after, where that moved."""

    settings: Some[f.Change]
    columns: Some[f.Change]
    rules: Some[f.Change]
    data: Some[DataRow]
    rows: f.Metric | None


@dataclass(frozen=True)
class StageGroup:
    """The stages of which the same is to be said; their names are left out of a long list."""

    word: str
    names: tuple[Markdown, ...]
    count: int


@dataclass(frozen=True)
class StagesView:
    """Which stages ran, and why the line could not be reproduced, or ""."""

    groups: tuple[StageGroup, ...]
    impossible: str


@dataclass(frozen=True)
class StateView:
    """Whether the lock is fresh and the data is pushed."""

    lock: str
    stale: tuple[f.Stale, ...]
    pushed: str
    missing: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Series:
    """One line, or one set of bars, of a chart."""

    kind: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Chart:
    """A chart of finite numbers over names; its axis runs from `low` to `high`."""

    title: str
    unit: str
    names: tuple[str, ...]
    series: tuple[Series, ...]
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

    moved: str
    first_sentence: FirstSentence
    judging: Some[str]  # files that judge the pull request, and that it changes
    remedy: Remedy
    not_compared: str  # why no metric is compared with the base
    gates: GateTable | None
    drift: DriftView | None
    changed: ChangedView | None
    environment: Some[f.Change] | None
    stages: StagesView | None
    state: StateView
    charts: tuple[Chart, ...]
    all_metrics: Fold | None
    all_columns: Fold | None
    shortened: bool
    fetch: str  # what Git fetches to have the commit
    head: str
    base: str
    run: str
    left_out: int


def whole(facts: f.Facts, place: Place) -> View:
    """Return all that there is to show; see render.py for what is left out where it is too long."""
    return View(
        moved=place.moved[:10],
        first_sentence=first_sentence(facts, place.outside, place.red),
        judging=Some.of(place.outside.judging),
        remedy=remedy(facts),
        not_compared=facts.not_compared if facts.gates else "",
        gates=gate_table(facts),
        drift=drift(facts.drift),
        changed=changed(facts),
        environment=Some.of(facts.environment) if facts.environment else None,
        stages=stages(facts.run),
        state=state(facts),
        charts=charts(facts),
        all_metrics=all_metrics(facts.metrics),
        all_columns=all_columns(facts.drift),
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
        push=facts.pushed.state == "missing",
    )


def gate_table(facts: f.Facts) -> GateTable | None:
    """Prepare the gates, in the order of gates.yaml."""
    if not facts.gates:
        return None
    rows = [gate_row(gate, facts) for gate in facts.gates]
    shared = [gate.compared.rows for gate in facts.gates if gate.compared]
    return GateTable(Some.of(rows, MOST_GATES), max(shared, default=0))


def gate_row(gate: f.Gate, facts: f.Facts) -> GateRow:
    """Prepare one gate; its verdict is that of the numbers, whatever the report says."""
    return GateRow(
        metric=gate.metric,
        better=gate.better or "–",
        base=gate.base,
        now=words(gate.word, 40) or gate.now,
        change=movement(gate),
        must_be=terms(gate),
        not_compared=gate.not_compared,
        reason=refusal(gate, facts),
    )


def terms(gate: f.Gate) -> str:
    """Say what a gate asks for, in signs."""
    sign, loss = ("≥", "−") if gate.better == "higher" else ("≤", "+")
    asked = [f"{sign} {number(gate.limit)}"] if gate.limit is not None else []
    if gate.regression is not None:
        asked.append(f"{sign} base {loss} {number(gate.regression)}")
    return " and ".join(asked) or "as gates.yaml says"


def drift(found: f.Drift | None) -> DriftView | None:
    """Prepare the drift check's verdict, with its three worst columns where there are any."""
    if found is None:
        return None
    calm = found.action == "keep" and not any(column.drifted for column in found.columns)
    beside = {"the target": found.target, "the predictions": found.prediction}
    also = "".join(f", and {what} did" for what, drifted in beside.items() if drifted)
    drifted_first = sorted(found.columns, key=lambda column: not column.drifted)
    return DriftView(
        action=found.action,
        advice=verdicts.BY_ACTION[found.action].advice,
        drifted=found.drifted,
        checked=found.checked,
        also=also,
        worst=None if calm else tuple(drifted_first[:3]),
    )


def changed(facts: f.Facts) -> ChangedView | None:
    """Prepare what the pull request changed: settings, schema, gates, data."""
    if not (facts.params or facts.columns or facts.rules or facts.data):
        return None
    counted = (m for m in facts.metrics if m.file == VALIDATION and m.name == "rows")
    rows = next(counted, None) if facts.data else None
    return ChangedView(
        settings=Some.of(facts.params),
        columns=Some.of(facts.columns),
        rules=Some.of(facts.rules),
        data=Some.of(data_row(entry) for entry in facts.data),
        rows=rows if rows and rows.base != rows.now else None,
    )


def data_row(entry: f.Data) -> DataRow:
    """Prepare one of DVC's files: of a hash, as many digits as people compare."""
    return DataRow(
        path=entry.path,
        old_hash=entry.old_hash[:8] if entry.old_hash else None,
        new_hash=entry.new_hash[:8] if entry.new_hash else None,
        old_size=entry.old_size,
        new_size=entry.new_size,
    )


def stages(run: f.Run) -> StagesView | None:
    """Group the stages by what became of them."""
    words = {
        "ran": "ran",
        "failed": "failed",
        "cached": "unchanged",
        "not reached": "not reached",
        "removed": "removed",
    }
    groups = []
    for state_, word in words.items():
        here = [stage for stage in run.stages if stage.state == state_]
        only_counted = state_ == "cached" and len(here) > 3
        names = () if only_counted else tuple(map(stage_name, here[:20]))
        if here:
            groups.append(StageGroup(word, names, len(here)))
    reason = run.reason.rstrip(".") if run.state == "impossible" else ""
    impossible = run.state == "impossible"
    if not groups and not impossible:
        return None
    return StagesView(tuple(groups), (reason or "no reason is given") if impossible else "")


def stage_name(stage: f.Stage) -> Markdown:
    """Name a stage, with its time where it ran."""
    seconds = "" if stage.seconds is None else f" {stage.seconds:.1f} s"
    return Markdown(f"{code(stage.name, 40)}{seconds}")


def state(facts: f.Facts) -> StateView:
    """Prepare whether the lock is fresh and the data is pushed."""
    return StateView(
        lock=facts.lock.state,
        stale=tuple(facts.lock.stages[:MOST_NAMES]),
        pushed=facts.pushed.state,
        missing=tuple(facts.pushed.paths[:MOST_NAMES]),
        reason=facts.pushed.reason.rstrip("."),
    )


def charts(facts: f.Facts) -> tuple[Chart, ...]:
    """Draw at most two: the leading metric on its way here, and the worst columns of a drift."""
    drawn = (history_chart(facts), drift_chart(facts.drift))
    return tuple(chart for chart in drawn if chart is not None)


def history_chart(facts: f.Facts) -> Chart | None:
    """Draw the leading metric at the base's last commits and here, where it moved."""
    gate = leading_gate(facts)
    if gate is None or gate.now is None or gate.now == gate.base or not facts.history:
        return None
    values = (*(point.value for point in facts.history), gate.now)
    lowest, highest = min(values), max(values)
    margin = (highest - lowest) * 0.1 or abs(highest) * 0.1 or 1.0
    return Chart(
        title=f"{gate.metric} before and here",
        unit=gate.metric,
        names=(*(point.commit[:7] for point in facts.history), "this"),
        series=(Series("line", values),),
        low=lowest - margin,
        high=highest + margin,
    )


def drift_chart(found: f.Drift | None) -> Chart | None:
    """Draw the effects of the worst columns in units of their thresholds, where there is drift."""
    if found is None or found.action == "keep" or not found.columns:
        return None
    worst = found.columns[:8]
    effects = tuple(min(abs(column.effect), CHART_LIMIT) for column in worst)
    thresholds = (1.0,) * len(worst)
    lowest, highest = min(*effects, 1.0), max(*effects, 1.0)
    margin = (highest - lowest) * 0.1 or 0.1
    return Chart(
        title="Drift by column - the line is the threshold",
        unit="times",
        names=tuple(column.name for column in worst),
        series=(Series("bar", effects), Series("line", thresholds)),
        low=0.0,
        high=highest + margin,
    )


def all_metrics(metrics: list[f.Metric]) -> Fold | None:
    """Make a row of every metric."""
    rows = tuple(
        row(
            code(metric.file),
            code(metric.name),
            metric.base,
            metric.fault or metric.now,
            difference(metric.base, metric.now),
        )
        for metric in metrics
    )
    return Fold(len(rows), rows) if rows else None


def all_columns(found: f.Drift | None) -> Fold | None:
    """Make a row of every column that the drift check looked at."""
    if found is None or not found.columns:
        return None
    rows = tuple(column_row(column) for column in found.columns)
    return Fold(len(rows), rows)


def column_row(column: f.Column) -> Markdown:
    """Make the row of one column of the drift check."""
    drifted = "yes" if column.drifted else "no"
    return row(code(column.name), digits(column.effect, 3), drifted, words(column.says, 160))
