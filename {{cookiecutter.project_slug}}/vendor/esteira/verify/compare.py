"""Execute a stage twice under different conditions; judge what came out by dvc.lock.

Nothing is said here: `explain` turns what was found into sentences.
"""

import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from esteira.line.errors import UserError
from esteira.repository.dvc import Entry, Stage
from esteira.verify.sandbox import Content, Execution, Notes, Sandbox

THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    *("NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "LOKY_MAX_CPU_COUNT"),
)
# 26 hours apart, so that the two executions never see the same local date.
ZONES = ("Etc/GMT+12", "Pacific/Kiritimati")
ZONES_WITHOUT_DATABASE = ("WEST12", "EAST-14")

# `other bytes` are allowed where the environment is not the one that made the lock. Another
# processor gives a linear model other last digits, and so other bytes, although every metric is the
# same. There a file in DVC's cache feeds the later stages as it came out, and is judged by what
# they make of it: the files in Git, which are rounded, must be identical.
Verdict = Literal["identical", "other bytes", "differs", "not deterministic"]
WRONG: tuple[Verdict, ...] = ("differs", "not deterministic")


@dataclass(frozen=True)
class Condition:
    """Something that must not matter, and the variables that set it for either execution."""

    name: str
    first: dict[str, str]
    second: dict[str, str]


@dataclass(frozen=True)
class OutputResult:
    """One output of a stage: the hash that dvc.lock names, and what two executions gave."""

    path: str
    expected: str
    found: tuple[str, str]  # "" where it was not written
    verdict: Verdict


@dataclass(frozen=True)
class Failure:
    """A stage that failed."""

    words: str  # its last ones
    only_second: bool  # it fails under the other conditions alone


@dataclass(frozen=True)
class Cause:
    """Why an output differs from one execution to the next."""

    always: bool  # it differs even under the same conditions
    conditions: tuple[str, ...] = ()  # names of those that change it


@dataclass(frozen=True)
class StageResult:
    """What was found out about one stage."""

    stage: str
    seconds: float
    outputs: tuple[OutputResult, ...] = ()
    unavailable: str = ""  # why it could not be executed
    notes: Notes = field(default_factory=Notes)
    failure: Failure | None = None
    changing: tuple[str, ...] = ()  # files that are written differently each time
    cause: Cause | None = None  # of that
    differing: tuple[str, ...] = ()  # files that come out otherwise than dvc.lock says
    damaged: tuple[str, ...] = ()  # outputs that are not here what dvc.lock names

    def any_wrong(self) -> bool:
        """Whether an output is not what dvc.lock says."""
        return any(output.verdict in WRONG for output in self.outputs)


def conditions() -> list[Condition]:
    """Return what is varied between the two executions."""
    known = all(Path("/usr/share/zoneinfo", zone).exists() for zone in ZONES)
    west, east = ZONES if known else ZONES_WITHOUT_DATABASE
    one, four = dict.fromkeys(THREADS, "1"), dict.fromkeys(THREADS, "4")
    return [
        Condition("hash seed", {"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "4242"}),
        Condition("time zone", {"TZ": west}, {"TZ": east}),
        Condition("locale", {"LC_ALL": "C.UTF-8"}, {"LC_ALL": other_locale()}),
        Condition("thread count", one, four),
    ]


def other_locale() -> str:
    """Return an installed locale that writes numbers and dates unlike C; `C` if there is none."""
    with suppress(OSError):
        done = subprocess.run(["locale", "-a"], capture_output=True, text=True, errors="replace")
        for name in done.stdout.split():
            if name[:2] in ("pt", "de", "tr", "fr", "es", "ru"):
                return name
    return "C"


def check(sandbox: Sandbox, stage: Stage, elsewhere: bool) -> StageResult:
    """Execute one stage twice, and compare its outputs with the lock and with each other.

    `elsewhere` says that the environment is not the one that made the lock. Outputs that are as
    they may be are kept for the later stages.
    """
    began = time.monotonic()
    try:
        first, second = _execute_twice(sandbox, stage)
    except UserError as error:
        return StageResult(stage.name, _since(began), unavailable=str(error))
    outputs = tuple(_judge(out, first, second, elsewhere) for out in stage.outs)
    for out, output in zip(stage.outs, outputs, strict=True):
        if output.verdict not in WRONG:
            sandbox.keep(first, out)
    notes = first.notes | second.notes
    wrong = any(output.verdict in WRONG for output in outputs)
    if wrong:
        notes |= sandbox.suspects(stage)
    same_twice = first.hashes() == second.hashes()
    asked = notes.variables if wrong and same_twice else frozenset()
    notes = replace(notes, variables=_that_matter(sandbox, stage, first, asked))
    result = StageResult(
        stage=stage.name,
        seconds=0,
        outputs=outputs,
        notes=notes,
        failure=_failure(first, second),
        changing=_changing(outputs, first, second),
    )
    if result.failure is None:
        result = _look_closer(sandbox, stage, result, first)
    for execution in (first, second):
        shutil.rmtree(execution.folder)
    return replace(result, seconds=_since(began))


def _since(began: float) -> float:
    return round(time.monotonic() - began, 2)


def _execute_twice(sandbox: Sandbox, stage: Stage) -> tuple[Execution, Execution]:
    varied = conditions()
    sides = [_merged([c.first for c in varied]), _merged([c.second for c in varied])]
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        first, second = pool.map(lambda variables: sandbox.run(stage, variables), sides)
    return first, second


def _merged(parts: list[dict[str, str]]) -> dict[str, str]:
    return {name: value for part in parts for name, value in part.items()}


def _judge(out: Entry, first: Execution, second: Execution, elsewhere: bool) -> OutputResult:
    found = (first.outputs[out.path].hash, second.outputs[out.path].hash)
    verdict: Verdict
    if found == (out.hash, out.hash):
        verdict = "identical"
    elif found[0] != found[1]:
        verdict = "not deterministic"
    elif found[0] and elsewhere and out.cached:
        verdict = "other bytes"
    else:
        verdict = "differs"
    return OutputResult(out.path, out.hash, found, verdict)


def _that_matter(
    sandbox: Sandbox, stage: Stage, first: Execution, variables: frozenset[str]
) -> frozenset[str]:
    """Return the variables that, passed on, change what comes out: libraries ask for many."""
    usual = _merged([condition.first for condition in conditions()])
    guilty = set()
    for name in variables:
        passed_on = {name: os.environ[name]}
        execution = sandbox.run(stage, usual | passed_on)
        shutil.rmtree(execution.folder)
        if execution.hashes() != first.hashes():
            guilty.add(name)
    return frozenset(guilty)


def _failure(first: Execution, second: Execution) -> Failure | None:
    if first.failure:
        return Failure(first.failure, only_second=False)
    if second.failure:
        return Failure(second.failure, only_second=True)
    return None


def _changing(
    outputs: tuple[OutputResult, ...], first: Execution, second: Execution
) -> tuple[str, ...]:
    """Return the files that the two executions wrote differently."""
    changing = []
    for output in sorted(outputs, key=lambda output: output.path):
        if output.verdict == "not deterministic":
            contents = (first.outputs[output.path], second.outputs[output.path])
            changing += _unequal(*contents) or [output.path]
    return tuple(changing)


def _unequal(one: Content, other: Content) -> list[str]:
    """Return the files that differ, or that only one of the two has."""
    names = sorted(one.files | other.files)
    return [name for name in names if one.files.get(name) != other.files.get(name)]


def _look_closer(
    sandbox: Sandbox, stage: Stage, result: StageResult, first: Execution
) -> StageResult:
    """Find why outputs change, and which files are not what the lock or this folder says."""
    damaged, differing = [], []
    for output in result.outputs:
        here = sandbox.content(sandbox.root, output.path)
        if here.hash not in ("", output.expected):
            damaged.append(output.path)
        elif output.verdict == "differs":
            differing += _unequal(here, first.outputs[output.path]) or [output.path]
    return replace(
        result,
        cause=_cause(sandbox, stage, first) if result.changing else None,
        damaged=tuple(damaged),
        differing=tuple(differing),
    )


def _cause(sandbox: Sandbox, stage: Stage, first: Execution) -> Cause:
    """Find which condition makes the outputs change, by varying one at a time."""
    varied = conditions()
    usual = _merged([condition.first for condition in varied])

    def comes_out_otherwise(variables: dict[str, str]) -> bool:
        execution = sandbox.run(stage, variables)
        shutil.rmtree(execution.folder)
        return execution.hashes() != first.hashes()

    if comes_out_otherwise(usual):
        return Cause(always=True)
    guilty = [c.name for c in varied if comes_out_otherwise(usual | c.second)]
    return Cause(always=False, conditions=tuple(guilty))
