"""What came of the template alone: the branch `template`, and what it was merged as."""

from dataclasses import dataclass

from esteira.line.errors import UserError
from esteira.repository import git

BRANCH = "template"
TREE = "Esteira-Tree"  # names the tree of a commit that holds a newer version, in its message
FIRST = "Start from the Esteira template"  # the subject of the commit that generating makes


@dataclass(frozen=True)
class Base:
    """What came of the template alone, the last time: a commit that the project's own share."""

    commit: str
    kept: frozenset[str]  # files that the repository had before the project was generated


def base() -> Base:
    """Return the newest commit of the branch `template`, or of what it would hold.

    Where nobody has the branch, that is the last commit of its kind among those merged here.
    Raises UserError where there is none.
    """
    refs = (f"refs/heads/{BRANCH}", f"refs/remotes/origin/{BRANCH}")
    found = next((commit for ref in refs if (commit := git.commit(ref))), None)
    commit = found or _in_history("HEAD")
    if commit is None:
        raise UserError(
            "no commit here is the template's own: make a branch `template` at the commit that"
            " generated the project (`git log --reverse`), and run this again."
        )
    first = _first(commit)
    before = git.commit(f"{first}^")
    kept = git.tracked_at(before) if before else []
    return Base(commit, frozenset(kept))


def _in_history(revision: str) -> str | None:
    """Return the last commit before a revision that is the template's own.

    A squashed merge may keep the message of an update, but not the tree that the message names.
    """
    form = f"--format=%H %T %(trailers:key={TREE},valueonly,separator=%x20)"
    log = git.ask("log", form, f"--grep=^{FIRST}$", f"--grep=^{TREE}: ", revision, "--") or ""
    for line in log.splitlines():
        commit, tree, *named = line.split()
        if not named or named == [tree]:
            return commit
    return None


def _first(commit: str) -> str:
    """Return the commit that generated the project, before or at a commit of the template's."""
    found = git.ask("log", "--format=%H", "--first-parent", f"--grep=^{FIRST}$", commit, "--")
    return found.split()[-1] if found else commit


def merged() -> str | None:
    """Return the template's own commit that the project was last made or updated from."""
    there = git.commit(f"refs/heads/{BRANCH}") or git.commit(f"refs/remotes/origin/{BRANCH}")
    return git.merge_base(there) if there else _in_history("HEAD")


def edited() -> list[str] | None:
    """Return the files of vendor/ that are not as the template made them.

    None where that cannot be told: the commit that brought them is not here.
    """
    commit = merged()
    if commit is None:
        return None
    changed = git.paths("diff", "--name-only", "--no-renames", "--relative", commit, "--", "vendor")
    new = git.paths("ls-files", "--others", "--exclude-standard", "--", "vendor")
    return sorted({*changed, *new})
