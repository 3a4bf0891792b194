"""A tag releases a version: gates, a comparison with the one in use, files that belong together."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import actions
import helpers
import pytest
from actions import act, commit, git, take_model

FILES = {
    "model.skops", "reference.json", "schema.yaml", "release.json", "card.md", "card.html",
    "sbom.cdx.json", "SHA256SUMS",
}  # fmt: skip


class Squad:
    """A project on a server, and what GitHub knows."""

    def __init__(self, project: Path, github: actions.GitHub) -> None:
        self.project, self.github, self.runs = project, github, 0

    def tag(self, name: str) -> None:
        git(self.project, "tag", "--annotate", name, "--message", name)

    def workflow(self, tag: str, **event: Any) -> tuple[int, str]:
        """Push a tag; return the status of the workflow that it starts, and what was printed."""
        self.runs += 1
        clone = self.project.parent / f"run-{self.runs}" / self.project.name
        git(self.project, "clone", "-q", str(self.project), str(clone))
        git(clone, "checkout", "--quiet", "--detach", tag)
        (clone.parent / "home").mkdir()
        known = {"full_name": actions.REPOSITORY, "default_branch": "main"}
        done = act(
            clone,
            "release",
            {"ref": f"refs/tags/{tag}", "repository": known | event},
            secrets={k: v for k, v in actions.KEYS.items() if "DEFAULT" not in k},
            env={"GITHUB_API_URL": self.github.url},
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def squad(published: Path, github: actions.GitHub, tmp_path: Path) -> Squad:
    """Return a squad whose first version is released, and in use."""
    project = tmp_path / "server" / published.name
    shutil.copytree(published, project, symlinks=True)
    return Squad(project, github)


def test_versions_are_checked_published_put_to_use_and_refused(squad: Squad, trained: Path) -> None:
    github, project = squad.github, squad.project
    squad.tag("model@v1.0.0")
    status, said = squad.workflow("model@v1.0.0", visibility="public")
    assert status == 0, said
    assert "Nothing is in production yet" in said
    assert "attested" in said
    (release,) = github.releases.values()
    assert (release["tag_name"], release["draft"], release["prerelease"]) == (
        "model@v1.0.0", False, False,
    )  # fmt: skip
    assert {asset["name"] for asset in release["assets"]} == FILES
    files = {asset["name"]: github.assets[asset["id"]] for asset in release["assets"]}
    for line in files["SHA256SUMS"].decode().splitlines():
        digest, name = line.split()
        assert hashlib.sha256(files[name]).hexdigest() == digest
    note = json.loads(files["release.json"])
    assert hashlib.md5(files["model.skops"]).hexdigest() == note["model"]  # noqa: S324
    assert "GitHub attests" in release["body"]
    check_bill(files["sbom.cdx.json"], note)

    squad.tag("model#prod#1")
    status, said = squad.workflow("model#prod#1")
    assert status == 0, said
    assert len(github.releases) == 1, "to put a version to use publishes nothing"

    take_model(project, trained, "better")
    helpers.run(project, "dvc", "push", env=actions.KEYS)
    commit(project, "Another C")
    squad.tag("model@v1.1.0")
    status, said = squad.workflow("model@v1.1.0")
    assert status == 0, said
    assert "Compared with model@v1.0.0, on the same rows." in said
    assert "attested" not in said
    release = github.releases[901]
    assert "They are not attested" in release["body"]
    assert "log_loss" in release["body"]

    take_model(project, trained, "weaker")
    helpers.run(project, "dvc", "push", env=actions.KEYS)
    commit(project, "A model that learnt little")
    squad.tag("model@v2.0.0")
    status, said = squad.workflow("model@v2.0.0")
    assert status == 1
    assert "release: " in said
    assert len(github.releases) == 2, "nothing of it is published"


def check_bill(content: bytes, note: dict[str, Any]) -> None:
    """The bill is CycloneDX, names the packages and the model, and no index."""
    bill = json.loads(content)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    names = {component["name"] for component in bill["components"]}
    assert {"scikit-learn", "pandas", "dvc", "model"} <= names
    model = next(c for c in bill["components"] if c["type"] == "machine-learning-model")
    assert model["version"] == "v1.0.0"
    assert model["modelCard"]["modelParameters"]["modelArchitecture"] == "LogisticRegression"
    measured = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert {each["type"] for each in measured} >= {"roc_auc", "log_loss"}
    low = next(m for m in measured if m["type"] == "roc_auc")["confidenceInterval"]["lowerBound"]
    assert float(low) < next(m["value"] for m in note["metrics"] if m["name"] == "roc_auc")
    assert b"http://" not in content
    assert b"https://" not in content


@pytest.mark.parametrize("tag", ["model@newest", "model#prod#7"])
def test_a_tag_that_is_no_version_is_told_and_releases_nothing(squad: Squad, tag: str) -> None:
    squad.tag(tag)
    status, said = squad.workflow(tag)
    assert status == 1
    assert "there is no version model@newest of the model" in said or "has no version" in said
    assert "Traceback" not in said
    assert not squad.github.releases


def test_killed_halfway_a_release_is_a_draft_and_the_next_run_ends_it(
    squad: Squad, tmp_path: Path
) -> None:
    github, project = squad.github, squad.project
    squad.tag("model@v1.0.0")
    helpers.run(project, "esteira", "model", "bundle", "v1.0.0", "--out", "dist", env=actions.KEYS)
    told = helpers.run(project, "esteira", "model", "check", "v1.0.0", env=actions.KEYS).stdout
    (project / "check.txt").write_text(told, encoding="utf-8")
    env = {
        "GITHUB_API_URL": github.url, "GITHUB_TOKEN": "fake",
        "GITHUB_REPOSITORY": actions.REPOSITORY,
    }  # fmt: skip
    publish = ("esteira", "model", "publish", "v1.0.0")
    github.broken = f"POST /repos/{actions.REPOSITORY}/releases/900/assets"
    done = helpers.run(project, *publish, env=env, check=False)
    assert done.returncode == 2
    assert "GitHub answers 500" in done.stderr
    assert github.releases[900]["draft"], "nobody sees half a release"
    github.broken = ""
    assert "Published model@v1.0.0: 8 of 8 files" in helpers.run(project, *publish, env=env).stdout
    assert not github.releases[900]["draft"]
    assert "Updated model@v1.0.0: 0 of 8 files" in helpers.run(project, *publish, env=env).stdout
    github.releases[900]["assets"][0]["digest"] = "sha256:0"
    assert "1 of 8 files" in helpers.run(project, *publish, env=env).stdout
    assert len(github.releases) == 1
    assert {a["name"] for a in github.releases[900]["assets"]} == FILES


def test_the_card_tells_what_gates_refused_on_the_way(squad: Squad, trained: Path) -> None:
    project = squad.project
    squad.tag("model@v1.0.0")
    for model in ("weaker", "better"):
        take_model(project, trained, model)
        commit(project, f"Learn a {model} model")
    squad.tag("model@v1.1.0")
    helpers.run(project, "esteira", "model", "bundle", "v1.1.0", "--out", "dist", env=actions.KEYS)
    card = (project / "dist" / "card.md").read_text(encoding="utf-8")
    first = git(project, "rev-parse", "HEAD^")[:10]
    assert "## What gates refused on the way" in card
    assert f"| `{first}` |" in card
    assert "limit of" in card
    assert f"<code>{first}</code>" in (project / "dist" / "card.html").read_text(encoding="utf-8")
    git(project, "checkout", "--quiet", "model@v1.0.0")
    helpers.run(project, "esteira", "model", "bundle", "v1.0.0", "--out", "one", env=actions.KEYS)
    card = (project / "one" / "card.md").read_text(encoding="utf-8")
    assert "Nothing, in the commits since the version before." in card


def test_a_version_is_reproduced_from_its_tag_in_another_folder_to_the_byte(
    squad: Squad, trained: Path
) -> None:
    project = squad.project
    squad.tag("model@v1.0.0")
    take_model(project, trained, "better")
    commit(project, "Another C")
    fresh = project.parent / "else where" / "é"
    git(project, "clone", "--quiet", str(project), str(fresh))
    git(fresh, "checkout", "--quiet", "--detach", "model@v1.0.0")
    raw = git(fresh, "ls-files", "*.dvc").splitlines()
    helpers.run(fresh, "dvc", "pull", *raw, env=actions.KEYS)
    lock = (fresh / "dvc.lock").read_bytes()
    assert not (fresh / "models" / "model.skops").exists()
    done = helpers.run(fresh, "dvc", "repro", "--force", env=actions.KEYS)
    assert helpers.ran(done.stdout) == list(helpers.LINE)
    assert (fresh / "dvc.lock").read_bytes() == lock
    assert git(fresh, "status", "--porcelain") == ""
    told = helpers.run(project, "esteira", "model", "show", "v1.0.0", env=actions.KEYS).stdout
    md5 = hashlib.md5((fresh / "models" / "model.skops").read_bytes()).hexdigest()  # noqa: S324
    assert md5 in told
