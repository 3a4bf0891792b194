"""What dvc.lock says, compared with the repository and with the remote; merged locks resolved."""

import json
import logging
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esteira.repository import remote
from esteira.line.errors import UserError

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

RWLOCK = Path(".dvc/tmp/rwlock")
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


def stale(only: list[str] | None = None) -> dict[str, list[str]]:
    """Return, for each stage that dvc.lock does not describe, what changed; empty if it is fresh.

    Needs no data, no network and no credentials: data that is absent is taken to be as the lock
    says (`--pushed` tells whether it can be had). `only` names the stages to look at. Raises
    UserError for one that is not in dvc.yaml.
    """
    if at_work():  # DVC would take their files for changed ones
        raise UserError(BUSY)
    with repository() as repo:
        line = {stage.addressing: stage for stage in pipeline(repo)}
        if strange := sorted(set(only or []) - set(line)):
            raise UserError(
                f"dvc.yaml has no stage {', '.join(strange)}; it has {', '.join(line)}."
            )
        found = {name: gaps(stage) for name, stage in line.items() if not only or name in only}
        if not any(found.values()) and not _fresh(repo, only):
            with repo.lock:
                stages = repo.index.stages if not only else [line[name] for name in only]
                found = {stage.addressing: reasons(stage) for stage in stages}
            found = found if any(found.values()) else {"dvc.yaml": ["DVC would run the line again"]}
    return {name: why for name, why in found.items() if why}


def _fresh(repo: "Repo", only: list[str] | None) -> bool:
    from dvc.exceptions import ReproductionError

    options = {"dry": True, "allow_missing": True, "on_error": "keep-going"}
    try:
        return repo.reproduce(only, single_item=bool(only), **options) == []
    except ReproductionError:  # a stage that would run, and whose data is not here
        return False


def gaps(stage: "PipelineStage") -> list[str]:
    """Return what DVC itself does not compare: a frozen stage, and names that the lock lacks."""
    if stage.frozen:
        return [f"it is frozen, so DVC compares nothing: `uv run dvc unfreeze {stage.addressing}`"]
    entries = [*stage.deps, *stage.outs]
    absent = [str(entry) for entry in entries if not entry.hash_info]
    if len(absent) == len(entries):
        return ["dvc.lock does not know it"]
    return [f"dvc.lock does not name {path}" for path in absent]


def reasons(stage: Any) -> list[str]:
    """Return what differs between one stage and the lock; data that is merely absent does not."""
    found = []
    for entry in stage.status().get(stage.addressing, []):
        if isinstance(entry, str):
            found.append(entry if entry != "changed checksum" else "its .dvc file was edited")
            continue
        for kind, paths in entry.items():
            for path, how in paths.items():
                if isinstance(how, dict):  # params.yaml: how each section changed
                    found += [f"{path}: {name} {state}" for name, state in how.items()]
                elif how not in ("deleted", "not in cache"):
                    found.append(f"{path} {how} ({kind.removeprefix('changed ')})")
    return found


def unpushed() -> list[str]:
    """Return the files that the lock (or a .dvc file) names and the remote does not hold.

    Asks the remote; needs its credentials for reading. Raises UserError if it does not answer.
    """
    url = remote.default()["url"]
    if "://" in url:
        remote.check()  # DVC itself would try for 39 s
    with repository() as repo:
        try:
            status = repo.data_status(granular=True, not_in_remote=True, remote_refresh=True)
        except Exception as error:  # every kind of storage has its own
            text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise UserError(
                f"{url} stopped answering: {text}; `uv run esteira doctor` checks it."
            ) from None
    return sorted(status["not_in_remote"])


def unkept() -> dict[str, str]:
    """Return the dependencies that neither Git nor DVC keeps, each with the command that adds it.

    DVC reads such a file, names its hash in dvc.lock and pushes nothing: nobody else can have it.
    """
    if not Path(".git").exists():
        return {}
    with repository() as repo:
        root = Path(repo.root_dir)
        kept = [Path(out.fs_path) for stage in repo.index.stages for out in stage.outs]
        kept += [root / path for path in git("ls-files", "-z").split("\0") if path]
        deps = {Path(d.fs_path) for s in pipeline(repo) for d in s.deps if d.protocol == "local"}
    known = {above for path in kept for above in (path, *path.parents)}
    lost = (d for d in deps if d not in known and not known_folder(d, kept))
    names = sorted(d.relative_to(root).as_posix() for d in lost if d.is_relative_to(root))
    return {
        name: f"uv run dvc add {name}" if ignored(name) else f"git add {name}" for name in names
    }


def known_folder(path: Path, kept: list[Path]) -> bool:
    """Whether a path lies in a folder that DVC keeps as a whole."""
    return not set(path.parents).isdisjoint(kept)


def ignored(path: str) -> bool:
    """Whether Git is told to leave a path out, as it is of data."""
    return subprocess.run(["git", "check-ignore", "--quiet", "--", path]).returncode == 0


def git(*words: str) -> str:
    """Run Git and return what it prints. Raises UserError with its own words."""
    done = subprocess.run(["git", *words], capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise UserError(f"git {words[0]}: {' '.join(done.stderr.split())}.")
    return done.stdout


def unmerged() -> list[str]:
    """Return the paths that a merge left in conflict, sorted."""
    if not Path(".git").exists():
        return []
    return sorted({line.split("\t")[1] for line in git("ls-files", "--unmerged").splitlines()})
