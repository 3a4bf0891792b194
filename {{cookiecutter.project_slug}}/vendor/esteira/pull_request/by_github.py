"""What the trusted side knows beside the report: by GitHub's word, and from the default branch.

It runs in a checkout of the default branch, so its gates.yaml is the one that judges.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from esteira.gate import Rule, read_gates
from esteira.github.api import MOST_FILES, Api, ChangedFile
from esteira.line.errors import UserError
from esteira.pull_request.facts import Facts, Gate
from esteira.readiness import GATES, judges
from esteira.repository import git


@dataclass(frozen=True)
class Outside:
    """What is known from outside of the report."""

    judging: tuple[str, ...] = ()  # files that judge the pull request, and that it changes
    remarks: tuple[str, ...] = ()  # other things that a reviewer must look at, a clause each


NOTHING_ELSE = Outside()


def outside(api: Api, facts: Facts) -> Outside:
    """Ask GitHub which files the pull request changes; compare the rules it was judged by."""
    try:
        files = api.changed_files(facts.number)
    except UserError as error:
        return Outside(remarks=(f"it is not known which files it changes: {error}",))
    prefix = git.place_in_repository()
    judging = judging_files(files, prefix)
    remarks = []
    if len(files) >= MOST_FILES:
        listed = f"it changes more files than GitHub lists ({MOST_FILES:,})"
        remarks.append(f"{listed}, so some are not named")
    if f"{prefix}{GATES}" not in judging:
        remarks += other_rules(facts)
    return Outside(tuple(judging), tuple(remarks))


def judging_files(files: Iterable[ChangedFile], prefix: str = "") -> list[str]:
    """Return those of the changed files that judge, by both names where one was renamed.

    `prefix` is the project's folder in its repository, such as "ml/".
    """
    names = {name for file in files for name in (file.filename, file.previous_filename) if name}
    return sorted(name for name in names if judges(name, prefix))


def other_rules(facts: Facts) -> list[str]:
    """Say which rules of the default branch the report was not judged by; it changes none."""
    if not facts.gates:
        return []
    try:
        expected = read_gates()
    except UserError as error:
        return [f"on the default branch {error}"]
    missing = [
        rule.metric
        for rule in expected.rules
        if not any(is_judged_by(gate, rule) for gate in facts.gates)
    ]
    blocks = set(expected.drift) <= set(facts.drift_blocks)
    watched = any(gate.metric == "drift" for gate in facts.gates)
    if not (blocks and watched):
        missing.append("drift")
    if not missing:
        return []
    named = ", ".join(missing[:3])
    return [f"it was not judged by the rules of the default branch ({named}): merge that, and push"]


def is_judged_by(gate: Gate, rule: Rule) -> bool:
    """Whether a gate of the report is a rule of gates.yaml, on the same terms."""
    asked = (rule.file, rule.metric, rule.better, rule.limit, rule.regression)
    return asked == (gate.file, gate.metric, gate.better, gate.limit, gate.regression)
