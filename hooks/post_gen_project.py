"""Make the new folder a repository: record, lock, Git, the first commit. Safe to run again."""

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Escaped by `tojson`: no quote and no line end of an answer can end this text.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

SAMPLES = ("sample-classification", "sample-regression")
RECORD = Path(".esteira.json")
TEMPLATE_BRANCH = "template"
TREE = "Esteira-Tree"  # last line of the message of a commit that holds what the template wrote


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


def write_record() -> None:
    """Write down what an update needs: the template, its version, the answers, a digest of vendor/.

    `esteira.repository.template` of the project reads it.
    """
    about_toolbox = Path("vendor/pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', about_toolbox, re.MULTILINE)
    digest = runpy.run_path("vendor/esteira/repository/digest.py")["of_folder"]
    template, commit = origin()
    record = {
        "template": template,
        "version": version[1] if version else "",
        "commit": commit,
        "vendor": digest(Path("vendor")),
        "answers": {name: value for name, value in ANSWERS.items() if not name.startswith("_")},
    }
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    RECORD.write_text(text, encoding="utf-8", newline="\n")


def origin() -> tuple[str, str | None]:
    """Return where the template can be had again, without credentials, and its commit if known.

    The commit is known where the template was rendered as Git has it.
    """
    template, folder = ANSWERS.get("_template", ""), ANSWERS.get("_repo_dir", "")
    here = Path(os.environ.get("PWD", "."), folder).expanduser() if folder else None
    if here is None or not here.is_dir():
        return without_credentials(template), ANSWERS.get("_commit")  # cruft knows the commit
    if Path(os.environ.get("PWD", "."), template).is_dir():
        template = str(here.resolve())
    inside = ("git", "-C", str(here))
    if not shutil.which("git") or run(*inside, "rev-parse", "--show-cdup").stdout != "\n":
        return without_credentials(template), None
    remote = run(*inside, "remote", "get-url", "origin").stdout.strip()
    is_clean = run(*inside, "status", "--porcelain").stdout == ""
    commit = run(*inside, "rev-parse", "HEAD").stdout.strip() if is_clean else ""
    return without_credentials(remote or template), commit or None


def without_credentials(address: str) -> str:
    """Return an address without the name and password that one of a server may hold."""
    return re.sub(r"^(https?://)[^/@]*@", r"\1", address)


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


def identity() -> list[str]:
    """Return what makes Git commit where it does not know yet by whom."""
    if all(run("git", "config", f"user.{part}").returncode == 0 for part in ("name", "email")):
        return []
    owner = ANSWERS["owner"]
    return ["-c", f"user.name={owner}", "-c", f"user.email={owner}@users.noreply.github.com"]


def commit_all(subject: str, is_template: bool = False) -> str | None:
    """Commit every file. Returns why it could not, or None.

    A commit of the template names its own tree, so that no edited one can be taken for it.
    """
    made = run("git", "add", "--all")
    if made.returncode == 0:
        tree = run("git", "write-tree").stdout.strip()
        message = f"{subject}\n\n{TREE}: {tree}" if is_template else subject
        made = run("git", *identity(), "commit", "--quiet", "--no-verify", "-m", message)
    return " ".join((made.stderr or made.stdout).split())[:300] if made.returncode else None


def first_commit() -> str | None:
    """Put everything into the project's Git repository, as commit and as branch `template`.

    Returns why it could not, or None.
    """
    if not shutil.which("git"):
        return "git is not installed"
    if committed():
        return None
    run("git", "config", "core.hooksPath", ".githooks")  # a stale lock is caught before the push
    # Some people's global ignore file names `vendor`.
    run("git", "-c", f"core.excludesFile={os.devnull}", "add", "vendor")
    reason = commit_all("Start from the Esteira template", is_template=True)
    if reason is None:
        run("git", "branch", TEMPLATE_BRANCH)  # fails where a clone has one: it is not touched
    return reason


def head() -> str:
    """Return the commit that the repository is at; "" where there is none."""
    if not shutil.which("git"):
        return ""
    return run("git", "rev-parse", "--verify", "--quiet", "HEAD").stdout.strip()


def take_back_commit(before: str) -> None:
    """Undo the first commit, if it was made, in a clone, whose files stay."""
    if head() == before:
        return
    if run("git", "rev-parse", TEMPLATE_BRANCH).stdout.strip() == head():
        run("git", "branch", "--delete", "--force", TEMPLATE_BRANCH)
    if before:
        run("git", "reset", "--quiet", "--soft", before)
    else:
        run("git", "update-ref", "-d", "HEAD")


def adopt(before: str) -> str | None:
    """Take the squad's own table in, if there is one, as a second commit.

    Returns why it could not, or None. Exits, so that nothing is generated, if the table or the
    target is refused; `before` is the commit that a clone was at.
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
        take_back_commit(before)
        sys.exit(f"Not generated: {table} could not be adopted.")
    if head() != before:
        commit_all(f"Adopt {table.name}")
    return None


def main() -> None:
    """Do what can be done, say what could not, and print what comes next."""
    remove_caches()
    write_record()
    if only_rendered():
        return
    notes = []
    if reason := seed_lock():
        notes.append(f"uv.lock was not made: {reason}. Later: uv lock, then commit uv.lock.")
    start_repository()
    before = head()
    if reason := first_commit():
        notes.append(f"No first commit: {reason}. Later: git init, git add --all, git commit.")
    if reason := adopt(before):
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
