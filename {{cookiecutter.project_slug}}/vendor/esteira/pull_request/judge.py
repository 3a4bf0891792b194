"""What the facts say for and against a merge: what refuses it, and what a reviewer must look at.

A report's own verdicts are not believed: each is computed again from the numbers beside it. A
report that says yes where its numbers say no contradicts itself, and that is a no.
"""

from esteira import gate as gates
from esteira.gate import Rule
from esteira.page.words import apart, counted
from esteira.pull_request.facts import Compared, Facts, Gate, Metric
from esteira.pull_request.movement import verdict_of
from esteira.readiness import not_pushed

NOT_CHECKED = "whether the data is pushed was not checked"
MOST_NAMES = 3
ROUNDING = 1e-5  # values are written with six significant digits
DRIFT = "drift"  # what the gate on the drift check is called


def refusals(facts: Facts) -> list[str]:
    """Return why the pull request must not be merged as it is, one clause for each; [] is a yes."""
    found = [facts.problem] if facts.problem else []
    found += contradictions(facts)
    if facts.run.state == "failed":
        failed = [stage.name for stage in facts.run.stages if stage.state == "failed"]
        found.append(f"stage {failed[0]} failed" if failed else "the line failed")
    faulty = {metric.name: metric.fault for metric in facts.metrics if metric.fault}
    found += [f"{name} {fault}" for name, fault in faulty.items()]
    broken = [
        refusal(gate, facts)
        for gate in facts.gates
        if refusal(gate, facts) and gate.metric not in faulty
    ]
    if broken:
        refused = [gate.metric for gate in facts.gates if refusal(gate, facts)]
        refused = [name for name in refused if name not in faulty][1:]
        fail = "fails" if len(refused) == 1 else "fail"
        others = f", and {_some(refused)} {fail} too" if refused else ""
        found.append(f"{broken[0].rstrip('.')}{others}")
    if not facts.gates and not found:
        found.append("no gate was judged")
    if facts.lock.state == "stale" and facts.run.state != "failed":
        found.append("dvc.lock is stale")
    elif facts.lock.state == "unknown" and not found:
        found.append("dvc.lock was not checked")
    if facts.pushed.state == "missing":
        found.append(not_pushed(len(facts.pushed.paths)))
    return found


def _some(names: list[str]) -> str:
    """Name a few gates, and how many more there are."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def remarks(facts: Facts) -> list[str]:
    """Return what a reviewer must look at although nothing refuses it, one clause for each."""
    found = [
        f"{gate.metric} is worse ({' → '.join(apart(gate.compared.base, gate.compared.now))})"
        for gate in facts.gates
        if gate.compared and verdict_of(gate) == "worse" and not refusal(gate, facts)
    ]
    if facts.base and facts.not_compared:
        found.append(f"not compared with the base: {facts.not_compared}")
    not_compared = uncompared_metrics(facts)
    if not_compared:
        found.append(f"not compared with the base: {_some(not_compared)}")
    drift_refused = any(gate.reason for gate in facts.gates if gate.metric == DRIFT)
    if facts.drift and facts.drift.action != "keep" and not drift_refused:
        found.append(f"the drift check says {facts.drift.action}")
    gone = gone_metrics(facts)
    if gone and facts.run.state != "failed":
        are = "is" if len(gone) == 1 else "are"
        found.append(f"{counted(len(gone), 'metric')} {are} gone ({', '.join(gone[:3])})")
    removed = [stage.name for stage in facts.run.stages if stage.state == "removed"]
    if removed:
        found.append(f"stages removed: {', '.join(removed[:3])}")
    if facts.rules:
        found.append("gates.yaml is changed")
    if facts.pushed.state == "unchecked" and facts.fork:
        found.append("from a fork, so whether its data is pushed was not checked")
    elif facts.pushed.state == "unchecked" and facts.lock.state == "fresh":
        found.append(NOT_CHECKED)
    return found


def is_not_compared(facts: Facts) -> bool:
    """Whether what was to be compared with the base was not."""
    return bool(facts.base and (facts.not_compared or uncompared_metrics(facts)))


def uncompared_metrics(facts: Facts) -> list[str]:
    """Return the metrics that were to be compared with the base, and were not."""
    return [gate.metric for gate in facts.gates if has_uncompared_base(gate, facts)]


def gone_metrics(facts: Facts) -> list[str]:
    """Return the metrics that the base has and this does not.

    Those of the drift check are of a batch: which of them are known depends on what it holds.
    """
    return [
        metric.name
        for metric in facts.metrics
        if metric.file != gates.DRIFT_FILE
        and metric.base is not None
        and metric.now is None
        and not metric.fault
    ]


def refusal(gate: Gate, facts: Facts) -> str:
    """Say why a gate refuses: by the report's word, else by its numbers; "" where it passes."""
    return gate.reason or recomputed(gate, facts)


def recomputed(gate: Gate, facts: Facts) -> str:
    """Judge a gate by the numbers in the report alone; "" where it passes."""
    if gate.metric == DRIFT and gate.limit is None:
        return recomputed_drift(gate, facts)
    if gate.limit is None or gate.better == "" or gate.word:
        return f"{gate.metric} has no limit in the report."
    if gate.now is None:
        return f"{gate.metric} has no value in the report."
    rule = Rule(
        metric=gate.metric, better=gate.better, limit=gate.limit, regression=gate.regression
    )
    beside = gate.compared.now if gate.compared else None
    return gates.broken(rule, gate.now, gate.base, beside)


def recomputed_drift(gate: Gate, facts: Facts) -> str:
    """Judge the drift check's action by what the report says of the check itself."""
    if facts.drift is None:
        return "the figures of the drift check are not in the report."
    if facts.drift.action != gate.word:
        return f"the drift check says `{facts.drift.action}`, and the gate was of `{gate.word}`."
    return gates.blocked_because(gate.word, facts.drift_blocks)


def contradictions(facts: Facts) -> list[str]:
    """Return what in the report cannot all be true, one clause for each."""
    found = []
    lied = [gate.metric for gate in facts.gates if not gate.reason and recomputed(gate, facts)]
    if lied:
        found.append(f"the report contradicts its own numbers ({', '.join(lied)})")
    metrics = {(metric.file, metric.name): metric for metric in facts.metrics}
    for gate in facts.gates:
        metric = metrics.get((gate.file, gate.metric))
        if disagree(gate, metric):
            found.append(f"the report has two values of {gate.metric}")
        if gate.compared and not holds_together(gate, gate.compared):
            found.append(f"the comparison of {gate.metric} contradicts itself")
        if silently_not_compared(gate, facts):
            found.append(f"{gate.metric} is not compared with the base, and no reason is given")
        if gate.base is not None and (facts.base is None or facts.not_compared):
            found.append(f"{gate.metric} is compared with a base that the report does not have")
    if facts.lock.state == "fresh" and facts.lock.stages:
        found.append("the report names stale stages, and says that dvc.lock is fresh")
    if facts.lock.state == "fresh" and facts.run.state in ("reproduced", "impossible"):
        found.append("the report says that the line had to run, and that dvc.lock is fresh")
    went_on = facts.run.state in ("not needed", "reproduced")
    if went_on and any(stage.state == "failed" for stage in facts.run.stages):
        found.append("the report names a stage that failed, and says that none did")
    if facts.pushed.state == "pushed" and facts.pushed.paths:
        found.append("the report names data that is not pushed, and says that all is")
    return found


def disagree(gate: Gate, metric: Metric | None) -> bool:
    """Whether a gate judged another value than the report has of its metric."""
    if metric is None or gate.reason:
        return False
    # Else `base` is that of the rows that both answered, or it is told why there is none.
    of_all_rows = gate.compared is None and not gate.not_compared
    return gate.now != metric.now or (of_all_rows and gate.base != metric.base)


def has_uncompared_base(gate: Gate, facts: Facts) -> bool:
    """Whether a rule asks how a metric moved that the base has, and it was not compared."""
    measured = any(
        metric.base is not None
        for metric in facts.metrics
        if (metric.file, metric.name) == (gate.file, gate.metric)
    )
    asks = gate.regression is not None
    return asks and measured and gate.base is None and gate.not_compared != ""


def holds_together(gate: Gate, compared: Compared) -> bool:
    """Whether a comparison is of the gate's base, and its interval holds its difference."""
    rounding = ROUNDING * max(abs(compared.base), abs(compared.now))
    change = compared.now - compared.base
    return (
        gate.base == compared.base
        and compared.low - rounding <= change <= compared.high + rounding
        and compared.rows > 0
    )


def silently_not_compared(gate: Gate, facts: Facts) -> bool:
    """Whether a gate has no value at a base that there is, without a reason."""
    has_base = facts.base is not None and not facts.not_compared
    judges_number = gate.metric != DRIFT and not gate.reason
    return has_base and judges_number and gate.base is None and not gate.not_compared
