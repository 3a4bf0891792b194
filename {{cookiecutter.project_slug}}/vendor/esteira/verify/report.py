"""`uv run esteira verify`: ask, print for people what was found, return it for machines."""

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esteira.repository import dvc, environment
from esteira.repository import lock as lock_file
from esteira.verify import compare, confine, explain
from esteira.verify.compare import StageResult
from esteira.verify.sandbox import sandbox

NO_RECORD = "environment.json is not here yet: `uv run esteira record` writes it; commit it."
OLD_RECORD = "environment.json is of another dvc.lock: `uv run esteira record` renews it; commit."


@dataclass(frozen=True)
class LockFindings:
    """What is wrong with dvc.lock and the remote; None for what was not asked."""

    stale: dict[str, list[str]] | None  # stage to reasons
    unkept: dict[str, str] | None  # path to the command that adds it
    unpushed: list[str] | None  # paths

    @property
    def ok(self) -> bool:
        """Whether all that was asked is as it should be."""
        return not (self.stale or self.unkept or self.unpushed)

    def as_json(self) -> dict[str, Any]:
        """Return the findings for `--json`."""
        asked = {"stale": self.stale, "unkept": self.unkept, "unpushed": self.unpushed}
        found = {name: value for name, value in asked.items() if value is not None}
        return {"ok": self.ok, **found}


@dataclass(frozen=True)
class ExecutionFindings:
    """What came of executing the line's stages."""

    stages: list[StageResult]
    changes: list[str]  # of the environment, since the lock was made
    environment_known: bool
    landlock: int  # version of what confined the stages; 0 where they were only observed

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with any stage."""
        return not any(explain.faults(result) for result in self.stages)

    def counts(self) -> Counter[str]:
        """Return how many outputs there are of each verdict."""
        return Counter(output.verdict for result in self.stages for output in result.outputs)

    def as_json(self) -> dict[str, Any]:
        """Return the findings for `--json`."""
        counts = self.counts()
        return {
            "ok": self.ok,
            "stale": {},
            "identical": counts["identical"],
            "outputs": counts.total(),
            "environment": self.changes,
            "environment_known": self.environment_known,
            "confined": self.landlock > 0,
            "stages": [_stage_as_json(result) for result in self.stages],
        }


def _stage_as_json(result: StageResult) -> dict[str, Any]:
    outputs = [
        {
            "path": output.path,
            "expected": output.expected,
            "found": list(output.found),
            "verdict": output.verdict,
        }
        for output in result.outputs
    ]
    return {
        "stage": result.stage,
        "seconds": result.seconds,
        "outputs": outputs,
        "faults": explain.faults(result),
    }


def lock_and_remote(lock: bool, pushed: bool, only: list[str] | None = None) -> LockFindings:
    """Check whether dvc.lock is fresh, or the remote complete, or both; print what is wrong."""
    stale = _check_lock(only) if lock else None
    unkept = lock_file.unkept() if pushed else None
    for path, command in (unkept or {}).items():
        say(f"{path} is kept by neither Git nor DVC: `{command}`, `uv run dvc repro`, commit.")
    unpushed = _check_remote(complete_if_pushed=not unkept) if pushed else None
    return LockFindings(stale, unkept, unpushed)


def _check_lock(only: list[str] | None) -> dict[str, list[str]]:
    stale = lock_file.stale(only)
    for stage, reasons in stale.items():
        say(f"stale: {stage}: {'; '.join(reasons)}")
    if stale:
        say("dvc.lock is not what this commit would compute: `uv run dvc repro`, commit, push.")
    else:
        print("dvc.lock is fresh.")
    return stale


def _check_remote(complete_if_pushed: bool) -> list[str]:
    unpushed = lock_file.unpushed()
    for path in unpushed:
        say(f"not on the remote: {path}")
    if unpushed:
        say("The remote lacks what dvc.lock names: `uv run dvc push`, before the commit.")
    elif complete_if_pushed:
        print("The remote holds everything that dvc.lock names.")
    return unpushed


def say(fault: str) -> None:
    """Print one fault where CI logs show it."""
    print(f"verify: {fault}", file=sys.stderr)


def execution(only: list[str] | None = None) -> LockFindings | ExecutionFindings:
    """Execute the line's stages, or those named, each in a folder of its own, and compare.

    A stale lock is told instead: there is nothing to compare with.
    """
    lock = lock_and_remote(lock=True, pushed=False, only=only)
    if not lock.ok:
        return lock
    changes, known = environment.differences(), environment.known()
    for change in changes:
        print(f"environment: {change}")
    if not known:
        print(OLD_RECORD if environment.RECORD.exists() else NO_RECORD)
    landlock, passed_on = confine.version(), environment.passed_on()
    _print_limits(landlock, passed_on)
    results = _execute(only, bool(changes), passed_on)
    found = ExecutionFindings(results, changes, known, landlock)
    _print_totals(found)
    return found


def _print_limits(landlock: int, passed_on: list[str]) -> None:
    """Say what the stages may read of the environment, and what cannot be refused to them here."""
    if passed_on:
        print(f"environment variables that the stages may read: {', '.join(passed_on)}")
    if not landlock:
        print(
            "This system cannot confine a stage (Linux can, by Landlock): verify only observes "
            "what Python does."
        )
    elif landlock < confine.NETWORK_SINCE:
        print("This kernel cannot refuse the network: what Python asks of it is only observed.")


def _execute(only: list[str] | None, elsewhere: bool, passed_on: list[str]) -> list[StageResult]:
    results = []
    with (
        dvc.repository() as repo,
        sandbox(Path(repo.root_dir), dvc.counts(repo), passed_on) as box,
    ):
        stages = [stage for stage in dvc.line(repo) if not only or stage.name in only]
        for number, stage in enumerate(stages, 1):
            print(f"[{number}/{len(stages)}] {stage.name}: ", end="", flush=True)
            result = compare.check(box, stage, elsewhere)
            print(explain.summary(result), flush=True)
            for fault in explain.faults(result):
                say(f"{stage.name} {fault}")
            results.append(result)
    return results


def _print_totals(found: ExecutionFindings) -> None:
    unavailable = [result.stage for result in found.stages if result.unavailable]
    if unavailable:
        say(f"could not be checked: {', '.join(unavailable)} (see above).")
    counts = found.counts()
    if counts.total():
        varied = ", ".join(condition.name for condition in compare.conditions())
        of_all = f"{counts['identical']} of {counts.total()}"
        print(f"{of_all} outputs are identical to dvc.lock, made twice: in")
        print(f"other folders, and with another {varied}.")
    if counts["other bytes"]:
        print(f"{counts['other bytes']} have other bytes, as this environment is another; what Git")
        print("holds of what was made from them is compared instead.")
