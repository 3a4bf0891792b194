"""How the project stands: a checklist, the verdict, and the one next step.

What could not be checked says so, and never reads as a pass.
"""

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from esteira import gate
from esteira.drift.verdicts import KEEP, RETRAIN, VERDICTS, Verdict
from esteira.line.errors import UserError
from esteira.page.words import apart, counted, figure
from esteira.readiness import Readiness, Tone, conclude, judges, judging_in_words, not_pushed
from esteira.repository import base as bases
from esteira.repository import dvc, environment, git, lock, snapshot
from esteira.repository.base import Base

if TYPE_CHECKING:
    from dvc.repo import Repo

REPRODUCE = "uv run dvc repro"
CHECK_OUT = "uv run dvc checkout"
RECORD = "uv run esteira record"
COMMIT = "git add --all && git commit"
PUSH = "uv run dvc push"
NOT_CHECKED = {"Data": "Whether the data is pushed"}  # that a reviewer must know of
DRILL = "data/drill"  # where a rehearsed batch lies
DRIFT_SHOWN = "reports/drift_check/shown.json"
MOST_NAMED = 3  # files or stages, in one line
# In which order things are settled: what is drifted or worse is told in the pull request.
TURNS = (
    "Drill", "Lock", "Gates", "Environment", "Commit", "Data", "Drift", "Judges", "Comparison",
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One line of the checklist."""

    name: str
    tone: Tone
    says: str
    step: str = ""  # what to do next, where it is not good: a command, or a sentence with some
    look: str = ""  # what a reviewer must look at although nothing refuses it, a sentence


# Nothing else is to be done meanwhile: what is rehearsed must not be committed.
DRILL_CHECK = Check(
    name="Drill",
    tone="look",
    says="the newest batch is made up",
    step="Read what the drift check says, then end the drill: `uv run esteira drill --undo`",
    look="This is a drill: the newest batch is made up of rows of your own.",
)


@dataclass(frozen=True)
class Standing:
    """The verdict on the project as it lies here."""

    base: Base
    verdicts: tuple[gate.Verdict, ...]
    stale: tuple[str, ...]  # stages that dvc.lock does not describe
    checks: tuple[Check, ...]
    tone: Tone
    headline: str
    reasons: tuple[str, ...]
    step: str  # a sentence, its command between backticks


def find(named: str | None = None) -> Standing:
    """Find how the project stands; `named` is the base to compare with, else the default branch.

    Raises UserError where nothing was reproduced yet, for a broken gates.yaml, and an unknown base.
    """
    _demand_no_conflict()
    base = bases.find(named)
    packages = _checked("Environment", _environment)  # before scipy loads another BLAS
    with dvc.repository() as repo:
        compared = gate.compare(base.comparable)
        verdicts = tuple(gate.judge_all(base.comparable, compared))
        data = _checked("Data", lambda: _data(repo))
        stale = _stale(repo)
        of_another = lock.of_another_commit(repo) if stale and not isinstance(stale, str) else []
    asked = [verdict.metric for verdict in verdicts if verdict.of_holdout]
    worse = [name for name, found in compared.items() if found.verdict == "worse"]
    unasked = [name for name in worse if name not in asked]
    commit = _checked("Commit", _commit)
    of_reports = (_gates(verdicts), *_comparison(verdicts, base, unasked), _drift(verdicts))
    if stale:
        of_reports = tuple(map(_of_before, of_reports))
        data = Check("Data", "none", "not checked: dvc.lock does not name yet what will be merged")
    elif commit.tone != "good" and data.tone == "bad":
        data = replace(data, tone="look")  # nobody else has what is not committed
    checks = (_lock(stale, of_another), *of_reports, *_judges(base), packages, commit, data)
    if Path(DRILL).is_dir():
        checks = (DRILL_CHECK, *(replace(check, step="") for check in checks))
    first = next((check for check in sorted(checks, key=_turn) if check.step), None)
    verdict = _verdict(checks, verdicts)
    step = f"{_sentence(first.step)}." if first else _nothing_left(base)
    names = () if isinstance(stale, str) else tuple(stale)
    return Standing(
        base=base,
        verdicts=verdicts,
        stale=names,
        checks=checks,
        tone=verdict.tone,
        headline=verdict.headline,
        reasons=verdict.reasons,
        step=step,
    )


def _demand_no_conflict() -> None:
    """Raise UserError where files are in conflict: half of them would be judged."""
    unmerged = git.unmerged() if git.is_repository() else []
    if unmerged:
        what = "file is" if len(unmerged) == 1 else "files are"
        raise UserError(
            f"{len(unmerged)} {what} in conflict ({_named(unmerged)}): take the marks out, "
            "`git add`, `git commit --no-edit`, then `uv run dvc repro`."
        )


def _of_before(check: Check) -> Check:
    """Let a check of reports that are not of the code here neither pass nor refuse."""
    return Check(check.name, "none", f"before the change: {check.says}")


def _turn(check: Check) -> int:
    return TURNS.index(check.name)


def _sentence(step: str) -> str:
    """Set a bare command between backticks; a sentence has its own."""
    return step if step[:1].isupper() else f"`{step}`"


def _nothing_left(base: Base) -> str:
    head = git.commit("HEAD") if git.is_repository() else None
    if head is None or base.commit is None or head == base.commit:
        return "Nothing is left to do."
    return "Open a pull request."


def _verdict(checks: tuple[Check, ...], verdicts: tuple[gate.Verdict, ...]) -> Readiness[str]:
    """Say first what refuses; then what to look at; then that it is ready, or good so far."""
    by_name = {check.name: check for check in checks}
    lock, data, commit = by_name["Lock"], by_name["Data"], by_name["Commit"]
    refused = [_sentence_of(verdict) for verdict in verdicts if verdict.reason]
    if lock.tone != "good":
        refused.insert(0, f"{_capital(lock.says)}.")
    if data.tone == "bad":
        refused.append(f"{_capital(data.says)}.")
    is_drill = DRILL_CHECK in checks
    look = [check.look for check in checks if check.look and check != DRILL_CHECK]
    leading = _leading(verdicts)
    if refused and lock.tone == "good" and not any(verdict.reason for verdict in verdicts):
        look = look or [leading]  # what is not pushed says nothing of the model
    if is_drill:
        return Readiness("look", "Drill", (DRILL_CHECK.look, *refused, *look))
    concluded = conclude(refused, look, [leading, "Every gate passes; no drift that matters."])
    if concluded.tone == "good" and commit.tone != "good":
        return Readiness("good", "Good so far", (leading, f"{_capital(commit.says)}."))
    return concluded


def _sentence_of(verdict: gate.Verdict) -> str:
    """Return why a gate refuses; a metric's name keeps its first letter."""
    return _capital(verdict.reason) if verdict.file == gate.DRIFT_FILE else verdict.reason


def _capital(text: str) -> str:
    """Begin a sentence with a capital, unless it begins with a file's name."""
    first = text.split(" ", 1)[0]
    return text if "." in first else text[:1].upper() + text[1:]


def _leading(verdicts: tuple[gate.Verdict, ...]) -> str:
    """Say how a metric stands that became better, else the first of gates.yaml."""
    better = (verdict for verdict in verdicts if _word(verdict) == "better")
    return _moved(next(better, verdicts[0]))


def _word(verdict: gate.Verdict) -> str:
    return verdict.comparison.verdict if verdict.comparison else ""


def _moved(verdict: gate.Verdict) -> str:
    """Say how one metric stands, beside the base's."""
    moved = verdict.comparison
    if moved is None or moved.base is None or moved.now is None:
        return f"`{verdict.metric}` is {figure(verdict.now)}."
    if moved.unchanged:
        return f"`{verdict.metric}` is {figure(verdict.now)}, as at the base."
    before, now = apart(moved.base, moved.now)
    return f"`{verdict.metric}`: {before} → {now}, {moved.verdict}."


# ---- the checklist


def _checked(name: str, check: Callable[[], Check]) -> Check:
    """Check something; what keeps it from being checked is told."""
    try:
        return check()
    except UserError as error:
        why = _without_stop(str(error))
        look = f"{NOT_CHECKED[name]} was not checked: {why}." if name in NOT_CHECKED else ""
        return Check(name, "none", f"not checked: {why}", look=look)


def _named(names: list[str]) -> str:
    """List a few names, and how many more there are."""
    shown = ", ".join(f"`{name}`" for name in names[:MOST_NAMED])
    more = len(names) - MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def _stale(repo: "Repo") -> dict[str, list[str]] | str:
    """Return what changed in each stage that dvc.lock does not describe, or why nobody knows."""
    try:
        return lock.stale_in(repo)
    except UserError as error:
        return str(error).rstrip(".")


def _lock(stale: dict[str, list[str]] | str, of_another: list[str]) -> Check:
    if isinstance(stale, str):
        return Check("Lock", "none", f"not checked: {stale}")
    if not stale:
        return Check("Lock", "good", "dvc.lock is fresh")
    if of_another:
        says = f"the data here is another commit's: {_named(of_another)}"
        return Check("Lock", "bad", says, CHECK_OUT)
    reasons = [reason for found in stale.values() for reason in found]
    why = f" ({reasons[0]})" if reasons else ""
    says = f"dvc.lock is stale: {_named(list(stale))} changed since it was written{why}"
    return Check("Lock", "bad", says, REPRODUCE)


def _gates(verdicts: tuple[gate.Verdict, ...]) -> Check:
    refusing = [verdict for verdict in verdicts if verdict.reason]
    if not refusing:
        return Check("Gates", "good", f"{len(verdicts)} of {len(verdicts)} pass")
    says = f"{len(refusing)} of {len(verdicts)} fail: {_named([x.metric for x in refusing])}"
    return Check("Gates", "bad", says, _mending(refusing))


def _mending(refusing: list[gate.Verdict]) -> str:
    """Say what to do about gates that say no: of the drift check alone, to read what it found."""
    if any(verdict.file != gate.DRIFT_FILE for verdict in refusing):
        return "Mend what a gate refuses, then `uv run dvc repro`"
    if refusing[0].word == RETRAIN.action:
        return retraining()
    return "Read reports/drift_check/report.html: it says what to mend"


def _comparison(
    verdicts: tuple[gate.Verdict, ...], base: Base, unasked: list[str]
) -> Iterator[Check]:
    """Compare with the base; `unasked` are worse metrics that no gate asks of: told, no verdict."""
    if base.comparable is None:
        look = f"Not compared with the base: {base.not_compared}." if base.commit else ""
        yield Check("Comparison", "none", f"not compared: {base.not_compared}", look=look)
        return
    lacking = [verdict for verdict in verdicts if _lacks_comparison(verdict)]
    found = [verdict for verdict in verdicts if verdict.comparison]
    if not found and lacking:
        why = _without_stop(lacking[0].not_compared)
        look = f"Not compared with the base: {why}."
        yield Check("Comparison", "none", f"not compared: {why}", look=look)
        return
    if any(verdict.not_compared == gate.NO_RESULTS for verdict in verdicts):
        yield Check("Comparison", "none", f"not compared: {base.name} has no results yet")
        return
    if not found:
        yield Check("Comparison", "good", "the answers are those of the base")
        return
    worse = [verdict for verdict in found if _word(verdict) == "worse"]
    said = [f"`{verdict.metric}` is {_word(verdict)}" for verdict in found]
    said += [f"`{verdict.metric}` is not compared" for verdict in lacking]
    if unasked:
        are = "is" if len(unasked) == 1 else "are"
        said.append(f"{_named(unasked)} {are} worse, and no gate asks")
    step = "Make it better, or explain in the pull request why worse is acceptable"
    refused = any(verdict.reason for verdict in worse)
    named = ", ".join(f"`{verdict.metric}`" for verdict in lacking)
    told = [_moved(verdict) for verdict in worse if not verdict.reason]
    look = [*told, *([f"Not compared with the base: {named}."] if lacking else [])]
    tone: Tone = "look" if worse or lacking else "good"
    says = f"{'; '.join(said)}, against {base.name}"
    yield Check("Comparison", tone, says, step if worse and not refused else "", " ".join(look))


def _lacks_comparison(verdict: gate.Verdict) -> bool:
    """Whether a metric of the evaluation was to be compared with the base's, and was not."""
    expected = ("", gate.NO_RESULTS, gate.NEW)
    return verdict.file == gate.EVALUATION and verdict.not_compared not in expected


def _without_stop(sentence: str) -> str:
    return sentence.rstrip(".")


def _drift(verdicts: tuple[gate.Verdict, ...]) -> Check:
    judged = next((verdict for verdict in verdicts if verdict.file == gate.DRIFT_FILE), None)
    word = judged.word if judged else ""
    said = next((known for known in VERDICTS if known.action == word), None)
    if judged is None or said is None:
        return Check("Drift", "none", "not checked: the drift check has not run")
    if said == KEEP:
        return Check("Drift", "good", "no drift that matters in the newest batch")
    says = f"the newest batch says `{said.action}`: {said.headline.lower()}{_evidence(said)}"
    look = "" if judged.reason else f"{_capital(says)}."  # else the gate tells it
    if said != RETRAIN:
        return Check("Drift", "bad", says, "Read reports/drift_check/report.html", look)
    return Check("Drift", "look", says, retraining(), look)


def _evidence(said: Verdict) -> str:
    """Quote the first reason of the drift check, where its page is here and says the same."""
    from esteira.drift import shown  # not where nothing drifted: it takes a while to import

    try:
        found = shown.read(DRIFT_SHOWN)
    except UserError:
        return ""
    if found.action != said.action or not found.reasons:
        return ""
    return f" ({_without_stop(found.reasons[0])})"


def retraining() -> str:
    """Say how the batch that drifted becomes what the model learns from, as a sentence."""
    batch = snapshot.section_of("params.yaml", "drift_check", None).get("current", "BATCH")
    return f"Take the batch into training: `uv run esteira absorb {shlex.quote(str(batch))}`"


def _judges(base: Base) -> Iterator[Check]:
    """Tell of changed files that decide the verdict, where there are some."""
    if base.commit is None:
        return
    judging = [path for path in git.differing_from(base.commit) if judges(path)]
    if judging:
        says = f"changed against {base.name}: {_named(judging)}"
        yield Check("Judges", "look", says, look=f"{_capital(judging_in_words(len(judging)))}.")


def _environment() -> Check:
    if not environment.known():
        says = "environment.json does not say what made dvc.lock"
        return Check("Environment", "look", says, RECORD)
    changed = environment.differences()
    if changed:
        verb = "differs" if len(changed) == 1 else "differ"
        packages = counted(len(changed), "package")
        says = f"{packages} {verb} from those that made dvc.lock: {changed[0]}"
        return Check("Environment", "look", says, "uv sync")
    return Check("Environment", "good", "the packages here are those that made dvc.lock")


def _commit() -> Check:
    if not git.is_repository():
        raise UserError("the project is in no Git repository.")
    changed = git.changed()
    if not changed:
        return Check("Commit", "good", "everything is committed")
    are = "is" if len(changed) == 1 else "are"
    says = f"{counted(len(changed), 'file')} {are} not committed: {_named(changed)}"
    return Check("Commit", "look", says, COMMIT)


def _data(repo: "Repo") -> Check:
    unpushed = lock.unpushed_in(repo)
    if not unpushed:
        return Check("Data", "good", "the remote holds all that dvc.lock names")
    return Check("Data", "bad", f"{not_pushed(len(unpushed))}: {_named(unpushed)}", PUSH)
