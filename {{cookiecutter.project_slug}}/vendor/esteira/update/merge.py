"""Merge what a version of the template wrote, in a working tree of its own that is then dropped.

Nothing of the squad's is touched here: no branch, no file, no index. What comes out are objects of
Git: a commit of what the template wrote, and the tree that the merge gives.
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from esteira.repository import dvc, git, template
from esteira.repository.template import RECORD, TOOLBOX, TREE
from esteira.update import by_stage, packages
from esteira.update.policy import LOCK, REPLACED, is_left, is_replaced

# Whatever the user has set: no hooks, no signatures, and files that were moved are followed.
OWN_WAY = (
    *("-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false"),
    *("-c", "merge.renames=true", "-c", "merge.directoryRenames=true"),
    *("-c", "merge.conflictStyle=merge", "-c", "merge.verifySignatures=false"),
)
LOCKED_FROM = ("pyproject.toml", LOCK)
BASE, OURS, THEIRS = "1", "2", "3"  # stages of Git's index


@dataclass(frozen=True)
class Entry:
    """One side of a file in conflict, as Git's index has it."""

    mode: str
    blob: str
    stage: str


@dataclass(frozen=True)
class Conflict:
    """A file whose same lines both sides changed."""

    path: str  # from the project's folder
    lines: tuple[int, ...]  # where its marks begin; none where it has none, as one that is no text
    sides: tuple[Entry, ...]


Kind = Literal[
    "replaced",
    "new",
    "taken",  # changed by the template alone
    "merged",  # changed by both, in different lines
    "removed",  # by the template, and not changed here
    "stays removed",  # by the squad; changed by the template
    "stays",  # changed here; removed by the template
    "left",  # as it is here, and not merged, by choice
]


@dataclass(frozen=True)
class Change:
    """What a merge does to one file."""

    path: str  # from the project's folder
    kind: Kind


@dataclass(frozen=True)
class Merged:
    """What a merge gives."""

    tree: str  # with marks in the files that are in conflict
    changes: tuple[Change, ...]  # by path
    conflicts: tuple[Conflict, ...]
    packages: str  # what was done with uv.lock, in a sentence; "" where nothing was

    @property
    def must_lock(self) -> bool:
        """Whether uv.lock waits for pyproject.toml to be whole."""
        return any(conflict.path in LOCKED_FROM for conflict in self.conflicts)


@dataclass(frozen=True)
class Workshop:
    """A working tree of the repository, beside the squad's own."""

    top: Path
    prefix: str  # the project's folder in it, with a `/` after it, or ""

    @property
    def project(self) -> Path:
        """The project's folder."""
        return self.top / self.prefix

    def git(self, *words: str) -> str:
        """Run Git at the top; return what it prints. Raises UserError."""
        return git.run("-C", str(self.top), *OWN_WAY, *words)

    def succeeds(self, *words: str) -> bool:
        """Whether a Git command says yes by its exit status."""
        return git.succeeds("-C", str(self.top), *OWN_WAY, *words)

    def listed(self, *words: str) -> list[str]:
        """Return what a Git command lists with `-z`."""
        command, *rest = words
        return [entry for entry in self.git(command, "-z", *rest).split("\0") if entry]

    def inside(self, paths: Iterable[str]) -> list[str]:
        """Return those of the paths that lie in the project, from its folder."""
        return [p.removeprefix(self.prefix) for p in paths if p.startswith(self.prefix)]

    def named(self, path: str) -> str:
        """Return a path from the top as seen from the project's folder."""
        return os.path.relpath(path, self.prefix or ".").replace(os.sep, "/")

    def changed(self, before: str, after: str) -> set[str]:
        """Return the paths, from the top, that two commits or trees have not alike."""
        return set(self.listed("diff", "--name-only", "--no-renames", before, after))


@contextmanager
def workshop(commit: str) -> Iterator[Workshop]:
    """Yield a working tree that holds a commit, and drop it afterwards.

    It lies in Git's own folder, named by the process, so that one that was killed is found.
    """
    place = Path(git.run("rev-parse", "--git-common-dir").strip()).resolve() / "esteira-update"
    for left_over in place.glob("*"):
        if not dvc.lives(int(left_over.name)):
            shutil.rmtree(left_over)
    git.run("worktree", "prune")
    top = place / str(os.getpid())
    try:
        git.run(*OWN_WAY, "worktree", "add", "--quiet", "--detach", str(top), commit)
        yield Workshop(top, git.prefix())
    finally:
        shutil.rmtree(top, ignore_errors=True)
        git.run("worktree", "prune")


def make_commit(tree: str, message: str, *parents: str) -> str:
    """Make a commit that no branch has; return it."""
    options = [word for parent in parents for word in ("-p", parent)]
    return git.run("commit-tree", tree, *options, "-m", message).strip()


def empty_commit() -> str:
    """Make a commit that holds nothing: the start of a template whose history is not here."""
    return make_commit(git.feed("", "mktree"), "Nothing")


def commit_written(shop: Workshop, written: Path, base: str, tip: str | None, title: str) -> str:
    """Commit what the template wrote; return the commit, or `base` where nothing is new.

    Of what `base` holds stays what the template did not write: what tools made, and what a clone
    held before the project was generated into it. The parent is `tip`, else `base`.
    """
    shop.git("reset", "--quiet", "--hard", base)
    foreign = _before_the_template(base)
    for path in shop.inside(shop.listed("ls-files")):
        if path not in foreign and not is_left(path):
            (shop.project / path).unlink()
    shutil.copytree(written, shop.project, dirs_exist_ok=True, symlinks=True)
    shop.git("add", "--all", "--force", "--", shop.prefix or ".")
    tree = shop.git("write-tree").strip()
    if shop.changed(base, tree) <= {shop.prefix + RECORD.as_posix()}:
        return base
    if tip is not None and git.run("rev-parse", f"{tip}^{{tree}}").strip() == tree:
        return tip
    message = f"Esteira {title}\n\n{TREE}: {tree}"
    return make_commit(tree, message, tip or base)


def _before_the_template(base: str) -> set[str]:
    """Return the files that a clone held before the project was generated into it."""
    ours = {base, *template.commits(base)}
    line = git.run("rev-list", "--first-parent", base).split()
    before = next((commit for commit in line if commit not in ours), None)
    return set(git.tracked_at(before)) if before else set()


def merge(shop: Workshop, head: str, base: str, written: str, left: tuple[str, ...]) -> Merged:
    """Merge what the template wrote since `base` into `head`; `left` stays as it is in `head`.

    `base` need be no ancestor of `head`: after a squashed merge it is none.
    """
    ours = make_commit(f"{head}^{{tree}}", "Here", base)
    theirs = make_commit(f"{written}^{{tree}}", "The template", base)
    shop.git("reset", "--quiet", "--hard", ours)
    merging = ("merge", "--quiet", "--no-commit", "--no-ff", "--no-verify", theirs)
    if not shop.succeeds(*merging) and not shop.listed("ls-files", "--unmerged"):
        shop.git(*merging)  # says why
    for path in REPLACED:
        is_from_index = path == TOOLBOX.as_posix() and _has_toolbox_elsewhere(shop, base)
        _take(shop, path, base, ours, ours if is_from_index else theirs)
    for path in left:
        _take(shop, path, base, ours, ours)
    settled = _settle_removed(shop)
    _settle_line(shop)
    conflicts = _mark(shop, theirs)
    said = _lock(shop, base, theirs, conflicts)
    tree = shop.git("write-tree").strip()
    by_the_template = shop.inside(shop.changed(base, theirs))
    changes = [
        *_moved(shop, base, ours, tree, [conflict.path for conflict in conflicts]),
        *settled,
        *(Change(path, "left") for path in left if path in by_the_template),
    ]
    in_order = sorted(changes, key=lambda change: change.path)
    return Merged(tree, tuple(in_order), conflicts, said)


def _has_toolbox_elsewhere(shop: Workshop, base: str) -> bool:
    """Whether the squad removed the toolbox that it had; an old project never had one there."""
    had_it = _holds(base, f"{shop.prefix}{TOOLBOX.as_posix()}/esteira")
    return had_it and not template.has_toolbox()


def in_place_of(shop: Workshop, commit: str, files: dict[str, Path]) -> str:
    """Make a commit that has other files at some of the project's paths; return it."""
    shop.git("reset", "--quiet", "--hard", commit)
    for path, file in files.items():
        shutil.copyfile(file, shop.project / path)
        shop.git("add", "--force", "--", f"{shop.prefix}{path}")
    return make_commit(shop.git("write-tree").strip(), "With a table of the squad's own", commit)


def _holds(revision: str, path: str) -> bool:
    return git.succeeds("cat-file", "-e", f"{revision}:{path.rstrip('/')}")


def _take(shop: Workshop, path: str, base: str, ours: str, side: str) -> None:
    """Put a file or folder as one side has it; what the squad removed stays removed."""
    whole = shop.prefix + path
    is_removed_here = _holds(base, whole) and not _holds(ours, whole)
    shop.git("rm", "-r", "--quiet", "--force", "--ignore-unmatch", "--", whole)
    if _holds(side, whole) and not is_removed_here:
        shop.git("checkout", "--quiet", side, "--", whole)


def _unmerged(shop: Workshop) -> dict[str, tuple[Entry, ...]]:
    """Return the files that are in conflict, with their sides."""
    found: dict[str, tuple[Entry, ...]] = {}
    for line in shop.listed("ls-files", "--unmerged"):
        about, _, path = line.partition("\t")
        found[path] = (*found.get(path, ()), Entry(*about.split()))
    return found


def _settle_removed(shop: Workshop) -> list[Change]:
    """Settle what one side removed and the other changed: it is as the squad has it."""
    found = []
    for path, sides in _unmerged(shop).items():
        stages = {side.stage for side in sides}
        if stages == {BASE, THEIRS}:
            shop.git("rm", "--quiet", "--force", "--", path)
            found.append(Change(shop.named(path), "stays removed"))
        elif stages == {BASE, OURS}:
            shop.git("add", "--", path)
            found.append(Change(shop.named(path), "stays"))
    return found


def _settle_line(shop: Workshop) -> None:
    """Merge dvc.yaml stage by stage where Git, line by line, found it in conflict."""
    path = shop.prefix + by_stage.LINE
    sides = {side.stage: side.blob for side in _unmerged(shop).get(path, ())}
    if set(sides) != {BASE, OURS, THEIRS}:
        return
    files = [git.content(sides[side]) for side in (BASE, OURS, THEIRS)]
    merged = by_stage.merged(*files)
    if merged is not None:
        (shop.top / path).write_bytes(merged)
        shop.git("add", "--force", "--", path)


def _mark(shop: Workshop, theirs: str) -> tuple[Conflict, ...]:
    """Say in each file in conflict whose lines are whose, and put it into the index as it is."""
    found = []
    for path, sides in _unmerged(shop).items():
        file = shop.top / path
        lines: tuple[int, ...] = ()
        if file.is_file():
            content = file.read_bytes()
            content = re.sub(rb"^<<<<<<< HEAD$", b"<<<<<<< yours", content, flags=re.M)
            content = content.replace(f">>>>>>> {theirs}".encode(), b">>>>>>> the template's")
            file.write_bytes(content)
            rows = content.split(b"\n")
            lines = tuple(n for n, row in enumerate(rows, 1) if row.startswith(b"<<<<<<< "))
            shop.git("add", "--force", "--", path)
        else:
            shop.git("rm", "--quiet", "--cached", "--force", "--", path)
        found.append(Conflict(shop.named(path), lines, sides))
    return tuple(found)


def _lock(shop: Workshop, base: str, theirs: str, conflicts: tuple[Conflict, ...]) -> str:
    """Lock the packages anew; return what was done, in a sentence."""
    if not (shop.project / LOCK).exists():
        return ""
    if not {conflict.path for conflict in conflicts}.isdisjoint(LOCKED_FROM):
        return "uv.lock is as it was: run `uv lock` once pyproject.toml is whole."
    before = git.text_at(base, packages.PINS) or ""
    after = git.text_at(theirs, packages.PINS) or ""
    said = packages.lock_again(shop.project, before, after)
    shop.git("add", "--", shop.prefix + LOCK)
    return said


def _moved(
    shop: Workshop, base: str, ours: str, tree: str, in_conflict: list[str]
) -> Iterator[Change]:
    """Yield what a merge that gives `tree` does to the files as they are in `ours`."""
    before = set(shop.listed("ls-tree", "-r", "--name-only", ours))
    after = set(shop.listed("ls-tree", "-r", "--name-only", tree))
    changed_here = shop.changed(base, ours)
    for path in shop.changed(ours, tree):
        name = shop.named(path)
        if name == LOCK or name in in_conflict:
            continue  # told by themselves
        if is_replaced(name):
            yield Change(name, "replaced")
        elif path not in after:
            yield Change(name, "removed")
        elif path not in before:
            yield Change(name, "new")
        else:
            yield Change(name, "merged" if path in changed_here else "taken")
