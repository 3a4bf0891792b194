"""Look for what a crash, a full disk, a bad copy or a merge can leave behind; say what to do."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esteira.repository import dvc, git, remote
from esteira.line.errors import UserError
from esteira.verify import environment
from esteira.verify import lock as lock_file
from esteira.repository.dvc import RWLOCK, rwlock
from esteira.verify.replay import md5

ASIDE = Path(".dvc/tmp/doctor")


@dataclass
class Finding:
    """One thing that is wrong: what, what to do, and how `--fix` does it where that is safe."""

    what: str
    advice: str = ""
    fix: Callable[[], None] | None = None


def examine() -> Iterator[Finding]:
    """Yield what is wrong with the project, its cache and its remote; nothing if all is well.

    What must be mended first comes first, and hides what follows from it.
    """
    early = [*merge(), *processes(), *settings(), *leftovers()]
    yield from early
    whole, users = rwlock()
    busy = not whole or any(map(dvc.lives, users))
    if not busy and "dvc.lock" not in git.unmerged():
        yield from unkept()
        yield from files()


def merge() -> Iterator[Finding]:
    """Look for a merge that was not finished."""
    conflicts = git.unmerged()
    if "dvc.lock" in conflicts:
        yield Finding(
            "dvc.lock is in conflict: two branches computed different results",
            "`uv run esteira resolve-lock`",
        )
    elif conflicts:
        yield Finding(
            f"{', '.join(conflicts)} in conflict", "edit, `git add`, `uv run dvc repro`, commit"
        )


def processes() -> Iterator[Finding]:
    """Look for DVC commands at work, stages that outlived theirs, and locks of nobody."""
    import psutil

    whole, users = rwlock()
    if not whole:
        yield Finding(
            f"{RWLOCK} is damaged, and every DVC command stops at it",
            "`uv run esteira doctor --fix` puts it aside",
            lambda: put_aside(RWLOCK),
        )
    alive = {pid for pid in users if dvc.lives(pid)}
    strangers = alive - set(dvc.at_work())
    if strangers:  # the number of a killed command, given to another program
        yield Finding(
            f"{RWLOCK} names the dead command {users[min(strangers)]!r}, whose number "
            f"{min(strangers)} another program has now",
            "`uv run esteira doctor --fix` puts it aside",
            lambda: put_aside(RWLOCK),
        )
    for pid in sorted(alive - strangers):
        yield Finding(f"{users[pid]!r} is at work here (process {pid})", "wait for it, or end it")
    for process in psutil.process_iter():
        try:
            if process.environ().get("DVC_ROOT") == str(Path.cwd()) and not alive & ancestors(
                process
            ):
                name = process.environ().get("DVC_STAGE")
                yield Finding(
                    f"stage {name!r} still runs (process {process.pid}) although its `dvc repro` "
                    "was killed, and would race the next one",
                    f"`kill {process.pid}`, then `uv run dvc repro`",
                )
        except (psutil.Error, OSError):
            continue


def ancestors(process: Any) -> set[int]:
    """Return the numbers of the processes that a process came from."""
    return {parent.pid for parent in process.parents()}


def settings() -> Iterator[Finding]:
    """Look for settings without which DVC lets false files and false merges through."""
    options = remote.default()
    if options.get("verify") is not True:
        yield Finding(
            "the remote has no `verify = true`: DVC would take a truncated file for a whole one",
            "`uv run dvc remote modify storage verify true`",
        )
    if git.is_repository() and "merge: unset" not in git.run(
        "check-attr", "merge", "dvc.lock"
    ):
        yield Finding(
            "Git would merge two dvc.lock files line by line, into results that nobody computed",
            "put `dvc.lock -merge` into .gitattributes",
        )
    if not Path("uv.lock").exists():
        yield Finding("uv.lock is missing, so each machine has versions of its own", "`uv lock`")
    if Path("dvc.lock").exists() and not environment.known():
        yield Finding("environment.json does not say what made dvc.lock", "`uv run esteira record`")


def unkept() -> Iterator[Finding]:
    """Look for dependencies that nobody else can have."""
    for path, command in lock_file.unkept().items():
        yield Finding(f"{path} is kept by neither Git nor DVC", f"`{command}`")


def leftovers() -> Iterator[Finding]:
    """Look for files that a killed writer left half-written."""
    tops = [p for p in Path().iterdir() if p.is_dir() and not p.name.startswith(".")]
    mine = [p for top in tops for p in top.rglob(".*.tmp")]
    pids = {p: re.fullmatch(r"\..*\.(\d+)\.tmp", p.name) for p in mine}
    dead = [p for p, m in pids.items() if not (m and dvc.lives(int(m.group(1))))]
    if not rwlock()[1]:
        dead += [p for p in Path(".dvc/cache").rglob("*.tmp") if p.is_file()]
    for path in dead:
        yield Finding(
            f"{path} is what a killed command had begun to write",
            "`uv run esteira doctor --fix` removes it",
            path.unlink,
        )


def files() -> Iterator[Finding]:
    """Look at what dvc.lock and the .dvc files name: in the cache, here, and on the remote."""
    with dvc.repository() as repo:
        outs = [out for s in repo.index.stages for out in s.outs if out.use_cache and out.hash_info]
        cache = repo.cache.local
        broken = [*broken_objects(outs, cache)]
        for name, oid in broken:
            yield Finding(
                f"{name} is damaged in DVC's cache ({oid[:8]}), which DVC does not notice",
                "`uv run esteira doctor --fix` puts it aside; then `uv run dvc pull`, or "
                "`uv run dvc repro --force` where no remote has it",
                lambda oid=oid: put_aside(Path(cache.oid_to_path(oid))),
            )
        size = sum(out.meta.size or 0 for out in outs if out.meta)
        for folder in {".", cache.path} if Path(cache.path).is_dir() else {"."}:
            if (free := shutil.disk_usage(folder).free) < size:
                room = f"{free / 1e6:.0f} MB are free in {folder}, the data is {size / 1e6:.0f} MB"
                yield Finding(room, "make room, then `uv run dvc pull`")
        absent = [str(out) for out in outs if not out.exists]
        if absent:
            yield Finding(f"{', '.join(absent)} not here", "`uv run dvc pull`")
        try:
            yield from on_remote(repo, outs, {oid for _, oid in broken})
        except UserError as error:
            yield Finding(str(error).rstrip("."))
    for stage, why in lock_file.stale().items():
        yield Finding(f"dvc.lock does not describe {stage}: {'; '.join(why)}", "`uv run dvc repro`")


def broken_objects(outs: list[Any], cache: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and the hash of each file whose object in the cache is not what it says."""
    seen = set()
    for out in outs:
        for name, oid in members(out, cache):
            path = Path(cache.oid_to_path(oid))
            if oid not in seen and path.is_file() and md5(path) != oid.removesuffix(".dir"):
                yield name, oid
            seen.add(oid)


def members(out: Any, cache: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and the hash of an output, and of each file in it if it is a folder."""
    oid = out.hash_info.value
    yield str(out), oid
    listing = Path(cache.oid_to_path(oid))
    if oid.endswith(".dir") and listing.is_file():
        try:
            entries = json.loads(listing.read_text(encoding="utf-8"))
            yield from ((f"{out}/{entry['relpath']}", entry["md5"]) for entry in entries)
        except (ValueError, TypeError, KeyError):
            return


def on_remote(repo: Any, outs: list[Any], broken: set[str]) -> Iterator[Finding]:
    """Compare the remote with the lock: what is missing, and what has another size or content.

    A folder is read and hashed; of S3 the sizes are compared (`verify = true` hashes downloads).
    """
    remote.check()
    missing = lock_file.unpushed()
    if missing:
        yield Finding(f"the remote lacks {', '.join(missing)}", "`uv run dvc push`")
    cache, far = repo.cache.local, repo.cloud.get_remote_odb()
    names = {oid: name for out in outs for name, oid in members(out, cache)}
    paths = [far.oid_to_path(oid) for oid in names]
    infos = far.fs.info(paths, return_exceptions=True) if paths else []
    for (oid, name), path, info in zip(names.items(), paths, infos, strict=True):
        if isinstance(info, Exception):
            continue
        here = Path(cache.oid_to_path(oid))
        whole = here.is_file() and oid not in broken
        if far.fs.protocol == "local":
            good = md5(Path(path)) == oid.removesuffix(".dir")
        else:
            good = not whole or info["size"] == here.stat().st_size
        if not good:
            advice = "`uv run esteira doctor --fix` takes it away there; then `uv run dvc push`"
            yield Finding(
                f"{name} is damaged on the remote ({path})",
                advice
                if whole
                else "no good copy is here: run `uv run esteira doctor` where one is",
                (lambda path=path: far.fs.rm(path)) if whole else None,
            )


def put_aside(path: Path) -> None:
    """Move a file out of the way, into .dvc/tmp/doctor: nothing is lost."""
    ASIDE.mkdir(parents=True, exist_ok=True)
    target = ASIDE / "-".join(path.parts[-2:])
    target.unlink(missing_ok=True)
    shutil.move(path, target)


def resolve() -> None:
    """Resolve a merge of two dvc.lock files: compute what neither branch has computed.

    Starts from our side's lock and files of metrics; DVC runs what the merged code and settings
    make stale. Raises UserError if there is no such merge, or another file is in conflict too.
    """
    conflicts = git.unmerged()
    if "dvc.lock" not in conflicts:
        raise UserError("dvc.lock is not in conflict: there is nothing to resolve.")
    with_head = git.run("show", "HEAD:dvc.lock")
    Path("dvc.lock").write_text(with_head, encoding="utf-8", newline="\n")
    others = sorted({"dvc.yaml", "params.yaml"} & set(conflicts))
    made = [str(environment.RECORD)]
    if not others:
        with dvc.repository() as repo:
            made += [str(o) for s in dvc.pipeline(repo) for o in s.outs if not o.use_cache]
    ours = [c for c in conflicts if any(c == m or c.startswith(f"{m}/") for m in made)]
    others = others or sorted(set(conflicts) - set(ours) - {"dvc.lock"})
    if others:
        raise UserError(
            f"first resolve {', '.join(others)} (edit, `git add`), then run this again: what the "
            "line computes depends on it."
        )
    for path in ours:
        git.run("checkout", "--ours", "--", path)
    repro = [*dvc.COMMAND, "repro"]
    if not remote.unusable():
        repro += ["--pull", "--allow-missing", "--no-run-cache"]
    if subprocess.run(repro).returncode:
        raise UserError("`dvc repro` failed (see above): mend that, then run this again.")
    environment.record()
    git.run("add", "--", "dvc.lock", *(m for m in made if Path(m).exists()))


def main(fix: bool) -> bool:
    """Print what is wrong and what to do; with `fix`, do what is safe. Returns if all is well."""
    findings = list(examine())
    for finding in findings:
        if fix and finding.fix:
            finding.fix()
        done = " [done]" if fix and finding.fix else ""
        print(f"- {': '.join(filter(None, (finding.what, finding.advice)))}{done}.")
    left = [f for f in findings if not (fix and f.fix)]
    if not findings:
        print("All is well: no crash, conflict or damage found, and dvc.lock is fresh and pushed.")
    return not left
