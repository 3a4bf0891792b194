"""The watch: batches come, one issue says what stands, one pull request retrains."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import actions
import helpers
import numpy as np
import pandas as pd
import pytest
from actions import act, commit, edit, git

REF = "refs/esteira/watch"
INCOMING = "data/raw/incoming.csv"


def batch(table: pd.DataFrame, seed: int, factor: float = 1.0, turned: bool = False) -> bytes:
    """Return rows like the training table's, with one column moved, or the target turned round."""
    rows = table.sample(250, random_state=seed)
    rows = rows.assign(**{"mean texture": (rows["mean texture"] * factor).round(4)})
    if turned:
        other = rows["diagnosis"].map({"benign": "malignant", "malignant": "benign"})
        hit = np.random.default_rng(seed).random(len(rows)) < 0.5
        rows["diagnosis"] = rows["diagnosis"].mask(hit, other)
    return rows.to_csv(index=False).encode()


class Squad:
    """A project on a server, its bucket with incoming batches, and what GitHub knows."""

    def __init__(self, project: Path, bucket: actions.Bucket, github: actions.GitHub) -> None:
        self.project, self.bucket, self.github, self.runs = project, bucket, github, 0
        self.table = pd.read_csv(next((project / "data/raw").glob("patients.csv")))

    def arrive(self, content: bytes) -> None:
        """Put a batch where new ones come."""
        self.bucket.put("incoming", "new.csv", content)

    def clone(self) -> Path:
        """Return what a workflow checks out: a fresh clone, whose cache is empty."""
        self.runs += 1
        return actions.checked_out(self.project, self.runs)

    def surroundings(self, clone: Path) -> dict[str, str]:
        return actions.KEYS | actions.of_workflow(clone, self.github)

    def run(self, clone: Path, *words: str, check: bool = True) -> Any:
        return helpers.run(clone, *words, env=self.surroundings(clone), check=check)

    def check_and_tell(self) -> str:
        """Run the commands of the jobs `check` and `tell`; return what they printed."""
        clone = self.clone()
        env = self.surroundings(clone)
        check = ("esteira", "watch", "check", ".report/drift")
        tell = ("esteira", "watch", "tell", ".report/drift/watch.json")
        checked, told = (helpers.run_here(clone, *words, env=env) for words in (check, tell))
        self.retrain = "retrain=true" in (clone.parent / "output").read_text()
        return checked.stdout + told.stdout

    def workflow(self) -> str:
        """Run the whole workflow; return what it printed."""
        clone = self.clone()
        known = {"repository": {"full_name": actions.REPOSITORY, "default_branch": "main"}}
        done = act(
            clone,
            "drift",
            known | {"ref": "refs/heads/main", "inputs": {}},
            secrets={k: v for k, v in actions.KEYS.items() if "DEFAULT" not in k},
            env={"GITHUB_API_URL": self.github.url},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def checks(self) -> list[str]:
        """The verdicts in the history."""
        text = git(self.project, "show", f"{REF}:watch.json")
        return [check["action"] for check in json.loads(text)["checks"]]


FIRST = 3  # the seed of the batch that is there at first


@pytest.fixture(scope="module")
def watching(
    published: Path, bucket: actions.Bucket, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a project that watches a file on S3, imported by DVC."""
    project = tmp_path_factory.mktemp("watching") / published.name
    shutil.copytree(published, project, symlinks=True)
    bucket.request("PUT", "/incoming")
    table = pd.read_csv(project / "data" / "raw" / "patients.csv")
    bucket.put("incoming", "new.csv", batch(table, FIRST))
    for words in (
        ("remote", "add", "incoming", "s3://incoming"),
        ("remote", "modify", "incoming", "endpointurl", bucket.url),
        ("import-url", "remote://incoming/new.csv", INCOMING),
    ):
        helpers.run(project, "dvc", *words, env=actions.KEYS)
    edit(project, "watch.yaml", "batch: null", f"batch: {INCOMING}")
    commit(project, "Watch what comes in")
    return project


@pytest.fixture
def squad(watching: Path, bucket: actions.Bucket, github: actions.GitHub, tmp_path: Path) -> Squad:
    """Return a squad with that project on its server, and a batch like the table."""
    project = tmp_path / "server" / watching.name
    shutil.copytree(watching, project, symlinks=True)
    squad = Squad(project, bucket, github)
    squad.arrive(batch(squad.table, FIRST))
    git(project, "config", "receive.denyCurrentBranch", "updateInstead")
    git(project, "config", "core.hooksPath", str(project / ".git" / "hooks"))  # of the server
    return squad


def test_the_days_of_a_squad_whose_data_drifts(squad: Squad) -> None:
    """Like before, drift seen once, drift seen twice, retrained, like before, broken."""
    github = squad.github
    assert "keep" in squad.check_and_tell()
    assert squad.checks == ["keep"]
    assert not github.issues

    squad.arrive(batch(squad.table, 8, factor=1.6))
    told = squad.check_and_tell()
    assert "1 of the last 3 batches say so, 2 are needed. Nothing is opened." in told
    assert "say so" in squad.check_and_tell()
    assert squad.checks == ["keep", "retrain"], "the same batch is no second witness"
    assert not github.issues
    assert not squad.retrain

    squad.arrive(batch(squad.table, 18, factor=1.6))
    printed = squad.workflow()
    assert "Opened issue #70." in printed
    assert "Opened pull request #30." in printed
    (issue,) = github.issues.values()
    assert issue["state"] == "open"
    assert issue["title"] == "Drift: the data drifted, retrain"
    assert "`mean texture`" in issue["body"]
    assert "Review pull request #30" in issue["body"]
    (pull,) = github.pulls
    assert pull["head"]["ref"] == "esteira/retrain"
    assert pull["base"]["sha"] is not None
    assert re.search(r"\| `log_loss` \| .*(better|worse|chance)", pull["body"]), pull["body"]
    parent = git(squad.project, "rev-parse", "esteira/retrain^")
    assert parent == git(squad.project, "rev-parse", "main")
    changed = git(squad.project, "diff", "--name-only", "main", "esteira/retrain").splitlines()
    assert {"dvc.lock", "params.yaml", "environment.json"} <= set(changed)
    assert INCOMING + ".dvc" in changed
    fresh = squad.project.parent / "fresh" / squad.project.name
    git(squad.project, "clone", "-q", "-b", "esteira/retrain", str(squad.project), str(fresh))
    helpers.run(fresh, "esteira", "verify", "--lock", "--pushed", env=actions.KEYS)
    helpers.run(fresh, "esteira", "gate", env=actions.KEYS)

    squad.check_and_tell()
    assert not squad.retrain, "it is offered already"
    assert (len(github.issues), len(github.pulls)) == (1, 1)

    git(squad.project, "merge", "--quiet", "esteira/retrain")
    git(squad.project, "branch", "--quiet", "-D", "esteira/retrain")
    github.pulls.clear()
    squad.arrive(batch(squad.table, 28, factor=1.6))
    assert "Closed issue #70." in squad.check_and_tell()
    assert issue["state"] == "closed"

    squad.arrive(b"a,b\n1,2\n")
    assert "Reopened issue #70." in squad.check_and_tell()
    assert issue["title"] == "Drift: the newest batch cannot be used"
    assert "none of the schema's columns is in it" in issue["body"]
    squad.arrive(batch(squad.table, 5)[:3000])
    assert "Updated issue #70." in squad.check_and_tell()
    assert len(github.issues) == 1


def test_labels_that_turn_open_an_issue_and_no_pull_request(squad: Squad) -> None:
    squad.arrive(batch(squad.table, 38, turned=True))
    assert "Nothing is opened." in squad.check_and_tell()
    squad.arrive(batch(squad.table, 48, turned=True))
    assert "Opened issue #70." in squad.check_and_tell()
    assert not squad.retrain
    (issue,) = squad.github.issues.values()
    assert issue["title"] == "Drift: the concept drifted, rework the model"
    assert "No pull request is made." in issue["body"]
    assert "expected of such inputs" in issue["body"]
    assert not squad.github.pulls


def test_a_check_fetches_the_batch_and_the_profile_alone(squad: Squad) -> None:
    rows = squad.table.drop(columns=["diagnosis"]).sample(200, random_state=1)
    squad.arrive(rows.to_csv(index=False).encode())
    clone = squad.clone()
    before = len(squad.bucket.log)
    squad.run(clone, "esteira", "watch", "check", ".report/drift")
    lock = (clone / "dvc.lock").read_text("utf-8")
    md5 = re.search(r"path: models/reference.json\n +hash: md5\n +md5: (\w+)", lock)
    assert md5
    fetched = {line.split()[6].partition("?")[0] for line in squad.bucket.log[before:]
               if '"GET' in line and "list-type" not in line}  # fmt: skip
    assert fetched == {"/incoming/new.csv", f"/data/radar/files/md5/{md5[1][:2]}/{md5[1][2:]}"}


def test_killed_anywhere_and_run_again_nothing_is_done_twice(squad: Squad) -> None:
    """The server fails at each request in turn; the next run ends in the same state."""
    github = squad.github
    squad.arrive(batch(squad.table, 8, factor=1.6))
    squad.check_and_tell()
    squad.arrive(batch(squad.table, 18, factor=1.6))
    clone = squad.clone()
    squad.run(clone, "esteira", "watch", "check", ".report/drift")
    tell = ("esteira", "watch", "tell", ".report/drift/watch.json")
    for request in ("GET", "POST"):
        github.broken = f"{request} /repos/{actions.REPOSITORY}/issues"
        done = squad.run(clone, *tell, check=False)
        assert done.returncode == 2
        assert "GitHub answers 500" in done.stderr
        assert "Traceback" not in done.stderr
    github.broken = ""
    assert squad.checks == ["retrain", "retrain"]
    assert "Opened issue #70." in squad.run(clone, *tell).stdout
    assert "Updated issue #70." in squad.run(clone, *tell).stdout
    assert squad.checks == ["retrain", "retrain"]

    squad.run(clone, "dvc", "pull")
    path = squad.run(clone, "esteira", "watch", "fetch").stdout.strip()
    assert path == INCOMING
    squad.run(clone, "esteira", "absorb", path)
    squad.run(clone, "dvc", "repro", "ingest")  # enough for a commit that is to be offered
    propose = ("esteira", "watch", "propose", ".report/drift/watch.json")
    hook = squad.project / ".git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert "run this again" in squad.run(clone, *propose, check=False).stderr
    hook.unlink()
    github.broken = f"POST /repos/{actions.REPOSITORY}/pulls"
    assert "GitHub answers 500" in squad.run(clone, *propose, check=False).stderr
    github.broken = f"PATCH /repos/{actions.REPOSITORY}/issues"
    assert "GitHub answers 500" in squad.run(clone, *propose, check=False).stderr
    github.broken = ""
    pushed = git(squad.project, "rev-parse", "esteira/retrain")
    assert "Updated pull request #30. Updated issue #70." in squad.run(clone, *propose).stdout
    assert git(squad.project, "rev-parse", "esteira/retrain") == pushed
    assert (len(github.issues), len(github.pulls)) == (1, 1)

    git(squad.project, "commit", "-q", "--allow-empty", "-m", "Elsewhere")  # of a colleague
    other = squad.project.parent / "colleague" / squad.project.name
    git(squad.project, "clone", "-q", "-b", "esteira/retrain", str(squad.project), str(other))
    commit(other, "By hand")
    git(other, "push", "-q")
    done = squad.run(clone, *propose, check=False)
    assert done.returncode == 2
    assert "somebody has committed to esteira/retrain" in done.stderr


def test_two_runs_at_once_lose_no_check(squad: Squad) -> None:
    """A run that is slower than another reads again, and adds its own."""
    squad.arrive(batch(squad.table, 8, factor=1.6))
    slow, fast = squad.clone(), squad.clone()
    squad.run(slow, "esteira", "watch", "check", ".report/drift")
    squad.arrive(batch(squad.table, 18, factor=1.6))
    squad.run(fast, "esteira", "watch", "check", ".report/drift")
    tell = ("esteira", "watch", "tell", ".report/drift/watch.json")
    hook = squad.project / ".git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    done = squad.project.parent / "overtaken"
    command = f"cd {fast} && touch {done} && esteira watch tell .report/drift/watch.json"
    hook.write_text(
        "#!/bin/sh\nunset GIT_DIR GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY"
        f" GIT_ALTERNATE_OBJECT_DIRECTORIES\n[ -e {done} ] || ({command}) >&2\n"
    )
    hook.chmod(0o755)
    squad.run(slow, *tell)
    assert done.exists()
    assert squad.checks == ["retrain", "retrain"]
    assert len(squad.github.issues) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (f"batch: {INCOMING}", "batch: data/raw/none.csv", "is not here, and DVC does not keep it"),
        ("needed: 2", "needed: 4", "needed: 4 of window: 3 can never be"),
        ("needed: 2", "needed: often", "watch.yaml: needed"),
    ],
)
def test_wrong_settings_are_told(squad: Squad, old: str, new: str, said: str) -> None:
    edit(squad.project, "watch.yaml", old, new)
    commit(squad.project)
    done = squad.run(squad.clone(), "esteira", "watch", "check", check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
