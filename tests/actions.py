"""Run the generated workflows for real: act in host mode, an S3 server and a fake of GitHub's API.

Everything is on loopback. Actions of others are replaced by stand-ins of a few lines; their keys
come from the pins in the workflows, so a pin without a stand-in fails.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import helpers

REPOSITORY = "squad/churn-radar"
ADDRESS = f"https://x-access-token:fake@github.com/{REPOSITORY}"  # what workflows push to
KEYS = {
    "AWS_ACCESS_KEY_ID": "reader",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
# As actions/checkout does it: the commits that `fetch-depth` asks for, and no others.
CHECK_OUT = """git init --quiet . && git remote add origin "file://$ORIGIN"
if [ "$DEPTH" = 0 ]; then git fetch --quiet origin '+refs/heads/*:refs/remotes/origin/*'
else git fetch --quiet --depth 1 origin "${REF:-$GITHUB_SHA}"; fi
if [ "$DEPTH" = 0 ]; then git checkout --quiet --detach "$REF"
else git checkout --quiet --detach FETCH_HEAD; fi"""
COPY_IN = 'mkdir -p "$INPUT" && cp -r "$ARTIFACTS/$NAME/." "$INPUT"'
COPY_OUT = """mkdir -p "$ARTIFACTS/$NAME"
while read -r file; do if [ -e "$file" ]; then cp --parents "$file" "$ARTIFACTS/$NAME"; fi
done <<< "$INPUT\""""
SIGN_IN = "\n".join(f'echo "{name}={value}" >> "$GITHUB_ENV"' for name, value in KEYS.items())
# uv as it is, but that `sync` checks the lock and installs nothing: all runs share one environment.
UV = '#!/bin/sh\n[ "$1" = sync ] && set -- "$@" --dry-run --quiet\nexec "{uv}" "$@"\n'
STAND_INS = {
    "actions/checkout": CHECK_OUT,
    "astral-sh/setup-uv": 'echo "$WRAPPERS" >> "$GITHUB_PATH"',
    "actions/upload-artifact": COPY_OUT,
    "actions/download-artifact": COPY_IN,
    "actions/attest": 'ls $SUBJECT && echo "attested $SUBJECT"',
    "aws-actions/configure-aws-credentials": 'echo "signed in with $ROLE"\n' + SIGN_IN,
}
# The project's own tests have a test of their own; here it is enough that the step runs pytest.
COLLECT_A_FEW = "--collect-only --quiet --noconftest tests/test_notebooks.py"
IDENTITY = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
INPUTS = {
    "name": "NAME",
    "path": "INPUT",
    "role-to-assume": "ROLE",
    "ref": "REF",
    "fetch-depth": "DEPTH",
    "subject-path": "SUBJECT",
}


def pins(folder: Path) -> set[str]:
    """Return every `owner/name@sha` that the workflows and actions below `folder` use."""
    texts = [p.read_text(encoding="utf-8") for p in (folder / ".github").rglob("*.yml")]
    return {use for text in texts for use in re.findall(r"uses: ([\w-]+/[\w./-]+@\S+)", text)}


def stand_ins(folder: Path, project: Path) -> list[str]:
    """Write a stand-in for each action that `project` uses; return act's options for them."""
    options = []
    for use in sorted(pins(project)):
        name = use.partition("@")[0]
        home = folder / name.replace("/", "-")
        home.mkdir(parents=True, exist_ok=True)
        steps = {
            "shell": "bash",
            "env": {env: f"${{{{ inputs.{key} }}}}" for key, env in INPUTS.items()},
            "run": STAND_INS[name],
        }
        inputs = {key: {"description": key, "default": ""} for key in INPUTS}
        content = {
            "name": name, "description": name, "inputs": inputs,
            "runs": {"using": "composite", "steps": [steps]},
        }  # fmt: skip
        (home / "action.yml").write_text(json.dumps(content), encoding="utf-8")
        options += ["--local-repository", f"{use}={home}"]
    return options


def act(
    clone: Path,
    workflow: str,
    event: dict[str, Any],
    *,
    secrets: dict[str, str] | None = None,
    variables: dict[str, str] | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run one workflow of a fresh `clone` for `event`; artifacts go to `artifacts/` beside it.

    The name of the event is the key that tells it: `pull_request`, `merge_group`, `workflow_run`,
    `inputs`, none.
    """
    # Without a `ref`, act copies the tree itself and never runs the stand-in.
    kinds = ("pull_request", "merge_group", "workflow_run")
    kind = next((k for k in kinds if k in event), None)
    kind = kind or ("workflow_dispatch" if "inputs" in event else "push")
    beside, home = clone.parent, clone.parent / "home"
    for name in ("wrappers", "artifacts", "home"):
        (beside / name).mkdir(exist_ok=True)
    wrapper = beside / "wrappers" / "uv"
    uv = shutil.which("uv", path=helpers.surroundings()["PATH"])
    wrapper.write_text(UV.format(uv=uv), encoding="utf-8")
    wrapper.chmod(0o755)
    (beside / "event.json").write_text(json.dumps(event), encoding="utf-8")
    helpers.run(clone, "git", "remote", "add", "github", f"https://github.com/{REPOSITORY}.git")
    origin = git(clone, "remote", "get-url", "origin")
    git(Path(origin), "config", "uploadpack.allowAnySHA1InWant", "true")
    passed = {
        "ORIGIN": origin,
        "ARTIFACTS": str(beside / "artifacts"),
        "WRAPPERS": str(beside / "wrappers"),
        "PYTHONPATH": "src:vendor",
        "UV_PROJECT_ENVIRONMENT": str(helpers.ENVIRONMENT),
        "UV_CACHE_DIR": helpers.run(clone, "uv", "cache", "dir").stdout.strip(),
        "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "PYTEST_ADDOPTS": COLLECT_A_FEW,
        **(env or {}),
    }
    command = [
        "env", *(word for name in IDENTITY for word in ("-u", name)),
        "act", kind, "-P", "ubuntu-24.04=-self-hosted", "--remote-name", "github",
        "-e", str(beside / "event.json"), "-W", f".github/workflows/{workflow}.yml",
        "--no-cache-server", "--action-cache-path", str(home / "actions"),
        "-s", "GITHUB_TOKEN=fake", *stand_ins(beside / "stand-ins", clone),
        *(word for k, v in (secrets or {}).items() for word in ("-s", f"{k}={v}")),
        *(word for k, v in (variables or {}).items() for word in ("--var", f"{k}={v}")),
        *(word for k, v in passed.items() for word in ("--env", f"{k}={v}")),
    ]  # fmt: skip
    return helpers.run(clone, *command, check=False, env={"HOME": str(home), "PYTHONPATH": ""})


class Bucket:
    """An S3 server on loopback, as a process of its own."""

    def __init__(self, **env: str) -> None:
        """Start the server, with more variables, and wait for its port."""
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(**env),
        )
        printed = self.process.stdout
        assert printed is not None
        for line in printed:
            if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", line):
                self.url = found[1]
                break
        self.log: list[str] = []
        # A full pipe would stop it.
        threading.Thread(target=lambda: self.log.extend(printed), daemon=True).start()
        self.request("PUT", "/data")

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """Put an object, in place of another."""
        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            region_name=KEYS["AWS_DEFAULT_REGION"],
        )
        client.put_object(Bucket=bucket, Key=key, Body=body)

    def request(self, method: str, path: str) -> bytes:
        """Send a request without a signature, which moto does not ask for."""
        request = urllib.request.Request(self.url + path, method=method)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            return answer.read()

    def close(self) -> None:
        """Stop the server."""
        self.process.terminate()
        self.process.wait()


class GitHub:
    """A small fake of the API: pull requests that are given, comments that are kept."""

    def __init__(self) -> None:
        """Serve on a free port of loopback."""
        self.pulls: list[dict[str, Any]] = []
        self.files: list[str] = []  # that each of them changes
        self.comments: dict[int, dict[str, Any]] = {}
        self.issues: dict[int, dict[str, Any]] = {}
        self.releases: dict[int, dict[str, Any]] = {}
        self.assets: dict[int, bytes] = {}  # of releases
        self.busy = 0  # so many of the next requests are answered by 503
        self.broken = ""  # requests that begin so are answered by 500
        self.requests: list[str] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                content = self.rfile.read(size) if size else b""
                is_file = self.headers.get("Content-Type") == "application/octet-stream"
                body = {"file": content} if is_file else json.loads(content or b"{}")
                fake.requests.append(f"{self.command} {self.path}")
                status, content = fake.respond(self.command, self.path, body)
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                if status == 503:
                    self.send_header("Retry-After", "0")
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def respond(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Answer one request as GitHub would; 404 for anything that is not needed."""
        if self.busy:
            self.busy -= 1
            return 503, {"message": "Unavailable"}
        if self.broken and f"{method} {path}".startswith(self.broken):
            return 500, {"message": "Server Error"}
        path, _, query = path.partition("?")
        if len(body.get("body", "")) > 65_536:
            return 422, {"message": "body is too long (maximum is 65536 characters)"}
        if method == "GET" and path == f"/repos/{REPOSITORY}/pulls":
            asked = urllib.parse.parse_qs(query)
            (head,), (state,) = asked["head"], asked["state"]
            named = [p for p in self.pulls if p["head"]["label"] == head]
            return 200, [p for p in named if p.get("state", "open") == state]
        if re.fullmatch(rf"/repos/{REPOSITORY}/pulls/\d+/files", path):
            first = "page=1" in query.split("&")
            return 200, [{"filename": name} for name in self.files] if first else []
        if found := re.fullmatch(rf"/repos/{REPOSITORY}/issues/(\d+)/comments", path):
            number = int(found[1])
            if method == "GET":
                first = "page=1" in query.split("&")
                here = [c for c in self.comments.values() if c["number"] == number]
                return 200, here if first else []
            return 201, self.comment(number, body["body"], "github-actions[bot]")
        if found := re.fullmatch(rf"/repos/{REPOSITORY}/issues/comments/(\d+)", path):
            self.comments[int(found[1])]["body"] = body["body"]
            return 200, self.comments[int(found[1])]
        return self.respond_of_issues(method, path, query, body)

    def respond_of_issues(
        self, method: str, path: str, query: str, body: dict[str, Any]
    ) -> tuple[int, Any]:
        """Answer what opens, edits and lists issues and pull requests."""
        if "/releases" in path:
            return self.respond_of_releases(method, path, query, body)
        found = re.fullmatch(rf"/repos/{REPOSITORY}/(issues|pulls)(?:/(\d+))?", path)
        if not found:
            return 404, {"message": "Not Found"}
        kind, number = found.groups()
        if method == "GET" and kind == "issues":
            (label,) = urllib.parse.parse_qs(query)["labels"]
            return 200, [i for i in self.issues.values() if label in i["labels"]]
        if method == "POST" and kind == "issues":
            number = 70 + len(self.issues)
            self.issues[number] = body | {
                "number": number, "state": "open", "user": {"login": "github-actions[bot]"},
            }  # fmt: skip
            return 201, self.issues[number]
        if method == "POST":
            number = 30 + len(self.pulls)
            owner = {"id": 1, "full_name": REPOSITORY}
            head = {"sha": "", "ref": body["head"], "label": f"squad:{body['head']}", "repo": owner}
            pull = body | {"number": number, "head": head, "base": {"sha": "", "repo": owner}}
            self.pulls.append(pull)
            return 201, pull
        if method == "PATCH" and kind == "issues":
            self.issues[int(number)] |= body
            return 200, self.issues[int(number)]
        if method == "PATCH":
            pull = next(p for p in self.pulls if p["number"] == int(number))
            pull |= body
            return 200, pull
        return 404, {"message": "Not Found"}

    def respond_of_releases(
        self, method: str, path: str, query: str, body: dict[str, Any]
    ) -> tuple[int, Any]:
        """Answer what makes releases, and adds files to them."""
        here = f"/repos/{REPOSITORY}/releases"
        if (method, path) == ("GET", here):
            return 200, list(self.releases.values())
        if (method, path) == ("POST", here):
            number = 900 + len(self.releases)
            address = f"{self.url}{here}/{number}/assets{{?name,label}}"
            self.releases[number] = body | {"id": number, "upload_url": address, "assets": []}
            return 201, self.releases[number]
        if found := re.fullmatch(rf"{here}/(\d+)/assets", path):
            (name,) = urllib.parse.parse_qs(query)["name"]
            key = 5000 + len(self.assets)
            self.assets[key] = body["file"]
            digest = f"sha256:{hashlib.sha256(body['file']).hexdigest()}"
            asset = {"id": key, "name": name, "state": "uploaded", "digest": digest}
            self.releases[int(found[1])]["assets"].append(asset)
            return 201, asset
        if found := re.fullmatch(rf"{here}/assets/(\d+)", path):
            for release in self.releases.values():
                release["assets"] = [a for a in release["assets"] if a["id"] != int(found[1])]
            return 200, {}
        found = re.fullmatch(rf"{here}/(\d+)", path)
        if method == "PATCH" and found:
            self.releases[int(found[1])] |= body
            return 200, self.releases[int(found[1])]
        return 404, {"message": "Not Found"}

    def comment(self, number: int, body: str, author: str) -> dict[str, Any]:
        """Keep a comment."""
        key = 100 + len(self.comments)
        self.comments[key] = {"id": key, "number": number, "body": body, "user": {"login": author}}
        return self.comments[key]

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()


def git(folder: Path, *words: str) -> str:
    """Run Git as the squad's author; return what it printed."""
    return helpers.run(folder, "git", *words).stdout.strip()


def environment(**more: str) -> dict[str, str]:
    """Return this process's variables, less credentials that are the machine's own."""
    return {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | more


def checked_out(project: Path, run: int) -> Path:
    """Return what a run of a workflow checks out: a fresh clone, whose pushes reach the project."""
    clone = project.parent / f"run-{run}" / project.name
    git(project, "clone", "--quiet", str(project), str(clone))
    home = clone.parent / "home"
    home.mkdir()
    mapped = f'[url "{project}"]\n  insteadOf = {ADDRESS}\n'
    (home / ".gitconfig").write_text(mapped, encoding="utf-8")
    return clone


def of_workflow(clone: Path, github: "GitHub") -> dict[str, str]:
    """Return the variables that a step on the default branch has in a checked-out clone."""
    return {
        "GITHUB_TOKEN": "fake",
        "GITHUB_API_URL": github.url,
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_REF_NAME": "main",
        "GITHUB_OUTPUT": str(clone.parent / "output"),
        "GIT_CONFIG_GLOBAL": str(clone.parent / "home" / ".gitconfig"),
    }


def edit(project: Path, file: str, old: str, new: str) -> None:
    """Replace a text that must be there."""
    path = project / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def take_model(project: Path, trained: Path, branch: str) -> None:
    """Make a model of `trained` this project's own, uncommitted, as if its line had run here.

    Settings and results go to the folder, data and model to DVC's cache, which `dvc push` reads.
    """
    git(project, "fetch", "--quiet", str(trained), branch)
    git(project, "checkout", "--quiet", "FETCH_HEAD", "--", "params.yaml", "dvc.lock", "reports")
    source, cache = trained / ".dvc" / "cache", project / ".dvc" / "cache"
    for kept in source.rglob("*"):
        place = cache / kept.relative_to(source)
        if kept.is_file() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(kept, place)


def commit(project: Path, message: str = "Change") -> str:
    """Commit all there is; return the commit."""
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(project, "rev-parse", "HEAD")
