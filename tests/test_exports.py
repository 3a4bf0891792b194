"""Beside the tools a squad already runs: stages in clones of their own, files for others."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import actions
import helpers
from actions import commit, edit, git
from test_workflows import dispatch, load

LINE = ["ingest", "validate", "split", "train", "evaluate", "drift_check", "predict", "card"]
LIGHT = ["ingest", "validate", "split", "card"]  # they run in a second: no model is loaded
AFTER = {
    "ingest": [],
    "validate": ["ingest"],
    "split": ["validate"],
    "train": ["split"],
    "evaluate": ["split", "train"],
    "drift_check": ["split", "train", "evaluate"],
    "predict": ["split", "train"],
    "card": ["validate", "split", "train", "evaluate", "drift_check"],
}


def make_stale(project: Path, stages: list[str]) -> list[str]:
    """Let dvc.lock say of `stages` what an older line gave, so that they have to run, and commit.

    What they give is what dvc.lock said before: no second run of the line has to show it. Returns
    the hashes of it.
    """
    path = project / "dvc.lock"
    entries = re.split(r"^(?=  \w+:$)", path.read_text("utf-8"), flags=re.M)
    outs: list[str] = []
    for place, entry in enumerate(entries):
        if entry.strip().partition(":")[0] in stages:
            outs += re.findall(r"md5: (\w{32})", entry.partition("    outs:\n")[2])
            entries[place] = re.sub(r"md5: (\w{32})", lambda m: f"md5: {m[1][::-1]}", entry)
    path.write_text("".join(entries), "utf-8")
    commit(project, "Lock an older line")
    return outs


def clone_of(project: Path, name: str) -> Path:
    """Return a fresh clone, which shares nothing with the project but its remote."""
    copy = project.parent / "clones" / name / project.name
    git(project, "clone", "--quiet", str(project), str(copy))
    remote = project.parent / "churn-radar-dvc-remote"
    if remote.exists():
        here = f"['remote \"storage\"']\n    url = {remote}\n"
        (copy / ".dvc" / "config.local").write_text(here, "utf-8")
    return copy


# -- The core


def test_the_graph_is_that_of_dvc_yaml(project: Path) -> None:
    told = json.loads(helpers.run(project, "esteira", "export", "graph").stdout)
    stages = {stage["name"]: stage for stage in told["stages"]}
    assert {name: stage["after"] for name, stage in stages.items()} == AFTER
    for place, name in enumerate(stages):
        assert set(stages[name]["after"]) <= set(list(stages)[:place])
    assert stages["train"]["commands"] == ["python -m esteira.line train"]
    assert "data/train.parquet" in stages["train"]["deps"]
    assert "models/model.skops" in stages["train"]["outs"]


def test_each_stage_in_a_clone_of_its_own_runs_once_in_all(project: Path) -> None:
    in_one_folder = (project / "dvc.lock").read_text("utf-8")
    remote = project.parent / "churn-radar-dvc-remote" / "files" / "md5"
    for digest in make_stale(project, LIGHT):
        (remote / digest[:2] / digest[2:]).unlink(missing_ok=True)
    ran: list[str] = []
    for name in LIGHT:
        done = helpers.run(clone_of(project, name), "esteira", "stage", "run", name)
        ran += helpers.ran(done.stdout)
        assert re.search(rf"^{name}: ran {name}[.;]", done.stdout, re.M)
    collector = clone_of(project, "collector")
    done = helpers.run(collector, "esteira", "stage", "collect")
    assert Counter([*ran, *helpers.ran(done.stdout)]) == Counter(LIGHT)
    assert "dvc.lock: no stage had to run; taken over from other clones: ingest" in done.stdout
    assert (collector / "dvc.lock").read_text("utf-8") == in_one_folder
    helpers.run(collector, "esteira", "verify", "--lock", "--pushed")
    again = helpers.run(clone_of(project, "again"), "esteira", "stage", "run", "card")
    assert helpers.ran(again.stdout) == []  # as when a scheduler tries a task again


def test_stages_that_no_other_clone_has_run_are_run_as_well(project: Path) -> None:
    make_stale(project, LIGHT)
    done = helpers.run(clone_of(project, "validate"), "esteira", "stage", "run", "validate")
    assert helpers.ran(done.stdout) == ["ingest", "validate"]
    done = helpers.run(clone_of(project, "split"), "esteira", "stage", "run", "split")
    assert helpers.ran(done.stdout) == ["split"]


def test_what_is_handed_over_is_not_believed(project: Path) -> None:
    make_stale(project, LIGHT)
    helpers.run(clone_of(project, "ingest"), "esteira", "stage", "run", "ingest")
    helpers.run(clone_of(project, "validate"), "esteira", "stage", "run", "validate")
    [handed] = project.parent.glob("churn-radar-dvc-remote/line/*/validate.json")
    content = json.loads(handed.read_text("utf-8"))
    forged = {"../outside.txt": "Zm9yZ2Vk", ".git/config": "Zm9yZ2Vk"}
    forged["reports/validate/metrics.json"] = "e30="
    handed.write_text(json.dumps(content | {"files": content["files"] | forged}), "utf-8")
    split = clone_of(project, "split")
    done = helpers.run(split, "esteira", "stage", "run", "split")
    assert helpers.ran(done.stdout) == ["validate", "split"]  # its metrics are not the lock's
    assert not (split.parent / "outside.txt").exists()
    assert "forged" not in (split / ".git" / "config").read_text("utf-8")
    handed.write_text("{", "utf-8")
    done = helpers.run(clone_of(project, "again"), "esteira", "stage", "run", "validate")
    assert helpers.ran(done.stdout) == ["validate"]
    entry = next(dep for dep in content["entry"]["deps"] if dep["path"] == "schema.yaml")
    entry["md5"] = "0" * 32
    handed.write_text(json.dumps(content), "utf-8")
    done = helpers.run(clone_of(project, "once more"), "esteira", "stage", "run", "validate")
    assert helpers.ran(done.stdout) == ["validate"]


def test_a_users_mistake_is_told_in_one_sentence(project: Path) -> None:
    def refused(*words: str) -> str:
        done = helpers.run(project, "esteira", *words, check=False)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "dvc.yaml has no stage 'trian': did you mean" in refused("stage", "run", "trian")
    assert "GitHub's machines do not share: name a bucket" in refused("export", "github")
    assert not (project / ".github/workflows/line.yml").exists()
    edit(project, "params.yaml", "algorithm: linear", "algorithm: quadratic")
    assert "train did not run through: see above." in refused("stage", "run", "train")
    shutil.rmtree(project.parent / "churn-radar-dvc-remote")
    assert "which is not on this machine" in refused("stage", "run", "train")


# -- GitHub


def test_the_workflow_is_linted_and_told_to_be_out_of_date(author: Path) -> None:
    absent = helpers.run(author, "esteira", "export", "github", "--check", check=False)
    assert absent.returncode == 1
    assert "line.yml is not here: write it by `uv run esteira export github`." in absent.stderr
    helpers.run(author, "esteira", "export", "github")
    helpers.run(author, "esteira", "export", "github", "--check")
    path = author / ".github" / "workflows" / "line.yml"
    jobs: dict[str, Any] = load(path)["jobs"]
    assert {name: job.get("needs", []) for name, job in jobs.items()} == AFTER | {"collect": LINE}
    assert load(path)["permissions"] == {}
    assert [n for n, job in jobs.items() if job["permissions"]["contents"] == "write"] == [
        "collect"
    ]
    reproduce = load(author / ".github" / "workflows" / "reproduce.yml")["jobs"]["write"]
    for job in jobs.values():
        assert job["environment"] == reproduce["environment"] == "data-write"
        assert job["steps"][:2] == reproduce["steps"][:2]
        assert not [step for step in job["steps"] if "${{" in step.get("run", "")]
    assert jobs["ingest"]["if"] == reproduce["if"]
    assert jobs["collect"]["permissions"] == reproduce["permissions"]
    found = helpers.run(
        author, "zizmor", "--offline", "--persona=auditor", "--no-progress", "--format=json",
        ".github",
    )  # fmt: skip
    assert json.loads(found.stdout) == []
    assert helpers.run(author, "actionlint", "-shellcheck", "shellcheck").stdout == ""
    schema = ("check-jsonschema", "--builtin-schema", "vendor.github-workflows")
    helpers.run(author, *schema, str(path))
    own_test = ("pytest", "--noconftest", "tests/test_line.py", "-k", "files_for_other_tools")
    assert "1 passed" in helpers.run(author, *own_test).stdout
    edit(author, "dvc.yaml", "  predict:\n", "  answer:\n")
    old = helpers.run(author, "esteira", "export", "github", "--check", check=False)
    assert old.returncode == 1
    assert "line.yml is not what dvc.yaml says now: write it again by" in old.stderr
    assert helpers.run(author, *own_test, check=False).returncode == 1


def test_a_project_in_a_sub_folder_has_its_workflow_at_the_top(author: Path) -> None:
    helpers.run(author, "mkdir", "ml")
    for name in git(author, "ls-tree", "--name-only", "HEAD").split():
        if name != ".github":
            git(author, "mv", name, f"ml/{name}")
    helpers.run(author / "ml", "esteira", "export", "github")
    content = load(author / ".github" / "workflows" / "line.yml")
    assert content["defaults"] == {"run": {"working-directory": "ml"}}
    assert {job["steps"][1]["with"]["folder"] for job in content["jobs"].values()} == {"ml"}
    assert helpers.run(author, "actionlint", "-shellcheck", "shellcheck").stdout == ""


def test_the_workflow_runs_each_stage_once_and_commits_the_whole_lock(author: Path) -> None:
    helpers.run(author, "esteira", "export", "github")
    expected = (author / "dvc.lock").read_text("utf-8")
    new_place = ("url", "s3://data/line")  # where nothing is but the raw data
    helpers.run(author, "dvc", "remote", "modify", "storage", *new_place)
    helpers.run(author, "dvc", "push", "data/raw/patients.csv", env=actions.KEYS)
    make_stale(author, LINE)
    before = git(author, "rev-parse", "change")
    git(author, "checkout", "--quiet", "main")
    good, said = dispatch(author, "line", "change", inputs={})
    assert good, said
    assert "Job failed" not in said
    assert said.count("Job succeeded") == len(LINE) + 1
    executed = re.findall(r"Running stage '(\w+)'", said)
    assert Counter(executed) == Counter(LINE)
    assert git(author, "rev-parse", "change~1") == before
    changed = git(author, "diff", "--name-only", "change~1", "change").split()
    assert "dvc.lock" in changed
    assert all(re.match(r"dvc.lock|environment.json|reports/", name) for name in changed)
    assert git(author, "show", "change:dvc.lock") == expected.rstrip("\n")
    git(author, "checkout", "--quiet", "change")
    fresh = clone_of(author, "fresh")
    helpers.run(fresh, "esteira", "verify", "--lock", "--pushed", env=actions.KEYS)
