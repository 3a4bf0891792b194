"""The one issue of a project that says what the watch has found: opened, edited, closed."""

from pathlib import Path
from typing import Literal

from esteira.drift.verdicts import KEEP, RETRAIN, REWORK, UNUSABLE
from esteira.github.api import Api, Issue, PullRequest, this_run
from esteira.github.markdown import Markdown, fill
from esteira.watch.facts import Checked
from esteira.watch.history import History
from esteira.watch.settings import Settings

LABEL = "esteira-drift"
MARKER = Markdown("<!-- esteira watch -->")
AUTHOR = "github-actions[bot]"
BRANCH = "esteira/retrain"
TITLES = {
    KEEP.action: "Drift: the batches look like the training data again",
    RETRAIN.action: "Drift: the data drifted, retrain",
    REWORK.action: "Drift: the concept drifted, rework the model",
    UNUSABLE.action: "Drift: the newest batch cannot be used",
}


def find(api: Api) -> Issue | None:
    """Return the project's issue, open or closed: by its marker, and by who wrote it."""
    for issue in api.issues(LABEL):
        ours = issue.user is not None and issue.user.login == AUTHOR
        if ours and (issue.body or "").startswith(MARKER):
            return issue
    return None


def pull_of_the_branch(api: Api) -> PullRequest | None:
    """Return the open pull request that retrains, if there is one."""
    owner = api.repository.partition("/")[0]
    found = [pull for pull in api.open_pulls(owner, BRANCH) if not pull.from_fork]
    return found[0] if found else None


def body(checked: Checked, history: History, settings: Settings, pull: PullRequest | None) -> str:
    """Return the issue's text."""
    return fill(
        Path(__file__).parent / "issue.md",
        marker=MARKER,
        checked=checked,
        verdict=checked.verdict,
        history=history.checks[::-1],
        since=history.since,
        settings=settings,
        pull=pull,
        run=this_run(),
    )


def show(
    api: Api,
    checked: Checked,
    history: History,
    settings: Settings,
    state: Literal["open", "closed"],
) -> str:
    """Let the issue say what was found; return what was done, in one sentence."""
    title, text = TITLES[checked.action], body(checked, history, settings, pull_of_the_branch(api))
    known = find(api)
    if known is None:
        made = api.create_issue(title, text, LABEL)
        return f"Opened issue #{made.number}."
    api.update_issue(known.number, title, text, state)
    done = "Closed" if state == "closed" else "Updated" if known.state == "open" else "Reopened"
    return f"{done} issue #{known.number}."
