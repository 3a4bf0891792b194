"""Make the new folder a repository: its lock, Git, the first commit. Safe to run again."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Escaped by `tojson`: no quote and no line end of an answer can end this text.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

SAMPLES = ("sample-classification", "sample-regression")


def run(*command: str) -> subprocess.CompletedProcess:
    """Run a program quietly. Returns its result, whatever the exit status."""
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")


def remove_caches() -> None:
    """Remove what a template that was tested or linted in place has left in its folders."""
    for folder in (Path("src"), Path("tests"), Path("vendor")):
        for cache in (*folder.rglob("__pycache__"), *folder.rglob(".ruff_cache")):
            shutil.rmtree(cache)
    shutil.rmtree(".ruff_cache", ignore_errors=True)


def only_rendered() -> bool:
    """Whether a tool renders the template for an update, in a folder that it compares and drops.

    cruft does, in a temporary folder of its own; another tool says so with ESTEIRA_RENDER_ONLY.
    """
    if os.environ.get("ESTEIRA_RENDER_ONLY"):
        return True
    above = Path.cwd().parent
    temporary = above.parent == Path(tempfile.gettempdir()).resolve()
    by_cookiecutter = "_output_dir" in ANSWERS
    return temporary and not by_cookiecutter and bool(re.fullmatch(r"tmp[a-z0-9_]{8}", above.name))


def committed() -> bool:
    """Whether Git has the project already: this is an update in place."""
    return run("git", "cat-file", "-e", "HEAD:./dvc.yaml").returncode == 0


def seed_lock() -> str | None:
    """Make uv.lock hold the versions of constraints.txt. Returns why it could not, or None."""
    if Path("uv.lock").exists():
        return None
    if not shutil.which("uv"):
        return "uv is not installed (https://docs.astral.sh/uv/getting-started/installation/)"
    text = Path("pyproject.toml").read_text(encoding="utf-8")
    pins = Path("constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.strip() for line in pins if line.strip() and not line.lstrip().startswith("#")]
    pinned = f"{text}\n[tool.uv]\nconstraint-dependencies = {json.dumps(pins)}\n"
    # First with the tested versions as constraints, then without: uv keeps what a lock has.
    try:
        Path("pyproject.toml").write_text(pinned, encoding="utf-8", newline="\n")
        locked = run("uv", "lock", "--quiet")
    finally:
        Path("pyproject.toml").write_text(text, encoding="utf-8", newline="\n")
    locked = run("uv", "lock", "--quiet") if locked.returncode == 0 else locked
    if locked.returncode:
        Path("uv.lock").unlink(missing_ok=True)
        return "uv could not resolve the packages: " + " ".join(locked.stderr.split())[:400]
    return None


def start_repository() -> None:
    """Make the folder a Git repository, unless it is one: a clone."""
    if shutil.which("git") and not committed() and not Path(".git").exists():
        run("git", "init", "--quiet", "--initial-branch=main")


def commit(message: str) -> str | None:
    """Commit everything. Returns why it could not be, or None."""
    identity = []
    if any(run("git", "config", f"user.{part}").returncode for part in ("name", "email")):
        owner = ANSWERS["owner"]
        email = f"{owner}@users.noreply.github.com"
        identity = ["-c", f"user.name={owner}", "-c", f"user.email={email}"]
    # Some people's global ignore file names `vendor`.
    run("git", "-c", f"core.excludesFile={os.devnull}", "add", "vendor")
    made = run("git", "add", "--all")
    if made.returncode == 0:
        made = run("git", *identity, "commit", "--quiet", "--no-verify", "-m", message)
    return " ".join((made.stderr or made.stdout).split())[:300] if made.returncode else None


def first_commit() -> str | None:
    """Put everything into the project's Git repository. Returns why it could not, or None.

    The branch `template` holds what came of the template alone: an update is merged from it.
    """
    if not shutil.which("git"):
        return "git is not installed"
    if committed():
        return None
    run("git", "config", "core.hooksPath", ".githooks")  # a stale lock is caught before the push
    reason = commit("Start from the Esteira template")
    if reason is None:
        run("git", "branch", "template")
    return reason


def adopt() -> str | None:
    """Take the squad's own table in, if there is one, and commit it. Returns why not, or None.

    Exits, so that nothing is generated, if the table or the target is refused.
    """
    if ANSWERS["dataset"] in SAMPLES or Path("data/raw").exists():
        return None
    paths = [Path(f, ANSWERS["dataset"]).expanduser() for f in (os.environ.get("PWD", "."), "..")]
    table = next(path.resolve() for path in paths if path.is_file())
    command = ["uv", "run", "esteira", "adopt", str(table), "--target", ANSWERS["target"]]
    if not Path("uv.lock").exists():
        return f"it needs uv.lock. Later: {shlex.join(command)}"
    print(f"Installing the project's packages, then adopting {table.name} …", flush=True)
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    if subprocess.run(command, env=environment).returncode:
        sys.exit(f"Not generated: {table} could not be adopted.")
    return commit(f"Adopt {table.name}") if committed() else None


def main() -> None:
    """Do what can be done, say what could not, and print what comes next."""
    remove_caches()
    if only_rendered():
        return
    notes = []
    if reason := seed_lock():
        notes.append(f"uv.lock was not made: {reason}. Later: uv lock, then commit uv.lock.")
    start_repository()
    if reason := first_commit():
        notes.append(f"No first commit: {reason}. Later: git init, git add --all, git commit.")
    if reason := adopt():
        notes.append(f"{ANSWERS['dataset']} was not adopted, the sample is in its place: {reason}.")
    state = "is generated, but not all of it" if notes else "is ready"
    print(f"\n{ANSWERS['project_slug']} {state}. Next:\n")
    print(f"  cd {os.path.relpath(Path.cwd(), os.environ.get('PWD', Path.cwd().parent))}")
    print("  uv run dvc repro        # reproduce the line; the first time, this installs it too")
    print("  uv run esteira gate     # is the model good enough, and has the data drifted?")
    owners = f"{ANSWERS['__codeowner']} must approve changes of what judges"
    print(f"\nOn GitHub, {owners} (.github/CODEOWNERS): .github/SETUP.md checks that it can.")
    for note in notes:
        print(f"\nNote: {note}", file=sys.stderr)


if __name__ == "__main__":
    main()
