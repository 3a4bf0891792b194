"""What a command costs: CPU time and peak memory of the whole tree of its processes."""

import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

EVERY = 0.03  # seconds between two looks at the memory
PATIENCE = 5.0  # seconds for what a command leaves running
ADOPTS_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER of Linux's prctl


@dataclass(frozen=True)
class Cost:
    """CPU seconds, user and system, and the largest memory that was seen, in MB."""

    cpu: float
    peak: float


def of(command: list[str], folder: Path, env: dict[str, str]) -> Cost:
    """Run a command to its end and return its cost. Exits with what it said where it fails."""
    before = _used()
    with _adopting_orphans(), tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        peak = _peak_until_the_end(process)
        if process.returncode:
            said.seek(0)
            sys.exit(f"scale: {' '.join(command)} failed:\n{said.read()[-3000:]}")
    return Cost(_used() - before, peak / 1e6)


def _used() -> float:
    """Return the CPU seconds of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak_until_the_end(process: subprocess.Popen[bytes]) -> int:
    """Look at the memory again and again until the process ends; return the most, in bytes."""
    peak = 0
    while True:
        try:
            process.wait(EVERY)
        except subprocess.TimeoutExpired:
            peak = max(peak, _memory(process.pid))
        else:
            return peak


def _memory(pid: int) -> int:
    """Return the bytes that a process and those below it hold; shared pages count once."""
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:  # it has ended
        return 0
    return sum(map(_memory_of_one, tree))


def _memory_of_one(process: psutil.Process) -> int:
    try:
        held = process.memory_full_info()
    except psutil.Error:  # it has ended, or macOS does not tell
        return 0
    return getattr(held, "pss", held.uss)  # only Linux shares a page's bytes out


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Be the parent of what a command leaves behind, and wait for it: so its CPU time is counted.

    What runs longer than PATIENCE is left alone.
    """
    if sys.platform != "linux":
        yield
        return
    control = ctypes.CDLL(None).prctl
    known = _children()
    control(ADOPTS_ORPHANS, 1, 0, 0, 0)
    try:
        yield
    finally:
        control(ADOPTS_ORPHANS, 0, 0, 0, 0)
        _wait_for(_children() - known)


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def _wait_for(left: set[int]) -> None:
    end = time.monotonic() + PATIENCE
    while left and time.monotonic() < end:
        left = {pid for pid in left if os.waitpid(pid, os.WNOHANG) == (0, 0)}
        time.sleep(EVERY)
