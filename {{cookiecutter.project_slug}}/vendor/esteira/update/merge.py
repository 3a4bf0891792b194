"""Put a rendering on the branch `template`, and merge that into the project."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from esteira.line.errors import UserError
from esteira.repository import git
from esteira.repository.template import BRANCH, TREE, Base

LOCK = "uv.lock"  # made by uv on the squad's machine, and not of the template
TOOLBOX, RECORD = "vendor", ".esteira.yaml"  # replaced, never merged
QUIET = ("-c", f"core.hooksPath={os.devnull}", "-c", "commit.gpgSign=false")
MERGING = ("-c", "merge.directoryRenames=false", "-c", "merge.conflictStyle=merge")
EVERYTHING = ("-c", f"core.excludesFile={os.devnull}")  # some people's ignore file names `vendor`


@dataclass(frozen=True)
class Merged:
    """What a merge did; every path is the project's."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    conflicts: tuple[str, ...]  # both sides changed the same lines
    stayed_removed: tuple[str, ...]  # by the squad; the template has changed them since
    kept: tuple[str, ...]  # the template has removed them, the squad had changed them

    @property
    def vendored(self) -> int:
        """How many files of vendor/ are others now."""
        return len([path for path in self.all_changed if path.startswith(f"{TOOLBOX}/")])

    @property
    def all_changed(self) -> tuple[str, ...]:
        """Every file that is another now."""
        return (*self.added, *self.changed, *self.removed)


def _identity() -> tuple[str, ...]:
    """Return who commits, where Git does not know."""
    if git.ask("config", "user.name") and git.ask("config", "user.email"):
        return ()
    return (
        *("-c", "user.name=github-actions[bot]"),
        *("-c", "user.email=41898282+github-actions[bot]@users.noreply.github.com"),
    )


def record(rendered: Path, base: Base, version: str) -> str:
    """Commit a rendering on top of the template's last; return the commit, the last one if none.

    The branch itself is not moved yet.
    """
    place = git.prefix()
    with tempfile.TemporaryDirectory(prefix="esteira-update-") as folder:
        tree = Path(folder) / "tree"
        git.run("worktree", "add", "--quiet", "--detach", "--force", str(tree), base.commit)
        try:
            _replace(tree / place, rendered, base.kept)
            inside = ("-C", str(tree))
            git.run(*inside, *EVERYTHING, "add", "--all", "--", ".")
            if git.succeeds(*inside, "diff", "--cached", "--quiet"):
                return base.commit
            content = git.run(*inside, "write-tree").strip()
            message = f"Esteira {version}, as it comes\n\n{TREE}: {content}\n"
            committing = ("commit", "--quiet", "--no-verify", "-m", message)
            git.run(*inside, *QUIET, *_identity(), *committing)
            return git.run(*inside, "rev-parse", "HEAD").strip()
        finally:
            git.ask("worktree", "remove", "--force", str(tree))
            git.ask("worktree", "prune")


def _replace(project: Path, rendered: Path, kept: frozenset[str]) -> None:
    """Make a folder hold a rendering, and beside it what was there before all of it."""
    if not (project / "dvc.yaml").is_file():
        raise UserError(
            f"the branch `{BRANCH}` has no project in this folder: was it moved since it was made?"
        )
    before = {path.relative_to(project) for path in project.rglob("*") if path.is_file()}
    for path in before:
        is_of_git = path.parts[0] == ".git"
        if not is_of_git and path.as_posix() not in {*kept, LOCK}:
            (project / path).unlink()
    shutil.copytree(rendered, project, dirs_exist_ok=True)


def merge(tip: str) -> Merged:
    """Merge a commit of the template into the project's branch, up to the commit itself.

    Raises UserError, with all as it was, where Git cannot begin.
    """
    words = ("merge", "--no-commit", "--no-ff", "--quiet", tip)
    if not git.succeeds(*QUIET, *_identity(), *MERGING, *words) and git.operation() != "merge":
        git.run(*QUIET, *_identity(), *MERGING, *words)  # tells why
    _replace_whole(tip)
    stayed, kept, conflicts = [], [], []
    for path, sides in _unmerged().items():
        if sides == {"1", "3"}:
            git.run("rm", "--quiet", "--force", "--", path)
            stayed.append(path)
        elif sides == {"1", "2"}:
            git.run("add", "--", path)
            kept.append(path)
        else:
            conflicts.append(path)
    sets = {kind: git.paths("diff", "--cached", "--name-only", "--no-renames", "--relative",
                            f"--diff-filter={kind}") for kind in "AMD"}  # fmt: skip
    return Merged(
        added=tuple(sets["A"]),
        changed=tuple(path for path in sets["M"] if path not in conflicts),
        removed=tuple(sets["D"]),
        conflicts=tuple(conflicts),
        stayed_removed=tuple(stayed),
        kept=tuple(kept),
    )


def _replace_whole(tip: str) -> None:
    """Make vendor/ and the record what the template has, whatever became of them here.

    The record was rendered from the one that is here, so its answers are these.
    """
    git.run("rm", "-r", "--quiet", "--force", "--ignore-unmatch", "--", TOOLBOX)
    git.run("checkout", tip, "--", TOOLBOX, RECORD)


def _unmerged() -> dict[str, set[str]]:
    """Return the paths in conflict with the sides that have them: 1 before, 2 ours, 3 theirs."""
    found: dict[str, set[str]] = {}
    for entry in git.paths("ls-files", "--unmerged"):
        facts, _, path = entry.partition("\t")
        found.setdefault(path, set()).add(facts.split()[2])
    return found


def commit(version: str) -> None:
    """Commit a merge that has no conflict. Raises UserError."""
    if Path(LOCK).is_file():
        git.run("add", "--", LOCK)
    message = f"Update to Esteira {version}"
    git.run(*QUIET, *_identity(), "commit", "--quiet", "--no-verify", "-m", message)


def commit_all(message: str) -> None:
    """Commit whatever differs from the last commit, if anything does. Raises UserError."""
    git.run("add", "--all", ".")
    if not git.succeeds("diff", "--cached", "--quiet"):
        git.run(*QUIET, *_identity(), "commit", "--quiet", "--no-verify", "-m", message)


def abort() -> None:
    """Take a merge back, if there is one."""
    if git.operation() == "merge":
        git.ask("merge", "--abort")


def move_branch(tip: str) -> None:
    """Let the branch `template` hold a commit. Raises UserError."""
    git.run("update-ref", f"refs/heads/{BRANCH}", tip)
