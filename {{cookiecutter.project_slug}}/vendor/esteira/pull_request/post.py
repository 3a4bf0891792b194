"""Post the report as one comment that is kept up to date. No code of the change runs here.

Who, where and what commit come from GitHub's `workflow_run` event; the report only fills the text.
"""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from esteira.line.errors import UserError
from esteira.pull_request import facts as f
from esteira.pull_request.render import MARKER, Place, absent, render

AUTHOR = "github-actions[bot]"
Api = Callable[..., Any]


def connect(url: str, token: str) -> Api:
    """Return a function that calls GitHub's REST API and returns what it answers, parsed."""
    if urllib.parse.urlsplit(url).scheme not in ("https", "http") or not token:
        raise UserError("GITHUB_API_URL and GITHUB_TOKEN must be set: this runs in a workflow.")
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }

    def call(method: str, path: str, body: dict[str, str] | None = None) -> Any:
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read(300).decode("utf-8", "replace")
            raise UserError(f"GitHub answers {error.code} to {method} {path}: {said}") from None
        except (OSError, ValueError) as error:
            raise UserError(f"GitHub's API cannot be read: {error}") from None

    return call


def opened(api: Api, repository: str, run: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the open pull requests from the branch that the run was of, by GitHub's word alone."""
    home = run.get("head_repository") or {}
    owner, branch = (home.get("owner") or {}).get("login"), run.get("head_branch")
    if not owner or not branch:
        raise UserError("the run's repository or branch is gone: there is nothing to comment on.")
    query = urllib.parse.urlencode({"state": "open", "per_page": 100, "head": f"{owner}:{branch}"})
    found = api("GET", f"/repos/{repository}/pulls?{query}")
    return [pull for pull in found if (pull["head"]["repo"] or {}).get("id") == home.get("id")]


def previous(api: Api, repository: str, number: int) -> int | None:
    """Return the id of the comment that this workflow posted before."""
    page = 1
    while comments := api(
        "GET", f"/repos/{repository}/issues/{number}/comments?per_page=100&page={page}"
    ):
        for comment in comments:
            if comment["user"]["login"] == AUTHOR and comment["body"].startswith(MARKER):
                return comment["id"]
        page += 1
    return None


def stick(api: Api, repository: str, number: int, body: str) -> str:
    """Update the comment, or create it. Returns what was done, in one sentence."""
    known = previous(api, repository, number)
    if known is None:
        api("POST", f"/repos/{repository}/issues/{number}/comments", {"body": body})
        return f"Created the comment on #{number}."
    api("PATCH", f"/repos/{repository}/issues/comments/{known}", {"body": body})
    return f"Updated the comment on #{number}."


def post(report: str | Path, api: Api, event: dict[str, Any]) -> str:
    """Comment the report of a finished run on its pull request. Returns what was done.

    Raises UserError where the report names another pull request or commit than GitHub does.
    """
    run, repository = event["workflow_run"], event["repository"]["full_name"]
    if run["event"] != "pull_request":
        return f"Nothing to post: the run was for {run['event']}."
    if run["conclusion"] == "cancelled":
        return "Nothing to post: the run was cancelled, a newer one replaces it."
    sha, pulls = run["head_sha"], opened(api, repository, run)
    red = run["conclusion"] != "success"
    place = Place(event["repository"]["html_url"], run["html_url"], red=red)
    try:
        found = f.read(report)
    except UserError as error:
        at = [pull["number"] for pull in pulls if pull["head"]["sha"] == sha]
        if len(at) != 1:
            raise UserError(f"{error} It cannot be told which pull request it is of.") from None
        return f"{stick(api, repository, at[0], absent(str(error), place))} {error}"
    pull = next((pull for pull in pulls if pull["number"] == found.number), None)
    if pull is None:
        raise UserError(
            f"refused: the report claims pull request #{found.number}, which is not an open one "
            "from the run's branch."
        )
    if found.head != sha:
        raise UserError(f"refused: the report is of commit {found.head}, the run was of {sha}.")
    found = found.model_copy(update={"fork": pull["head"]["repo"]["full_name"] != repository})
    moved = "" if pull["head"]["sha"] == sha else pull["head"]["sha"]
    return stick(api, repository, found.number, render(found, place._replace(moved=moved)))


def main(report: str | Path) -> str:
    """Post from a `workflow_run` workflow, with what GitHub put into the environment."""
    path = os.environ.get("GITHUB_EVENT_PATH")
    if not path:
        raise UserError("GITHUB_EVENT_PATH is not set: this runs in a workflow.")
    api = connect(os.environ.get("GITHUB_API_URL", ""), os.environ.get("GITHUB_TOKEN", ""))
    return post(report, api, json.loads(Path(path).read_text(encoding="utf-8")))
