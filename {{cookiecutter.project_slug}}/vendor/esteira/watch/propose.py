"""The pull request that retrains: one for a project, made anew from the default branch each time.

The workflow has absorbed the batch, reproduced the line and pushed the data by now; here the commit
is made, pushed, and offered. Whatever dies halfway is done by the next run.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from esteira.comparison import says
from esteira.gate import Verdict, judge_all
from esteira.github.api import Api, api, home, push_address
from esteira.github.markdown import fill
from esteira.line.errors import UserError
from esteira.repository import git
from esteira.watch import facts, history, issue, settings
from esteira.watch.facts import Checked
from esteira.watch.issue import BRANCH

TRAILER = "Esteira-Batch"
TITLE = "Retrain: take the newest batch into training"
OWN_TOKEN = "ESTEIRA_OWN_TOKEN"  # noqa: S105 - "true" where the squad's token pushes


@dataclass(frozen=True)
class Offered:
    """What the branch on the server holds."""

    commit: str
    parent: str
    batch: str  # hash; "" where the commit is none of ours


def is_offered(server: Api, checked: Checked) -> bool:
    """Whether a pull request has this batch already, on top of the default branch as it is here."""
    there = _read_offered(push_address())
    is_pushed = there is not None and _is_this(there, checked)
    return is_pushed and issue.pull_of_the_branch(server) is not None


def propose(path: str | Path) -> str:
    """Push what the line made of the batch as a branch, and offer it; return what was done.

    Raises UserError outside of a workflow, and where somebody has worked on the branch.
    """
    checked, server, address = facts.read(path), api(home()), push_address()
    there = _read_offered(address)
    if there is not None and not there.batch:
        raise UserError(
            f"somebody has committed to {BRANCH}, which is made anew by each run: merge it, or"
            " rename it."
        )
    if there is None or not _is_this(there, checked):
        commit = _commit(checked)
        lease = f"--force-with-lease=refs/heads/{BRANCH}:{there.commit if there else ''}"
        if not git.pushed(address, lease, f"{commit}:refs/heads/{BRANCH}"):
            raise UserError(f"{BRANCH} has changed on the server: run this again.")
    done = _offer(server, checked)
    known = history.read(address)
    return f"{done} {issue.show(server, checked, known, settings.load(), 'open')}"


def _read_offered(address: str) -> Offered | None:
    """Return what is on the branch, or None where there is none."""
    listed = git.run("ls-remote", address, f"refs/heads/{BRANCH}").split()
    if not listed:
        return None
    git.run("fetch", "--quiet", "--no-tags", "--depth=2", address, f"refs/heads/{BRANCH}")
    commit = listed[0]
    batch = git.run("log", "-1", f"--format=%(trailers:key={TRAILER},valueonly)", commit).strip()
    return Offered(commit, git.commit(f"{commit}^") or "", batch)


def _is_this(there: Offered, checked: Checked) -> bool:
    return there.batch == checked.batch.md5 and there.parent == git.commit("HEAD")


def _commit(checked: Checked) -> str:
    """Commit what the line has changed, on no branch; return the commit."""
    git.run("add", "--all", ".")
    if git.succeeds("diff", "--cached", "--quiet"):
        raise UserError("nothing has changed: absorb the batch and reproduce the line first.")
    tree = git.run("write-tree").strip()
    message = f"Retrain on {Path(checked.batch.path).name}\n\n{TRAILER}: {checked.batch.md5}\n"
    who = ("-c", "user.name=github-actions[bot]", "-c",
           "user.email=41898282+github-actions[bot]@users.noreply.github.com")  # fmt: skip
    return git.run(*who, "commit-tree", tree, "-p", "HEAD", "-m", message).strip()


def _offer(server: Api, checked: Checked) -> str:
    """Open the pull request, or renew its text."""
    there = issue.find(server)
    text = fill(
        Path(__file__).parent / "proposal.md",
        checked=checked,
        issue=there,
        model=checked.model,
        verdicts=judge_all(checked.commit),
        compared=_compared,
        by_workflow=os.environ.get(OWN_TOKEN) != "true",
    )
    pull = issue.pull_of_the_branch(server)
    if pull is None:
        made = server.create_pull(TITLE, text, BRANCH, _default_branch())
        return f"Opened pull request #{made.number}."
    server.update_pull(pull.number, TITLE, text)
    return f"Updated pull request #{pull.number}."


def _compared(verdict: Verdict) -> str:
    """Say what the comparison of one metric found, or why there is none."""
    if verdict.not_compared:
        return f"not compared: {verdict.not_compared}"
    return says(verdict.comparison) if verdict.comparison else "–"


def _default_branch() -> str:
    name = os.environ.get("GITHUB_REF_NAME", "")
    if not name:
        raise UserError("GITHUB_REF_NAME is not set: this runs in a workflow.")
    return name
