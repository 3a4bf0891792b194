"""Look for what a crash, a full disk, a bad copy or a merge can leave behind; say what to do."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from esteira.line.errors import UserError
from esteira.line.files import interrupted, md5_of, recover, replacing
from esteira.repository import dvc, environment, git, notebooks, remote, template
from esteira.repository import lock as lock_file
from esteira.repository.dvc import RWLOCK, Kept, Object, RemoteObject

if TYPE_CHECKING:
    from dvc.repo import Repo

ASIDE = Path(".dvc/tmp/doctor")
HOOKS = Path(".githooks")
PUTS_ASIDE = "`uv run esteira doctor --fix` puts it aside"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: what, what to do, and how `--fix` does it where that is safe."""

    what: str
    advice: str = ""
    fix: Callable[[], object] | None = None


def examine() -> Iterator[Finding]:
    """Yield what is wrong with the project, its cache and its remote; nothing if all is well.

    What must be mended first comes first, and hides what follows from it.
    """
    if interrupted():
        yield from killed()
        return
    yield from conflicts()
    yield from processes()
    yield from operation()
    yield from line_ends()
    yield from leftovers()
    whole, users = dvc.rwlock()
    busy = not whole or any(dvc.lives(pid) for pid in users)
    if not busy and "dvc.lock" not in git.unmerged():
        try:
            yield from data()
        except UserError as error:
            yield Finding(str(error).rstrip("."))
    yield from settings()
    try:
        yield from toolbox()
    except UserError as error:
        yield Finding(str(error).rstrip("."))


def killed() -> Iterator[Finding]:
    """Look for a command that was killed while it changed many files."""
    for command in interrupted():
        yield Finding(
            f"`esteira {command}` was killed halfway",
            "`uv run esteira doctor --fix` puts its files back as they were",
            recover,
        )


def conflicts() -> Iterator[Finding]:
    """Look for files in conflict."""
    found = git.unmerged()
    if "dvc.lock" in found:
        yield Finding(
            "dvc.lock is in conflict: two branches computed different results",
            "`uv run esteira resolve-lock`",
        )
    elif found:
        yield Finding(
            f"{', '.join(found)} in conflict", "edit, `git add`, `uv run dvc repro`, commit"
        )


def operation() -> Iterator[Finding]:
    """Look for a merge, a rebase and the like that were not finished."""
    command = git.operation() if git.is_repository() else None
    if command and not git.unmerged():
        yield Finding(f"a {command} is not finished", f"`git {command} --continue`")


def line_ends() -> Iterator[Finding]:
    """Look for files whose bytes are others in every clone."""
    for path in git.with_other_line_ends() if git.is_repository() else ():
        yield Finding(
            f"{path} has Windows line ends here, which Git does not store, so its hash is another "
            "in every clone",
            "`uv run esteira doctor --fix` mends it; then `uv run dvc repro`",
            partial(use_unix_line_ends, Path(path)),
        )


def use_unix_line_ends(path: Path) -> None:
    """Rewrite a file with the line ends that Git stores."""
    with replacing(path) as temporary:
        temporary.write_bytes(path.read_bytes().replace(b"\r\n", b"\n"))
        shutil.copymode(path, temporary)


def processes() -> Iterator[Finding]:
    """Look for DVC commands at work, stages that outlived theirs, and locks of nobody."""
    whole, users = dvc.rwlock()
    if not whole:
        yield Finding(
            f"{RWLOCK} is damaged, and every DVC command stops at it",
            PUTS_ASIDE,
            partial(put_aside, RWLOCK),
        )
    alive = {pid for pid in users if dvc.lives(pid)}
    strangers = alive - set(dvc.at_work())
    if strangers:  # the number of a killed command, given to another program
        number = min(strangers)
        yield Finding(
            f"{RWLOCK} names the dead command {users[number]!r}, whose number {number} another "
            "program has now",
            PUTS_ASIDE,
            partial(put_aside, RWLOCK),
        )
    for pid in sorted(alive - strangers):
        yield Finding(f"{users[pid]!r} is at work here (process {pid})", "wait for it, or end it")
    for pid, stage in orphans(alive).items():
        yield Finding(
            f"stage {stage!r} still runs (process {pid}) although its `dvc repro` was killed, and "
            "would race the next one",
            f"`kill {pid}`, then `uv run dvc repro`",
        )


def orphans(commands: set[int]) -> dict[int, str]:
    """Return the stages of this project that run below none of DVC's commands, by process."""
    import psutil

    found = {}
    for process in psutil.process_iter():
        try:
            variables = process.environ()
            if variables.get("DVC_ROOT") != str(Path.cwd()):
                continue
            above = {parent.pid for parent in process.parents()}
        except (psutil.Error, OSError):
            continue  # it ended, or is another user's
        if commands.isdisjoint(above):
            found[process.pid] = variables.get("DVC_STAGE", "")
    return found


def settings() -> Iterator[Finding]:
    """Look for settings without which DVC lets false files and false merges through."""
    options = remote.default()
    if options.get("verify") is not True:
        yield Finding(
            "the remote has no `verify = true`: DVC would take a truncated file for a whole one",
            "`uv run dvc remote modify storage verify true`",
        )
    if git.is_repository() and "merge: unset" not in git.run("check-attr", "merge", "dvc.lock"):
        yield Finding(
            "Git would merge two dvc.lock files line by line, into results that nobody computed",
            "put `dvc.lock -merge` into .gitattributes",
        )
    if not Path("uv.lock").exists():
        yield Finding("uv.lock is missing, so each machine has versions of its own", "`uv lock`")
    if Path("dvc.lock").exists() and not environment.known():
        yield Finding("environment.json does not say what made dvc.lock", "`uv run esteira record`")
    if HOOKS.is_dir() and git.is_repository() and git.hooks().resolve() != HOOKS.resolve():
        yield Finding(
            f"Git does not run the hooks in {HOOKS}, which tell before a push what CI would refuse",
            f"`git config core.hooksPath {git.prefix()}{HOOKS}`",
        )


def toolbox() -> Iterator[Finding]:
    """Look whether somebody edited vendor/, which an update replaces whole."""
    if not template.has_toolbox():
        return  # it comes from an index of the squad's own
    record = template.recorded()
    if record is None:
        yield Finding(
            f"{template.RECORD} is missing, so whether vendor/ was edited is not known",
            "`uv run esteira update --help` says how the record is made",
        )
    elif template.is_edited(record):
        commit = template.commit_of(record) if git.is_repository() else None
        files = template.edits(commit) if commit else []
        named = f" ({', '.join(files)})" if files else ""
        seen = f"`git diff {commit[:10]} -- vendor` shows it: " if commit else ""
        back = f", then `git checkout {commit[:10]} -- vendor`" if commit else ""
        yield Finding(
            f"vendor/ is not as Esteira {record.version} has it{named}, and an update replaces it "
            "whole",
            f"carry the edit: {seen}offer it to the template ({record.template}), or move it into "
            f"src/{back}",
        )


def leftovers() -> Iterator[Finding]:
    """Look for files that a killed writer left half-written."""
    for path in half_written():
        yield Finding(
            f"{path} is what a killed command had begun to write",
            "`uv run esteira doctor --fix` removes it",
            path.unlink,
        )


def half_written() -> Iterator[Path]:
    """Yield the temporary files of writers that are dead: ours (see `replacing`), then DVC's."""
    for top in Path().iterdir():
        if not top.is_dir() or top.name.startswith("."):
            continue
        for path in top.rglob(".*.tmp"):
            if not path.is_file():
                continue
            named = re.fullmatch(r"\..*\.(\d+)\.tmp", path.name)
            if not (named and dvc.lives(int(named[1]))):
                yield path
    if not dvc.rwlock()[1]:
        yield from (path for path in Path(".dvc/cache").rglob("*.tmp") if path.is_file())


def data() -> Iterator[Finding]:
    """Look at dvc.lock, and at the data that it names: in the cache, here, on the remote."""
    with dvc.repository() as repo:
        kept = dvc.kept(repo)
        damaged = damaged_objects(kept)
        for each in damaged:
            yield Finding(
                f"{each.name} is damaged in DVC's cache ({each.hash[:8]}), which DVC does not "
                "notice",
                f"{PUTS_ASIDE}; then `uv run dvc pull`, or `uv run dvc repro --force` where no "
                "remote has it",
                partial(put_aside, each.path),
            )
        yield from room(kept, Path(repo.cache.local.path))
        yield from lock_and_data(repo, kept)
        yield from uncached(kept)
        for path, command in lock_file.unkept().items():
            yield Finding(f"{path} is kept by neither Git nor DVC", f"`{command}`")
        for told in notebooks.in_line():
            yield Finding(told, notebooks.ADVICE)
        try:
            yield from on_remote(repo, kept, {each.hash for each in damaged})
        except UserError as error:
            yield Finding(str(error).rstrip("."))


def lock_and_data(repo: "Repo", kept: list[Kept]) -> Iterator[Finding]:
    """Look whether dvc.lock, the code and the data that is here belong together."""
    stale = lock_file.stale()
    others = lock_file.of_another_commit(repo) if stale else []
    if others:
        yield Finding(
            f"{', '.join(others)} of another commit, not of this one's dvc.lock", get(kept)
        )
        return
    for stage, why in stale.items():
        yield Finding(f"dvc.lock does not describe {stage}: {'; '.join(why)}", "`uv run dvc repro`")
    gone = [path for stage in dvc.line(repo) for path in lock_file.kept_by_git_and_gone(stage)]
    if gone:
        yield Finding(f"{', '.join(gone)} not here, as after a stop", "`uv run dvc repro`")
    absent = [each for each in kept if not each.here]
    if absent:
        names = [each.path for each in absent]
        # DVC removes the outputs of a stage before it runs, and those of no other stage.
        of_one = any(set(names) == {out.path for out in stage.outs} for stage in dvc.line(repo))
        stopped = of_one and all(all_in_cache(each) for each in absent)
        when = ", as after a stop" if stopped else ""
        advice = "`uv run dvc repro`" if stopped else get(absent)
        yield Finding(f"{', '.join(names)} not here{when}", advice)


def get(data: list[Kept]) -> str:
    """Return the command that puts data where dvc.lock says: by download only where needed."""
    objects = [each for kept in data for each in kept.objects]
    here = all(each.path.is_file() for each in objects)
    return "`uv run dvc checkout`" if here else "`uv run dvc pull`"


def uncached(kept: list[Kept]) -> Iterator[Finding]:
    """Look for data that is here, and of which DVC's cache has no copy to push or to go back to."""
    lost = [each.path for each in kept if each.here and not all_in_cache(each)]
    if lost:
        yield Finding(
            f"DVC's cache has lost {', '.join(lost)}",
            "`uv run dvc fetch`, or `uv run dvc commit --force` where no remote has it",
        )


def all_in_cache(data: Kept) -> bool:
    """Whether the cache has all of a file or folder."""
    return all(each.path.is_file() for each in data.objects)


def room(kept: list[Kept], cache: Path) -> Iterator[Finding]:
    """Look whether all of the data would fit beside the project, and into the cache."""
    size = sum(each.size for each in kept)
    for folder in (Path(), cache):
        free = shutil.disk_usage(folder).free if folder.is_dir() else size
        if free < size:
            yield Finding(
                f"{free / 1e6:.0f} MB are free in {folder}, the data is {size / 1e6:.0f} MB",
                "make room, then `uv run dvc pull`",
            )


def is_whole(path: Path, digest: str) -> bool:
    """Whether a file has the content that its hash says."""
    return md5_of(path) == digest.removesuffix(".dir")


def damaged_objects(kept: list[Kept]) -> list[Object]:
    """Return the objects whose file in the cache is not what its name says, each once."""
    objects = {each.hash: each for data in kept for each in data.objects}
    return [o for o in objects.values() if o.path.is_file() and not is_whole(o.path, o.hash)]


def on_remote(repo: "Repo", kept: list[Kept], damaged: set[str]) -> Iterator[Finding]:
    """Compare the remote with the lock: what is missing, and what has another size or content.

    A folder is read and hashed; of S3 the sizes are compared (`verify = true` hashes downloads).
    `damaged` are the hashes of what is damaged in the cache. Raises UserError where it cannot ask.
    """
    remote.check()
    objects = [each for data in kept for each in data.objects]
    copies = dvc.on_remote(repo, objects)
    whole = [data for data in kept if is_good_in_cache(data, damaged)]
    missing = lock_file.unpushed()
    if missing:
        lacking = {each.hash for each in objects if each.name in missing}
        yield _missing(repo, missing, list(lists_with(lacking, whole, copies)))
    for copy in copies:
        good_here = copy.of.path.is_file() and copy.of.hash not in damaged
        if looks_whole(copy, good_here):
            continue
        what = f"{copy.of.name} is damaged on the remote ({copy.path})"
        if good_here:
            paths = [*lists_with({copy.of.hash}, whole, copies), copy.path]
            yield Finding(
                what,
                "`uv run esteira doctor --fix` takes it away there; then `uv run dvc push`",
                partial(dvc.remove_from_remote, repo, paths),
            )
        else:
            yield Finding(what, "no good copy is here: run `uv run esteira doctor` where one is")


def _missing(repo: "Repo", names: list[str], lists: list[str]) -> Finding:
    """Tell what the remote lacks; `lists` are those there of folders of which it lacks files."""
    what = f"the remote lacks {', '.join(names)}"
    if not lists:
        return Finding(what, "`uv run dvc push`")
    return Finding(
        f"{what}, and has the list of the folder, which DVC takes for the whole folder",
        "`uv run esteira doctor --fix` takes the list away there; then `uv run dvc push`",
        partial(dvc.remove_from_remote, repo, lists),
    )


def is_good_in_cache(data: Kept, damaged: set[str]) -> bool:
    """Whether the cache has all of a file or folder undamaged: it can be pushed again."""
    return all_in_cache(data) and damaged.isdisjoint(each.hash for each in data.objects)


def lists_with(hashes: set[str], whole: list[Kept], copies: list[RemoteObject]) -> Iterator[str]:
    """Yield where the remote has the lists of folders that hold one of these files.

    Where it has a folder's list, DVC pushes none of the files. `whole` are folders that can be
    pushed again, so that nothing is lost when their lists are taken away.
    """
    places = {copy.of.hash: copy.path for copy in copies}
    for data in whole:
        listing, *files = data.objects
        if listing.hash in places and any(file.hash in hashes for file in files):
            yield places[listing.hash]


def looks_whole(copy: RemoteObject, good_here: bool) -> bool:
    """Whether a copy on the remote is what it should be, as far as can be told for no download."""
    if copy.local:
        return is_whole(Path(copy.path), copy.of.hash)
    return not good_here or copy.size == copy.of.path.stat().st_size


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
    ours = git.run("show", "HEAD:./dvc.lock")
    Path("dvc.lock").write_text(ours, encoding="utf-8", newline="\n")
    demand_resolved({"dvc.yaml", "params.yaml"} & set(conflicts))
    made = [str(environment.RECORD), *outputs_in_git()]
    by_the_line = [path for path in conflicts if is_below(path, made)]
    demand_resolved(set(conflicts) - set(by_the_line) - {"dvc.lock"})
    for path in by_the_line:
        git.run("checkout", "--ours", "--", path)
    pull = [] if remote.unusable() else ["--pull", "--allow-missing", "--no-run-cache"]
    if not dvc.run("repro", *pull):
        raise UserError("`dvc repro` failed (see above): mend that, then run this again.")
    environment.record()
    git.run("add", "--", "dvc.lock", *(path for path in made if Path(path).exists()))


def demand_resolved(conflicts: set[str]) -> None:
    """Raise UserError if a file is in conflict that people must resolve."""
    if conflicts:
        raise UserError(
            f"first resolve {', '.join(sorted(conflicts))} (edit, `git add`), then run this again: "
            "what the line computes depends on it."
        )


def outputs_in_git() -> list[str]:
    """Return the outputs of the line that Git keeps, such as metrics."""
    with dvc.repository() as repo:
        return [out.path for stage in dvc.line(repo) for out in stage.outs if not out.cached]


def is_below(path: str, folders: list[str]) -> bool:
    """Whether a path is one of the others, or lies in one of them."""
    return any(Path(path).is_relative_to(folder) for folder in folders)


def main(fix: bool) -> bool:
    """Print the next step, then all that is wrong and what to do; with `fix`, do what is safe.

    Returns whether all is well.
    """
    findings = list(examine())
    left = [finding for finding in findings if not (fix and finding.fix)]
    steps = [finding.advice for finding in left if finding.advice]
    if steps:
        print(f"Next: {steps[0]}.")
    for finding in findings:
        told = f"{finding.what}: {finding.advice}" if finding.advice else finding.what
        if fix and finding.fix:
            finding.fix()
            told += " [done]"
        print(f"- {told}.")
    if not findings:
        print("All is well: no crash, conflict or damage found, and dvc.lock is fresh and pushed.")
    return not left
