"""DVC: the only module that opens it, runs it, or reads what it keeps.

Others are given records: the stages of dvc.yaml with what dvc.lock says of them (`line`), what
differs from the lock (`differences`), the data that DVC keeps (`kept`) and its objects in the cache
and on the remote.
"""

import hashlib
import json
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from esteira.line.errors import UserError, of_the_disk
from esteira.line.files import md5_of
from esteira.repository.remote import unusable

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

RWLOCK = Path(".dvc/tmp/rwlock")
COMMAND = [sys.executable, "-m", "dvc"]  # the one of this environment, wherever PATH leads
BUSY = (
    "another DVC command is at work in this folder: wait for it, or end it, and run this again "
    "(`uv run esteira doctor` says which)."
)


@dataclass(frozen=True)
class Entry:
    """A file or folder that a stage depends on or writes."""

    path: str  # relative to the project's folder, with `/`
    hash: str  # the MD5 that dvc.lock names, with `.dir` for a folder; "" where it names none
    cached: bool  # kept by DVC, not by Git


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml, and what dvc.lock says of it."""

    name: str
    commands: list[str]
    folder: str  # where they run, relative to the project's folder
    deps: list[Entry]
    outs: list[Entry]
    settings: dict[str, dict[str, Any]]  # by file, such as params.yaml: the sections it reads
    frozen: bool = False  # DVC compares nothing
    locked: bool = True  # dvc.lock knows the stage
    unlocked: tuple[str, ...] = ()  # what the stage names and dvc.lock does not


@dataclass(frozen=True)
class Difference:
    """One thing that is not as dvc.lock says."""

    subject: str  # a path, a setting as `params.yaml: name`, or "" for the stage as a whole
    how: str  # in DVC's words: modified, deleted, not in cache, new, changed command …
    role: str  # deps or outs; "" for a setting or the stage as a whole


@dataclass(frozen=True)
class Object:
    """Content that DVC keeps under its hash: a file, or the list of a folder's files."""

    name: str  # the path it is known by in the project
    hash: str
    path: Path  # where the cache has it, or would have it


@dataclass(frozen=True)
class RemoteObject:
    """A copy of an object on the remote."""

    of: Object
    path: str
    size: int  # bytes
    local: bool  # the remote is a folder of this machine


_open: list["Repo"] = []  # what `repository` opened, the innermost last


@contextmanager
def repository(**options: Any) -> Iterator["Repo"]:
    """Open the DVC repository of the current folder, quietly. Raises UserError if it is broken.

    Within `with repository()` another one without options is the same: opening takes long.
    """
    if _open and not options and Path(_open[-1].root_dir) == Path.cwd():
        yield _open[-1]
        return
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo
    from dvc.rwlock import RWLockFileCorruptedError, RWLockFileFormatError

    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    try:
        with Repo(os.curdir, **options) as repo:
            if not options:
                _open.append(repo)
            try:
                yield repo
            finally:
                _open[:] = [other for other in _open if other is not repo]
    except LockError:
        raise UserError(BUSY) from None
    except (RWLockFileCorruptedError, RWLockFileFormatError):
        raise UserError(
            ".dvc/tmp/rwlock is damaged, and every DVC command stops at it: run "
            "`uv run esteira doctor --fix`."
        ) from None
    except sqlite3.Error as error:  # DVC's tables of what it has seen
        raise UserError(
            f"DVC cannot use its own tables ({error}): is the disk full, or closed to this user?"
        ) from None
    except DvcException as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and of_the_disk(cause, again=""):
            raise cause from None
        text = " ".join(f"{error}: {error.__cause__}".removesuffix(": None").split())
        raise UserError(f"DVC cannot read this project: {text}.") from None


def run(*words: str) -> bool:
    """Run one of DVC's commands, which prints what it does; return whether it succeeded."""
    return subprocess.run([*COMMAND, *words]).returncode == 0


def start(*words: str) -> "subprocess.Popen[str]":
    """Start a DVC command; its lines, those of errors among them, come from `stdout`."""
    return subprocess.Popen(
        [*COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )


# Which commands are at work here


def rwlock() -> tuple[bool, dict[int, str]]:
    """Return whether DVC's list of busy files can be read, and the commands it names by PID."""
    if not RWLOCK.exists():
        return True, {}
    try:
        listed = json.loads(RWLOCK.read_text(encoding="utf-8"))
        entries = [*listed.get("write", {}).values()]
        entries += [entry for readers in listed.get("read", {}).values() for entry in readers]
        return True, {int(entry["pid"]): str(entry["cmd"]) for entry in entries}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
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


# The stages, and what dvc.lock says of them


def pipeline(repo: "Repo") -> list["PipelineStage"]:
    """Return the stages of dvc.yaml, each after those that it needs."""
    from dvc.repo.reproduce import plan_repro
    from dvc.stage import PipelineStage

    return [s for s in plan_repro(repo.index.graph) if isinstance(s, PipelineStage)]


def line(repo: "Repo") -> list[Stage]:
    """Return the stages of dvc.yaml as records, each after those that it needs.

    Files outside of the project, and those of other storage, are left out.
    """
    return [_stage(stage, Path(repo.root_dir)) for stage in pipeline(repo)]


def upstream(repo: "Repo") -> dict[str, list[str]]:
    """Return, by stage in the order of `line`, the stages that it reads something of."""
    from dvc.stage import PipelineStage

    graph = repo.index.graph
    stages = pipeline(repo)
    names = [str(stage.addressing) for stage in stages]
    found = {}
    for name, stage in zip(names, stages, strict=True):
        needed = {
            str(s.addressing) for s in graph.successors(stage) if isinstance(s, PipelineStage)
        }
        found[name] = [other for other in names if other in needed]
    return found


def _stage(stage: "PipelineStage", root: Path) -> Stage:
    from dvc.dependency.param import ParamsDependency

    files, settings = [], {}
    for dep in stage.deps:
        path = _inside(dep, root)
        if path is not None and isinstance(dep, ParamsDependency):
            settings[path] = dep.read_params(flatten=False)
        else:
            files.append(dep)
    entries = [*stage.deps, *stage.outs]
    unlocked = tuple(str(entry) for entry in entries if not entry.hash_info)
    return Stage(
        name=str(stage.addressing),
        commands=_commands(stage.cmd),
        folder=Path(stage.wdir).relative_to(root).as_posix(),
        deps=_entries(files, root),
        outs=_entries(stage.outs, root),
        settings=settings,
        frozen=bool(stage.frozen),
        locked=len(unlocked) != len(entries),
        unlocked=unlocked,
    )


def _commands(given: str | list[str] | None) -> list[str]:
    return given if isinstance(given, list) else (given or "").splitlines()


def _inside(entry: "Output", root: Path) -> str | None:
    """Return the path of a dep or an out in the project, or None where it lies elsewhere."""
    path = Path(entry.fs_path)
    if entry.protocol != "local" or not path.is_relative_to(root):
        return None
    return path.relative_to(root).as_posix()


def _entries(entries: Iterable["Output"], root: Path) -> list[Entry]:
    found = []
    for entry in entries:
        path = _inside(entry, root)
        if path is not None:
            found.append(Entry(path, entry.hash_info.value or "", entry.use_cache))
    return found


def locked_entry(repo: "Repo", name: str) -> dict[str, Any] | None:
    """Return what dvc.lock says of a stage, as it stands there; None where it says nothing."""
    from dvc.utils.serialize import load_yaml

    stage = _named(repo, name)
    lock = _lock_of(stage)
    if not lock.is_file():
        return None
    return (load_yaml(lock).get("stages") or {}).get(stage.name)


def write_locked_entries(repo: "Repo", entries: dict[str, dict[str, Any]]) -> None:
    """Put what another machine's dvc.lock says of some stages into the one here.

    DVC compares an entry with what is here before it believes it: a wrong one reruns its stage.
    """
    from dvc.utils.serialize import modify_yaml

    for name, entry in entries.items():
        stage = _named(repo, name)
        with modify_yaml(_lock_of(stage)) as lock:
            lock.setdefault("schema", "2.0")
            lock.setdefault("stages", {})[stage.name] = entry


def _named(repo: "Repo", name: str) -> "PipelineStage":
    return next(stage for stage in pipeline(repo) if stage.addressing == name)


def _lock_of(stage: "PipelineStage") -> Path:
    return Path(stage.path).with_suffix(".lock")


def counts(repo: "Repo") -> Callable[[str], bool]:
    """Return a function that tells whether DVC counts a path as part of a folder's content.

    It does not count what .dvcignore names. The path is relative to the project's folder.
    """
    root = Path(repo.root_dir)
    one_at_a_time = Lock()  # DVC fills a table of its own while it answers

    def counted(path: str) -> bool:
        with one_at_a_time:
            return not repo.dvcignore.is_ignored_file(str(root / path))

    return counted


def torn(repo: "Repo", only: list[str] | None) -> dict[str, list[str]]:
    """Return, by stage, what it read in another state than dvc.lock names for who writes it.

    A merge of two locks leaves such; where the data is not here, nothing else tells.
    """
    written = {out.fs_path: out for stage in repo.index.stages for out in stage.outs}
    stages = [s for s in repo.index.stages if not s.frozen and (not only or s.addressing in only)]
    return {
        stage.addressing: [
            str(dep)
            for dep in stage.deps
            if dep.fs_path in written and _differ(dep, written[dep.fs_path])
        ]
        for stage in stages
    }


def _differ(one: "Output", other: "Output") -> bool:
    """Whether two entries name other content by hashes of one kind."""
    same_kind = one.hash_info.name == other.hash_info.name
    return same_kind and one.hash_info != other.hash_info


def differences(repo: "Repo", only: list[str] | None) -> dict[str, list[Difference]]:
    """Return, by stage (or .dvc file), how the project differs from what dvc.lock says of it."""
    with repo.lock:
        stages = [s for s in repo.index.stages if not only or s.addressing in only]
        return {stage.addressing: list(_differences(stage)) for stage in stages}


def _differences(stage: Any) -> Iterator[Difference]:
    for entry in stage.status().get(stage.addressing, []):
        if isinstance(entry, str):  # such as `changed command`
            yield Difference("", entry, "")
            continue
        for kind, paths in entry.items():  # such as `changed deps`
            role = kind.removeprefix("changed ")
            for path, how in paths.items():
                if isinstance(how, dict):  # a file of settings: how each changed
                    for name, state in how.items():
                        yield Difference(f"{path}: {name}", state, "")
                else:
                    yield Difference(path, how, role)


def not_on_remote(repo: "Repo") -> list[str]:
    """Return the paths of what DVC keeps and the default remote does not hold, sorted.

    Raises whatever the storage raises: each kind has its own errors.
    """
    # `dvc data status` finds out much else besides, and reads the whole line twice more for it.
    from dvc.repo.data import _get_entries_not_in_remote

    return sorted(_get_entries_not_in_remote(repo, granular=True, remote_refresh=True))


# The data that DVC keeps


def folder_hash(files: dict[str, str]) -> str:
    """Return the hash that DVC gives a folder, of the MD5 of each file by its path in it."""
    listed = [{"md5": files[path], "relpath": path} for path in sorted(files)]
    text = json.dumps(listed, sort_keys=True).encode()
    return hashlib.md5(text, usedforsecurity=False).hexdigest() + ".dir"


@dataclass(frozen=True)
class Kept:
    """A file or folder that DVC keeps: an output of a stage, or of a .dvc file."""

    path: str  # as DVC shows it: relative to the current folder
    size: int  # bytes, as dvc.lock says
    here: bool
    objects: list[Object]  # its own, and for a folder those of the files in it


def kept(repo: "Repo") -> list[Kept]:
    """Return everything that DVC keeps and that dvc.lock or a .dvc file names."""
    outs = [out for stage in repo.index.stages for out in stage.outs]
    named = [out for out in outs if out.use_cache and out.hash_info]
    return [Kept(str(out), _size(out), out.exists, list(_objects(repo, out))) for out in named]


def _size(out: "Output") -> int:
    return out.meta.size or 0 if out.meta else 0


def of_another_commit(repo: "Repo") -> list[str]:
    """Return the paths of data that is here as another commit's lock names it.

    That is what `git checkout` leaves of the data: the cache has it, and dvc.lock names other.
    """
    found = []
    for out in (out for stage in repo.index.stages for out in stage.outs):
        if out.use_cache and out.hash_info and out.exists:
            here = out.get_hash()
            if here and here != out.hash_info and repo.cache.local.exists(here.value):
                found.append(str(out))
    return found


def _objects(repo: "Repo", out: "Output") -> Iterator[Object]:
    cache, name, digest = repo.cache.local, str(out), out.hash_info.value or ""
    listing = Path(cache.oid_to_path(digest))
    yield Object(name, digest, listing)
    if not digest.endswith(".dir") or not listing.is_file():
        return
    try:
        for entry in json.loads(listing.read_text(encoding="utf-8")):
            path = Path(cache.oid_to_path(entry["md5"]))
            yield Object(f"{name}/{entry['relpath']}", entry["md5"], path)
    except (ValueError, TypeError, KeyError, RecursionError):
        return  # a damaged list; its own hash says so


def on_remote(repo: "Repo", objects: Iterable[Object]) -> list[RemoteObject]:
    """Return the copies that the default remote holds of some objects."""
    remote = repo.cloud.get_remote_odb()
    by_path = {remote.oid_to_path(each.hash): each for each in objects}
    if not by_path:
        return []
    infos = remote.fs.info(list(by_path), return_exceptions=True)
    local = remote.fs.protocol == "local"
    return [
        RemoteObject(each, path, info["size"], local)
        for (path, each), info in zip(by_path.items(), infos, strict=True)
        if not isinstance(info, Exception)
    ]


@dataclass(frozen=True)
class RemoteFolder:
    """A folder of the default remote beside DVC's own, for small files of the toolbox."""

    files: Any  # a file system of DVC's
    path: str

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or None where there is none. Raises what the storage raises."""
        try:
            return self.files.cat_file(self.files.join(self.path, name))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file, in place of another. Raises what the storage raises."""
        path = self.files.join(self.path, name)
        self.files.makedirs(self.files.parent(path), exist_ok=True)
        self.files.pipe_file(path, content)


def remote_folder(repo: "Repo", name: str) -> RemoteFolder:
    """Return a folder of the default remote, there or not yet."""
    remote = repo.cloud.get_remote()
    return RemoteFolder(remote.fs, remote.fs.join(remote.path, name))


def remove_from_remote(repo: "Repo", paths: Iterable[str]) -> None:
    """Take objects away from the default remote, one after the other, where it has them still."""
    files = repo.cloud.get_remote_odb().fs
    for path in paths:
        if files.exists(path):
            files.rm(path)


def fetch(md5: str, what: str) -> Path:
    """Return where DVC's cache holds a file of this hash, brought from the remote if need be.

    Raises UserError, naming the file as `what`, where it cannot be had, or is not whole.
    """
    from dvc_data.hashfile.hash_info import HashInfo

    with repository() as repo:
        cache = repo.cache.local
        path = Path(cache.oid_to_path(md5))
        if not path.is_file():
            if why := unusable():
                raise UserError(f"{what} cannot be had: {why}")
            try:
                repo.cloud.pull([HashInfo("md5", md5)])
            except Exception as error:  # whatever the remote's driver raises
                reason = " ".join(str(error).split())[:300] or type(error).__name__
                raise UserError(f"{what} cannot be had from the remote: {reason}") from None
    if not path.is_file():
        raise UserError(f"{what} is not in the remote: `uv run dvc push` where it was made.")
    if not is_whole(path, md5):
        raise UserError(f"{what} is damaged in DVC's cache: run `uv run esteira doctor --fix`.")
    return path


def is_whole(path: Path, md5: str) -> bool:
    """Whether a file is there and has this hash."""
    return path.is_file() and md5_of(path) == md5


def add(paths: list[Path]) -> None:
    """Let DVC keep these files, and write a .dvc file beside each. Raises UserError."""
    with repository() as repo:
        repo.scm_context.quiet = True  # no advice on Git
        repo.add([str(path) for path in paths])


def update_import(pointer: Path) -> None:
    """Bring what a .dvc file imports from elsewhere, as it is there now. Raises UserError."""
    with repository() as repo:
        repo.scm_context.quiet = True
        try:
            repo.update([str(pointer)])
        except Exception as error:  # whatever the storage raises
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise UserError(f"what {pointer} imports cannot be had: {reason}") from None


# Metrics


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
