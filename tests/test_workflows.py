"""The workflows: linted, pinned, and run with act against an S3 server on loopback."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import actions
import helpers
import pytest
from actions import act, commit, edit, git
from ruamel.yaml import YAML

from esteira import readiness

HOUSES = {"root": helpers.ROOT, "generated": helpers.TEMPLATE}


def workflows(house: Path) -> list[Path]:
    return sorted((house / ".github" / "workflows").glob("*.yml"))


ALL = [p for house in HOUSES.values() for p in workflows(house)]
IDS = [f"{name}-{p.stem}" for name, house in HOUSES.items() for p in workflows(house)]


def load(path: Path) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


# -- What act cannot show: rights, triggers, limits


@pytest.mark.parametrize("house", HOUSES)
def test_linters_find_nothing(house: str, tmp_path: Path) -> None:
    copy = tmp_path / ".github"
    shutil.copytree(HOUSES[house] / ".github", copy)
    git(tmp_path, "init", "--quiet")  # actionlint looks for the repository
    files = [str(p) for p in sorted(copy.glob("workflows/*.yml"))]
    found = helpers.run(
        tmp_path, "zizmor", "--offline", "--persona=auditor", "--no-progress", "--format=json",
        ".github",
    )  # fmt: skip
    assert json.loads(found.stdout) == []
    assert helpers.run(tmp_path, "actionlint", "-shellcheck", "shellcheck").stdout == ""
    for kind, paths in {
        "github-workflows": files,
        "github-actions": [str(p) for p in copy.glob("actions/*/action.yml")],
        "dependabot": [str(copy / "dependabot.yml")],
    }.items():
        if paths:
            helpers.run(tmp_path, "check-jsonschema", "--builtin-schema", f"vendor.{kind}", *paths)


@pytest.mark.parametrize("house", HOUSES)
def test_each_ignored_finding_has_a_reason(house: str) -> None:
    for path in (HOUSES[house] / ".github").rglob("*.yml"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert "zizmor:" not in line or re.search(r"ignore\[[\w-]+\] \w.*", line), line


@pytest.mark.parametrize("path", ALL, ids=IDS)
def test_each_workflow_has_no_rights_but_those_of_its_jobs(path: Path) -> None:
    content = load(path)
    assert content["permissions"] == {}
    assert "pull_request_target" not in content["on"]
    assert content["concurrency"]["cancel-in-progress"] is ("pull_request" in content["on"])
    text = path.read_text(encoding="utf-8")
    for right in re.findall(r"^      ([\w-]+: (?:read|write).*)$", text, re.M):
        assert " # " in right, f"{path.name}: why {right}?"
    for job in content["jobs"].values():
        assert job["permissions"]
        assert job["timeout-minutes"] <= 360
        assert job["runs-on"] == "ubuntu-24.04"
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_pins_are_hashes_with_versions_and_equal_in_both_houses() -> None:
    found: dict[str, set[str]] = {}
    for house in HOUSES.values():
        for path in (house / ".github").rglob("*.yml"):
            for line in path.read_text(encoding="utf-8").splitlines():
                if re.search(r"uses: (?!\./)", line):
                    used = re.search(r"uses: ([\w/.-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$", line)
                    assert used, f"{path.name}: {line.strip()}"
                    found.setdefault(used[1], set()).add(f"{used[2]} {used[3]}")
    assert found
    assert {name: pins for name, pins in found.items() if len(pins) > 1} == {}


def test_rights_to_write_are_where_no_code_of_a_pull_request_runs() -> None:
    for path in workflows(helpers.TEMPLATE):
        content = load(path)
        for job in content["jobs"].values():
            writes = {k for k, v in job["permissions"].items() if v == "write"} - {"id-token"}
            if "pull_request" in content["on"]:
                assert not writes
            if "workflow_run" in content["on"]:
                checkout = next(s for s in job["steps"] if "checkout" in s.get("uses", ""))
                assert checkout["with"]["ref"] == "${{ github.event.repository.default_branch }}"
                assert "id-token" not in job["permissions"]
            if "AWS_ROLE_WRITE" in json.dumps(job):
                assert job["environment"] == "data-write"


def test_the_ruleset_asks_for_a_check_that_exists() -> None:
    ruleset = json.loads((helpers.TEMPLATE / ".github/rulesets/main.json").read_text("utf-8"))
    checks = next(r for r in ruleset["rules"] if r["type"] == "required_status_checks")
    jobs = load(helpers.TEMPLATE / ".github/workflows/pull-request.yml")["jobs"]
    asked = {check["context"] for check in checks["parameters"]["required_status_checks"]}
    assert asked == {job["name"] for job in jobs.values()}
    assert checks["parameters"]["strict_required_status_checks_policy"] is True


def test_no_workflow_assumes_the_name_of_the_default_branch() -> None:
    for path in workflows(helpers.TEMPLATE):
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"branches:.*\b(main|master)\b|refs/heads/(main|master)|origin/main", text
        )
        pushed = load(path)["on"].get("push")
        if pushed is not None and "tags" not in pushed:
            assert pushed == {"branches": ["**"]}
            assert "github.event.repository.default_branch" in load(path)["jobs"]["prove"]["if"]
            assert "github.ref" in load(path)["concurrency"]["group"]  # no other branch's run waits


def test_a_merge_queue_gets_the_check_that_the_ruleset_asks_for() -> None:
    content = load(helpers.TEMPLATE / ".github/workflows/pull-request.yml")
    assert "merge_group" in content["on"]
    assert "if" not in content["jobs"]["reproduce"]
    assert content["concurrency"]["group"].endswith("pull_request.number || github.ref }}")


def test_no_role_can_be_had_by_a_branch_of_any_name() -> None:
    for role in ("read", "write"):
        text = (helpers.TEMPLATE / f".github/aws/trust-{role}.json").read_text("utf-8")
        for statement in json.loads(text)["Statement"]:
            condition = statement["Condition"]
            subjects = [
                subject
                for kind in condition.values()
                for name, listed in kind.items()
                if name.endswith(":sub")
                for subject in listed
            ]
            assert subjects
            open_ended = [s for s in subjects if "*" in s]
            assert all(s.endswith(":ref:refs/heads/gh-readonly-queue/*") for s in open_ended)


def test_the_trust_policies_name_the_new_form_of_the_subject_first() -> None:
    ends = {"read": ":pull_request", "write": ":environment:data-write"}
    for role, end in ends.items():
        text = (helpers.TEMPLATE / f".github/aws/trust-{role}.json").read_text("utf-8")
        allowed = json.loads(text)["Statement"][0]["Condition"]["StringEquals"]
        new, old = allowed["token.actions.githubusercontent.com:sub"]
        assert new == f"repo:OWNER@OWNER_ID/REPO@REPO_ID{end}"
        assert old == f"repo:OWNER/REPO{end}"
        assert allowed["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"


def test_only_the_writing_role_may_write_and_none_may_delete() -> None:
    def actions_of(name: str) -> set[str]:
        policy = json.loads((helpers.TEMPLATE / f".github/aws/{name}.json").read_text("utf-8"))
        statements = [s for s in policy["Statement"] if s["Effect"] == "Allow"]
        named = [s["Action"] for s in statements]
        return {a for some in named for a in ([some] if isinstance(some, str) else some)}

    assert not [a for a in actions_of("role-read") if not re.match(r"s3:(Get|List)", a)]
    assert "s3:PutObject" in actions_of("role-write")
    assert not [a for a in actions_of("role-write") if "Delete" in a or "*" in a]


def test_owners_judge_what_judges(tmp_path: Path) -> None:
    project = helpers.bake(tmp_path, owner="acme", squad="Data Science")
    text = (project / ".github/CODEOWNERS").read_text("utf-8")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert {owner for _, owner in lines} == {"@acme/data-science"}
    owned = {path for path, _ in lines}
    assert {"/gates.yaml", "/params.yaml", "/.github/"} <= owned
    absent = {"/uv.lock", "/uv.toml", "/.python-version", "/.gitmodules",
              "/pytest.ini", "/.pytest.ini", "/pytest.toml", "/.pytest.toml", "/tox.ini",
              "/setup.cfg"}  # fmt: skip
    anywhere = {path for path in owned if not path.startswith("/")}
    assert {p for p in owned - anywhere if not (project / p[1:]).exists()} == absent
    folders = {f"/{folder}/" for folder in readiness.JUDGING_FOLDERS}
    assert owned >= folders | {f"/{file}" for file in readiness.JUDGING_FILES}
    assert anywhere == set(readiness.JUDGING_ANYWHERE)


# -- Run for real


class Pull:
    """One pull request from an author's copy: what CI does at each push, and the comment job."""

    def __init__(self, author: Path, github: actions.GitHub, *, fork: bool = False) -> None:
        self.author, self.github, self.fork, self.pushes = author, github, fork, 0
        self.owner = "stranger" if fork else "squad"
        self.home = {
            "id": 2 if fork else 1,
            "full_name": f"{self.owner}/churn-radar",
            "owner": {"login": self.owner},
        }
        self.base = {"sha": git(author, "rev-parse", "main"), "ref": "main"}
        self.base["repo"] = {"id": 1, "full_name": actions.REPOSITORY}
        self.pull: dict[str, Any] = {"number": 12, "base": self.base}
        github.pulls.append(self.pull)

    def check(
        self, signed_in: bool = True, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Push, and run `pull-request` on a fresh clone."""
        self.pushes += 1
        self.folder = self.author.parent.parent / f"push-{self.pushes}"
        self.clone = self.folder / "churn-radar"
        git(self.author, "clone", "--quiet", str(self.author), str(self.clone))
        sha = git(self.author, "rev-parse", "HEAD")
        self.pull["head"] = {
            "sha": sha, "ref": "change", "label": f"{self.owner}:change", "repo": self.home,
        }  # fmt: skip
        event = {
            "number": 12,
            "pull_request": self.pull,
            "repository": {"full_name": actions.REPOSITORY, "default_branch": "main"},
        }
        keys = {k: v for k, v in actions.KEYS.items() if "DEFAULT" not in k}
        done = act(
            self.clone,
            "pull-request",
            event,
            secrets=keys if signed_in and not self.fork else {},
            env={"AWS_EC2_METADATA_DISABLED": "true"} | (env or {}),
        )
        self.said = done.stdout + done.stderr
        self.conclusion = "success" if "Job succeeded" in self.said else "failure"
        return done

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self.file.read_text(encoding="utf-8"))

    @property
    def file(self) -> Path:
        return self.folder / "artifacts" / "pull-request" / ".report" / "report.json"

    def comment(self, **run: Any) -> subprocess.CompletedProcess[str]:
        """Run `pull-request-comment` for the run before."""
        clone = self.folder / "comment" / "churn-radar"
        git(self.author, "clone", "--quiet", "--branch", "main", str(self.author), str(clone))
        if (self.folder / "artifacts").exists():
            shutil.copytree(self.folder / "artifacts", clone.parent / "artifacts")
        event = {
            "workflow_run": {
                "id": 7,
                "event": "pull_request",
                "conclusion": self.conclusion,
                "head_sha": git(self.clone, "rev-parse", "HEAD"),
                "head_branch": "change",
                "head_repository": self.home,
                "html_url": f"https://github.com/{actions.REPOSITORY}/actions/runs/7",
                **run,
            },
            "repository": {
                "full_name": actions.REPOSITORY,
                "html_url": f"https://github.com/{actions.REPOSITORY}",
                "default_branch": "main",
            },
        }
        done = act(clone, "pull-request-comment", event, env={"GITHUB_API_URL": self.github.url})
        shutil.rmtree(clone.parent)
        self.said = done.stdout + done.stderr
        return done


@pytest.fixture
def pull(author: Path, github: actions.GitHub) -> Pull:
    return Pull(author, github)


def passed(done: subprocess.CompletedProcess[str], job: str) -> bool:
    """Tell whether a job ran and passed; a job that act skips passes in silence."""
    said = done.stdout + done.stderr
    if job == "pull-request":
        assert " - Main Judge" in said, said
    assert "Job succeeded" in said or "Job failed" in said, said
    return "Job succeeded" in said


def test_an_unchanged_pull_request_is_green_and_tests_the_project(pull: Pull) -> None:
    edit(pull.author, "README.md", "#", "# ")
    commit(pull.author)
    done = pull.check(env={"PYTEST_ADDOPTS": "--quiet"})
    assert passed(done, "pull-request"), pull.said
    assert re.search(r"\d+ passed", pull.said)
    assert pull.report["run"]["state"] == "not needed"
    assert pull.report["lock"]["state"] == "fresh"
    assert pull.report["pushed"]["state"] == "pushed"
    summary = pull.said.partition("Summary - ")[2]
    assert summary.startswith("<!-- esteira:pull-request -->\n\n### ✅ Ready: `roc_auc`")
    assert re.search(r"### ✅ Ready: `roc_auc` [\d.]+, unchanged", summary)
    assert "This branch changes no notebook." in pull.said
    assert "0 .ipynb files looked at: no outputs." in pull.said
    for check in ("Gates:** 4 of 4 pass", "Drift:** keep", "Lock:** dvc.lock is fresh"):
        assert f"- ✅ **{check}" in summary
    drawn = pull.folder / "artifacts" / "pull-request" / "reports" / "report.html"
    assert "<h1>Ready</h1>" in drawn.read_text("utf-8")


C = "hyperparameters: {}"
EXPLORE = "notebooks/explore.py"


def test_a_change_of_settings_is_reproduced_reported_and_asked_to_be_settled(pull: Pull) -> None:
    edit(pull.author, "params.yaml", C, "hyperparameters: {C: 0.1}")
    commit(pull.author)
    assert not passed(pull.check(), "pull-request"), pull.said
    report = pull.report
    assert report["lock"]["stages"][0]["stage"] == "train"
    became = {stage["name"]: stage["state"] for stage in report["run"]["stages"]}
    assert [name for name, state in became.items() if state == "ran"] == [
        "train",
        "evaluate",
        "drift_check",
        "predict",
        "card",
    ]
    # Only what train and its successors read was fetched.
    [workspace] = pull.folder.glob("home/actions/*/hostexecutor")
    assert (workspace / "data" / "train.parquet").exists()
    assert not (workspace / "data" / "raw" / "patients.csv").exists()
    assert not (workspace / "data" / "ingested.parquet").exists()
    moved = {m["name"]: (m["base"], m["now"]) for m in report["metrics"]}
    assert moved["roc_auc"][0] != moved["roc_auc"][1]
    assert "dvc.lock is stale" in pull.said
    assert "uv run dvc repro && uv run dvc push" in pull.said
    assert passed(pull.comment(), "pull-request-comment"), pull.said
    [comment] = pull.github.comments.values()
    assert "### ❌ Not ready: " in comment["body"]
    assert "- settings: `train.hyperparameters.C` added: `0.1`" in comment["body"]


def test_a_change_of_data_is_shown_red_while_unpushed_and_its_push_updates_the_comment(
    pull: Pull,
) -> None:
    pull.github.comment(12, "<!-- esteira:pull-request --> mine", "stranger")
    table = pull.author / "data" / "raw" / "patients.csv"
    table.write_text("".join(table.read_text("utf-8").splitlines(keepends=True)[:-60]), "utf-8")
    helpers.run(pull.author, "dvc", "add", "data/raw/patients.csv")
    edit(pull.author, "params.yaml", C, "hyperparameters: {C: 0.5}")
    helpers.reproduce(pull.author)
    commit(pull.author)
    assert not passed(pull.check(), "pull-request"), pull.said
    assert pull.report["lock"]["state"] == "fresh"
    assert "models/model.skops" in pull.report["pushed"]["paths"]
    assert passed(pull.comment(), "pull-request-comment"), pull.said
    helpers.run(pull.author, "dvc", "push", env=actions.KEYS)
    commit(pull.author, "Push the data")
    assert passed(pull.check(), "pull-request"), pull.said
    assert passed(pull.comment(), "pull-request-comment"), pull.said
    assert pull.report["pushed"]["state"] == "pushed"
    theirs, ours = pull.github.comments.values()
    assert theirs["body"].endswith("mine")
    assert "not pushed" not in ours["body"]
    assert "### ⚠️ Look first: " in ours["body"]
    assert "-60 rows \\(569 → 509\\)" in ours["body"]
    changed = {entry["path"]: entry for entry in pull.report["data"]}
    raw = changed["data/raw/patients.csv"]
    assert raw["new_size"] == table.stat().st_size < raw["old_size"]
    assert "models/model.skops" in changed
    assert [r for r in pull.github.requests if "POST" in r or "PATCH" in r] == [
        f"POST /repos/{actions.REPOSITORY}/issues/12/comments",
        f"PATCH /repos/{actions.REPOSITORY}/issues/comments/{ours['id']}",
    ]


def test_a_broken_stage_is_named_with_its_last_words(pull: Pull) -> None:
    edit(pull.author, "params.yaml", C, "hyperparameters: {C: -1}")
    commit(pull.author)
    assert not passed(pull.check(), "pull-request"), pull.said
    report = pull.report
    states = {stage["name"]: stage["state"] for stage in report["run"]["stages"]}
    assert (states["train"], states["evaluate"]) == ("failed", "not reached")
    assert any("section `train:` of params.yaml" in line for line in report["run"]["lines"])
    assert all(metric["now"] is None for metric in report["metrics"])
    assert "### ❌ Not ready: stage train failed" in pull.said


def test_a_gate_refuses(pull: Pull) -> None:
    edit(
        pull.author, "gates.yaml", "rules:", "rules:\n  - {metric: f1, better: higher, limit: 1.1}"
    )
    commit(pull.author)
    assert not passed(pull.check(), "pull-request"), pull.said
    assert "Gates:** 1 of 5 fail: `f1`" in pull.said
    assert "gates.yaml is changed" in pull.said


def test_a_fork_gets_no_key_and_its_report(author: Path, github: actions.GitHub) -> None:
    pull = Pull(author, github, fork=True)
    commit(author)
    assert passed(pull.check(), "pull-request"), pull.said
    assert pull.report["fork"] is True
    assert pull.report["pushed"]["state"] == "unchecked"
    assert "no complete credentials" in pull.report["pushed"]["reason"]
    edit(author, "params.yaml", C, "hyperparameters: {C: 0.1}")
    commit(author)
    assert not passed(pull.check(), "pull-request"), pull.said
    assert pull.report["run"]["state"] == "impossible"
    assert passed(pull.comment(), "pull-request-comment"), pull.said
    [comment] = github.comments.values()
    assert "not reproduced" in comment["body"]
    assert "data/raw/patients.csv cannot be had" in comment["body"]


def test_the_role_is_taken_where_one_is_named_and_never_for_a_fork(tmp_path: Path) -> None:
    text = (helpers.TEMPLATE / ".github/workflows/pull-request.yml").read_text("utf-8")
    role = re.search(r"role: \$\{\{ (.*) \}\}", text)[1]
    assert role == (
        "(github.event_name == 'merge_group' "
        "|| github.event.pull_request.head.repo.full_name == github.repository "
        "&& github.event.pull_request.user.login != 'dependabot[bot]') && vars.AWS_ROLE_READ || ''"
    )


def test_a_first_pull_request_has_no_base(author: Path, github: actions.GitHub) -> None:
    git(author, "checkout", "--quiet", "--orphan", "empty")
    git(author, "rm", "--quiet", "-r", "--cached", ".")
    git(author, "commit", "--quiet", "--allow-empty", "-m", "Nothing yet")
    git(author, "branch", "--force", "main", "empty")
    git(author, "checkout", "--quiet", "--force", "change")
    pull = Pull(author, github)
    assert passed(pull.check(), "pull-request"), pull.said
    assert pull.report["base"] is None
    assert "with no base yet" in pull.said
    assert "Gates:** 4 of 4 pass" in pull.said


def test_a_merge_queues_group_is_checked_with_the_notebooks_that_it_changes(pull: Pull) -> None:
    edit(pull.author, EXPLORE, "train.describe(", "train.describe().describe(")
    commit(pull.author)
    base = pull.base["sha"]
    queue = "refs/heads/gh-readonly-queue/main/pr-12"
    event = {
        "merge_group": {
            "head_sha": git(pull.author, "rev-parse", "HEAD"), "head_ref": queue,
            "base_sha": base, "base_ref": "refs/heads/main",
        },
        "repository": {"full_name": actions.REPOSITORY, "default_branch": "main"},
    }  # fmt: skip
    pull.folder = pull.author.parent.parent / "group"
    pull.clone = pull.folder / "churn-radar"
    git(pull.author, "clone", "--quiet", str(pull.author), str(pull.clone))
    keys = {k: v for k, v in actions.KEYS.items() if "DEFAULT" not in k}
    done = act(pull.clone, "pull-request", event, secrets=keys)
    assert passed(done, "pull-request"), done.stdout + done.stderr
    assert f"{EXPLORE} ran to its end" in done.stdout
    assert (pull.report["number"], pull.report["base"]) == (0, base)
    assert pull.report["pushed"]["state"] == "pushed"


def test_main_runs_on_the_default_branch_alone(author: Path) -> None:
    clone = author.parent / "main" / author.name
    git(author, "clone", "--quiet", str(author), str(clone))
    known = {"ref": "refs/heads/change", "repository": {"default_branch": "main"}}
    done = act(clone, "main", known)
    assert "Run Main" not in done.stdout + done.stderr


def test_hostile_artifacts_never_reach_another_pull_request(pull: Pull) -> None:
    commit(pull.author)
    pull.check(env={"PYTEST_ADDOPTS": "--no-such-option"})  # a run that is red for another reason
    assert "but the run failed" in pull.said.partition("Summary - ")[2]
    good = pull.report

    def attempt(content: str, **run: Any) -> bool:
        pull.file.write_text(content, encoding="utf-8")
        return passed(pull.comment(**run), "comment")

    assert not attempt(json.dumps(good | {"number": 1}))
    assert "the report claims pull request #1, which is not an open one" in pull.said
    assert not attempt(json.dumps(good | {"head": "0" * 40}))
    assert "refused: the report is of commit" in pull.said
    [comment] = pull.github.comments.values()
    assert "### ❌ Not ready: the check's report does not fit this pull request" in comment["body"]
    assert attempt("<script>@all</script>")
    [comment] = pull.github.comments.values()
    assert "### ❌ Not ready: the check left no report that can be read" in comment["body"]
    assert "@all" not in comment["body"]
    many = [{"file": "a" * 99, "name": f"{i}" * 80, "base": 1.0, "now": 2.0} for i in range(500)]
    assert attempt(json.dumps(good | {"metrics": many}))
    [comment] = pull.github.comments.values()
    assert 50_000 < len(comment["body"]) < 65_536
    assert "Shortened to fit" in comment["body"]
    pull.pull["head"]["sha"] = "d" * 40  # pushed to while the report was on its way
    assert attempt(json.dumps(good))
    assert "### ❌" in comment["body"]
    assert "but the run failed" in comment["body"]
    assert "the branch has moved on to dddddddddd" in comment["body"]


def test_runs_of_other_events_and_cancelled_ones_post_nothing(pull: Pull) -> None:
    pull.folder, pull.clone, pull.conclusion = pull.author.parent / "none", pull.author, ""
    for run in ({"event": "push"}, {"conclusion": "cancelled"}):
        pull.comment(**run)
        assert "Run Main" not in pull.said
    assert pull.github.requests == []


def dispatch(author: Path, workflow: str, branch: str, **event: Any) -> tuple[bool, str]:
    """Run `main` or `reproduce` on a clone of the author's branch, with the key that writes."""
    clone = author.parent / workflow / author.name
    git(author, "clone", "--quiet", "--branch", branch, str(author), str(clone))
    known = {"repository": {"full_name": actions.REPOSITORY, "default_branch": "main"}}
    keys = {k: v for k, v in actions.KEYS.items() if "DEFAULT" not in k}
    (clone.parent / "home").mkdir()
    # What the workflow pushes goes to the author's copy.
    address = f"https://x-access-token:fake@github.com/{actions.REPOSITORY}"
    (clone.parent / "home" / ".gitconfig").write_text(
        f'[url "{author}"]\n  insteadOf = {address}\n'
    )
    done = act(clone, workflow, known | {"ref": f"refs/heads/{branch}"} | event, secrets=keys)
    return passed(done, workflow), done.stdout + done.stderr


def test_main_proves_the_lock_and_finds_a_forged_one(author: Path) -> None:
    git(author, "checkout", "--quiet", "main")
    end_after_validate(author)
    good, said = dispatch(author, "main", "main")
    assert good, said
    assert "4 of 4 outputs are identical to dvc.lock" in said
    assert f"{EXPLORE} ran to its end" in said
    shutil.rmtree(author.parent / "main")
    forge(author)
    commit(author, "Merge two locks")
    assert not helpers.run(author, "dvc", "status", "--quiet").stdout
    good, said = dispatch(author, "main", "main")
    assert not good
    assert "validate reports/validate/metrics.json comes out otherwise than dvc.lock says" in said
    proof = author.parent / "main" / "artifacts" / "verify" / ".report" / "verify.json"
    stages = json.loads(proof.read_text("utf-8"))["stages"]
    assert [stage["stage"] for stage in stages if stage["faults"]] == ["validate"]


def end_after_validate(project: Path) -> None:
    """Let the line end with its second stage: `esteira verify` itself has tests of its own."""
    yaml = YAML()
    for file in ("dvc.yaml", "dvc.lock"):
        content = yaml.load(project / file)
        content.pop("artifacts", None)
        content.pop("plots", None)
        for stage in list(content["stages"])[2:]:
            del content["stages"][stage]
        yaml.dump(content, project / file)
    (project / EXPLORE).write_text("assert open('data/validated.parquet', 'rb').read()\n", "utf-8")
    commit(project, "A short line")


def forge(project: Path) -> None:
    """Make a metric better than it is, and dvc.lock agree, as a merge without a conflict can."""
    edit(project, "reports/validate/metrics.json", '"rows": 569', '"rows": 570')
    helpers.run(project, "dvc", "commit", "--force", "validate")


def test_reproduce_settles_the_lock_of_a_branch(author: Path) -> None:
    edit(author, "params.yaml", C, "hyperparameters: {C: 0.3}")
    before = commit(author)
    git(author, "checkout", "--quiet", "main")
    good, said = dispatch(author, "reproduce", "change", inputs={})
    assert good, said
    assert git(author, "rev-parse", "change~1") == before
    changed = git(author, "diff", "--name-only", "change~1", "change").split()
    assert {"dvc.lock", "environment.json"} <= set(changed)
    assert all(re.match(r"dvc.lock|environment.json|reports/", name) for name in changed)
    assert "github-actions[bot]" in git(author, "log", "-1", "--format=%an", "change")
    fresh = author.parent / "fresh" / author.name
    git(author, "clone", "--quiet", "--branch", "change", str(author), str(fresh))
    helpers.run(fresh, "esteira", "verify", "--lock", "--pushed", env=actions.KEYS)


def test_reproduce_does_nothing_on_the_default_branch(author: Path) -> None:
    git(author, "checkout", "--quiet", "main")
    clone = author.parent / "reproduce" / author.name
    git(author, "clone", "--quiet", str(author), str(clone))
    event = {
        "inputs": {},
        "ref": "refs/heads/main",
        "repository": {"default_branch": "main"},
    }
    done = act(clone, "reproduce", event)
    assert "Run Main" not in done.stdout + done.stderr


def test_without_a_shared_remote_ci_works_on_the_samples(
    project: Path, tmp_path: Path, github: actions.GitHub
) -> None:
    shutil.rmtree(project.parent / "churn-radar-dvc-remote")  # CI has no folder of the author's
    git(project, "checkout", "--quiet", "-b", "change")
    pull = Pull(project, github)
    edit(project, "params.yaml", C, "hyperparameters: {C: 0.1}")
    commit(project)
    assert not passed(pull.check(signed_in=False), "pull-request"), pull.said
    assert pull.report["run"]["state"] == "reproduced"
    assert pull.report["lock"]["state"] == "stale"
    assert "roc_auc" in {m["name"] for m in pull.report["metrics"] if m["now"] != m["base"]}
