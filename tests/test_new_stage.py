"""A stage of the squad's own: made whole, runs at once, taken away whole."""

import re
import subprocess
from pathlib import Path

import actions
import pytest
from actions import edit, git
from helpers import LINE, ran, run, run_here
from ruamel.yaml import YAML

MODULE = "src/churn_radar/stages/clean_text.py"
TEST = "tests/test_stage_clean_text.py"


def esteira(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run_here(project, "esteira", *words, check=False)


def texts(project: Path) -> dict[str, bytes]:
    """Return every file of the project that Git keeps or would keep."""
    names = git(project, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    return {name: (project / name).read_bytes() for name in names if (project / name).is_file()}


def test_a_new_stage_runs_at_once_and_is_taken_away_without_a_trace(project: Path) -> None:
    before = texts(project)
    made = esteira(project, "new-stage", "clean_text", "--after", "split")
    assert made.returncode == 0, made.stderr
    assert "Next: uv run dvc repro" in made.stdout
    line = (project / "dvc.yaml").read_text("utf-8")
    assert line.index("  split:") < line.index("  clean_text:") < line.index("  train:")
    assert "as an `outs` without cache it would keep DVC from" in line, "comments are kept"
    again = esteira(project, "new-stage", "clean_text", "--after", "split")
    assert (again.returncode, "is there already" in again.stdout) == (0, True)
    assert (project / "dvc.yaml").read_text("utf-8") == line

    done = run(project, "dvc", "repro")
    assert ran(done.stdout) == ["clean_text"]
    assert re.search(r"clean_text: 371 rows, 0 sparse columns, [\d.]+ s\.", done.stdout)
    run(project, "pytest", "-q", TEST, "tests/test_line.py")
    for words in (["check"], ["format", "--check"]):
        run(project, "ruff", *words, "--no-cache", MODULE, TEST)
    actions.commit(project)
    assert "identical" in run(project, "esteira", "verify", "clean_text").stdout
    edit(project, "params.yaml", "sparse: 0.5", "sparse: 0.4")
    assert ran(run(project, "dvc", "repro").stdout) == ["clean_text"]

    (project / "reports/clean_text/ours.md").write_text("Kept.\n", "utf-8")
    actions.commit(project)
    gone = esteira(project, "remove-stage", "clean_text")
    assert gone.returncode == 0, gone.stderr
    left = texts(project)
    assert left.pop("reports/clean_text/ours.md") == b"Kept.\n", "it is not the stage's"
    assert left == before
    assert ran(run(project, "dvc", "repro").stdout) == []
    again = esteira(project, "remove-stage", "clean_text")
    assert (again.returncode, "nothing was done" in again.stdout) == (0, True)


def test_a_stage_can_come_after_any_other(project: Path) -> None:
    """One project with a new stage after each: they run, and leave no trace, as one alone does."""
    before = texts(project)
    new = {after: f"after_{after}" for after in LINE}
    for after, name in new.items():
        assert esteira(project, "new-stage", name, "--after", after).returncode == 0
    stages = YAML(typ="safe").load((project / "dvc.yaml").read_text("utf-8"))["stages"]
    for after, name in new.items():
        assert list(stages)[list(stages).index(after) + 1] == name
        deps = set(stages[name]["deps"])
        outs = [entry for kind in ("outs", "metrics") for entry in stages[after].get(kind, [])]
        assert deps & {next(iter(e)) if isinstance(e, dict) else e for e in outs}
    assert set(ran(run(project, "dvc", "repro").stdout)) == set(new.values())
    for name in new.values():
        assert esteira(project, "remove-stage", name).returncode == 0, "as it was made"
    assert texts(project) == before


REFUSED = [
    ("Train", "split", "'Train' cannot be a stage"),
    ("../x", "split", "cannot be a stage"),
    ("ação", "split", "cannot be a stage"),
    ("import", "split", "'import' is a word of Python's own"),
    ("match", "split", "'match' is a word of Python's own"),
    ("clean_text", "spilt", "--after names 'spilt', which is no stage: did you mean `split`?"),
    ("taken", "split", "src/churn_radar/stages/taken.py is there"),
    ("section", "split", "params.yaml has a section `section:` already"),
]


@pytest.mark.parametrize(("name", "after", "sentence"), REFUSED)
def test_what_cannot_be_a_stage_is_refused_and_nothing_is_written(
    project: Path, name: str, after: str, sentence: str
) -> None:
    (project / "src/churn_radar/stages/taken.py").write_text("", "utf-8")
    with (project / "params.yaml").open("a", encoding="utf-8") as params:
        params.write("\nsection: {}\n")
    before = texts(project)
    refused = esteira(project, "new-stage", name, "--after", after)
    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr
    assert texts(project) == before


def test_a_line_that_is_written_otherwise_is_told_what_to_add(project: Path) -> None:
    path = project / "dvc.yaml"
    content = YAML(typ="safe").load(path.read_text("utf-8"))
    with path.open("w", encoding="utf-8") as out:
        flow = YAML(typ="safe")
        flow.default_flow_style = True
        flow.dump(content, out)
    before = texts(project)
    refused = esteira(project, "new-stage", "clean_text", "--after", "split")
    assert refused.returncode == 2
    assert "dvc.yaml is written in a way that cannot be added to; add this:" in refused.stderr
    assert "cmd: python -m esteira.line clean_text" in refused.stderr
    assert texts(project) == before


def test_a_stage_that_others_read_or_that_git_does_not_have_stays(project: Path) -> None:
    refused = esteira(project, "remove-stage", "split")
    assert refused.returncode == 2
    assert "reads what `split` writes: change its `deps` first" in refused.stderr
    assert esteira(project, "new-stage", "clean_text", "--after", "split").returncode == 0
    edit(project, MODULE, "an example, to be replaced", "ours")
    before = texts(project)
    refused = esteira(project, "remove-stage", "clean_text")
    assert refused.returncode == 2
    assert f"{MODULE} is not committed: commit it first" in refused.stderr
    assert texts(project) == before
    refused = esteira(project, "remove-stage", "tarin")
    assert (refused.returncode, refused.stdout) == (
        0,
        "There is no stage `tarin`: nothing was done.\n",
    )
