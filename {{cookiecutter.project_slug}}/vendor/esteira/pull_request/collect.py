"""Collect the facts of a pull request by running its code; judge nothing, hide nothing."""

import csv
import json
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from esteira import gate
from esteira.comparison import Comparison
from esteira.drift import shown, verdicts
from esteira.github.api import PullRequest, PullRequestEvent, event
from esteira.line.errors import UserError
from esteira.line.files import write_text
from esteira.line.params import parse
from esteira.pull_request import commit_changes
from esteira.pull_request import facts as f
from esteira.pull_request.commit_changes import short
from esteira.pull_request.reproduce import reproduce
from esteira.repository import base as bases
from esteira.repository import dvc, git, remote
from esteira.repository.base import Base

DRIFT_COLUMNS = "reports/drift_check/columns.csv"
SHOWN = "reports/drift_check/shown.json"
VIOLATIONS = "reports/validate/violations.csv"
HISTORY = 12  # earlier values of the leading metric that the chart shows
NO_COMMIT = "0" * 40
UNSETTLED = "the lock is stale, so what it names is not what will be merged"


def collect(base: str | None, output: str | Path) -> f.Facts:
    """Write the facts of this commit against `base` (or GitHub's event) to `output`; return them.

    A fault of the pull request is a fact like any other, so that there is a report to read.
    """
    started_by = event(PullRequestEvent) or PullRequestEvent()
    facts = identity(started_by.pull_request)
    try:
        found = bases.find(base or started_by.base)
        facts = facts.model_copy(
            update={
                "base": found.commit,
                "base_name": short(found.name),
                "not_compared": short(found.not_compared),
            }
        )
        facts = with_texts(facts)
        facts = with_measurements(facts, found)
    except UserError as error:
        facts = facts.model_copy(update={"problem": short(str(error))})
    facts = capped(facts)
    write_text(output, facts.model_dump_json(indent=1) + "\n")
    return facts


def identity(pull: PullRequest | None) -> f.Facts:
    """Return facts that say of which pull request and commit they are, and no more."""
    return f.Facts(
        number=pull.number if pull else 0,
        head=git.commit("HEAD") or NO_COMMIT,
        fork=pull.from_fork if pull else False,
    )


def with_texts(facts: f.Facts) -> f.Facts:
    """Add what differs in the files that people write."""
    found = commit_changes.texts(facts.base)
    return facts.model_copy(
        update={
            "code": commit_changes.code(facts.base),
            "params": found.params,
            "columns": found.columns,
            "rules": found.rules,
            "environment": found.environment,
        }
    )


def with_measurements(facts: f.Facts, base: Base) -> f.Facts:
    """Add what comes from running the line and measuring. Raises UserError."""
    unusable = remote.unusable()
    lock = lock_state()
    run = reproduce(lock, unusable)
    stopped = run.state == "failed"
    settled = run.state == "not needed"
    with dvc.repository() as repo:
        now = dvc.metrics(repo)
        before = dvc.metrics(repo, base.comparable) if base.comparable else []
    gates = [] if stopped else judged(base.comparable)
    stages = run.stages + commit_changes.removed_stages(base.commit)
    return facts.model_copy(
        update={
            "lock": lock,
            "run": run.model_copy(update={"stages": stages}),
            "metrics": metrics(before, now, stopped),
            "gates": gates,
            "pushed": pushed(unusable) if settled else f.Pushed(reason=UNSETTLED),
            "drift": None if stopped else drift(),
            "drift_blocks": [] if stopped else gate.read_gates().drift,
            "data": commit_changes.data(base.commit),
            "changed_stages": commit_changes.changed_stages(base.commit),
            "violations": [] if stopped else violations(),
            "history": history(base.comparable, gates),
        }
    )


class Answer(BaseModel):
    """What `esteira verify --json` writes for `--lock` and `--pushed`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    stale: dict[str, list[str]] = {}  # what changed, by stage
    unpushed: list[str] = []
    unkept: dict[str, str] = {}  # the command that adds it, by path


def verify(question: str) -> Answer:
    """Ask `esteira verify --lock` or `--pushed`. Raises UserError with what it said."""
    program = "from esteira.cli import main; main()"
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-c", program, "verify", question, "--json", str(answer)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8")
        print(done.stdout, done.stderr, sep="", end="", flush=True)
        if not answer.exists():
            said = [line for line in done.stderr.splitlines() if line] or ["it said nothing"]
            raise UserError(said[-1].removeprefix("esteira: "))
        content = json.loads(answer.read_text(encoding="utf-8"))
    return parse(content, Answer, f"the answer of `esteira verify {question}`")


def lock_state() -> f.Lock:
    """Tell which stages are stale, from hashes alone: no data and no credentials needed."""
    stale = verify("--lock").stale
    stages = [f.Stale(stage=short(name), why=short("; ".join(why))) for name, why in stale.items()]
    return f.Lock(state="stale" if stages else "fresh", stages=stages[: f.MOST_ENTRIES])


def pushed(unusable: str) -> f.Pushed:
    """Ask the remote whether it has all that dvc.lock names; no other check finds out."""
    if unusable:
        return f.Pushed(reason=short(unusable))
    try:
        answer = verify("--pushed")
    except UserError as error:
        return f.Pushed(reason=short(str(error)))
    paths = [short(path) for path in answer.unpushed]
    paths += [short(f"{path} ({command})") for path, command in answer.unkept.items()]
    return f.Pushed(state="missing" if paths else "pushed", paths=paths[: f.MOST_ENTRIES])


def metrics(before: list[dvc.Measured], now: list[dvc.Measured], stopped: bool) -> list[f.Metric]:
    """Put every metric's values at the base and now side by side.

    Where the line `stopped`, the values that lie here are of an earlier run, and now is unknown.
    """
    old = {(metric.file, metric.name): metric.value for metric in before}
    new = {(metric.file, metric.name): metric.value for metric in now}
    known = {} if stopped else new
    return [metric(*place, old.get(place), known.get(place)) for place in old | new]


def metric(file: str, name: str, old: object, new: object) -> f.Metric:
    """Make one metric of two values, each None where it is absent."""
    before, now = finite(old), finite(new)
    no_number = new is not None and now is None
    return f.Metric(
        file=short(file),
        name=short(name),
        base=before,
        now=now,
        fault=f"is {short(new, 40)}, no finite number" if no_number else "",
    )


def finite(value: object) -> float | None:
    """Return a value that is a number and can be compared, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) <= sys.float_info.max else None  # so is not NaN


def judged(base: str | None) -> list[f.Gate]:
    """Judge gates.yaml over the metric files as they are now. Raises UserError."""
    return [
        f.Gate(
            file=verdict.file,
            metric=verdict.metric,
            better=verdict.better,
            base=verdict.base,
            now=verdict.now,
            word=verdict.word,
            limit=verdict.limit,
            regression=verdict.regression,
            reason=short(verdict.reason),
            not_compared=short(verdict.not_compared),
            compared=compared(verdict.comparison),
        )
        for verdict in gate.judge_all(base)
    ]


def compared(found: Comparison | None) -> f.Compared | None:
    """Return a comparison on the same rows, where there is one."""
    if found is None or found.base is None or found.now is None:
        return None
    low, high = found.low, found.high
    if low is None or high is None:
        return None
    return f.Compared(base=found.base, now=found.now, low=low, high=high, rows=found.rows)


def drift() -> f.Drift | None:
    """Read what the drift check wrote; None where it wrote nothing that can be read."""
    try:
        measured = gate.read_metrics(gate.DRIFT_FILE)
        rows = list(csv.DictReader(StringIO(Path(DRIFT_COLUMNS).read_text("utf-8"))))
        columns = sorted(map(drift_column, rows), key=lambda column: -column.effect)
        verdict = verdicts.BY_CODE[int(measured.number(gate.DRIFT_METRIC))]
        said = in_words()
        settings = commit_changes.settings(None)
        return f.Drift(
            action=verdict.action,
            checked=int(measured.number("columns_checked")),
            drifted=int(measured.number("columns_drifted")),
            target=measured.values.get("target_drifted") == 1,
            prediction=measured.values.get("prediction_drifted") == 1,
            batch=short(settings.get("drift_check.current", "")),
            advice=short(said.advice) if said else "",
            reasons=[short(reason) for reason in said.reasons] if said else [],
            error=short(said.error) if said else "",
            columns=columns[: f.MOST_ENTRIES],
        )
    except (UserError, OSError, KeyError, ValueError, TypeError):
        return None  # the gate on the drift check's action says what is wrong


def in_words() -> shown.Shown | None:
    """Read what the drift check said in words; None where that is not known."""
    try:
        return shown.read(SHOWN)
    except UserError:
        return None


def violations() -> list[f.Violation]:
    """Read which rules of schema.yaml rows break; the gate on their number says what is absent."""
    try:
        rows = list(csv.DictReader(StringIO(Path(VIOLATIONS).read_text("utf-8"))))
        return [violation(row) for row in rows]
    except (OSError, KeyError, ValueError):
        return []


def violation(row: dict[str, str]) -> f.Violation:
    """Make a violation of one line of violations.csv."""
    return f.Violation(
        column=short(row["column"]),
        rule=short(row["rule"]),
        rows=int(row["rows"]),
        examples=short(row["examples"]),
    )


def drift_column(row: dict[str, str]) -> f.Column:
    """Make a column of one line of columns.csv."""
    return f.Column(
        name=short(row["column"]),
        drifted=row["drifted"] == "1",
        significant=row["significant"] == "1",
        effect=float(row["effect"]),
        says=short(row["says"]),
    )


def history(base: str | None, gates: list[f.Gate]) -> list[f.Point]:
    """Return the leading metric at the last commits of the base branch that changed its file."""
    leading = next((gate for gate in gates if gate.limit is not None), None)
    if base is None or leading is None:
        return []
    points = []
    for commit in reversed(git.commits_that_changed(leading.file, base, HISTORY)):
        try:
            value = gate.read_metrics(leading.file, commit).number(leading.metric)
        except UserError:
            continue
        points.append(f.Point(commit=commit, value=value))
    return points


def capped(facts: f.Facts) -> f.Facts:
    """Cut every list to MOST_ENTRIES, count what was left out, and check the whole."""
    lists = {name: value for name, value in facts if isinstance(value, list)}
    long = {name: value for name, value in lists.items() if len(value) > f.MOST_ENTRIES}
    left_out = sum(len(value) - f.MOST_ENTRIES for value in long.values())
    cut = {name: value[: f.MOST_ENTRIES] for name, value in long.items()}
    return f.Facts.model_validate(dict(facts) | cut | {"left_out": left_out})
