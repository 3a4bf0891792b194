"""An ordinary day: change one thing, and only what used it runs again."""

import json
from pathlib import Path

import pandas as pd
import pytest
from helpers import ran, run

PACKAGE = "src/churn_radar"
AFTER_TRAIN = ["train", "evaluate", "drift_check", "predict", "card"]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def plan(project: Path) -> list[str]:
    """Return the stages that a repro would run, by running it."""
    return ran(run(project, "dvc", "repro").stdout)


def stale(project: Path) -> list[str]:
    """Return the stages whose deps or parameters changed, in alphabetical order; nothing is run."""
    changed = json.loads(run(project, "dvc", "status", "--json").stdout)
    return sorted(name.removeprefix("dvc.yaml:") for name in changed)


def test_one_parameter_makes_its_stage_alone_stale(project: Path) -> None:
    for old, new, expected in (
        ("examples: 5", "examples: 6", "validate"),
        ("algorithm: linear", "algorithm: boosting", "train"),
        ("hyperparameters: {}", "hyperparameters: {C: 0.1}", "train"),
    ):
        edit(project / "params.yaml", old, new)
        assert stale(project) == [expected], new
        edit(project / "params.yaml", new, old)


def test_one_module_makes_the_stages_stale_that_import_it(project: Path) -> None:
    for module, expected in (
        ("stages/train.py", ["train"]),
        ("model.py", sorted(AFTER_TRAIN[:-1])),
        ("features.py", sorted(AFTER_TRAIN[:-1])),
    ):
        path = project / PACKAGE / module
        before = path.read_text(encoding="utf-8")
        path.write_text(before + "\n# A remark.\n", encoding="utf-8")
        assert stale(project) == expected, module
        path.write_text(before, encoding="utf-8")


def test_what_changed_runs_again_and_what_gets_the_same_input_does_not(project: Path) -> None:
    remarked = ["ingest", "split", "evaluate", "predict"]
    for stage in remarked:
        path = project / PACKAGE / "stages" / f"{stage}.py"
        path.write_text(path.read_text(encoding="utf-8") + "\n# A remark.\n", encoding="utf-8")
    assert plan(project) == remarked


def test_a_room_beside_the_line_reruns_nothing_and_the_ground_floor_what_stands_on_it(
    project: Path,
) -> None:
    toolbox = project / "vendor" / "esteira"
    modules = sorted(toolbox.rglob("*.py"))
    line = [path for path in modules if path.is_relative_to(toolbox / "line")]
    drift = [path for path in modules if path.is_relative_to(toolbox / "drift")]
    card = [path for path in modules if path.is_relative_to(toolbox / "card")]
    page = [path for path in modules if path.is_relative_to(toolbox / "page")]
    beside = [path for path in modules if path not in (*line, *page, *drift, *card)]
    assert {path.relative_to(toolbox).parts[0] for path in beside} >= {"adopt", "cli.py", "verify"}
    assert stale(project) == []

    def change(path: Path) -> None:
        path.write_text(path.read_text(encoding="utf-8") + "\n# A remark.\n", encoding="utf-8")

    for path in beside:
        change(path)
    for folder in {path.parent for path in beside}:
        (folder / "words.md").write_text("More words.\n", encoding="utf-8")
    assert stale(project) == []
    assert ran(run(project, "dvc", "repro", "--dry").stdout) == []
    change(card[-1])
    assert stale(project) == ["card"]
    change(page[-1])
    assert stale(project) == ["card", "drift_check"]
    change(drift[-1])
    assert stale(project) == ["card", "drift_check", "evaluate"]
    change(line[-1])
    every = ["card", "drift_check", "evaluate", "ingest", "predict", "split", "train", "validate"]
    assert stale(project) == every


def test_a_new_import_that_is_not_declared_fails_the_squads_tests(project: Path) -> None:
    (project / PACKAGE / "helpers.py").write_text("ANSWER = 42\n", encoding="utf-8")
    more = "import pandas as pd\n\nfrom .helpers import ANSWER  # noqa: F401\n"
    edit(project / PACKAGE / "features.py", "import pandas as pd\n", more)
    done = run(project, "pytest", "-q", "tests/test_line.py", check=False)
    assert done.returncode == 1
    assert "src/churn_radar/helpers.py" in done.stdout


def test_a_batch_that_drifted_can_be_trained_on_whole(project: Path) -> None:
    training = pd.read_parquet(project / "data" / "ingested.parquet")
    moved = training.sample(200, random_state=1)
    moved["mean radius"] = moved["mean radius"].astype(float) + 4
    raw = project / "data" / "raw"
    raw.mkdir()
    moved.to_csv(raw / "august.csv", index=False)
    edit(project / "params.yaml", "current: data/current.parquet", "current: data/raw/august.csv")
    said = run(project, "dvc", "repro", "drift_check").stdout
    assert "retrain: Retrain on recent data." in said
    assert "`mean radius`" in said
    page = (project / "reports" / "drift_check" / "report.html").read_text(encoding="utf-8")
    assert "Drift check of data/raw/august.csv" in page

    pd.concat([training, moved]).to_csv(raw / "all.csv", index=False)
    params = project / "params.yaml"
    edit(params, "source: sample-classification", "source: data/raw/all.csv")
    edit(params, "current: 0.15", "current: 0")
    run(project, "dvc", "repro", "split")
    assert pd.read_parquet(project / "data" / "current.parquet").empty

    other = moved.rename(columns=str.upper)
    other.to_csv(raw / "august.csv", index=False)
    done = run(project, "dvc", "repro", "-s", "drift_check", check=False)
    assert done.returncode
    assert "august.csv is not written as `file:` in schema.yaml says" in done.stderr


def test_a_search_reports_what_it_found(project: Path) -> None:
    edit(project / "params.yaml", "candidates: 0", "candidates: 2")
    assert plan(project) == AFTER_TRAIN
    found = json.loads((project / "reports/train/metrics.json").read_text(encoding="utf-8"))
    assert found["search_score"] < 0
    assert found["C"] > 0


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        (
            "params.yaml",
            "holdout: 0.25",
            "holdout: some",
            "split: params.yaml, section `split`: holdout: input should be a valid number",
        ),
        (
            "params.yaml",
            "holdout: 0.25",
            "holdout: 1.5",
            "split: params.yaml, section `split`: holdout: input should be less than 1 (got 1.5)",
        ),
        ("params.yaml", "holdout: 0.25", "holdot: 0.25", "holdout: field required"),
        (
            "params.yaml",
            "hyperparameters: {}",
            "hyperparameters: {D: 1}",
            "train: section `train:` of params.yaml cannot be used: Invalid parameter 'D'",
        ),
        (
            "params.yaml",
            "scoring: neg_log_loss",
            "scoring: neg_log_los",
            "which scikit-learn does not know: did you mean `neg_log_loss`?",
        ),
        (
            "params.yaml",
            "importance: neg_log_loss",
            "importance: best",
            "evaluate: section `evaluate:` of params.yaml cannot be used:",
        ),
        (
            "params.yaml",
            "source: sample-classification",
            "source: data/raw/no.csv",
            "ingest: data/raw/no.csv does not exist",
        ),
        ("params.yaml", "data/current.parquet", "data/no.parquet", "data/no.parquet"),
        ("schema.yaml", "diagnosis: {", "diagnose: {", "validate: data/ingested.parquet lacks"),
        (
            "schema.yaml",
            "role: target",
            "role: goal",
            "validate: schema.yaml: columns.diagnosis.role: input should be",
        ),
        ("schema.yaml", "columns:", "columns: [", "validate: schema.yaml is not valid YAML"),
    ],
)
def test_a_mistake_gets_a_sentence_and_no_traceback(
    project: Path, file: str, old: str, new: str, sentence: str
) -> None:
    edit(project / file, old, new)
    done = run(project, "dvc", "repro", check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert sentence in done.stdout + done.stderr


def test_a_table_that_cannot_be_read_is_refused(project: Path) -> None:
    raw = project / "data" / "raw" / "broken.csv"
    raw.parent.mkdir(parents=True)
    raw.write_text('a,b\n1,2\n1,2,3,4\n"', encoding="utf-8")
    edit(project / "params.yaml", "source: sample-classification", "source: data/raw/broken.csv")
    done = run(project, "dvc", "repro", "ingest", check=False)
    assert done.returncode != 0
    assert "data/raw/broken.csv" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_a_remote_that_does_not_exist_is_told(project: Path) -> None:
    run(project, "dvc", "remote", "modify", "storage", "url", "/nowhere/at/all")
    done = run(project, "esteira", "remote", "check", check=False)
    assert done.returncode == 2
    assert "the remote is the folder /nowhere/at/all, which is not on this machine" in done.stderr
    assert done.stderr.count("\n") == 1
    pulled = run(project, "dvc", "fetch", "--force", check=False)
    assert "Traceback" not in pulled.stdout + pulled.stderr


def test_a_stage_that_fails_leaves_the_last_good_files(project: Path) -> None:
    before = (project / "dvc.lock").read_bytes()
    edit(project / "params.yaml", "algorithm: linear", "algorithm: quantum")
    done = run(project, "dvc", "repro", check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    sentence = "train: `train.algorithm` is 'quantum', not in model.py: it has `linear`, `forest`,"
    assert sentence in done.stdout + done.stderr
    assert (project / "dvc.lock").read_bytes() == before
    edit(project / "params.yaml", "algorithm: quantum", "algorithm: linear")
    assert ran(run(project, "dvc", "repro").stdout) == []
    assert run(project, "git", "status", "--porcelain").stdout == ""
