"""What GitHub says: the event that started a workflow, and its REST API."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from esteira.line.errors import UserError
from esteira.line.params import parse


class Part(BaseModel):
    """Base of every part of an event: what is not named here is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Account(Part):
    """A user or an organisation."""

    login: str = ""


class Repository(Part):
    """A repository on GitHub."""

    id: int | None = None
    full_name: str = ""
    owner: Account | None = None
    html_url: str = ""


class Side(Part):
    """The head or the base of a pull request; `repo` is None where the fork was deleted."""

    sha: str
    ref: str = ""
    repo: Repository | None = None


class PullRequest(Part):
    """A pull request."""

    number: int
    head: Side
    base: Side

    @property
    def from_fork(self) -> bool:
        """Whether the change comes from another repository."""
        head, base = self.head.repo, self.base.repo
        return (head.id if head else None) != (base.id if base else None)


class MergeGroup(Part):
    """Pull requests that a merge queue has put together, on a branch of its own."""

    base_sha: str


class ChangedFile(Part):
    """A file that a pull request changes; a renamed one also has its former name."""

    filename: str
    previous_filename: str | None = None


class WorkflowRun(Part):
    """A finished run of a workflow."""

    event: str
    conclusion: str | None = None
    head_sha: str
    head_branch: str | None = None
    head_repository: Repository | None = None
    html_url: str = ""


class PullRequestEvent(Part):
    """What starts `pull-request`: a pull request, or a merge queue's group of them."""

    pull_request: PullRequest | None = None
    merge_group: MergeGroup | None = None

    @property
    def base(self) -> str | None:
        """The commit that the change would be merged into."""
        if self.pull_request is not None:
            return self.pull_request.base.sha
        return self.merge_group.base_sha if self.merge_group else None


class WorkflowRunEvent(Part):
    """What starts `pull-request-comment`."""

    workflow_run: WorkflowRun
    repository: Repository


class Comment(Part):
    """A comment on a pull request; `user` is None where the account was deleted."""

    id: int
    body: str = ""
    user: Account | None = None


MOST_FILES = 3000  # that GitHub lists of one pull request
Event = TypeVar("Event", bound=BaseModel)


def event(kind: type[Event]) -> Event | None:
    """Read the event that started this workflow, or return None outside of GitHub.

    Raises UserError where it is not an event of this kind.
    """
    path = os.environ.get("GITHUB_EVENT_PATH")
    if not path:
        return None
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"GITHUB_EVENT_PATH cannot be read: {error}") from None
    return parse(content, kind, "GitHub's event")


def this_run() -> str:
    """Return the page of the workflow run that this is part of, or ""."""
    server, repository, run = (
        os.environ.get(f"GITHUB_{name}") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")
    )
    return f"{server}/{repository}/actions/runs/{run}" if server and repository and run else ""


@dataclass(frozen=True)
class Api:
    """GitHub's REST API, for one repository."""

    url: str
    token: str
    repository: str  # owner/name

    def call(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        """Call the API and return what it answers, parsed. Raises UserError for a refusal."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        data = json.dumps(body).encode() if body else None
        address = f"{self.url}/repos/{self.repository}{path}"
        request = urllib.request.Request(address, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read(300).decode("utf-8", "replace")
            raise UserError(f"GitHub answers {error.code} to {method} {path}: {said}") from None
        except (OSError, ValueError) as error:
            raise UserError(f"GitHub's API cannot be read: {error}") from None

    def open_pulls(self, owner: str, branch: str) -> list[PullRequest]:
        """Return the open pull requests from a branch of an owner's repository."""
        head = {"state": "open", "per_page": 100, "head": f"{owner}:{branch}"}
        found = self.call("GET", f"/pulls?{urllib.parse.urlencode(head)}")
        return [PullRequest.model_validate(pull) for pull in found]

    def pages(self, path: str) -> list[Any]:
        """Return all that a listing holds, page by page."""
        found, page = [], 1
        while entries := self.call("GET", f"{path}?per_page=100&page={page}"):
            found += entries
            page += 1
        return found

    def comments(self, number: int) -> list[Comment]:
        """Return the comments on a pull request, oldest first."""
        listed = self.pages(f"/issues/{number}/comments")
        return [Comment.model_validate(comment) for comment in listed]

    def changed_files(self, number: int) -> list[ChangedFile]:
        """Return the files that a pull request changes: at most MOST_FILES, by GitHub's limit."""
        listed = self.pages(f"/pulls/{number}/files")
        return [ChangedFile.model_validate(file) for file in listed]

    def create_comment(self, number: int, body: str) -> None:
        """Comment on a pull request."""
        self.call("POST", f"/issues/{number}/comments", {"body": body})

    def update_comment(self, comment: int, body: str) -> None:
        """Replace a comment's text."""
        self.call("PATCH", f"/issues/comments/{comment}", {"body": body})


def api(repository: str) -> Api:
    """Return the API with this workflow's token. Raises UserError outside of a workflow."""
    url, token = os.environ.get("GITHUB_API_URL", ""), os.environ.get("GITHUB_TOKEN", "")
    if urllib.parse.urlsplit(url).scheme not in ("https", "http") or not token:
        raise UserError("GITHUB_API_URL and GITHUB_TOKEN must be set: this runs in a workflow.")
    return Api(url, token, repository)
