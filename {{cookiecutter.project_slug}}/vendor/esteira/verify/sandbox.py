"""Run a stage in an empty folder that holds only what it declares, and say what it did there."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from esteira.line.errors import UserError
from esteira.repository import dvc
from esteira.repository.dvc import Entry, Stage
from esteira.repository.imports import only_docstring


@dataclass(frozen=True)
class Content:
    """What stands at a path: its hash, and the hash of each file there. Empty where nothing is."""

    hash: str  # as dvc.lock would name it; "" where nothing is
    files: dict[str, str]  # MD5 by path, relative to the project


@dataclass(frozen=True)
class Notes:
    """What a stage was seen doing that it does not declare: paths, relative where in the project.

    `looked` are files whose presence it asked for: no fault, if nothing came of it.
    """

    read: frozenset[str] = frozenset()
    looked: frozenset[str] = frozenset()
    wrote: frozenset[str] = frozenset()


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

    def files(self) -> dict[str, str]:
        """Return the MD5 of each file of the outputs."""
        contents = [content.files for content in self.outputs.values()]
        return {path: md5 for files in contents for path, md5 in files.items()}


class Sandbox:
    """Executes the stages of the project at `root`, each on what dvc.lock names as its deps.

    What an earlier stage made is given to the later ones where `keep` was told so, so that only
    the line's sources need to be here; everything else is taken from the project's folder.
    `counts` tells which files are part of a folder's content (see `dvc.counts`).
    """

    def __init__(self, root: Path, scratch: Path, counts: Callable[[str], bool]) -> None:
        self.root, self._scratch = root.resolve(), scratch.resolve()
        self._counts = counts
        self._numbers = itertools.count(1)
        self._made: dict[str, Path] = {}  # by the hash that the lock names
        self._other_bytes: set[str] = set()
        self._observer = self._scratch / "observer"
        self._temporary = self._scratch / "tmp"
        self._kept = self._scratch / "made"
        for folder in (self._observer, self._temporary, self._kept):
            folder.mkdir()
        shutil.copy(Path(__file__).with_name("observer.py"), self._observer / "sitecustomize.py")

    def run(self, stage: Stage, variables: dict[str, str]) -> Execution:
        """Execute a stage in a new folder. Raises UserError where its inputs cannot be had."""
        # Its name is never of the same length: a stage that writes it is found out.
        folder = self._scratch / f"{'x' * next(self._numbers)}-{stage.name}"
        folder.mkdir()
        self._give(stage, folder)
        before = _stamps(folder, self._files(folder, "."))
        log = folder.with_name(f"{folder.name}.notes")
        failure = self._execute(stage, folder, log, variables)
        outputs = {out.path: self.content(folder, out.path) for out in stage.outs}
        after = _stamps(folder, self._files(folder, "."))
        changed = {path for path in before | after if before.get(path) != after.get(path)}
        made = {path for content in outputs.values() for path in content.files}
        return Execution(folder, failure, outputs, _notes(log, stage.outs, changed - made))

    def keep(self, execution: Execution, out: Entry) -> None:
        """Give an output, as it came out, to the later stages in place of what the lock names."""
        if execution.outputs[out.path].hash != out.hash:
            self._other_bytes.add(out.path)
        if out.hash not in self._made:
            self._made[out.hash] = (execution.folder / out.path).rename(self._kept / out.hash)

    def content(self, base: Path, path: str) -> Content:
        """Return what stands at a path of the project below `base`, which is it or a copy of it."""
        here = base / path
        files = {name: dvc.file_hash(base / name) for name in self._files(base, path)}
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

    def _execute(self, stage: Stage, folder: Path, log: Path, variables: dict[str, str]) -> str:
        """Run the stage's commands as DVC would. Returns the last words of one that failed."""
        environment = self._environment(stage, folder, log) | variables
        where = folder / stage.folder
        where.mkdir(parents=True, exist_ok=True)
        shell = ["cmd", "/c"] if os.name == "nt" else [os.environ.get("SHELL") or "/bin/sh", "-c"]
        for command in stage.commands:
            done = subprocess.run(
                [*shell, command],
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
                return last.replace(f"{folder}{os.sep}", "")
        return ""

    def _environment(self, stage: Stage, folder: Path, log: Path) -> dict[str, str]:
        programs = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
        modules = [str(self._observer), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        observed = [self.root, folder, log, self._scratch]
        return os.environ | {
            "PATH": os.pathsep.join(programs),
            "PYTHONPATH": os.pathsep.join(filter(None, modules)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "ESTEIRA_OBSERVE": os.pathsep.join(map(str, observed)),
            "TMPDIR": str(self._temporary),
            "DVC_STAGE": stage.name,
            "DVC_ROOT": str(folder),
        }


@contextmanager
def sandbox(root: Path, counts: Callable[[str], bool]) -> Iterator[Sandbox]:
    """Yield a sandbox in a temporary folder, outside of the project, that is removed afterwards."""
    with TemporaryDirectory(prefix="esteira-verify-", ignore_cleanup_errors=True) as scratch:
        yield Sandbox(root, Path(scratch), counts)


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


def _notes(log: Path, outs: list[Entry], wrote: set[str]) -> Notes:
    """Read what the observer wrote down; `wrote` are the files that were found to be written."""
    read, looked, wrote = set(), set(), set(wrote)
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    for line in lines:
        kind, path = json.loads(line)
        declared = any(PurePosixPath(path).is_relative_to(out.path) for out in outs)
        if kind == "write":
            wrote.add(path)
        elif kind == "look" and not declared and not path.startswith("."):
            looked.add(path)
        elif kind in ("read", "import") and not declared:
            read.add(path)
    return Notes(frozenset(read), frozenset(looked), frozenset(wrote))
