"""Post the report as one comment that is kept up to date. No code of the change runs here.

Who, where and what commit come from GitHub's `workflow_run` event; the report only fills the text.
"""

from pathlib import Path

from esteira.github.api import (
    Api,
    PullRequest,
    WorkflowRun,
    WorkflowRunEvent,
    api,
    event,
)
from esteira.line.errors import UserError
from esteira.pull_request import facts as f
from esteira.pull_request.by_github import outside
from esteira.pull_request.render import no_report, not_believed, render
from esteira.pull_request.view import MARKER, Place

AUTHOR = "github-actions[bot]"


def main(report: str | Path) -> str:
    """Post from a `workflow_run` workflow, with what GitHub put into the environment."""
    started_by = event(WorkflowRunEvent)
    if started_by is None:
        raise UserError("GITHUB_EVENT_PATH is not set: this runs in a workflow.")
    return post(report, api(started_by.repository.full_name), started_by.workflow_run)


def post(report: str | Path, api: Api, run: WorkflowRun) -> str:
    """Comment the report of a finished run on its pull request. Returns what was done.

    Where the report names another pull request or commit than GitHub does, the comment says that it
    could not be believed, lest an older one stay; then raises UserError, so that the run is red.
    """
    if run.event != "pull_request":
        return f"Nothing to post: the run was for {run.event}."
    if run.conclusion == "cancelled":
        return "Nothing to post: the run was cancelled, a newer one replaces it."
    pulls = open_pulls(api, run)
    red = run.conclusion != "success"
    try:
        facts = f.read(report)
    except UserError as error:
        body = no_report(str(error), Place(run.html_url))
        return f"{stick_on(api, at_commit(pulls, run), body)} {error}"
    pull = next((pull for pull in pulls if pull.number == facts.number), None)
    lie = claim_that_github_denies(facts, pull, run)
    if pull is None or lie:
        done = stick_on(api, at_commit(pulls, run), not_believed(lie, Place(run.html_url)))
        raise UserError(f"refused: {lie} {done}")
    known = facts.model_copy(update={"fork": pull.from_fork})
    moved = "" if pull.head.sha == run.head_sha else pull.head.sha
    place = Place(run.html_url, moved, red, outside(api, known))
    return stick(api, pull.number, render(known, place))


def claim_that_github_denies(facts: f.Facts, pull: PullRequest | None, run: WorkflowRun) -> str:
    """Say in one sentence what the report claims against GitHub's word; "" where it does not."""
    if pull is None:
        return (
            f"the report claims pull request #{facts.number}, which is not an open one from the "
            "run's branch."
        )
    if facts.head != run.head_sha:
        return f"the report is of commit {facts.head}, the run was of {run.head_sha}."
    return ""


def open_pulls(api: Api, run: WorkflowRun) -> list[PullRequest]:
    """Return the open pull requests from the branch that the run was of, by GitHub's word alone."""
    home, branch = run.head_repository, run.head_branch
    if home is None or home.owner is None or not home.owner.login or not branch:
        raise UserError("the run's repository or branch is gone: there is nothing to comment on.")
    found = api.open_pulls(home.owner.login, branch)
    return [pull for pull in found if (pull.head.repo.id if pull.head.repo else None) == home.id]


def at_commit(pulls: list[PullRequest], run: WorkflowRun) -> list[PullRequest]:
    """Return the pull requests at the run's commit; where none is, all of its branch."""
    return [pull for pull in pulls if pull.head.sha == run.head_sha] or pulls


def stick_on(api: Api, pulls: list[PullRequest], body: str) -> str:
    """Comment on each of some pull requests. Returns what was done. Raises UserError for none."""
    if not pulls:
        raise UserError(
            "the run's branch has no open pull request: there is nothing to comment on."
        )
    return " ".join(stick(api, pull.number, body) for pull in pulls)


def stick(api: Api, number: int, body: str) -> str:
    """Update the comment, or create it. Returns what was done, in one sentence."""
    for comment in api.comments(number):
        ours = comment.user is not None and comment.user.login == AUTHOR
        if ours and comment.body.startswith(MARKER):
            api.update_comment(comment.id, body)
            return f"Updated the comment on #{number}."
    api.create_comment(number, body)
    return f"Created the comment on #{number}."
