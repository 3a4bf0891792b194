"""The first minutes: `dvc repro` is green, twice, in a clone, and with every other answer.

That another folder gives the same bytes is shown by test_verify.py, and for a released version by
test_publish.py.
"""

import hashlib
import json
import shutil
from pathlib import Path

from helpers import bake, ran, run
from ruamel.yaml import YAML

LINE = ["ingest", "validate", "split", "train", "evaluate", "drift_check", "predict", "card"]


def lock(project: Path) -> dict:
    return YAML(typ="safe", pure=True).load((project / "dvc.lock").read_text(encoding="utf-8"))


def metrics(project: Path, stage: str) -> dict[str, float]:
    return json.loads((project / "reports" / stage / "metrics.json").read_text(encoding="utf-8"))


def test_the_line_has_run_and_left_git_clean(project: Path) -> None:
    assert list(lock(project)["stages"]) == LINE
    assert metrics(project, "evaluate")["roc_auc"] > 0.97
    assert metrics(project, "drift_check")["rows_current"] == 85
    assert run(project, "git", "status", "--porcelain").stdout == ""
    data = run(project, "git", "ls-files", "data", "models").stdout
    assert data == "", "data and models are DVC's"


def test_a_second_repro_runs_nothing(project: Path) -> None:
    done = run(project, "dvc", "repro")
    assert ran(done.stdout) == []
    assert "Data and pipelines are up to date." in done.stdout


def test_a_fresh_clone_pulls_what_was_pushed(project: Path) -> None:
    clone = project.parent / "clone"
    run(project.parent, "git", "clone", "--quiet", str(project), str(clone))
    run(clone, "dvc", "pull")
    assert ran(run(clone, "dvc", "repro").stdout) == []


def test_other_answers_really_run(elsewhere: Path, tmp_path: Path) -> None:
    """Another task, and no answer that is the default: a project that shares nothing with it."""
    project = tmp_path / elsewhere.name
    shutil.copytree(elsewhere, project, symlinks=True)
    assert list(lock(project)["stages"]) == LINE
    assert ran(run(project, "dvc", "repro").stdout) == []
    run(project, "esteira", "gate")
    run(project, "pytest", "-q", "-p", "no:cacheprovider")
    status = run(project, "git", "status", "--porcelain").stdout
    assert set(status.split("\n")) == {"?? dvc.lock", "?? reports/", ""}


def test_the_squads_own_tests_pass_before_anything_has_run(
    reproduced: Path, tmp_path: Path
) -> None:
    project = bake(tmp_path)
    assert " passed" in run(project, "pytest", "-q").stdout


def test_every_declared_plot_has_points_and_the_page_is_made(project: Path) -> None:
    done = run(project, "dvc", "plots", "show")
    assert "failed to load" not in done.stdout + done.stderr
    page = (project / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    plots = YAML(typ="safe", pure=True).load((project / "dvc.yaml").read_text(encoding="utf-8"))
    titles = [next(iter(plot.values()))["title"] for plot in plots["plots"]]
    assert len(titles) == 7
    for title in titles:
        assert title in page, title
    assert run(project, "git", "status", "--porcelain").stdout == "", "plots are not for Git"


def test_the_model_is_an_artifact_that_dvc_knows(project: Path) -> None:
    artifact = lock(project)["stages"]["train"]["outs"][0]
    digest = hashlib.md5((project / artifact["path"]).read_bytes()).hexdigest()  # noqa: S324
    assert artifact["md5"] == digest
    shutil.rmtree(project / "models")
    run(project, "git", "tag", "-a", "model@v1.0.0", "-m", "The first release")  # as GTO does
    found = run(project, "dvc", "artifacts", "get", ".", "model", "-o", "got.skops")
    assert hashlib.md5((project / "got.skops").read_bytes()).hexdigest() == digest, found  # noqa: S324
