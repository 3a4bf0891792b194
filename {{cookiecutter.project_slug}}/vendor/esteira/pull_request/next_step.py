"""The one next step: what the comment says right below its verdict."""

import shlex

from esteira import gate as gates
from esteira.drift.verdicts import RETRAIN, REWORK, UNUSABLE
from esteira.github.markdown import Markdown, code, joined
from esteira.pull_request import judge
from esteira.pull_request.by_github import Outside
from esteira.pull_request.facts import Drift, Facts, Gate
from esteira.pull_request.movement import verdict_of

MOST_NAMES = 3
WAIT = Markdown("wait: the report of the newest commit will replace this one.")
READ_LOG = Markdown("read the log of the run, by the link at the bottom.")
MEND_IT = Markdown("fix what is named above, and push.")
DO_NOT_MERGE = Markdown("do not merge it: ask for another run, and read its log.")
BRING_UP_TO_DATE = Markdown("bring dvc.lock up to date, by the commands below.")
PUSH = Markdown(f"{code('uv run dvc push')}, on the machine that has the data.")
REPRODUCE = Markdown("someone with access to the data runs the commands below, on this branch.")
ALLOW_WORSE = Markdown("make it better, or explain in the pull request why worse is acceptable.")
READ_JUDGES = Markdown("a code owner reads the files named below, before anything else.")
OPEN_REPORT = Markdown(f"see why with {code('uv run esteira report --open')}, fix it, and push.")
FIX_DATA = Markdown(
    "fix the data where it is made, or change schema.yaml: the broken rules are below."
)
CONFIRM_RULES = Markdown("a code owner confirms the change of gates.yaml, below.")
ASK_REMOTE = Markdown(
    f"someone with access to the remote runs {code('uv run dvc status --cloud')} on this branch:"
    " it must say “in sync”."
)
JUDGE_ALONE = Markdown("decide by the limits alone: nothing compares it with the base.")
LOOK = Markdown("a reviewer decides on what the verdict names.")
MERGE = Markdown("review the code, and merge it.")


def next_step(facts: Facts, outside: Outside, red: bool, moved: bool) -> Markdown:
    """Return what to do next, as a sentence; `red` as in `first_sentence`."""
    if moved:
        return WAIT
    return _refused(facts, red) or _to_look_at(facts, outside) or MERGE


def _refused(facts: Facts, red: bool) -> Markdown | None:
    """Return what mends the first thing that refuses; None where nothing does."""
    if judge.contradictions(facts):
        return DO_NOT_MERGE
    if facts.problem:
        return MEND_IT
    if facts.run.state == "failed":
        return _mend_run(facts)
    faulty = [metric.name for metric in facts.metrics if metric.fault]
    if faulty:
        names = joined([code(name, 60) for name in faulty[:MOST_NAMES]])
        return Markdown(f"fix how {names} is measured, {code('uv run dvc repro')}, and push.")
    refusing = [gate for gate in facts.gates if judge.refusal(gate, facts)]
    if refusing:
        return _mend_gates(refusing, facts)
    if facts.run.state == "impossible" and facts.lock.state != "fresh":
        return REPRODUCE
    if facts.lock.state == "stale":
        return BRING_UP_TO_DATE
    if facts.pushed.state == "missing":
        return PUSH
    return READ_LOG if red or judge.refusals(facts) else None


def _mend_run(facts: Facts) -> Markdown:
    failed = [stage.name for stage in facts.run.stages if stage.state == "failed"]
    what = Markdown(f"stage {code(failed[0], 40)}") if failed else Markdown("what failed")
    lines = Markdown("its last lines are below")
    return Markdown(f"fix {what} ({lines}), {code('uv run dvc repro')}, and push.")


def _mend_gates(refusing: list[Gate], facts: Facts) -> Markdown:
    """Return what to do about gates: where all are of the drift check, what that says."""
    if facts.drift and all(gate.file == gates.DRIFT_FILE for gate in refusing):
        return Markdown(f"every other gate passes; {_by_drift(facts.drift)}")
    if facts.violations and all(gate.file != gates.EVALUATION for gate in refusing):
        return FIX_DATA
    return OPEN_REPORT


def _by_drift(found: Drift) -> Markdown:
    if found.action == RETRAIN.action:
        command = f"uv run esteira absorb {shlex.quote(found.batch or 'BATCH')}"
        return Markdown(f"retrain on the batch, now or after the merge: {code(command, 200)}.")
    read = code("reports/drift_check/report.html")
    if found.action == REWORK.action:
        return Markdown(f"rework the model: {read} says where it errs.")
    if found.action == UNUSABLE.action:
        return Markdown(f"fix the batch where it is made: {read} says what is wrong.")
    return Markdown(f"read {read}.")


def _to_look_at(facts: Facts, outside: Outside) -> Markdown | None:
    """Return what a reviewer does first; None where there is nothing to look at."""
    if outside.judging:
        return READ_JUDGES
    if any(gate.compared and verdict_of(gate) == "worse" for gate in facts.gates):
        return ALLOW_WORSE
    if facts.rules:
        return CONFIRM_RULES
    gone = judge.gone_metrics(facts)
    gone += [stage.name for stage in facts.run.stages if stage.state == "removed"]
    if gone:
        names = joined([code(name, 60) for name in gone[:MOST_NAMES]])
        return Markdown(f"confirm in the pull request that {names} was meant to go.")
    if facts.drift and facts.drift.action != "keep":
        return _by_drift(facts.drift)
    if facts.pushed.state == "unchecked":
        return ASK_REMOTE
    remarks = [*judge.remarks(facts), *outside.remarks]
    if remarks and judge.is_not_compared(facts):
        return JUDGE_ALONE
    return LOOK if remarks else None
