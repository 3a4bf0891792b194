"""DVC: the repository it keeps, the stages of dvc.yaml, and which of its commands are at work here."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esteira.line.errors import UserError

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

RWLOCK = Path(".dvc/tmp/rwlock")
COMMAND = [sys.executable, "-m", "dvc"]  # the one of this environment, wherever PATH leads
BUSY = (
    "another DVC command is at work in this folder: wait for it, or end it, and run this again "
    "(`uv run esteira doctor` says which)."
)


@contextmanager
def repository(**options: Any) -> Iterator["Repo"]:
    """Open the DVC repository of the current folder, quietly. Raises UserError if it is broken."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo
    from dvc.rwlock import RWLockFileCorruptedError, RWLockFileFormatError

    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    try:
        with Repo(os.curdir, **options) as repo:
            yield repo
    except LockError:
        raise UserError(BUSY) from None
    except (RWLockFileCorruptedError, RWLockFileFormatError):
        raise UserError(
            ".dvc/tmp/rwlock is damaged, and every DVC command stops at it: run "
            "`uv run esteira doctor --fix`."
        ) from None
    except DvcException as error:
        text = " ".join(f"{error}: {error.__cause__}".removesuffix(": None").split())
        raise UserError(f"DVC cannot read this project: {text}.") from None


def rwlock() -> tuple[bool, dict[int, str]]:
    """Return whether DVC's list of busy files can be read, and the commands it names by PID."""
    if not RWLOCK.exists():
        return True, {}
    try:
        listed = json.loads(RWLOCK.read_text(encoding="utf-8"))
        entries = [*listed.get("write", {}).values()]
        entries += [entry for readers in listed.get("read", {}).values() for entry in readers]
        return True, {int(entry["pid"]): str(entry["cmd"]) for entry in entries}
    except (ValueError, KeyError, TypeError, AttributeError):
        return False, {}


def at_work() -> dict[int, str]:
    """Return the DVC commands that are at work in this folder, by process number."""
    return {pid: name for pid, name in rwlock()[1].items() if is_dvc(pid)}


def lives(pid: int) -> bool:
    """Whether a process is running; one that was killed and not yet buried is not."""
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def is_dvc(pid: int) -> bool:
    """Whether a process lives and is DVC, or a command of the toolbox."""
    import psutil

    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
    return lives(pid) and any(Path(word).stem in ("dvc", "esteira") for word in words)


def pipeline(repo: "Repo") -> list["PipelineStage"]:
    """Return the stages of dvc.yaml, each after those that it needs."""
    from dvc.repo.reproduce import plan_repro
    from dvc.stage import PipelineStage

    return [s for s in plan_repro(repo.index.graph) if isinstance(s, PipelineStage)]


def start(*words: str) -> "subprocess.Popen[str]":
    """Start a DVC command; its lines, those of errors among them, come from `stdout`."""
    return subprocess.Popen(
        [*COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )


@dataclass(frozen=True)
class Measured:
    """One metric of a metrics file; nested names are joined by dots. Its value may be anything."""

    file: str
    name: str
    value: object


def metrics(repo: "Repo", revision: str | None = None) -> list[Measured]:
    """Return every metric in the working tree or in a revision.

    A file that cannot be read is one entry: its own name, and as value what is wrong with it. In a
    revision, a file that is absent is none: it was not there yet.
    """
    shown = repo.metrics.show(revs=[revision]) if revision else repo.metrics.show()
    found = []
    for file, content in shown.get(revision or "", {}).get("data", {}).items():
        error = content.get("error")
        if error is None:
            found += _flat(file, "", content["data"])
        elif not isinstance(error, FileNotFoundError):
            found.append(Measured(file, Path(file).name, "not readable"))
        elif revision is None:
            found.append(Measured(file, Path(file).name, "missing"))
    return found


def _flat(file: str, prefix: str, value: object) -> list[Measured]:
    if not isinstance(value, dict):
        return [Measured(file, prefix, value)]
    found = []
    for name, inner in value.items():
        found += _flat(file, f"{prefix}.{name}" if prefix else str(name), inner)
    return found
