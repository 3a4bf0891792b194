"""A stage imports the tree it runs in, though the environment knows another: no false result."""

import shutil
from pathlib import Path

import pytest
from helpers import run

PIPELINE = """
stages:
  work:
    cmd: python -m esteira.line work
    deps: [vendor/esteira/line, src/squad/stages/work.py, src/squad/model.py]
    params: [work]
    outs:
    - made.txt: {cache: false}
"""
WORK = """
from pathlib import Path
from esteira.line.params import Section, run
from squad import model


class Settings(Section):
    size: int


def main(settings: Settings) -> None:
    Path("made.txt").write_text(f"{model.VALUE}\\n")


if __name__ == "__main__":
    run("work", main, Settings)
"""


@pytest.fixture(scope="module")
def one_stage(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project of one stage, reproduced and committed."""
    project = tmp_path_factory.mktemp("own") / "small"
    (project / "src" / "squad" / "stages").mkdir(parents=True)
    shutil.copytree(reproduced / ".dvc", project / ".dvc", ignore=shutil.ignore_patterns("cache"))
    shutil.copytree(reproduced / "vendor", project / "vendor")
    for name in ("pyproject.toml", ".dvcignore", ".gitignore"):
        shutil.copy(reproduced / name, project)
    (project / "dvc.yaml").write_text(PIPELINE)
    (project / "params.yaml").write_text("work: {size: 3}\n")
    (project / "src" / "squad" / "model.py").write_text("VALUE = 1\n")
    (project / "src" / "squad" / "stages" / "work.py").write_text(WORK)
    run(project, "git", "init", "--quiet", "--initial-branch=main")
    run(project, "dvc", "repro")
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "-m", "Reproduce")
    return project


@pytest.fixture
def small(one_stage: Path, tmp_path: Path) -> Path:
    """Return a copy of that project; `run` has its folder on the path, as installed."""
    shutil.copytree(one_stage, tmp_path / "small", symlinks=True)
    return tmp_path / "small"


def made(project: Path) -> str:
    return (project / "made.txt").read_text().strip()


def edit(project: Path) -> None:
    """Let the model use a new module, which no other tree has."""
    (project / "src" / "squad" / "extra.py").write_text("VALUE = 2\n")
    (project / "src" / "squad" / "model.py").write_text("from squad.extra import VALUE\n")
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(text.replace("model.py]", "model.py, src/squad/extra.py]"))


def forget(project: Path) -> None:
    """Put the workspace back."""
    run(project, "git", "checkout", "--quiet", ".")
    run(project, "git", "clean", "--quiet", "--force", "src")
    assert made(project) == "1"


@pytest.mark.parametrize("way", ["queue", "temporary"])
def test_an_experiment_runs_its_own_code(small: Path, way: str) -> None:
    edit(small)
    run(small, "git", "add", "--all")
    if way == "temporary":
        run(small, "dvc", "exp", "run", "--temp", "--name", "tiny")
        run(small, "git", "reset", "--quiet")
        forget(small)
    else:
        run(small, "dvc", "exp", "run", "--queue", "--name", "tiny")
        run(small, "git", "reset", "--quiet")
        forget(small)
        run(small, "dvc", "exp", "run", "--run-all")
    run(small, "dvc", "exp", "apply", "tiny")
    assert made(small) == "2"
    assert run(small, "esteira", "verify", "--lock").stdout == "dvc.lock is fresh.\n"
    assert run(small, "esteira", "verify", "work").returncode == 0


def worktree(small: Path) -> Path:
    tree = small.parent / "tree"
    run(small, "git", "worktree", "add", "--quiet", str(tree))
    edit(tree)
    return tree


def shared(small: Path) -> dict[str, str]:
    """Return variables by which the environment knows the first tree alone."""
    return {"PYTHONPATH": f"{small}/src:{small}/vendor"}


def test_a_worktree_that_shares_the_environment_runs_its_own_code(small: Path) -> None:
    tree = worktree(small)
    run(tree, "dvc", "repro", env=shared(small))
    assert made(tree) == "2"
    assert made(small) == "1"
    run(tree, "esteira", "verify", "work", env=shared(small))


def test_a_stage_started_by_hand_does_not_run_another_trees_code(small: Path) -> None:
    tree = worktree(small)
    (tree / "made.txt").unlink()
    done = run(tree, "python", "-m", "squad.stages.work", check=False, env=shared(small))
    assert done.returncode == 1
    assert done.stderr == (
        f"work: {small}/src/squad/stages/work.py would run, which is not in {tree}: start the "
        "stage by `uv run dvc repro`, or as `python -m esteira.line work`.\n"
    )
    assert not (tree / "made.txt").exists()
    mixed = {"PYTHONPATH": f"{tree}/src:{small}/vendor"}
    done = run(tree, "python", "-m", "squad.stages.work", check=False, env=mixed)
    assert done.returncode == 1, "the toolbox is another tree's"
    assert "vendor/esteira/line/params.py would run" in done.stderr
    run(tree, "python", "-m", "squad.stages.work")
    assert made(tree) == "2"
