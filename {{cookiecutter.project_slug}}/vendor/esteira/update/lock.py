"""uv.lock after an update: the template's tested versions, and the squad's own packages as ever."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

LOCK = Path("uv.lock")
NEEDED = ("pyproject.toml", "uv.lock", "README.md", "vendor/pyproject.toml", "vendor/README.md")


def relock() -> str:
    """Lock the packages anew, and return what is left to do; "" where nothing is.

    The versions of constraints.txt are tried first. A squad that asks for others gets those.
    """
    if not LOCK.is_file():
        return "there is no uv.lock: `uv lock` makes it"
    uv = shutil.which("uv")
    if uv is None:
        return "uv is not installed, so uv.lock is as it was: run `uv lock` where it is"
    if _by_constraints(uv):
        return ""
    done = subprocess.run([uv, "lock", "--quiet"], capture_output=True, text=True)
    if done.returncode:
        return f"uv could not resolve the packages, run `uv lock`: {' '.join(done.stderr.split())}"
    return ""


def _by_constraints(uv: str) -> bool:
    """Lock a copy of the project's packages by the tested versions; False where that fails."""
    lines = Path("constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    text = Path("pyproject.toml").read_text(encoding="utf-8")
    if "[tool.uv]" in text:  # the squad has settings of its own there
        return False
    pinned = f"{text}\n[tool.uv]\nconstraint-dependencies = {json.dumps(pins)}\n"
    with tempfile.TemporaryDirectory(prefix="esteira-lock-") as folder:
        for name in filter(lambda name: Path(name).is_file(), NEEDED):
            copy = Path(folder) / name
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(name, copy)
        # First with the tested versions as constraints, then without: uv keeps what a lock has.
        for content in (pinned, text):
            (Path(folder) / "pyproject.toml").write_text(content, encoding="utf-8", newline="\n")
            done = subprocess.run([uv, "lock", "--quiet"], cwd=folder, capture_output=True)
            if done.returncode:
                return False
        shutil.copyfile(Path(folder) / "uv.lock", LOCK)
    return True
