"""The pull request that updates: one for a project, made anew until somebody works on it.

The other job has rendered and merged by now; here its commits are pushed and offered. Whatever dies
halfway is done by the next run.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from esteira.github.api import Api, PullRequest, api, home, push_address
from esteira.github.markdown import Markdown, code, fill, joined
from esteira.line.errors import UserError
from esteira.repository import git, template
from esteira.update import facts
from esteira.update.facts import Facts
from esteira.update.pack import BUNDLE, COMMIT, TRAILER, WRITTEN

BRANCH = "esteira/update"
OWN_TOKEN = "ESTEIRA_OWN_TOKEN"  # noqa: S105 - "true" where the squad's token pushes
WORKFLOWS = ".github/workflows/"
MOST_FILES = 60  # of a kind that are named
MOST_NEWS = 300  # lines of the changelog: GitHub takes 65,536 characters


@dataclass(frozen=True)
class Offered:
    """What the branch on the server holds."""

    commit: str
    is_ours: bool  # made by this workflow, and nobody has committed to it since
    is_same: bool  # this update, of this commit of the project


def propose(folder: Path) -> str:
    """Push an update as a branch, and offer it; return what was done.

    A branch that somebody works on is left, and so is one whose pull request somebody closed.
    Raises UserError outside of a workflow, and where GitHub would not take it.
    """
    found = facts.read(folder)
    server, address = api(home()), push_address()
    bundle = str(folder / BUNDLE)
    git.run("fetch", "--quiet", bundle, f"+{COMMIT}:{COMMIT}", f"+{WRITTEN}:{WRITTEN}")
    there = _there(address, found)
    if there is not None and not there.is_ours:
        return f"Somebody has committed to {BRANCH}: it is left as it is."
    pull = _pull(server, "open")
    if there is not None and there.is_same and pull is None:
        closed = _pull(server, "closed")
        if closed is not None and closed.head.sha == there.commit:
            return f"#{closed.number} was closed: delete {BRANCH} to have it offered again."
    if there is None or not there.is_same:
        _push(address, there, found)
    git.pushed(address, f"{WRITTEN}:refs/heads/{template.BRANCH}")  # others may need it: as it may
    return _offer(server, pull, found)


def _there(address: str, found: Facts) -> Offered | None:
    """Return what is on the branch, or None where there is none."""
    listed = git.run("ls-remote", address, f"refs/heads/{BRANCH}").split()
    if not listed:
        return None
    commit = listed[0]
    git.run("fetch", "--quiet", "--no-tags", address, f"refs/heads/{BRANCH}")
    named = git.run("log", "-1", f"--format=%(trailers:key={TRAILER},valueonly)", commit).strip()
    is_written = commit in template.commits(commit)
    is_merge = named == found.written and git.commit(f"{commit}^") == found.base
    same = commit == found.written if found.conflicts else is_merge
    return Offered(commit, bool(named) or is_written, same)


def _pull(server: Api, state: Literal["open", "closed"]) -> PullRequest | None:
    owner = server.repository.partition("/")[0]
    found = [pull for pull in server.pulls(owner, BRANCH, state) if not pull.from_fork]
    return found[0] if found else None


def _push(address: str, there: Offered | None, found: Facts) -> None:
    """Push the update in place of what is there. Raises UserError where GitHub would refuse."""
    changed = git.paths("diff", "--name-only", "--no-renames", found.base, COMMIT)
    workflows = [path for path in changed if path.startswith(WORKFLOWS)]
    if workflows and not _has_own_token():
        raise UserError(
            f"Esteira {found.new} changes {', '.join(workflows)}, and GitHub lets no workflow push "
            "that with its own token: give the secret ESTEIRA_PUSH_TOKEN (.github/SETUP.md), or "
            "run `uv run esteira update` yourself and open the pull request."
        )
    lease = f"--force-with-lease=refs/heads/{BRANCH}:{there.commit if there else ''}"
    if not git.pushed(address, lease, f"{COMMIT}:refs/heads/{BRANCH}"):
        raise UserError(f"{BRANCH} has changed on the server: run this again.")


def _listed(files: tuple[str, ...]) -> Markdown:
    """Name the first of some files, and say how many more there are."""
    more = [Markdown(f"{len(files) - MOST_FILES} more")] if len(files) > MOST_FILES else []
    return joined([*(code(file) for file in files[:MOST_FILES]), *more])


def _has_own_token() -> bool:
    return os.environ.get(OWN_TOKEN) == "true"


def _offer(server: Api, pull: PullRequest | None, found: Facts) -> str:
    """Open the pull request, or renew its text."""
    title = f"Update the Esteira template to {found.new}"
    text = fill(
        Path(__file__).parent / "proposal.md",
        found=found,
        conflicts=len(found.conflicts),
        groups=[(group.what, _listed(group.files)) for group in found.groups],
        news=found.news[:MOST_NEWS],
        branch=BRANCH,
        by_workflow=not _has_own_token(),
    )
    if pull is not None:
        server.update_pull(pull.number, title, text)
        return f"Updated pull request #{pull.number}."
    base = os.environ.get("GITHUB_REF_NAME", "")
    if not base:
        raise UserError("GITHUB_REF_NAME is not set: this runs in a workflow.")
    made = server.create_pull(title, text, BRANCH, base)
    return f"Opened pull request #{made.number}."
