"""What GitHub says: the event that started a workflow, and its REST API."""

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

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


class Issue(Part):
    """An issue, or a pull request, which GitHub lists among them."""

    number: int
    state: Literal["open", "closed"] = "open"
    body: str | None = None
    user: Account | None = None
    pull_request: dict[str, Any] | None = None


class Asset(Part):
    """A file of a release."""

    id: int
    name: str
    state: str = ""
    digest: str | None = None


class Release(Part):
    """A release, or the draft of one."""

    id: int
    tag_name: str
    draft: bool = False
    upload_url: str
    assets: list[Asset] = []


MOST_FILES = 3000  # that GitHub lists of one pull request
TRIES = 3
LONGEST_WAIT = 60.0  # seconds
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


def output(name: str, value: str) -> None:
    """Give a value to the steps and jobs of the workflow that follow; nothing outside of one."""
    file = os.environ.get("GITHUB_OUTPUT")
    if file:
        with Path(file).open("a", encoding="utf-8") as outputs:
            outputs.write(f"{name}={value}\n")


class BusyError(UserError):
    """The server cannot answer now; `wait` is how many seconds it asks for."""

    def __init__(self, sentence: str, wait: float) -> None:
        super().__init__(sentence)
        self.wait = wait


@dataclass(frozen=True)
class Api:
    """GitHub's REST API, for one repository."""

    url: str
    token: str
    repository: str  # owner/name

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call the API and return what it answers, parsed.

        Asks again where the server is busy or fails. Raises UserError for a refusal.
        """
        for _ in range(TRIES - 1):
            try:
                return self._call(method, path, body)
            except BusyError as busy:
                time.sleep(min(busy.wait, LONGEST_WAIT))
        return self._call(method, path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        data = json.dumps(body).encode() if body else None
        return self._send(method, f"{self.url}/repos/{self.repository}{path}", data, path)

    def _send(self, method: str, address: str, data: bytes | None, path: str) -> Any:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        if data is not None and path.endswith("/assets"):
            headers["Content-Type"] = "application/octet-stream"
        request = urllib.request.Request(address, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                content = answer.read()
                return json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            said = error.read(300).decode("utf-8", "replace")
            sentence = f"GitHub answers {error.code} to {method} {path}: {said}"
            wait = error.headers.get("Retry-After", "")
            limited = error.code in (403, 429) and wait.isdigit()
            if limited or (error.code >= 500 and method != "POST"):
                raise BusyError(sentence, float(wait) if wait.isdigit() else 1.0) from None
            raise UserError(sentence) from None
        except (OSError, ValueError) as error:
            raise UserError(f"GitHub's API cannot be read: {error}") from None

    def open_pulls(self, owner: str, branch: str) -> list[PullRequest]:
        """Return the open pull requests from a branch of an owner's repository."""
        return self.pulls(owner, branch, "open")

    def pulls(self, owner: str, branch: str, state: Literal["open", "closed"]) -> list[PullRequest]:
        """Return the pull requests from a branch of an owner's repository, the newest first."""
        head = {"state": state, "per_page": 100, "head": f"{owner}:{branch}"}
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

    def issues(self, label: str) -> list[Issue]:
        """Return the issues with a label, open or closed, the newest first; no pull requests."""
        asked = {"labels": label, "state": "all", "per_page": 100}
        listed = self.call("GET", f"/issues?{urllib.parse.urlencode(asked)}")
        found = [Issue.model_validate(issue) for issue in listed]
        return [issue for issue in found if issue.pull_request is None]

    def create_issue(self, title: str, body: str, label: str) -> Issue:
        """Open an issue."""
        made = self.call("POST", "/issues", {"title": title, "body": body, "labels": [label]})
        return Issue.model_validate(made)

    def update_issue(
        self, number: int, title: str, body: str, state: Literal["open", "closed"]
    ) -> None:
        """Replace an issue's texts and state."""
        changed = {"title": title, "body": body, "state": state}
        self.call("PATCH", f"/issues/{number}", changed)

    def create_pull(self, title: str, body: str, head: str, base: str) -> PullRequest:
        """Open a pull request from a branch of this repository."""
        asked = {"title": title, "body": body, "head": head, "base": base}
        return PullRequest.model_validate(self.call("POST", "/pulls", asked))

    def update_pull(self, number: int, title: str, body: str) -> None:
        """Replace a pull request's texts."""
        self.call("PATCH", f"/pulls/{number}", {"title": title, "body": body})

    def releases(self) -> list[Release]:
        """Return the newest releases, drafts among them."""
        return [Release.model_validate(r) for r in self.call("GET", "/releases?per_page=100")]

    def create_release(self, tag: str, body: str, prerelease: bool) -> Release:
        """Make the draft of a release of a tag."""
        asked = {"tag_name": tag, "name": tag, "body": body, "draft": True}
        made = self.call("POST", "/releases", asked | {"prerelease": prerelease})
        return Release.model_validate(made)

    def update_release(self, number: int, body: str, prerelease: bool) -> None:
        """Replace a release's text, and let everybody see it."""
        changed = {"body": body, "draft": False, "prerelease": prerelease}
        self.call("PATCH", f"/releases/{number}", changed)

    def upload(self, release: Release, name: str, content: bytes) -> None:
        """Add a file to a release."""
        address = release.upload_url.partition("{")[0]
        query = urllib.parse.urlencode({"name": name})
        self._send("POST", f"{address}?{query}", content, "/releases/assets")

    def delete_asset(self, number: int) -> None:
        """Take a file away from a release."""
        self.call("DELETE", f"/releases/assets/{number}")

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


def push_address() -> str:
    """Return where this workflow may push to, with its token. Raises UserError outside of one."""
    server = urllib.parse.urlsplit(os.environ.get("GITHUB_SERVER_URL", ""))
    token, repository = (os.environ.get(f"GITHUB_{name}", "") for name in ("TOKEN", "REPOSITORY"))
    if not (server.netloc and token and repository):
        raise UserError("GITHUB_SERVER_URL and GITHUB_TOKEN must be set: this runs in a workflow.")
    return f"{server.scheme}://x-access-token:{token}@{server.netloc}/{repository}"


def home() -> str:
    """Return the repository's name, owner/name. Raises UserError outside of a workflow."""
    name = os.environ.get("GITHUB_REPOSITORY", "")
    if "/" not in name:
        raise UserError("GITHUB_REPOSITORY is not set: this runs in a workflow.")
    return name
