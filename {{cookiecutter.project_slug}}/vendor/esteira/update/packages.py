"""Lock the packages of an updated project: three-way, as files are merged, package by package.

A package that is locked as the old constraints.txt says was not moved by the squad, and goes to
the version of the new one, which is tested. Every other, their own among them, stays.
"""

import os
import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

PINS = "constraints.txt"
LOCK = Path("uv.lock")
LONGEST = 300  # characters of what uv says
TOOLBOX = "esteira-toolbox"  # of the project itself
SHOWN = 12  # packages that are named


def pins(constraints: str) -> dict[str, str]:
    """Return the versions that a constraints.txt names, but those that differ by platform."""
    named = re.findall(r"^([\w.-]+)==([^\s;]+)", constraints, re.MULTILINE)
    often = Counter(name for name, _ in named)
    return {name: version for name, version in named if often[name] == 1}


def locked(lock: str) -> dict[str, str]:
    """Return the versions that a uv.lock names, but those that differ by platform."""
    packages = tomllib.loads(lock).get("package", [])
    often = Counter(package["name"] for package in packages)
    return {p["name"]: p["version"] for p in packages if often[p["name"]] == 1 and "version" in p}


def to_move(before: str, after: str, lock: str) -> dict[str, str]:
    """Return the packages that go to the new constraints' versions.

    `before` and `after` are the texts of the old and the new constraints.txt.
    """
    old, new, here = pins(before), pins(after), locked(lock)
    return {
        name: version
        for name, version in new.items()
        if version != old.get(name) and name in here and here[name] == old.get(name)
    }


def lock_again(project: Path, before: str, after: str) -> str:
    """Lock the packages of a project anew; return what was done, in a sentence.

    uv.lock stays as it is where uv finds no versions that agree.
    """
    path = project / LOCK
    text = path.read_text(encoding="utf-8")
    moved = to_move(before, after, text)
    wanted = [f"--upgrade-package={name}=={version}" for name, version in moved.items()]
    failed = _lock(project, *wanted)
    if failed and wanted:
        path.write_text(text, encoding="utf-8", newline="\n")
        failed = _lock(project)
    if failed:
        path.write_text(text, encoding="utf-8", newline="\n")
        return f"uv.lock is as it was: `uv lock` says what does not agree ({failed})."
    now = path.read_text(encoding="utf-8")
    if now == text:
        return ""
    return f"uv.lock is locked anew; {_moved(locked(text), locked(now))}."


def _moved(then: dict[str, str], there: dict[str, str]) -> str:
    """Say which packages moved, came and went."""
    moved = [name for name in there if name in then and there[name] != then[name]]
    of_others = [f"{name} {there[name]}" for name in moved if name != TOOLBOX]
    came = [f"{name} {there[name]}" for name in there if name not in then]
    gone = [name for name in then if name not in there]
    kinds = {"moved": of_others, "added": came, "removed": gone}
    said = [f"{what}: {_listed(names)}" for what, names in kinds.items() if names]
    return "; ".join(said) or "no package moved"


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:SHOWN])}{' …' if len(names) > SHOWN else ''}"


def _lock(project: Path, *options: str) -> str:
    """Let uv lock; return what it says where it fails, else ""."""
    surroundings = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    done = subprocess.run(
        ["uv", "lock", "--quiet", *options],
        cwd=project,
        env=surroundings,
        capture_output=True,
        text=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
    )
    words = " ".join(done.stderr.split())
    return (words[:LONGEST] or f"status {done.returncode}") if done.returncode else ""
