"""The verdicts of `uv run esteira verify`: printed for people, returned for machines."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

from esteira.repository import dvc
from esteira.verify import lock as lock_file

NO_RECORD = "environment.json is not here yet: `uv run esteira record` writes it; commit it."
OLD_RECORD = "environment.json is of another dvc.lock: `uv run esteira record` renews it; commit."


def lock_and_remote(lock: bool, pushed: bool, only: list[str] | None = None) -> dict[str, Any]:
    """Check whether dvc.lock is fresh, or the remote complete, or both. Returns the findings.

    Keys: `ok`; `stale` (stage to reasons), `unpushed` (paths) and `unkept` (path to the
    command that adds it) for what was asked.
    """
    found: dict[str, Any] = {}
    if lock:
        found["stale"] = lock_file.stale(only)
        for stage, why in found["stale"].items():
            say(f"stale: {stage}: {'; '.join(why)}")
        if found["stale"]:
            say("dvc.lock is not what this commit would compute: `uv run dvc repro`, commit, push.")
        else:
            print("dvc.lock is fresh.")
    if pushed:
        found["unkept"] = lock_file.unkept()
        for path, command in found["unkept"].items():
            say(f"{path} is kept by neither Git nor DVC: `{command}`, `uv run dvc repro`, commit.")
        found["unpushed"] = lock_file.unpushed()
        for path in found["unpushed"]:
            say(f"not on the remote: {path}")
        if found["unpushed"]:
            say("The remote lacks what dvc.lock names: `uv run dvc push`, before the commit.")
        elif not found["unkept"]:
            print("The remote holds everything that dvc.lock names.")
    return {"ok": not any(found.values()), **found}


def say(fault: str) -> None:
    """Print one fault where CI logs show it."""
    print(f"verify: {fault}", file=sys.stderr)


def execution(stages: list[str] | None = None) -> dict[str, Any]:
    """Execute the line's stages, or those named, each in a folder of its own, and compare.

    Returns `ok`, `stale`, `stages` (see `replay.check`), `environment` (what differs from the one
    that made the lock), `environment_known`, and how many `outputs` there are and are `identical`.
    """
    from esteira.verify import environment, replay

    found = lock_and_remote(True, False, stages)
    if not found["ok"]:
        return found
    changes, known = environment.differences(), environment.known()
    for change in changes:
        print(f"environment: {change}")
    if not known:
        print(OLD_RECORD if environment.RECORD.exists() else NO_RECORD)
    results = []
    with dvc.repository() as repo, replay.scratch() as scratch:
        line = [s for s in dvc.pipeline(repo) if not stages or s.addressing in stages]
        executor = replay.Replay(Path(repo.root_dir), Path(scratch), bool(changes))
        for number, stage in enumerate(line, 1):
            print(f"[{number}/{len(line)}] {stage.addressing}: ", end="", flush=True)
            results.append(replay.check(executor, stage))
            print(sentence(results[-1]), flush=True)
            for fault in results[-1]["faults"]:
                say(f"{stage.addressing} {fault}")
    counts = Counter(output["verdict"] for result in results for output in result["outputs"])
    total = sum(counts.values())
    unchecked = [r["stage"] for r in results if r["faults"] and not r["outputs"]]
    if unchecked:
        say(f"could not be checked: {', '.join(unchecked)} (see above).")
    if total:
        print(f"{counts['identical']} of {total} outputs are identical to dvc.lock, made twice: in")
        print(f"other folders, and with another {', '.join(replay.conditions())}.")
    if counts["other bytes"]:
        print(f"{counts['other bytes']} have other bytes, as this environment is another; what Git")
        print("holds of what was made from them is compared instead.")
    return {
        "ok": not any(result["faults"] for result in results),
        "stale": {},
        "identical": counts["identical"],
        "outputs": total,
        "environment": changes,
        "environment_known": known,
        "stages": results,
    }


def sentence(result: dict[str, Any]) -> str:
    """Return one line on one stage."""
    counts = Counter(output["verdict"] for output in result["outputs"])
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"{words or 'not executed'} ({result['seconds']:.1f} s)"
