"""Run a stage in an empty folder that holds only what it declares, and say what it did there.

On Linux the kernel sees to it (`confine`): of all other files only Python's and the system's can be
read, and nothing can be written but that folder and a private home. Elsewhere, what Python does is
observed (`observer`). Either way the environment is clean, save for what pyproject.toml passes on.
"""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from esteira.line.errors import UserError
from esteira.line.files import md5_of
from esteira.repository import dvc
from esteira.repository.dvc import Entry, Stage
from esteira.repository.imports import only_docstring
from esteira.verify import confine
from esteira.verify.allowed import Limits

WRITABLE = ("/dev/null", "/dev/shm")  # noqa: S108 shared memory: locks of processes that work together
CACHES = ("tmp", ".cache", ".config", ".local")  # in a home: what libraries keep there
KINDS = ("read", "import", "write", "look", "variable", "network")  # of the observer's notes

SOURCES = (".py", ".sh", ".R", ".sql")
PATH_IN_TEXT = re.compile(r"""(?<![\w./~])(~?/[^\s'"`|;&<>(){}$*?\\]+)""")
VARIABLE_IN_SHELL = re.compile(r"\$\{?(\w+)")


@dataclass(frozen=True)
class Content:
    """What stands at a path: its hash, and the hash of each file there. Empty where nothing is."""

    hash: str  # as dvc.lock would name it; "" where nothing is
    files: dict[str, str]  # MD5 by path, relative to the project


@dataclass(frozen=True)
class Notes:
    """What a stage was seen doing that it does not declare.

    Paths are relative to the project where they lie in it, and start with `~/` in the user's home.
    """

    read: frozenset[str] = frozenset()
    wrote: frozenset[str] = frozenset()
    network: frozenset[str] = frozenset()  # hosts, with the port where known
    # No faults, if nothing came of them:
    looked: frozenset[str] = frozenset()  # files whose presence it asked for
    named: frozenset[str] = frozenset()  # files that its command or its code names
    variables: frozenset[str] = frozenset()  # of the environment, that it asked for

    def __or__(self, other: "Notes") -> "Notes":
        """Return what either was seen doing."""
        mine, others = vars(self), vars(other)
        return Notes(**{name: mine[name] | others[name] for name in mine})


@dataclass(frozen=True)
class Execution:
    """What one run of a stage left behind, and what it was seen doing."""

    folder: Path  # where it ran
    failure: str  # the last words of a stage that failed, "" for one that succeeded
    outputs: dict[str, Content]  # by the path that the stage declares
    notes: Notes

    def hashes(self) -> dict[str, str]:
        """Return the hash of each output."""
        return {path: content.hash for path, content in self.outputs.items()}


@dataclass(frozen=True)
class Room:
    """Where one execution takes place."""

    folder: Path  # with what the stage declares
    home: Path  # private, with `tmp` in it
    log: Path  # of the observer


class Sandbox:
    """Executes the stages of the project at `root`, each on what dvc.lock names as its deps.

    What an earlier stage made is given to the later ones where `keep` was told so, so that only
    the line's sources need to be here; everything else is taken from the project's folder.
    `counts` tells which files are part of a folder's content (see `dvc.counts`), `passed_on` names
    the variables that a stage may read, and `landlock` is the kernel's version (see `confine`).
    """

    def __init__(
        self,
        root: Path,
        scratch: Path,
        counts: Callable[[str], bool],
        passed_on: Iterable[str] = (),
        landlock: int | None = None,
    ) -> None:
        self.root, self._scratch = root.resolve(), scratch.resolve()
        self.landlock = confine.version() if landlock is None else landlock
        self._counts = counts
        self._limits = Limits(self.root, passed_on)
        self._numbers = itertools.count(1)
        self._made: dict[str, Path] = {}  # by the hash that the lock names
        self._other_bytes: set[str] = set()
        self._observer = self._scratch / "observer"
        self._kept = self._scratch / "made"
        for folder in (self._observer, self._kept):
            folder.mkdir()
        shutil.copy(Path(__file__).with_name("observer.py"), self._observer / "sitecustomize.py")

    def run(self, stage: Stage, variables: dict[str, str]) -> Execution:
        """Execute a stage in a new folder. Raises UserError where its inputs cannot be had."""
        # Its name is never of the same length: a stage that writes it is found out.
        folder = self._scratch / f"{'x' * next(self._numbers)}-{stage.name}"
        log = folder.with_name(f"{folder.name}.notes")
        home = folder.with_name(f"{folder.name}.home")
        folder.mkdir()
        log.touch()
        (home / "tmp").mkdir(parents=True)
        self._give(stage, folder)
        before = _stamps(folder, self._files(folder, "."))
        room = Room(folder, home, log)
        failure = self._execute(stage, room, variables)
        outputs = {out.path: self.content(folder, out.path) for out in stage.outs}
        after = _stamps(folder, self._files(folder, "."))
        changed = {path for path in before | after if before.get(path) != after.get(path)}
        made = {path for content in outputs.values() for path in content.files}
        wrote = frozenset(changed - made) | left_at_home(home)
        notes = self._notes(log, stage) | Notes(wrote=wrote)
        shutil.rmtree(home)
        return Execution(folder, failure, outputs, notes)

    def keep(self, execution: Execution, out: Entry) -> None:
        """Give an output, as it came out, to the later stages in place of what the lock names."""
        if execution.outputs[out.path].hash != out.hash:
            self._other_bytes.add(out.path)
        if out.hash not in self._made:
            self._made[out.hash] = (execution.folder / out.path).rename(self._kept / out.hash)

    def content(self, base: Path, path: str) -> Content:
        """Return what stands at a path of the project below `base`, which is it or a copy of it."""
        here = base / path
        files = {name: md5_of(base / name) for name in self._files(base, path)}
        if here.is_dir():
            inside = {str(PurePosixPath(name).relative_to(path)): files[name] for name in files}
            return Content(dvc.folder_hash(inside), files)
        return Content(files.get(path, ""), files)

    def _files(self, base: Path, path: str) -> Iterator[str]:
        """Yield the files at or below a path that DVC counts, relative to `base`."""
        here = base / path
        if not here.is_dir():
            if here.exists():
                yield path
            return
        for file in here.rglob("*"):
            name = file.relative_to(base).as_posix()
            if not file.is_dir() and self._counts(name):
                yield name

    def _give(self, stage: Stage, folder: Path) -> None:
        """Fill `folder` with what the stage declares. Raises UserError for what cannot be had."""
        for dep in stage.deps:
            self._give_file(dep, folder)
        for path, settings in stage.settings.items():
            _write_settings(folder / path, settings)
        for out in stage.outs:
            (folder / out.path).parent.mkdir(parents=True, exist_ok=True)

    def _give_file(self, dep: Entry, folder: Path) -> None:
        source = self._made.get(dep.hash, self.root / dep.path)
        if not source.exists():
            raise UserError(f"{dep.path} is not here: `uv run dvc pull {dep.path}` first")
        if source.is_dir():
            (folder / dep.path).mkdir(parents=True, exist_ok=True)
        for file in [source] if source.is_file() else source.rglob("*"):
            name = (PurePosixPath(dep.path) / file.relative_to(source).as_posix()).as_posix()
            if not file.is_dir() and self._counts(name):
                _copy(file, folder / name)
        found = self.content(folder, dep.path).hash
        if found != dep.hash and dep.path not in self._other_bytes:
            raise UserError(f"{dep.path} is not the file that dvc.lock names")
        for above in PurePosixPath(dep.path).parents:
            package = self.root / above / "__init__.py"
            if package.is_file() and only_docstring(package):  # so no dependency, yet imported
                _copy(package, folder / above / "__init__.py")

    def suspects(self, stage: Stage) -> Notes:
        """Return what the stage's commands and code name that they may not read.

        Only a guess, for where something is wrong: what is not Python cannot be observed.
        """
        texts = [*stage.commands]
        for dep in stage.deps:
            for name in self._files(self.root, dep.path):
                if name.endswith(SOURCES):
                    texts.append((self.root / name).read_text(encoding="utf-8", errors="replace"))
        paths = {path for text in texts for path in PATH_IN_TEXT.findall(text)}
        variables = {name for text in stage.commands for name in VARIABLE_IN_SHELL.findall(text)}
        hidden = (path for path in paths if self._is_hidden(path))
        return Notes(
            named=frozenset(self._shown(path, stage) for path in hidden),
            variables=frozenset(variables & self._limits.hidden_variables()),
        )

    def _is_hidden(self, path: str) -> bool:
        """Whether a file stands at a path, outside of what every stage may read."""
        file = Path(path).expanduser()
        stands = os.path.isfile(file)  # noqa: PTH113 (which takes any text, also what is no path)
        return stands and not self._limits.allow(file)

    def _shown(self, path: str, stage: Stage) -> str:
        """Return a path as people know it: relative to the project, where it lies in it.

        What the stage was given, and sought by an absolute path all the same, keeps that.
        """
        whole = self.root / path
        if path.startswith("~") or not whole.is_relative_to(self.root):
            return path
        inside = whole.relative_to(self.root).as_posix()
        return str(whole) if _lies_in(inside, stage.deps) else inside

    def _notes(self, log: Path, stage: Stage) -> Notes:
        """Read what the observer wrote down."""
        seen: dict[str, set[str]] = {kind: set() for kind in KINDS}
        for line in log.read_text(encoding="utf-8").splitlines():
            kind, what = json.loads(line)
            seen[kind].add(what)

        def undeclared(paths: set[str]) -> frozenset[str]:
            others = (path for path in paths if not _lies_in(path, stage.outs))
            return frozenset(self._shown(path, stage) for path in others)

        return Notes(
            read=undeclared(seen["read"] | seen["import"]),
            wrote=frozenset(seen["write"]),
            network=frozenset(seen["network"]),
            looked=frozenset(path for path in undeclared(seen["look"]) if not path.startswith(".")),
            variables=frozenset(seen["variable"]),
        )

    def _execute(self, stage: Stage, room: Room, variables: dict[str, str]) -> str:
        """Run the stage's commands as DVC would. Returns the last words of one that failed."""
        environment = self._environment(stage, room) | variables
        where = room.folder / stage.folder
        where.mkdir(parents=True, exist_ok=True)
        for command in stage.commands:
            done = subprocess.run(
                [*self._confined(room), *self._limits.shell(), command],
                cwd=where,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
            if done.returncode:
                said = [line.strip() for line in done.stdout.splitlines() if line.strip()]
                last = said[-1] if said else f"exit status {done.returncode}"
                return last.replace(f"{room.folder}{os.sep}", "")
        return ""

    def _confined(self, room: Room) -> list[str]:
        """Return the words that, before a command, let the kernel confine it."""
        if not self.landlock:
            return []
        rules = {
            "read": [*self._limits.folders, str(self._observer)],
            "write": [str(room.folder), str(room.home), str(room.log), *WRITABLE],
        }
        return [sys.executable, "-I", "-S", confine.__file__, json.dumps(rules)]

    def _environment(self, stage: Stage, room: Room) -> dict[str, str]:
        # The code of the room's folder, however the project's own is installed here.
        modules = [self._observer, room.folder / "src", room.folder / "vendor", *self._paths(room)]
        observed = {
            "project": str(self.root),
            "folder": str(room.folder),
            "notes": str(room.log),
            "home": str(room.home),
            "true_home": str(Path.home()),
            "readable": [*self._limits.folders, str(self._observer)],
            "variables": sorted(self._limits.hidden_variables()),
        }
        return self._limits.variables | {
            "PYTHONPATH": os.pathsep.join(map(str, modules)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "ESTEIRA_OBSERVE": json.dumps(observed),
            "HOME": str(room.home),
            "USERPROFILE": str(room.home),
            "TMPDIR": str(room.home / "tmp"),
            "TEMP": str(room.home / "tmp"),
            "DVC_STAGE": stage.name,
            "DVC_ROOT": str(room.folder),
        }

    def _paths(self, room: Room) -> Iterator[Path]:
        """Yield the project's folders on PYTHONPATH, as they are in the room's folder."""
        for entry in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
            path = Path(entry).resolve()
            if path.is_relative_to(self.root):
                yield room.folder / path.relative_to(self.root)


def left_at_home(home: Path) -> frozenset[str]:
    """Return the files that a stage left in its home, as paths from `~`; caches do not count."""
    left = (path.relative_to(home) for path in home.rglob("*") if not path.is_dir())
    return frozenset(f"~/{path.as_posix()}" for path in left if path.parts[0] not in CACHES)


@contextmanager
def sandbox(
    root: Path, counts: Callable[[str], bool], passed_on: Iterable[str]
) -> Iterator[Sandbox]:
    """Yield a sandbox in a temporary folder, outside of the project, that is removed afterwards."""
    with TemporaryDirectory(prefix="esteira-verify-", ignore_cleanup_errors=True) as scratch:
        yield Sandbox(root, Path(scratch), counts, passed_on)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write_settings(path: Path, settings: dict) -> None:
    from ruamel.yaml import YAML

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(settings, file)


def _stamps(folder: Path, files: Iterator[str]) -> dict[str, tuple[int, int, int]]:
    """Return what changes of each file when it is replaced or written."""
    stats = {path: (folder / path).lstat() for path in files}
    return {path: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def _lies_in(path: str, entries: list[Entry]) -> bool:
    return any(PurePosixPath(path).is_relative_to(entry.path) for entry in entries)
