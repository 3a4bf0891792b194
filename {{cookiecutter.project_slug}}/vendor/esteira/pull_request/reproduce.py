"""Run the line where the lock is stale, and tell what became of each stage."""

import re
import time
from pathlib import Path

from esteira.pull_request import facts as f
from esteira.pull_request.commit_changes import short
from esteira.repository import dvc, snapshot

COMMAND = ["repro"]
PULL = ["--pull", "--allow-missing", "--no-run-cache"]  # the run cache grows with history
LAST_LINES = 20


class Log:
    """What `dvc repro` prints, read line by line: which stages ran, how long, and which did not.

    `lines` are the non-empty ones; `stages` are by name.
    """

    def __init__(self) -> None:
        """Start the clock."""
        self.lines: list[str] = []
        self.stages: dict[str, f.Stage] = {}
        self.running = ""
        self.since = time.monotonic()

    def read(self, line: str) -> None:
        """Take in one line."""
        if line:
            self.lines.append(short(line, 300))
        if line.startswith("Running stage '"):
            self.end_stage("ran")
            self.running, self.since = line.split("'")[1], time.monotonic()
        elif line.startswith("Stage '") and "skipping" in line:
            name = line.split("'")[1]
            self.stages[name] = f.Stage(name=short(name), state="cached")

    def end_stage(self, state: f.StageState) -> None:
        """Note how the stage that was running ended."""
        if self.running:
            seconds = round(time.monotonic() - self.since, 1)
            stage = f.Stage(name=short(self.running), state=state, seconds=seconds)
            self.stages[self.running] = stage

    def end(self, failed: bool) -> None:
        """Note how the whole ended; a stage may have failed before it even started."""
        self.end_stage("failed" if failed else "ran")
        named = re.search(r"failed to reproduce '([^']+)'", "\n".join(self.lines))
        if failed and named and not self.running:
            self.stages[named[1]] = f.Stage(name=short(named[1]), state="failed")


def reproduce(lock: f.Lock, unusable: str) -> f.Run:
    """Run the line where the lock is stale; with a fresh lock there is nothing to run.

    `unusable` says why data cannot be had from the remote, or is "".
    """
    names = snapshot.stage_names(None)[: f.MOST_ENTRIES]
    if lock.state == "fresh":
        return f.Run(stages=[f.Stage(name=short(name), state="cached") for name in names])
    lacking = absent_sources() if unusable else []
    if lacking:
        reason = f"{', '.join(lacking[:3])} cannot be had: {unusable}"
        return f.Run(state="impossible", reason=short(reason))
    log, failed = run([*COMMAND, *([] if unusable else PULL)])
    not_reached = [name for name in names if name not in log.stages]
    log.stages |= {name: f.Stage(name=short(name), state="not reached") for name in not_reached}
    stages = [log.stages[name] for name in names]
    if not failed:
        return f.Run(state="reproduced", stages=stages)
    return f.Run(state="failed", stages=stages, lines=log.lines[-LAST_LINES:])


def run(words: list[str]) -> tuple[Log, bool]:
    """Run a DVC command, let its lines through, and return them read, and whether it failed."""
    print("$ dvc", *words, flush=True)
    log = Log()
    process = dvc.start(*words)
    for line in process.stdout or ():
        print(line, end="", flush=True)
        log.read(line.rstrip())
    failed = process.wait() != 0
    log.end(failed)
    return log, failed


def absent_sources() -> list[str]:
    """Return the raw files that a .dvc file names and this clone lacks."""
    return [path for path in snapshot.raw_files(None) if not Path(path).exists()]
