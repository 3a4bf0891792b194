"""Rehearsal: a release is served, drifts, is retrained and released again, and is rethought.

`make rehearsal` shows it step by step. Real parts on loopback: the service, its log, DVC, S3, Git
and the workflows, which `act` runs; GitHub is a small fake.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import actions
import helpers
import pandas as pd
import pytest
from actions import act, commit, edit, git
from helpers import slow
from test_serve import serving

INCOMING = "data/raw/served.parquet"
ADDRESS = f"https://x-access-token:fake@github.com/{actions.REPOSITORY}"


class Company:
    """A squad's repository on a server, the service beside it, and what GitHub knows."""

    def __init__(self, project: Path, bucket: actions.Bucket, github: actions.GitHub) -> None:
        self.project, self.bucket, self.github = project, bucket, github
        self.runs, self.days = 0, 0
        self.log = project.parent / "logs"
        self.table = pd.read_csv(next((project / "data/raw").glob("patients.csv")))

    def say(self, text: str) -> None:
        print(f"\n--- {text}")

    def run(self, *words: str, env: dict[str, str] | None = None) -> str:
        done = helpers.run(self.project, *words, env=actions.KEYS | (env or {}))
        return done.stdout

    def release(self, version: str) -> None:
        """Tag what is on the default branch, let the workflow judge it, put it to use, serve it."""
        for tag in (f"model@{version}", f"model#prod#{version[1]}"):
            git(self.project, "tag", "--annotate", tag, "--message", f"Release {version}")
            self.workflow("release", ref=f"refs/tags/{tag}")
        git(self.project, "checkout", "--quiet", f"model@{version}")
        folder = self.project / f"served-{version}"
        self.run("esteira", "model", "get", version, "--out", folder.name)
        git(self.project, "checkout", "--quiet", "main")

    def workflow(self, name: str, ref: str = "refs/heads/main", **event: Any) -> str:
        """Run a workflow on what the server has; it must succeed."""
        self.runs += 1
        clone = self.project.parent / f"run-{self.runs}" / self.project.name
        git(self.project, "clone", "--quiet", str(self.project), str(clone))
        git(
            clone, "checkout", "--quiet", ref.removeprefix("refs/tags/").removeprefix("refs/heads/")
        )
        home = clone.parent / "home"
        home.mkdir()
        mapped = f'[url "{self.project}"]\n  insteadOf = {ADDRESS}\n'
        (home / ".gitconfig").write_text(mapped, encoding="utf-8")
        known = {"full_name": actions.REPOSITORY, "default_branch": "main"}
        done = act(
            clone,
            name,
            {"ref": ref, "repository": known} | event,
            secrets={k: v for k, v in actions.KEYS.items() if "DEFAULT" not in k},
            env={"GITHUB_API_URL": self.github.url},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def day(self, version: str, rows: pd.DataFrame) -> None:
        """Answer a day's requests, learn the outcomes, and put the batch where the watch looks."""
        self.days += 1
        truth = rows["diagnosis"]
        asked = rows.drop(columns="diagnosis").to_dict("records")
        with serving(
            self.project, "--model", f"served-{version}", "--log", str(self.log)
        ) as service:
            names = [f"day{self.days}-{number}" for number in range(len(asked))]
            for name, row in zip(names[:5], asked[:5], strict=True):
                status, said = service.ask("/predict", row, {"X-Request-ID": name})
                assert (status, said["model"]) == (200, f"model@{version}")
            rest = service.ask("/predict", asked[5:], {"X-Request-ID": f"day{self.days}"})
            assert rest[0] == 200
        known = names[:5] + [f"day{self.days}/{n}" for n in range(1, len(asked) - 4)]
        outcomes = self.project.parent / "outcomes.csv"
        pd.DataFrame({"request": known, "diagnosis": truth}).to_csv(outcomes, index=False)
        log, batch = ("--log", str(self.log)), self.project.parent / "served.parquet"
        self.run("esteira", "log", "compact", *log)
        self.run("esteira", "log", "label", str(outcomes), *log)
        told = self.run("esteira", "log", "batch", str(batch), "--last", str(len(rows)), *log)
        assert f"{len(rows)} of them with a label" in told
        self.bucket.put("incoming", "served.parquet", batch.read_bytes())


@pytest.fixture
def company(
    published: Path, bucket: actions.Bucket, github: actions.GitHub, tmp_path: Path
) -> Company:
    """Return a company that watches what its service answers, and acts on one batch."""
    project = tmp_path / "server" / published.name
    shutil.copytree(published, project, symlinks=True)
    bucket.request("PUT", "/incoming")
    company = Company(project, bucket, github)
    bucket.put("incoming", "served.parquet", (project / "data" / "current.parquet").read_bytes())
    for words in (
        ("remote", "add", "incoming", "s3://incoming"),
        ("remote", "modify", "incoming", "endpointurl", bucket.url),
        ("import-url", "remote://incoming/served.parquet", INCOMING),
    ):
        company.run("dvc", *words)
    edit(project, "watch.yaml", "batch: null", f"batch: {INCOMING}")
    edit(project, "watch.yaml", "needed: 2", "needed: 1")
    edit(project, "watch.yaml", "window: 3", "window: 1")
    commit(project, "Watch what is served")
    git(project, "config", "receive.denyCurrentBranch", "updateInstead")
    git(project, "config", "core.hooksPath", str(project / ".git" / "hooks"))  # of the server
    return company


def moved(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    rows = table.sample(250, random_state=seed)
    return rows.assign(**{"mean texture": (rows["mean texture"] * 1.6).round(4)})


def turned(rows: pd.DataFrame) -> pd.DataFrame:
    other = {"benign": "malignant", "malignant": "benign"}
    return rows.assign(diagnosis=rows["diagnosis"].map(other))


@slow
def test_from_a_release_to_the_next_and_beyond(company: Company) -> None:
    github, table = company.github, company.table
    company.say("release v1, and serve it")
    company.release("v1.0.0")
    assert [r["tag_name"] for r in github.releases.values()] == ["model@v1.0.0"]

    company.say("traffic like the training data: keep")
    company.day("v1.0.0", table.sample(250, random_state=3))
    assert "Check the batch" in company.workflow("drift", inputs={})
    assert not github.issues

    company.say("traffic that drifted: one alarm, one pull request")
    company.day("v1.0.0", moved(table, 18))
    company.workflow("drift", inputs={})
    company.workflow("drift", inputs={})  # the next morning: nothing new
    (issue,) = github.issues.values()
    (pull,) = github.pulls
    assert issue["state"] == "open"
    assert "model@v1.0.0" in pull["body"]

    company.say("the pull request passes its gates, and is merged")
    branch = company.project.parent / "review" / company.project.name
    git(company.project, "clone", "-q", "-b", "esteira/retrain", str(company.project), str(branch))
    helpers.run(branch, "esteira", "gate", "--base", "origin/main", env=actions.KEYS)
    git(company.project, "merge", "--quiet", "esteira/retrain")
    git(company.project, "branch", "--quiet", "-D", "esteira/retrain")
    github.pulls.clear()

    company.say("release v2, serve it; the log goes on, and is compared with v2: keep")
    company.release("v2.0.0")
    company.day("v2.0.0", moved(table, 28))
    company.workflow("drift", inputs={})
    assert issue["state"] == "closed"
    history = json.loads(git(company.project, "show", "refs/esteira/watch:watch.json"))["checks"]
    assert [(c["model"], c["action"]) for c in history] == [
        ("model@v1.0.0", "keep"), ("model@v1.0.0", "retrain"), ("model@v2.0.0", "keep"),
    ]  # fmt: skip
    answered = pd.concat(pd.read_parquet(f) for f in (company.log / "answers").glob("*.parquet"))
    assert set(answered["log.model"]) == {"model@v1.0.0", "model@v2.0.0"}
    assert len(answered) == 3 * 250

    company.say("the labels turn: rework, and no pull request")
    company.day("v2.0.0", turned(table.sample(250, random_state=38)))
    company.workflow("drift", inputs={})
    assert (issue["state"], len(github.issues)) == ("open", 1)
    assert issue["title"] == "Drift: the concept drifted, rework the model"
    assert not github.pulls
