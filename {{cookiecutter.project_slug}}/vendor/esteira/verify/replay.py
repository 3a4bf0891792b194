"""Run a stage in an empty folder that holds only what it declares, under conditions of choice."""

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from esteira.line.errors import UserError

if TYPE_CHECKING:
    from dvc.stage import PipelineStage

THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    *("NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "LOKY_MAX_CPU_COUNT"),
)

CACHE = "__pycache__"  # .dvcignore names it, so no hash of DVC's covers it


def conditions() -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """Return what is varied: name to the variables of the first and of the second run.

    The time zones are 26 hours apart, so that the two runs never see the same local date.
    """
    zones = ("Etc/GMT+12", "Pacific/Kiritimati")
    if not all(Path("/usr/share/zoneinfo", zone).exists() for zone in zones):
        zones = ("WEST12", "EAST-14")
    return {
        "hash seed": ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "4242"}),
        "time zone": ({"TZ": zones[0]}, {"TZ": zones[1]}),
        "locale": ({"LC_ALL": "C.UTF-8"}, {"LC_ALL": other_locale()}),
        "thread count": (dict.fromkeys(THREADS, "1"), dict.fromkeys(THREADS, "4")),
    }


def other_locale() -> str:
    """Return an installed locale that writes numbers and dates unlike C; `C` if there is none."""
    with suppress(OSError):
        done = subprocess.run(["locale", "-a"], capture_output=True, text=True, errors="replace")
        names = [n for n in done.stdout.split() if n[:2] in ("pt", "de", "tr", "fr", "es", "ru")]
        return (names or ["C"])[0]
    return "C"


@dataclass
class Run:
    """What one execution of a stage left behind and was seen doing."""

    failed: str = ""  # the last words of a stage that failed
    outputs: dict[str, str] = field(default_factory=dict)  # path to md5; "" where it is absent
    files: dict[str, str] = field(default_factory=dict)  # the same, file by file in folders
    writes: set[str] = field(default_factory=set)  # undeclared
    reads: set[str] = field(default_factory=set)  # undeclared
    looks: set[str] = field(default_factory=set)  # looked for, and not declared


def md5(path: Path) -> str:
    """Return the MD5 that DVC gives a file or a folder; "" for what is absent."""
    if path.is_dir():
        listed = [{"md5": md5(f), "relpath": f.relative_to(path).as_posix()} for f in walk(path)]
        listed.sort(key=lambda entry: entry["relpath"])
        text = json.dumps(listed, sort_keys=True).encode()
        return hashlib.md5(text, usedforsecurity=False).hexdigest() + ".dir"
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def walk(path: Path) -> Iterator[Path]:
    """Yield the files below a folder, or the file itself."""
    if path.is_dir():
        yield from (p for p in path.rglob("*") if not p.is_dir() and CACHE not in p.parts)
    elif path.exists():
        yield path


def local(entries: list[Any], root: Path) -> dict[str, Any]:
    """Return the deps or outs of a stage that are files of the project: relative path to entry."""
    found = {}
    for entry in entries:
        path = Path(entry.fs_path)
        if entry.protocol == "local" and path.is_relative_to(root):
            found[path.relative_to(root).as_posix()] = entry
    return found


def packages(module: str, root: Path) -> Iterator[str]:
    """Yield the `__init__.py` files above a module that hold no code and so are no dependency."""
    import ast

    for folder in Path(module).parents:
        path = root / folder / "__init__.py"
        if path.is_file():
            body = ast.parse(path.read_bytes()).body
            if all(isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant) for n in body):
                yield f"{folder.as_posix()}/__init__.py"


class Replay:
    """Executes the stages of the project at `root`, each on what the lock names as its deps.

    An output of an earlier stage that came out as the lock says feeds the later ones, so that only
    the line's sources need to be here; everything else is taken from the project's folder.

    `elsewhere` says that the environment is not the one that made the lock. Another processor
    gives a linear model other last digits, and so other bytes, although every metric is the same.
    So there a file in DVC's cache may have other bytes, feeds the later stages as it came out, and
    is judged by what they make of it: the files in Git, which are rounded, must be identical.
    """

    def __init__(self, root: Path, scratch: Path, elsewhere: bool = False) -> None:
        self.elsewhere = elsewhere
        self.root, self.scratch = root.resolve(), scratch.resolve()
        self.numbers = itertools.count(1)
        self.made: dict[str, Path] = {}
        self.other_bytes: set[str] = set()
        (self.scratch / "observer").mkdir()
        (self.scratch / "tmp").mkdir()
        (self.scratch / "made").mkdir()
        observer = Path(__file__).with_name("observer.py")
        shutil.copy(observer, self.scratch / "observer" / "sitecustomize.py")

    def give(self, stage: "PipelineStage", folder: Path) -> set[str]:
        """Fill `folder` with what the stage declares; return the paths. Raises UserError."""
        from ruamel.yaml import YAML

        given = set()
        for path, dep in local(stage.deps, self.root).items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if hasattr(dep, "read_params"):
                with target.open("a", encoding="utf-8") as file:
                    YAML().dump(dep.read_params(flatten=False), file)
            else:
                source = self.made.get(dep.hash_info.value, self.root / path)
                if not source.exists():
                    raise UserError(f"{path} is not here: `uv run dvc pull {path}` first")
                copy(source, target)
                if path not in self.other_bytes and md5(target) != dep.hash_info.value:
                    raise UserError(f"{path} is not the file that dvc.lock names")
            given |= {p.relative_to(folder).as_posix() for p in walk(target)}
            for init in packages(path, self.root):
                copy(self.root / init, folder / init)
                given.add(init)
        for path in local(stage.outs, self.root):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
        return given

    def run(self, stage: "PipelineStage", variables: dict[str, str]) -> tuple[Run, Path]:
        """Execute a stage in a new folder. Returns what it did, and the folder."""
        folder = self.scratch / f"{'x' * next(self.numbers)}-{stage.name}"  # never the same length
        folder.mkdir()
        given = self.give(stage, folder)
        before = {path: (folder / path).stat() for path in given}
        notes = self.scratch / f"{folder.name}.notes"
        failed = self.execute(stage, folder, notes, variables)
        outs = local(stage.outs, self.root)
        run = Run(failed, {path: md5(folder / path) for path in outs})
        for path in outs:
            run.files |= {p.relative_to(folder).as_posix(): md5(p) for p in walk(folder / path)}
        after = {p.relative_to(folder).as_posix() for p in walk(folder)}
        changed = {path for path, stat in before.items() if modified(folder / path, stat)}
        run.writes = (after - given - set(run.files)) | (changed - set(run.files))
        for line in notes.read_text(encoding="utf-8").splitlines() if notes.exists() else ():
            kind, path = json.loads(line)
            ours = path in outs or any(path.startswith(f"{out}/") for out in outs)
            if kind == "write":
                run.writes.add(path)
            elif kind == "look":
                run.looks |= set() if ours or path.startswith(".") else {path}
            elif not ours:
                run.reads.add(path)
        return run, folder

    def execute(
        self, stage: "PipelineStage", folder: Path, notes: Path, variables: dict[str, str]
    ) -> str:
        """Run the stage's commands as DVC would. Returns the last words of one that failed."""
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        env = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONPATH": os.pathsep.join([str(self.scratch / "observer"), *filter(None, paths)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "ESTEIRA_OBSERVE": os.pathsep.join(map(str, (self.root, folder, notes, self.scratch))),
            "TMPDIR": str(self.scratch / "tmp"),
            "DVC_STAGE": stage.addressing,
            "DVC_ROOT": str(folder),
            **variables,
        }
        where = folder / Path(stage.wdir).relative_to(self.root)
        where.mkdir(parents=True, exist_ok=True)
        shell = ["cmd", "/c"] if os.name == "nt" else [os.environ.get("SHELL") or "/bin/sh", "-c"]
        commands = stage.cmd if isinstance(stage.cmd, list) else stage.cmd.splitlines()
        for command in commands:
            done = subprocess.run(
                [*shell, command],
                cwd=where,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
            if done.returncode:
                words = [line for line in done.stdout.splitlines() if line.strip()]
                last = (words or [f"exit status {done.returncode}"])[-1].strip()
                return last.replace(f"{folder}{os.sep}", "")
        return ""

    def compare(self, path: str, out: Any, one: Run, two: Run, folder: Path) -> dict[str, Any]:
        """Judge one output of two runs, and let it feed the stages that follow if it may."""
        expected, found = out.hash_info.value, [one.outputs[path], two.outputs[path]]
        if found == [expected] * 2:
            verdict = "identical"
        elif found[0] != found[1]:
            verdict = "not deterministic"
        elif found[0] and self.elsewhere and out.use_cache:
            verdict = "other bytes"
            self.other_bytes.add(path)
        else:
            verdict = "differs"
        if verdict in ("identical", "other bytes") and expected not in self.made:
            self.made[expected] = (folder / path).rename(self.scratch / "made" / expected)
        return {"path": path, "expected": expected, "found": found, "verdict": verdict}


def modified(path: Path, before: os.stat_result) -> bool:
    """Whether a file was replaced, changed or removed since `before`."""
    if not path.exists():
        return True
    now = path.stat()
    return (now.st_ino, now.st_size, now.st_mtime_ns) != (
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder, whatever is there."""
    if source.is_dir():
        skipped = shutil.ignore_patterns(CACHE)
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=skipped)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def check(replay: Replay, stage: "PipelineStage") -> dict[str, Any]:
    """Execute one stage twice, under different conditions, and compare its outputs with the lock.

    Returns `stage`, `seconds`, `outputs` (path, expected, found, verdict) and `faults` (sentences).
    """
    began = time.monotonic()
    first, second = (merged(side) for side in zip(*conditions().values(), strict=True))
    workers = min(2, os.cpu_count() or 1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            (one, folder), (two, other) = pool.map(lambda v: replay.run(stage, v), (first, second))
            shutil.rmtree(other)
    except UserError as error:
        return answer(stage, began, [], [f"{error}."])
    outputs = [
        replay.compare(path, out, one, two, folder)
        for path, out in local(stage.outs, replay.root).items()
    ]
    shutil.rmtree(folder)
    faults = told(stage, replay, one, two, outputs)
    return answer(stage, began, outputs, faults)


def merged(parts: tuple[dict[str, str], ...]) -> dict[str, str]:
    """Return one mapping of many."""
    return {name: value for part in parts for name, value in part.items()}


def answer(stage: "PipelineStage", began: float, outputs: list, faults: list) -> dict[str, Any]:
    """Return what the report holds of one stage."""
    seconds = round(time.monotonic() - began, 2)
    return {"stage": stage.addressing, "seconds": seconds, "outputs": outputs, "faults": faults}


def told(
    stage: "PipelineStage", replay: Replay, one: Run, two: Run, outputs: list[dict[str, Any]]
) -> list[str]:
    """Return one sentence for each thing that is wrong with a stage."""
    reads, writes = sorted(one.reads | two.reads), sorted(one.writes | two.writes)
    faults = [f"reads {path}, which is not among its `deps`." for path in reads]
    faults += [f"writes {path}, which is not among its `outs`." for path in writes]
    if any(o["verdict"] in ("differs", "not deterministic") for o in outputs):
        looks = sorted((one.looks | two.looks) - set(reads))
        faults += [f"looks for {path}, which is not among its `deps`." for path in looks]
    for which, run in (("", one), (" under the other conditions", two)):
        if run.failed:
            faults.append(f"fails in a folder with only its `deps`{which}: {run.failed}")
            return faults
    for path in sorted(o["path"] for o in outputs if o["verdict"] == "not deterministic"):
        names = sorted(n for n in one.files | two.files if one.files.get(n) != two.files.get(n))
        inside = [n for n in names if n.startswith(f"{path}/")] or [path]
        faults += [f"writes {name} differently each time" for name in inside]
    if any(o["verdict"] == "not deterministic" for o in outputs):
        cause = blame(replay, stage, one)
        faults = [f"{f}: {cause}." if f.endswith("each time") else f for f in faults]
    for output in outputs:
        here = md5(replay.root / output["path"])
        if here not in ("", output["expected"]):
            faults.append(
                f"{output['path']} in this folder is not the file that dvc.lock names, though DVC "
                "takes it for that: `uv run esteira doctor`."
            )
        elif output["verdict"] == "differs":
            faults += differs(replay.root, output, one, bool(reads))
    return faults


def differs(root: Path, output: dict[str, Any], run: Run, explained: bool) -> list[str]:
    """Tell which files of an output are not what the lock names, though they come out the same."""
    path = output["path"]
    here = {p.relative_to(root).as_posix(): md5(p) for p in walk(root / path)}
    made = {n: h for n, h in run.files.items() if n == path or n.startswith(f"{path}/")}
    names = sorted(n for n in here | made if here.get(n) != made.get(n)) or [path]
    why = (
        ""
        if explained
        else (
            ": the lock is false, or the stage depends on something that it does not declare, or "
            "the environment is another"
        )
    )
    return [f"{name} comes out otherwise than dvc.lock says{why}." for name in names]


def blame(replay: Replay, stage: "PipelineStage", one: Run) -> str:
    """Find which condition makes the outputs change, by varying one at a time."""
    varied = conditions()
    first = merged(tuple(side[0] for side in varied.values()))

    def outputs(variables: dict[str, str]) -> dict[str, str]:
        run, folder = replay.run(stage, variables)
        shutil.rmtree(folder)
        return run.outputs

    if outputs(first) != one.outputs:
        return "even under the same conditions, so by the time, or by a random number without seed"
    guilty = [name for name, (_, other) in varied.items() if outputs(first | other) != one.outputs]
    return f"it changes with the {' and the '.join(guilty)}" if guilty else "by chance"


def scratch() -> TemporaryDirectory:
    """Return an empty folder, outside of the project, that is removed afterwards."""
    return TemporaryDirectory(prefix="esteira-verify-", ignore_cleanup_errors=True)
