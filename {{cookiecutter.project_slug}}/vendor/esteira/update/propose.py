"""The pull request that updates: one for a project, made anew from the default branch each time.

The workflow has merged the newer template, reproduced the line and pushed the data by now.
"""

import os
from pathlib import Path

from esteira.gate import Verdict, judge_all
from esteira.github.api import Api, PullRequest, api, home, push_address
from esteira.github.markdown import fill
from esteira.line.errors import UserError
from esteira.repository import git
from esteira.repository.template import BRANCH as OWN_BRANCH
from esteira.update import merge, record

BRANCH = "esteira/update"
OWN_TOKEN = "ESTEIRA_OWN_TOKEN"  # noqa: S105 - "true" where the squad's token pushes


def propose() -> str:
    """Commit what the line made of the update, push it and the branch `template`, and offer it.

    Returns what was done. Raises UserError outside of a workflow, where nothing was updated, and
    where the server does not take the branch.
    """
    server, address = api(home()), push_address()
    version = record.read().version
    default = os.environ.get("GITHUB_REF_NAME", "")
    before = git.commit(f"refs/remotes/origin/{default}")
    if before is None or git.commit("HEAD") == before:
        raise UserError("nothing was updated here: run `uv run esteira update` first.")
    merge.commit_all(f"Reproduce the line with Esteira {version}")
    there = git.run("ls-remote", address, f"refs/heads/{BRANCH}").split()
    lease = f"--force-with-lease=refs/heads/{BRANCH}:{there[0] if there else ''}"
    refs = (f"HEAD:refs/heads/{BRANCH}", f"refs/heads/{OWN_BRANCH}:refs/heads/{OWN_BRANCH}")
    if not git.pushed(address, lease, *refs):
        raise UserError(
            f"the server does not take the branch {BRANCH}. An update that changes workflows needs"
            " the secret ESTEIRA_PUSH_TOKEN, a token of yours that may write workflows: see"
            " .github/SETUP.md."
        )
    return _offer(server, version, before, default)


def _offer(server: Api, version: str, before: str, default: str) -> str:
    """Open the pull request, or renew its text."""
    title = f"Update to Esteira {version}"
    changed = git.paths("diff", "--name-only", "--relative", f"{before}...HEAD")
    text = fill(
        Path(__file__).parent / "proposal.md",
        version=version,
        own=[path for path in changed if not path.startswith("vendor/")],
        vendored=sum(path.startswith("vendor/") for path in changed),
        verdicts=judge_all(before),
        compared=_compared,
        by_workflow=os.environ.get(OWN_TOKEN) != "true",
    )
    pull = _open_one(server)
    if pull is None:
        made = server.create_pull(title, text, BRANCH, default)
        return f"Opened pull request #{made.number}."
    server.update_pull(pull.number, title, text)
    return f"Updated pull request #{pull.number}."


def _open_one(server: Api) -> PullRequest | None:
    owner = server.repository.partition("/")[0]
    found = [pull for pull in server.open_pulls(owner, BRANCH) if not pull.from_fork]
    return found[0] if found else None


def _compared(verdict: Verdict) -> str:
    """Say what the comparison of one metric found, or why there is none."""
    from esteira.comparison import says

    if verdict.not_compared:
        return f"not compared: {verdict.not_compared}"
    return says(verdict.comparison) if verdict.comparison else "–"
