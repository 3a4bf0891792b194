"""The verdicts of `uv run esteira verify`: printed for people, returned for machines."""

import sys
from typing import Any

from esteira.verify import lock as lock_file


def lock_and_remote(lock: bool, pushed: bool) -> dict[str, Any]:
    """Check whether dvc.lock is fresh, or the remote complete, or both. Returns the findings.

    Keys: `ok`; `stale` (stage to reasons) and `unpushed` (paths) for what was asked.
    """
    found: dict[str, Any] = {}
    if lock:
        found["stale"] = lock_file.stale()
        for stage, why in found["stale"].items():
            say(f"stale: {stage}: {'; '.join(why)}")
        if found["stale"]:
            say("dvc.lock is not what this commit would compute: `uv run dvc repro`, commit, push.")
        else:
            print("dvc.lock is fresh.")
    if pushed:
        found["unpushed"] = lock_file.unpushed()
        for path in found["unpushed"]:
            say(f"not on the remote: {path}")
        if found["unpushed"]:
            say("The remote lacks what dvc.lock names: `uv run dvc push`, before the commit.")
        else:
            print("The remote holds everything that dvc.lock names.")
    return {"ok": not any(found.values()), **found}


def say(fault: str) -> None:
    """Print one fault where CI logs show it."""
    print(f"verify: {fault}", file=sys.stderr)
