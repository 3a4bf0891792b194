"""The comment's first sentence: an icon, what moved, what refuses the merge, what to look at."""

from dataclasses import dataclass

from esteira.github.markdown import Markdown, Value, code, joined, number, words
from esteira.pull_request import judge
from esteira.pull_request.by_github import Outside
from esteira.pull_request.facts import Facts, Gate
from esteira.pull_request.movement import movement

RED_ALL_THE_SAME = "the run failed all the same, such as in the project's tests: see its log"
NOT_REPRODUCED = "not reproduced, the numbers are those that were committed"


@dataclass(frozen=True)
class FirstSentence:
    """The verdict in one sentence."""

    icon: str
    text: Markdown


def first_sentence(facts: Facts, outside: Outside, red: bool = False) -> FirstSentence:
    """Make the sentence; `red` where the run failed, whatever the facts say."""
    refused = judge.refusals(facts)
    look = [*judge.remarks(facts), *outside.remarks]
    if outside.judging:
        look.append(f"it changes what judges it ({len(outside.judging)} files)")
    if red and not refused:
        refused = [RED_ALL_THE_SAME]
    icon = "❌" if refused else "⚠️" if look else "✅"
    clauses: list[Value] = [*measured(facts)]
    if facts.lock.state == "fresh":
        clauses.append("lock is fresh")
    return FirstSentence(icon, joined([*clauses, *refused, *look], "; "))


def measured(facts: Facts) -> list[Value]:
    """Say what the line measured, a clause each: the leading metric, the gates, the drift."""
    if facts.run.state == "impossible":
        return [NOT_REPRODUCED]
    if not facts.gates:
        return []
    clauses: list[Value] = [leading_metric(facts)]
    if not any(judge.refusal(gate, facts) for gate in facts.gates):
        clauses.append(f"{len(facts.gates)} of {len(facts.gates)} gates pass")
    if facts.drift and facts.drift.action == "keep":
        clauses.append("no drift")
    return clauses


def leading_metric(facts: Facts) -> Markdown:
    """Say how the first gate's metric moved."""
    gate = leading_gate(facts)
    if gate is None:
        return Markdown("nothing was measured")
    name, now = code(gate.metric, 60), number(gate.now)
    if gate.now is None:
        return Markdown(f"{name} is missing")
    if gate.base is None and facts.base and (facts.not_compared or gate.not_compared):
        return Markdown(f"{name} {now}")
    if gate.base is None:
        return Markdown(f"{name} {now}, with no base yet")
    moved = movement(gate)
    if moved == "0":
        return Markdown(f"{name} {now}, unchanged")
    base, beside = number(gate.base), number(gate.compared.now if gate.compared else gate.now)
    return Markdown(f"{name} {base} → {beside} ({words(moved)})")


def leading_gate(facts: Facts) -> Gate | None:
    """Return the first gate that has a limit: its metric is the one that the report leads with."""
    return next((gate for gate in facts.gates if gate.limit is not None), None)
