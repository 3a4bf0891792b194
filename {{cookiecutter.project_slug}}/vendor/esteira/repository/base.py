"""What a change is compared with: where it left the default branch, or why there is nothing."""

from dataclasses import dataclass

from esteira.line.errors import UserError
from esteira.repository import git, snapshot

USUAL_NAMES = ("main", "master")
SHALLOW = "this clone lacks older commits: `git fetch --unshallow` (fetch-depth: 0 in CI)."


@dataclass(frozen=True)
class Base:
    """The commit that a change is compared with.

    `name` is the branch or revision it was found by, "" where none was. `not_compared` says why its
    metrics are not those of the same thing, or why there is no commit; "" where they compare.
    """

    commit: str | None
    name: str
    not_compared: str

    @property
    def comparable(self) -> str | None:
        """The commit to compare metrics with, or None where they are not compared."""
        return None if self.not_compared else self.commit

    def says(self) -> str:
        """Say in one sentence what is compared with what."""
        if self.commit is None or self.not_compared:
            return f"Not compared with a base: {self.not_compared}."
        return f"Compared with {self.name}, at {self.commit[:10]}."


def find(named: str | None = None) -> Base:
    """Find the merge base with `named`, or with the default branch.

    Raises UserError where a base exists and cannot be read: that is not "no base yet".
    """
    if not git.is_repository():
        return Base(None, "", "the project is in no Git repository")
    if git.commit("HEAD") is None:
        return Base(None, "", "nothing is committed yet")
    name = named or default_branch()
    if name is None:
        return Base(None, "", "no default branch is found, neither here nor at a remote")
    if git.commit(name) is None:
        raise UserError(f"the base {name!r} is no commit here: fetch it, or name another.")
    commit = git.merge_base(name)
    if commit is None and git.is_shallow():
        raise UserError(f"the base {name!r} cannot be compared with: {SHALLOW}")
    if commit is None:
        return Base(None, name, f"this branch shares no commit with {name}")
    return Base(commit, name, difference_in_kind(commit))


def default_branch() -> str | None:
    """Return the default branch, as a revision that Git knows here; None where there is none.

    Asked of the remote's HEAD as it was cloned, then of the remote itself, then by usual names.
    Raises UserError where the remote names a branch that was never fetched.
    """
    remote = upstream_remote()
    if remote is not None:
        cloned = git.ask("symbolic-ref", "--quiet", "--short", f"refs/remotes/{remote}/HEAD")
        if cloned is not None and git.commit(cloned) is not None:
            return cloned
        asked = git.remote_default_branch(remote)
        if asked is not None and git.commit(f"refs/remotes/{remote}/{asked}") is None:
            raise UserError(
                f"the default branch {asked!r} of {remote} is not here: "
                f"`git fetch {remote} {asked}:refs/remotes/{remote}/{asked}`."
            )
        if asked is not None:
            return f"{remote}/{asked}"
    configured = git.ask("config", "init.defaultBranch")
    names = dict.fromkeys(name for name in (configured, *USUAL_NAMES) if name)
    far = [f"{remote}/{name}" for name in names] if remote else []
    known = (name for name in (*far, *names) if git.commit(name) is not None)
    return next(known, None)


def upstream_remote() -> str | None:
    """Return the remote that this clone follows: `origin`, else the only or first one."""
    remotes = (git.ask("remote") or "").split()
    return "origin" if "origin" in remotes else next(iter(remotes), None)


def difference_in_kind(commit: str) -> str:
    """Say why metrics of a commit and of now are not of the same thing; "" where they are.

    Another target, or another table, has metrics of the same names and nothing else in common. A
    table that grew is the same one. Raises UserError where a .dvc file cannot be read.
    """
    before, now = snapshot.target(commit), snapshot.target(None)
    if before and now and before != now:
        return f"another target, {now.says()} where the base has {before.says()}"
    old, new = snapshot.source(commit), snapshot.source(None)
    if old is None or new is None or old.path == new.path:
        return ""
    only_renamed = old.md5 != "" and old.md5 == new.md5
    return "" if only_renamed else f"another table, {new.path} where the base has {old.path}"
