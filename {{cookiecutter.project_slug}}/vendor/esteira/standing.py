"""How the project stands: a checklist, the verdict, and the one next step.

What could not be checked says so, and never reads as a pass.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from esteira import gate
from esteira.drift.verdicts import KEEP, RETRAIN, VERDICTS
from esteira.line.errors import UserError
from esteira.page.words import apart, figure
from esteira.repository import base as bases
from esteira.repository import dvc, environment, git, lock
from esteira.repository.base import Base

if TYPE_CHECKING:
    from dvc.repo import Repo

Tone = Literal["good", "look", "bad", "none"]  # none: not checked

REPRODUCE = "uv run dvc repro"
RECORD = "uv run esteira record"
COMMIT = "git add --all && git commit"
PUSH = "uv run dvc push"
MOST_NAMED = 3  # files or stages, in one line
# In which order things are settled: what is drifted or worse is told in the pull request.
TURNS = ("Lock", "Gates", "Environment", "Commit", "Data", "Drift", "Comparison")


@dataclass(frozen=True)
class Check:
    """One line of the checklist."""

    name: str
    tone: Tone
    says: str
    step: str = ""  # what to do next, where it is not good: a command, or a sentence with some


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
    base = bases.find(named)
    packages = _checked("Environment", _environment)  # before scipy loads another BLAS
    with dvc.repository() as repo:
        verdicts = tuple(gate.judge_all(base.comparable))
        data = _checked("Data", lambda: _data(repo))
        stale = _stale(repo)  # last, as DVC then forgets what it read
    checks = (
        _lock(stale),
        _gates(verdicts),
        *_comparison(verdicts, base),
        _drift(verdicts),
        packages,
        _checked("Commit", _commit),
        data,
    )
    first = next((check for check in sorted(checks, key=_turn) if check.step), None)
    tone, headline, reasons = _verdict(checks, verdicts)
    step = f"{_sentence(first.step)}." if first else _nothing_left(base)
    names = () if isinstance(stale, str) else tuple(stale)
    return Standing(base, verdicts, names, checks, tone, headline, tuple(reasons), step)


def _turn(check: Check) -> int:
    return TURNS.index(check.name)


def _sentence(step: str) -> str:
    """Set a bare command between backticks; a sentence has its own."""
    return step if step[:1].isupper() else f"`{step}`"


def _nothing_left(base: Base) -> str:
    head = git.commit("HEAD") if git.is_repository() else None
    if head is None or base.commit is None or head == base.commit:
        return "Nothing is left to do: change something."
    return "Open a pull request."


def _verdict(
    checks: tuple[Check, ...], verdicts: tuple[gate.Verdict, ...]
) -> tuple[Tone, str, list[str]]:
    """Say first what refuses; then what to look at; then that it is ready."""
    by_name = {check.name: check for check in checks}
    refused = [verdict.reason for verdict in verdicts if verdict.reason]
    if by_name["Lock"].tone == "bad":
        return "bad", "Not reproduced", [f"{by_name['Lock'].says}.", *refused]
    if refused:
        return "bad", "Not ready", refused
    if by_name["Drift"].tone != "good":
        drifted = f"{by_name['Drift'].says}."
        return "look", "Ready, but look at the drift", [drifted, _leading(verdicts)]
    worse = [verdict for verdict in verdicts if _is_worse(verdict)]
    if worse:
        return "look", "Ready, but worse than the base", [_moved(verdict) for verdict in worse]
    if by_name["Lock"].tone == "none":
        return "look", "Ready, if the lock is fresh", [f"The lock is {by_name['Lock'].says}."]
    return "good", "Ready", [_leading(verdicts), "Every gate says yes; no drift that matters."]


def _leading(verdicts: tuple[gate.Verdict, ...]) -> str:
    """Say how the first metric of gates.yaml stands."""
    return _moved(verdicts[0])


def _is_worse(verdict: gate.Verdict) -> bool:
    return verdict.comparison is not None and verdict.comparison.verdict == "worse"


def _moved(verdict: gate.Verdict) -> str:
    """Say how one metric stands, beside the base's."""
    moved = verdict.comparison
    if moved is None or moved.base is None or moved.now is None:
        return f"`{verdict.metric}` is {figure(verdict.now)}."
    if moved.difference == moved.low == moved.high == 0:
        return f"`{verdict.metric}` is {figure(verdict.now)}, as at the base."
    before, now = apart(moved.base, moved.now)
    return f"`{verdict.metric}`: {before} → {now}, {moved.verdict}."


# ---- the checklist


def _checked(name: str, check: Callable[[], Check]) -> Check:
    """Check something; what keeps it from being checked is told."""
    try:
        return check()
    except UserError as error:
        return Check(name, "none", f"not checked: {str(error).rstrip('.')}")


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


def _lock(stale: dict[str, list[str]] | str) -> Check:
    if isinstance(stale, str):
        return Check("Lock", "none", f"not checked: {stale}")
    if not stale:
        return Check("Lock", "good", "dvc.lock is fresh")
    reasons = [reason for found in stale.values() for reason in found]
    why = f" ({reasons[0]})" if reasons else ""
    says = f"dvc.lock is stale: {_named(list(stale))} changed since it was written{why}"
    return Check("Lock", "bad", says, REPRODUCE)


def _gates(verdicts: tuple[gate.Verdict, ...]) -> Check:
    refusing = [verdict for verdict in verdicts if verdict.reason]
    if not refusing:
        return Check("Gates", "good", f"{len(verdicts)} of {len(verdicts)} say yes")
    says = f"{len(refusing)} of {len(verdicts)} say no: {_named([x.metric for x in refusing])}"
    return Check("Gates", "bad", says, "Mend what a gate refuses, then `uv run dvc repro`")


def _comparison(verdicts: tuple[gate.Verdict, ...], base: Base) -> Iterator[Check]:
    if base.comparable is None:
        yield Check("Comparison", "none", f"not compared: {base.not_compared}")
        return
    found = [verdict.comparison for verdict in verdicts if verdict.comparison]
    if not found:
        why = next((verdict.not_compared for verdict in verdicts if verdict.not_compared), "")
        same = "the answers are those of the base"
        yield Check("Comparison", *(("none", f"not compared: {why}") if why else ("good", same)))
        return
    worse = [each for each in found if each.verdict == "worse"]
    says = "; ".join(f"`{each.metric}` is {each.verdict}" for each in found)
    step = "Say in the pull request why it may be worse" if worse else ""
    yield Check("Comparison", "look" if worse else "good", f"{says}, against {base.name}", step)


def _drift(verdicts: tuple[gate.Verdict, ...]) -> Check:
    judged = next((verdict for verdict in verdicts if verdict.file == gate.DRIFT_FILE), None)
    word = judged.word if judged else ""
    said = next((known for known in VERDICTS if known.action == word), None)
    if said is None:
        return Check("Drift", "none", "not checked: the drift check has not run")
    if said == KEEP:
        return Check("Drift", "good", "no drift that matters in the newest batch")
    says = f"the newest batch says `{said.action}`: {said.headline.lower()}"
    step = "Read reports/drift_check/report.html"
    if said == RETRAIN:
        step += ", then `uv run esteira absorb BATCH`"
    return Check("Drift", "look" if said == RETRAIN else "bad", says, step)


def _environment() -> Check:
    if not environment.known():
        says = "environment.json does not say what made dvc.lock"
        return Check("Environment", "look", says, RECORD)
    changed = environment.differences()
    if changed:
        says = f"{len(changed)} differ from those that made dvc.lock: {changed[0]}"
        return Check("Environment", "look", says, "uv sync")
    return Check("Environment", "good", "the packages here are those that made dvc.lock")


def _commit() -> Check:
    if not git.is_repository():
        raise UserError("the project is in no Git repository.")
    changed = git.changed()
    if not changed:
        return Check("Commit", "good", "everything is committed")
    says = f"{len(changed)} files are not committed: {_named(changed)}"
    return Check("Commit", "look", says, COMMIT)


def _data(repo: "Repo") -> Check:
    unpushed = lock.unpushed_in(repo)
    if not unpushed:
        return Check("Data", "good", "the remote holds all that dvc.lock names")
    says = f"{len(unpushed)} of DVC's files are not pushed: {_named(unpushed)}"
    return Check("Data", "look", says, PUSH)
