"""A day of experiments: the manual's own commands, from a try to a change that is settled."""

import csv
import io
import re
import shlex
from pathlib import Path

import pandas as pd
from helpers import run


def commands(manual: str, section: str) -> list[list[str]]:
    """Return the commands of a section of the manual, without `uv run`."""
    text = manual.split(f"## {section}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    lines = [part for block in blocks for line in block.splitlines() for part in line.split(" && ")]
    words = [shlex.split(line, comments=True) for line in lines]
    return [line[2:] for line in words if line[:2] == ["uv", "run"]]


def test_the_manuals_commands_try_show_and_apply(project: Path) -> None:
    manual = (project / "README.md").read_text(encoding="utf-8")
    known = commands(manual, "Experiments")
    one, queue, run_all, show, apply, *_ = known
    assert [words[:3] for words in (one, queue, run_all, show, apply)] == [
        ["dvc", "exp", "run"], ["dvc", "exp", "run"], ["dvc", "exp", "run"],
        ["dvc", "exp", "show"], ["dvc", "exp", "apply"],
    ]  # fmt: skip
    run(project, *one, "train")  # the one below runs all that a model is judged by
    assert "C: 0.5" in (project / "params.yaml").read_text("utf-8")
    run(project, "git", "checkout", "--force", "--quiet", "HEAD", "--", ".")
    run(project, *(word.replace("=forest,boosting", "=forest") for word in queue))
    run(project, *run_all)
    rows = list(csv.DictReader(io.StringIO(run(project, *show, "--csv").stdout)))
    assert list(rows[0]) == [
        "Experiment", "log_loss", "roc_auc", "train.algorithm", "train.hyperparameters.C",
    ]  # fmt: skip
    (forest,) = (row for row in rows if row["train.algorithm"] == "forest")
    assert forest["roc_auc"] != rows[0]["roc_auc"]
    run(project, *(forest["Experiment"] if word == "NAME" else word for word in apply))
    assert "algorithm: forest" in (project / "params.yaml").read_text("utf-8")
    status = run(project, "esteira", "status").stdout
    assert "dvc.lock is fresh" in status
    assert re.search(r"^! Commit", status, re.MULTILINE)


def test_a_search_leaves_its_candidates_and_no_search_the_header(project: Path) -> None:
    table = project / "reports" / "train" / "search.csv"
    assert table.read_text("utf-8") == "rank,score,spread\n"
    params = project / "params.yaml"
    text = params.read_text("utf-8")
    params.write_text(text.replace("candidates: 0", "candidates: 4"), "utf-8")
    said = run(project, "dvc", "repro", "train").stdout
    assert re.search(r"^train: linear on .*, neg_log_loss -0\.\d+, [\d.]+ s\.$", said, re.MULTILINE)
    tried = pd.read_csv(table)
    assert list(tried) == ["rank", "score", "spread", "C"]
    assert tried["rank"].tolist() == [1, 2, 3, 4]
    assert tried["score"].is_monotonic_decreasing
