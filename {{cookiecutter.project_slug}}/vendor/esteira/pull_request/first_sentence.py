"""The comment's first sentence: the verdict, and its reason before anything else."""

from dataclasses import dataclass

from esteira.github.markdown import Markdown, Value, code, joined, words
from esteira.page.words import apart, counted, figure
from esteira.pull_request import judge
from esteira.pull_request.by_github import Outside
from esteira.pull_request.facts import Facts, Gate
from esteira.pull_request.movement import verdict_of
from esteira.readiness import Tone, conclude, judging_in_words

ICONS: dict[Tone, str] = {"good": "✅", "look": "⚠️", "bad": "❌", "none": "➖"}
MOST_REASONS = 3
MOST_LETTERS = 140  # of one reason
RED_ALL_THE_SAME = "all checks below pass, but the run failed, perhaps in the project's tests"
NOT_REPRODUCED = "not reproduced, the numbers are those that were committed"


@dataclass(frozen=True)
class FirstSentence:
    """The verdict and its reason."""

    icon: str
    text: Markdown


def first_sentence(
    facts: Facts, outside: Outside, red: bool = False, moved: str = ""
) -> FirstSentence:
    """Make the sentence; `red` where the run failed, whatever the facts say.

    `moved` is the branch's newest commit, where it is not the one that is reported.
    """
    refused = judge.refusals(facts)
    if red and not refused:
        refused = [RED_ALL_THE_SAME]
    outdated = f"the branch has moved on to {moved}"
    if moved and not refused:
        return FirstSentence(ICONS["look"], Markdown(f"Outdated: {words(outdated)}"))
    look = [*judge.remarks(facts), *outside.remarks]
    if outside.judging:
        look.append(judging_in_words(len(outside.judging)))
    if facts.run.state == "impossible":
        look.append(NOT_REPRODUCED)
    if moved:
        refused = [*refused[:1], outdated, *refused[1:]]
    good: list[Value] = [leading_metric(facts)]
    if facts.environment:
        good.append(f"{counted(len(facts.environment), 'package')} changed")
    verdict = conclude(refused, look, good)
    clauses = [_clause(reason) for reason in verdict.reasons[:MOST_REASONS]]
    more = len(verdict.reasons) - MOST_REASONS
    if more > 0:
        clauses.append(Markdown(f"and {more} more"))
    text = Markdown(f"{verdict.headline}: {joined(clauses, '; ')}")
    return FirstSentence(ICONS[verdict.tone], text)


def _clause(clause: Value) -> Markdown:
    """Cut a text; its backticks, which would be escaped and shown, go."""
    if isinstance(clause, Markdown):
        return clause
    return words(str(clause).replace("`", ""), MOST_LETTERS)


def leading_metric(facts: Facts) -> Markdown:
    """Say how a metric moved that became better, else that of the first gate."""
    better = (gate for gate in facts.gates if gate.compared and verdict_of(gate) == "better")
    gate = next(better, leading_gate(facts))
    if gate is None:
        return Markdown("nothing was measured")
    name, now = code(gate.metric, 60), figure(gate.now)
    if gate.now is None:
        return Markdown(f"{name} is missing")
    if gate.base is None and facts.base and (facts.not_compared or gate.not_compared):
        return Markdown(f"{name} {now}")
    if gate.base is None:
        return Markdown(f"{name} {now}, with no base yet")
    moved = verdict_of(gate)
    if moved == "unchanged":
        return Markdown(f"{name} {now}, unchanged")
    base, beside = apart(gate.base, gate.compared.now if gate.compared else gate.now)
    return Markdown(f"{name} {base} → {beside}, {moved}")


def leading_gate(facts: Facts) -> Gate | None:
    """Return the first gate that has a limit: its metric is the one that the report leads with."""
    return next((gate for gate in facts.gates if gate.limit is not None), None)
