"""Collecting the facts: what is broken, absent or renamed is a fact, and never a green check."""

import json
import shutil
from pathlib import Path

import helpers
import pytest

from esteira.line.errors import UserError
from esteira.pull_request import collect as room
from esteira.pull_request import commit_changes, judge
from esteira.pull_request import facts as f
from esteira.pull_request.render import render
from esteira.repository import git, snapshot

EVALUATE = "reports/evaluate/metrics.json"


def collect(base: str = "main") -> f.Facts:
    """Collect in this process, for speed; what is written must be what is returned."""
    found = room.collect(base, ".report/report.json")
    assert f.read(".report/report.json") == found
    return found


@pytest.fixture
def branch(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the reproduced project on a branch, as the current folder."""
    helpers.run(project, "git", "checkout", "--quiet", "-b", "change")
    monkeypatch.chdir(project)
    monkeypatch.setenv("PYTHONPATH", f"{project}/src:{project}/vendor")
    monkeypatch.delenv("GITHUB_EVENT_PATH", raising=False)
    return project


def edit(project: Path, file: str, old: str, new: str) -> None:
    path = project / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def told(facts: f.Facts) -> str:
    return "; ".join(judge.refusals(facts))


def test_nothing_changed(branch: Path) -> None:
    facts = collect()
    assert told(facts) == ""
    assert judge.remarks(facts) == []
    assert (facts.run.state, facts.lock.state, facts.pushed.state) == (
        "not needed",
        "fresh",
        "pushed",
    )
    assert {stage.state for stage in facts.run.stages} == {"cached"}
    assert all(metric.base == metric.now for metric in facts.metrics)
    assert (facts.params, facts.data, facts.columns, facts.rules) == ([], [], [], [])
    assert facts.gates[0].base == facts.gates[0].now
    assert facts.gates[0].compared is None  # the same answers: there is nothing to compare
    assert facts.gates[0].metric == "roc_auc"
    assert len(facts.history) == 1
    assert len(facts.drift.columns) >= facts.drift.checked > 0


# Committed by hand; the line is not run again, so each costs a second or two. Faults that do not
# hide each other share one.
DRIFT = "reports/drift_check/metrics.json"
BROKEN: dict[str, tuple[dict[str, str], list[str]]] = {
    "nan, a word, and no drift": (
        {EVALUATE: '{"roc_auc": NaN, "log_loss": "good", "rows": 122}', DRIFT: "{}"},
        ["roc_auc is NaN", "log_loss is good", "action is missing in reports/drift_check"],
    ),
    "huge, and a missing key": (
        {EVALUATE: '{"log_loss": 1%s}' % ("0" * 400)},
        ["log_loss is 1000", "roc_auc is missing in reports/evaluate"],
    ),
    "not JSON": ({EVALUATE: "<html>"}, [EVALUATE]),
    "gates": ({"gates.yaml": "rules: [}"}, ["gates.yaml is not valid YAML"]),
    "no gates": ({"gates.yaml": "rules: []"}, ["gates.yaml has no rules"]),
    "params": ({"params.yaml": "train: [}"}, ["params.yaml"]),
    "pipeline": ({"dvc.yaml": "stages: [}"}, ["dvc.yaml"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_a_fact_and_never_a_yes(branch: Path, case: str) -> None:
    files, sentences = BROKEN[case]
    for file, content in files.items():
        # As a merge can leave it: the file and the lock agree, so nothing is run again.
        (branch / file).write_text(content, "utf-8")
        if file.startswith("reports"):
            helpers.agree(branch, file)
    facts = collect()
    for said in sentences:
        assert said in told(facts), told(facts)
    assert "### ❌" in render(facts)


def test_a_renamed_metric_is_shown_as_gone(branch: Path) -> None:
    edit(branch, EVALUATE, '"f1"', '"f_one"')
    helpers.agree(branch, EVALUATE)
    facts = collect()
    assert "1 metric is gone (f1)" in judge.remarks(facts)
    here = {metric.name: (metric.base, metric.now) for metric in facts.metrics}
    assert here["f1"][1] is None
    assert here["f_one"][0] is None


def test_a_deleted_stage_is_named_and_its_gate_refuses(branch: Path) -> None:
    path = branch / "dvc.yaml"
    text = path.read_text("utf-8")
    start, end = text.index("  drift_check:\n"), text.index("  predict:\n")
    last = text.index("  - Drift by column")
    path.write_text(text[:start] + text[end:last], "utf-8")
    shutil.rmtree(branch / "reports" / "drift_check")
    facts = collect()
    assert "stages removed: drift_check" in judge.remarks(facts)
    assert "reports/drift_check/metrics.json does not exist" in told(facts)


def test_settings_columns_and_rules_are_compared_with_the_merge_base(branch: Path) -> None:
    edit(branch, "gates.yaml", "limit: 0.95", "limit: 0.9")
    edit(branch, "schema.yaml", "mean area: {type: number, min: 0}", "mean area: {type: number}")
    helpers.run(branch, "git", "commit", "--quiet", "--all", "-m", "Loosen")
    helpers.run(branch, "git", "checkout", "--quiet", "main")
    edit(branch, "gates.yaml", "limit: 0.25", "limit: 0.2")  # main's own, not this change's
    helpers.run(branch, "git", "commit", "--quiet", "--all", "-m", "Tighten")
    helpers.run(branch, "git", "checkout", "--quiet", "change")
    # The line is not run: what it would give is not what is looked at.
    shutil.rmtree(branch / "src" / "churn_radar" / "stages")
    facts = collect()
    assert facts.columns == [f.Change(name="mean area: min", old="0")]
    assert [change.name for change in facts.rules] == ["roc_auc"]
    assert "gates.yaml is changed" in judge.remarks(facts)
    assert facts.run.state == "failed"
    assert "stage ingest failed" in told(facts)


def test_of_a_list_of_categories_only_what_came_and_went_is_told() -> None:
    before = {"make": {"type": "category", "allowed": ["Fiat", "Ford"]}, "id": {"type": "text"}}
    after = {"make": {"type": "category", "allowed": ["Ford", "Gol", "Kia"]}, "age": {"min": 0}}
    assert commit_changes.column_changes(before, after) == [
        f.Change(name="make: allowed", old='["Fiat"]', new='["Gol", "Kia"]'),
        f.Change(name="id", old="type: text"),
        f.Change(name="age", new="min: 0"),
    ]
    other_order = {"make": {"type": "category", "allowed": ["Ford", "Fiat"]}}
    [told] = commit_changes.column_changes({"make": before["make"]}, other_order)
    assert told == f.Change(name="make: allowed", old='["Fiat", "Ford"]', new='["Ford", "Fiat"]')


def test_the_environment_that_made_the_lock_is_compared_where_both_are_known(branch: Path) -> None:
    record = branch / "environment.json"

    def moved(**versions: str) -> list[f.Change]:
        record.write_text(json.dumps(versions))
        return commit_changes.texts("main").environment

    assert moved(lock="a", python="3.12.1") == []
    helpers.run(branch, "git", "checkout", "--quiet", "main")
    record.write_text(json.dumps({"lock": "b", "python": "3.11.7", "scipy": "1.17.0"}))
    helpers.run(branch, "git", "add", "environment.json")
    helpers.run(branch, "git", "commit", "--quiet", "-m", "Record")
    assert moved(lock="a", python="3.11.7", scipy="1.17.0") == []
    assert moved(lock="a", python="3.12.1", scipy="1.17.0", blas="x") == [
        f.Change(name="python", old="3.11.7", new="3.12.1"),
        f.Change(name="blas", new="x"),
    ]
    record.unlink()
    assert commit_changes.texts("main").environment == []


def test_a_base_that_is_not_here_is_refused(branch: Path) -> None:
    assert "the base 'nowhere' is no commit here" in told(collect("nowhere"))


def test_raw_files_of_a_commit_are_those_that_were_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    for number, name in enumerate(("a.csv", "água e sal.csv", "empty.csv")):
        pointer = f"outs:\n- md5: {number:a>32}\n  size: {number}\n  path: {name}\n"
        (folder / f"{name}.dvc").write_text(pointer * (name != "empty.csv"), "utf-8")
    (tmp_path / "elsewhere.dvc").write_text("outs: []\n")
    helpers.run(tmp_path, "git", "init", "--quiet")
    helpers.run(tmp_path, "git", "add", "--all")
    helpers.run(tmp_path, "git", "commit", "--quiet", "-m", "Three")
    monkeypatch.chdir(folder)
    assert [*snapshot.raw_files(None)] == ["a.csv", "água e sal.csv"]
    assert snapshot.raw_files("HEAD") == snapshot.raw_files(None)
    texts = git.texts_at("HEAD", ".dvc")
    assert texts == {name: git.text_at("HEAD", name) for name in texts}
    assert len(texts) == 3
    (folder / "a.csv.dvc").unlink()
    assert [*snapshot.raw_files(None)] == ["água e sal.csv"]
    assert len(snapshot.raw_files("HEAD")) == 2
    with pytest.raises(UserError):
        snapshot.raw_files("no-such-commit")
