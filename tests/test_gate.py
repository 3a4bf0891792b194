"""The gate: says yes or no by numbers that the line is known to give, and finds its own base."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import agree, run, run_here

from esteira.line.errors import UserError
from esteira.repository import base as bases

EVALUATE = "reports/evaluate/metrics.json"


def test_the_gate_says_yes_and_compares_with_a_base(project: Path) -> None:
    done = run(project, "esteira", "gate", "--base", "HEAD")
    assert done.stdout.count("yes") == 4
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"roc_auc": 0.5}, "roc_auc is 0.5, below the limit of 0.95."),
        ({"log_loss": 3}, "log_loss is 3, above the limit of 0.25."),
        ({"roc_auc": 0.98}, ", where 0.01 is allowed."),
        ({"roc_auc": None}, "roc_auc is None, not a number in reports/evaluate/metrics.json."),
        ({"roc_auc": True}, "roc_auc is True, not a number"),
        ({"roc_auc": float("nan")}, "roc_auc is nan, not a number"),
        ({"roc_auc": ...}, "roc_auc is missing in reports/evaluate/metrics.json: it has"),
    ],
)
def test_the_gate_says_no(project: Path, change: dict, sentence: str) -> None:
    path = project / "reports" / "evaluate" / "metrics.json"
    measured = json.loads(path.read_text(encoding="utf-8")) | change
    kept = {name: value for name, value in measured.items() if value is not ...}
    path.write_text(json.dumps(kept), encoding="utf-8")
    agree(project, EVALUATE)
    done = run_here(project, "esteira", "gate", "--base", "HEAD", check=False)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "no" in done.stdout


@pytest.mark.parametrize(
    ("action", "code", "said"),
    [
        (0, 0, ""),
        (1, 0, ""),
        (2, 1, "the drift check says `rework`, which gates.yaml does not let pass"),
        (3, 1, "the drift check says `unusable`, so nothing can be said"),
        (7, 1, "action is 7 in reports/drift_check/metrics.json, which means nothing"),
    ],
)
def test_the_gate_knows_the_drift_checks_actions(
    project: Path, action: int, code: int, said: str
) -> None:
    path = project / "reports" / "drift_check" / "metrics.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(found | {"action": action}), encoding="utf-8")
    agree(project, "reports/drift_check/metrics.json")
    done = run_here(project, "esteira", "gate", check=False)
    assert done.returncode == code
    assert said in done.stderr


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda p: (p / "reports/evaluate/metrics.json").unlink(), "does not exist: run"),
        (lambda p: (p / "reports/evaluate/metrics.json").write_text("{"), "is not JSON"),
        (lambda p: (p / "reports/drift_check/metrics.json").unlink(), "does not exist: run"),
        (lambda p: (p / "reports/evaluate/metrics.json").write_text("[1]"), "must hold a mapping"),
    ],
)
def test_a_check_that_could_not_run_is_a_no(
    project: Path, break_it: Callable[[Path], None], said: str
) -> None:
    break_it(project)
    done = run_here(project, "esteira", "gate", check=False)
    assert done.returncode == 1
    assert said in done.stderr


def test_a_broken_gates_file_or_base_is_refused(project: Path) -> None:
    done = run(project, "esteira", "gate", "--base", "nowhere", check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the base 'nowhere' is no commit here" in done.stderr
    (project / "gates.yaml").write_text("rules: []\n", encoding="utf-8")
    assert run_here(project, "esteira", "gate", check=False).returncode == 2
    (project / "gates.yaml").write_text("rules: [{metric: r2}]\n", encoding="utf-8")
    done = run_here(project, "esteira", "gate", check=False)
    assert done.returncode == 2
    assert "gates.yaml: rules.0 (r2).better: field required" in done.stderr


# -- Reports that the line is not known to have written


def test_a_report_that_dvc_lock_does_not_name_is_a_no(project: Path) -> None:
    path = project / EVALUATE
    measured = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(measured | {"roc_auc": 0.9999}), encoding="utf-8")
    done = run_here(project, "esteira", "gate", check=False)
    assert done.returncode == 1
    assert f"{EVALUATE} is not the one that dvc.lock names: run `uv run dvc repro`" in done.stderr
    assert "0.9999" not in done.stdout

    run(project, "git", "checkout", "--quiet", EVALUATE)
    lock = project / "dvc.lock"
    lock.write_text(
        lock.read_text("utf-8").replace(f"path: {EVALUATE}", "path: elsewhere"), "utf-8"
    )
    done = run_here(project, "esteira", "gate", check=False)
    assert done.returncode == 1
    assert f"dvc.lock does not name {EVALUATE}" in done.stderr

    lock.unlink()
    done = run_here(project, "esteira", "gate", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no dvc.lock, so no report can be believed" in done.stderr


# -- The base, asked of Git


def worsen(project: Path) -> None:
    """Make the leading metric worse than gates.yaml allows, as a change of the model would."""
    path = project / EVALUATE
    measured = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(measured | {"roc_auc": measured["roc_auc"] - 0.02}), "utf-8")
    agree(project, EVALUATE)


def commit(project: Path, message: str = "Change") -> None:
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "--allow-empty", "-m", message)


def refuses(project: Path) -> str:
    """Return what the gate printed; it must have refused to let the metric become so much worse."""
    done = run_here(project, "esteira", "gate", check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert ", where 0.01 is allowed." in done.stderr
    return done.stdout


def test_the_gate_compares_with_where_the_branch_left_whatever_its_name(project: Path) -> None:
    run(project, "git", "branch", "--move", "trunk")
    run(project, "git", "config", "init.defaultBranch", "trunk")
    run(project, "git", "checkout", "--quiet", "-b", "change")
    worsen(project)
    commit(project)
    assert "Compared with trunk, at " in refuses(project)


def test_a_clone_asks_its_remote_for_the_default_branch(project: Path, tmp_path: Path) -> None:
    run(project, "git", "branch", "--move", "develop")
    clone = tmp_path / "clone"
    run(project, "git", "clone", "--quiet", str(project), str(clone))
    run(clone, "git", "checkout", "--quiet", "-b", "change")
    worsen(clone)
    commit(clone)
    assert "Compared with origin/develop, at " in refuses(clone)
    run(clone, "git", "remote", "set-head", "origin", "--delete")  # as after `git remote add`
    assert "Compared with origin/develop, at " in refuses(clone)
    # main moved on meanwhile, and for the worse: what is compared with is where the branch left.
    worsen(project)
    worsen(project)
    commit(project)
    run(clone, "git", "fetch", "--quiet")
    assert "Compared with origin/develop, at " in refuses(clone)


def test_a_base_that_cannot_be_read_is_an_error_and_not_a_first_change(
    project: Path, tmp_path: Path
) -> None:
    run(project, "git", "checkout", "--quiet", "-b", "change")
    commit(project)
    run(project, "git", "checkout", "--quiet", "main")
    commit(project, "Move on")
    shallow = tmp_path / "shallow"
    address = f"file://{project}"
    run(project, "git", "clone", "--quiet", "--depth=1", "--branch=change", address, str(shallow))
    for said in (
        "the default branch 'main' of origin is not here: `git fetch origin main:refs/remotes",
        "the base 'origin/main' cannot be compared with: this clone lacks older commits",
    ):
        done = run_here(shallow, "esteira", "gate", check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert said in done.stderr
        run(
            shallow,
            "git",
            "fetch",
            "--quiet",
            "--depth=1",
            "origin",
            "main:refs/remotes/origin/main",
        )
    run(shallow, "git", "fetch", "--quiet", "--unshallow")
    assert "Compared with origin/main, at " in run_here(shallow, "esteira", "gate").stdout


def test_without_a_base_the_gate_says_so_and_why(project: Path) -> None:
    run(project, "git", "checkout", "--quiet", "--orphan", "fresh")
    done = run_here(project, "esteira", "gate")
    assert "Not compared with a base: nothing is committed yet." in done.stdout
    commit(project)
    done = run_here(project, "esteira", "gate")
    assert "Not compared with a base: this branch shares no commit with main." in done.stdout
    run(project, "git", "branch", "--delete", "--force", "main")
    done = run_here(project, "esteira", "gate")
    assert "no default branch is found, neither here nor at a remote" in done.stdout
    shutil.rmtree(project / ".git")
    apart = {"GIT_CEILING_DIRECTORIES": str(project.parent)}
    done = run_here(project, "esteira", "gate", env=apart)
    assert "Not compared with a base: the project is in no Git repository." in done.stdout


def test_another_target_or_another_table_leaves_nothing_to_compare_with(project: Path) -> None:
    worsen(project)
    path = project / "schema.yaml"
    text = path.read_text("utf-8")
    path.write_text(text.replace("positive: malignant", "positive: benign"), "utf-8")
    done = run_here(project, "esteira", "gate", check=False)
    assert "another target, diagnosis (benign) where the base has diagnosis" in done.stdout
    assert "where 0.01 is allowed" not in done.stderr
    path.write_text(text, "utf-8")
    assert "Compared with main" in refuses(project)
    params = project / "params.yaml"
    old = "source: sample-classification"
    params.write_text(params.read_text("utf-8").replace(old, "source: data/raw/ours.csv"), "utf-8")
    done = run_here(project, "esteira", "gate", check=False)
    assert "another table, data/raw/ours.csv where the base has sample-class" in done.stdout
    assert "where 0.01 is allowed" not in done.stderr


def test_a_metric_that_the_base_lacks_is_told_and_judged_by_its_limit(project: Path) -> None:
    text = (project / "gates.yaml").read_text("utf-8")
    rule = "rules:\n  - {metric: invented, better: higher, limit: 0.5, regression: 0.1}"
    (project / "gates.yaml").write_text(text.replace("rules:", rule, 1), "utf-8")
    measured = json.loads((project / EVALUATE).read_text("utf-8"))
    (project / EVALUATE).write_text(json.dumps(measured | {"invented": 0.6}), "utf-8")
    agree(project, EVALUATE)
    done = run_here(project, "esteira", "gate")
    assert "invented is not compared: the base does not measure it yet." in done.stdout


def test_figures_of_before_are_no_yes(project: Path) -> None:
    params = project / "params.yaml"
    text = params.read_text("utf-8")
    params.write_text(text.replace("hyperparameters: {}", "hyperparameters: {C: 0.5}"), "utf-8")
    done = run(project, "esteira", "gate", check=False)
    assert done.returncode == 1
    assert "dvc.lock is stale, so these figures are of before (`train`" in done.stderr
    assert "run `uv run dvc repro`" in done.stderr


def test_a_worse_model_is_told_on_the_rows_that_both_have_answered(worse: Path) -> None:
    project = worse
    run(project, "git", "checkout", "--quiet", "-b", "change")
    commit(project)
    done = run(project, "esteira", "gate", check=False)
    assert done.returncode == 1
    [said] = [line for line in done.stdout.splitlines() if line.startswith("log_loss: worse, ")]
    low, high = map(float, re.search(r"\[(\S+), (\S+)\]", said).groups())
    assert 0 < low < high
    assert "log_loss went from" in done.stderr or "above the limit" in done.stderr
    said = run(project, "esteira", "pull-request", "collect", "--base", "main").stdout
    assert "not committed" not in said
    report = json.loads((project / ".report" / "report.json").read_text("utf-8"))
    gates = {gate["metric"]: gate for gate in report["gates"]}
    compared = gates["log_loss"]["compared"]
    assert compared["low"] < compared["now"] - compared["base"] < compared["high"]
    assert gates["log_loss"]["base"] == compared["base"]
    assert gates["rules_broken"]["compared"] is None
    shown = run(project, "esteira", "pull-request", "render").stdout
    assert "rows that both models answered" in shown

    # Where the base's answers cannot be had, only the limits are judged, and that is told.
    shutil.rmtree(project / ".dvc" / "cache")
    shutil.rmtree(project.parent / f"{project.name}-dvc-remote")
    done = run_here(project, "esteira", "gate", check=False)
    assert "log_loss is not compared: " in done.stdout
    assert "log_loss went from" not in done.stderr
    run_here(project, "esteira", "pull-request", "collect", "--base", "main")
    shown = run_here(project, "esteira", "pull-request", "render").stdout
    assert (
        "not compared with the base: roc\\_auc, log\\_loss" in shown
        or "not compared with the base: roc_auc, log_loss" in shown
    )


# -- Where the project is not the whole repository


def test_a_project_in_a_sub_folder_is_compared_with_its_own_past(
    project: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    inner = whole / "ml" / project.name
    inner.parent.mkdir(parents=True)
    shutil.copytree(project, inner, symlinks=True)
    shutil.rmtree(inner / ".git")
    run(whole, "git", "init", "--quiet", "-b", "main")
    (whole / "dvc.lock").write_text("stages: {}\n")  # another project's, at the root
    (whole / "gates.yaml").write_text("rules: []\n")
    commit(whole, "Start")
    run(whole, "git", "checkout", "--quiet", "-b", "change")
    worsen(inner)
    commit(whole)
    assert "Compared with main, at " in refuses(inner)
    (inner / "notes.md").write_text("Not yet committed\n")
    shown = run(inner, "esteira", "pull-request", "collect", "--base", "main")
    assert "Wrote .report/report.json.\n" in shown.stdout
    assert "Of the folder as it lies: 1 file not committed yet, which CI will" in shown.stdout
    report = json.loads((inner / ".report" / "report.json").read_text("utf-8"))
    assert report["problem"] == ""
    assert report["lock"]["state"] == "fresh"
    [moved] = [metric for metric in report["metrics"] if metric["name"] == "roc_auc"]
    assert moved["base"] - moved["now"] > 0.01
    assert report["data"] == []
    assert {stage["state"] for stage in report["run"]["stages"]} == {"cached"}
    assert report["history"] != []


def test_a_project_in_a_worktree_and_in_a_submodule_is_compared(
    project: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    run(project, "git", "worktree", "add", "--quiet", "-b", "change", str(tree))
    outer = tmp_path / "outer"
    outer.mkdir()
    run(outer, "git", "init", "--quiet")
    protocol = ("git", "-c", "protocol.file.allow=always")
    run(outer, *protocol, "submodule", "--quiet", "add", "-b", "main", str(project), "ml")
    run(outer / "ml", "git", "checkout", "--quiet", "-b", "change")
    for folder in (tree, outer / "ml"):
        worsen(folder)
        commit(folder)
        assert "Compared with " in refuses(folder)


def test_the_base_is_found_with_names_that_git_quotes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = 'regiões "do\nsul'
    raw = project / "data" / "raw"
    raw.mkdir()
    (raw / f"{name}.csv.dvc").write_text(
        json.dumps({"outs": [{"md5": "a", "path": f"{name}.csv"}]})
    )
    commit(project)
    monkeypatch.chdir(project)
    (raw / f"{name}.csv.dvc").write_text(
        json.dumps({"outs": [{"md5": "b", "path": f"{name}.csv"}]})
    )
    from esteira.pull_request import commit_changes

    [moved] = commit_changes.data("main")
    assert (moved.path, moved.old_hash, moved.new_hash) == (f"data/raw/{name}.csv", "a", "b")
    assert bases.find("main").commit is not None
    with pytest.raises(UserError, match="no commit here"):
        bases.find("nowhere")
