"""Notebooks as code: without outputs, run from top to bottom, and never part of the line."""

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from actions import commit, edit, git
from helpers import bake, run, run_here
from test_workflows import Pull, passed, pull  # noqa: F401 - a fixture, and one pull request

EXPLORE = "notebooks/explore.py"
JUPYTER = ("jupytext==1.19.6", "nbclient==0.11.0", "ipykernel==7.4.0")
RAN = {"output_type": "stream", "name": "stdout", "text": ["ação 数据\n"]}


def notebook(*sources: str, **about: Any) -> dict[str, Any]:
    """Return a notebook of these cells, as one that was run."""
    cells = [
        {"cell_type": "code", "execution_count": 1, "id": str(n), "metadata": {},
         "outputs": [RAN], "source": source}
        for n, source in enumerate(sources)
    ]  # fmt: skip
    return {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}


def clean(*sources: str, **about: Any) -> dict[str, Any]:
    whole = notebook(*sources, **about)
    for cell in whole["cells"]:
        cell |= {"execution_count": None, "outputs": []}
    return whole


def write(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def esteira(
    project: Path, *words: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one of its commands: those that start no notebook in this process, for speed."""
    start = run if words[0] == "run" else run_here
    return start(project, "esteira", "notebook", *words, check=False, env=env)


def refused(done: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """Return what was said to a mistake: sentences, and no traceback."""
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def generated(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project that was generated and never reproduced: all that most of this needs."""
    return bake(tmp_path_factory.mktemp("generated"))


@pytest.fixture
def small(generated: Path, tmp_path: Path) -> Path:
    """Return a copy of it, to change at will."""
    copy = tmp_path / "small" / generated.name
    shutil.copytree(generated, copy, symlinks=True)
    return copy


# -- Files without outputs


def test_each_file_with_outputs_is_told_and_mended_whatever_its_name(small: Path) -> None:
    names = ["notebooks/a b.ipynb", "notebooks/ação 数据.IPYNB", "src/deep/it's.ipynb"]
    for name in names:
        write(small / name, notebook("1"))
    write(small / "notebooks" / "clean.ipynb", clean("1"))
    assert esteira(small, "check").stdout == "0 .ipynb files looked at: no outputs.\n"
    git(small, "add", "--all")
    told = refused(esteira(small, "check")).splitlines()
    assert sorted(told) == sorted(
        f"notebook: {name} holds 1 output and 1 execution count: "
        f"`uv run esteira notebook strip {quoted}` takes them out."
        for name, quoted in zip(
            names,
            ["'notebooks/a b.ipynb'", "'notebooks/ação 数据.IPYNB'", "'src/deep/it'\"'\"'s.ipynb'"],
            strict=True,
        )
    )
    (small / names[0]).chmod(0o640)
    assert len(esteira(small, "strip").stdout.splitlines()) == 3
    assert stat.S_IMODE((small / names[0]).stat().st_mode) == 0o640
    for name in names:
        assert json.loads((small / name).read_text(encoding="utf-8")) == clean("1")
    assert esteira(small, "check").stdout == "4 .ipynb files looked at: no outputs.\n"
    assert esteira(small, "strip").stdout == "There was nothing to take out.\n"


def test_what_cannot_be_read_is_no_pass_and_then_nothing_is_written(small: Path) -> None:
    before = write(small / "notebooks" / "a.ipynb", notebook("1")).read_bytes()
    (small / "notebooks" / "empty.ipynb").write_bytes(b"")
    (small / "notebooks" / "latin.ipynb").write_bytes(b'{"cells": "\xe9"}')
    (small / "notebooks" / "merge.ipynb").write_text("<<<<<<< HEAD\n{}\n=======\n", "utf-8")
    git(small, "add", "--all")
    told = refused(esteira(small, "check"))
    assert "empty.ipynb cannot be read as a notebook: it is not valid JSON" in told
    assert "latin.ipynb cannot be read as a notebook: it is not written in UTF-8" in told
    assert "merge.ipynb cannot be read as a notebook: it is not valid JSON" in told
    assert len(told.splitlines()) == 4
    assert "cannot be read as a notebook" in refused(esteira(small, "strip"), 2)
    assert (small / "notebooks" / "a.ipynb").read_bytes() == before


def test_paths_may_be_files_or_folders_and_a_folder_may_be_called_like_a_file(small: Path) -> None:
    inside = write(small / "x.ipynb" / "inside.ipynb", notebook("1"))
    (small / "x.ipynb" / "notes.txt").write_text("no notebook", encoding="utf-8")
    write(small / "x.ipynb" / ".ipynb_checkpoints" / "inside-checkpoint.ipynb", notebook("1"))
    git(small, "add", "--all")
    for words in ((), ("x.ipynb",), ("x.ipynb/inside.ipynb",), (".",)):
        assert len(refused(esteira(small, "check", *words)).splitlines()) == 1, words
    assert esteira(small, "check", "notebooks").returncode == 0
    link = small / "link.ipynb"
    link.symlink_to("x.ipynb/inside.ipynb")
    (small / "dangling.ipynb").symlink_to("nowhere")
    git(small, "add", "--all")
    assert len(refused(esteira(small, "check")).splitlines()) == 1, "Git keeps only where they lead"
    esteira(small, "strip", "link.ipynb")
    assert link.is_symlink()
    assert json.loads(inside.read_text(encoding="utf-8")) == clean("1")
    inside.unlink()
    assert esteira(small, "check").stdout == "0 .ipynb files looked at: no outputs.\n"


def test_a_path_that_is_no_notebook_is_told(small: Path) -> None:
    write(small / "notebooks" / "ages.ipynb", clean("1"))
    told = refused(esteira(small, "check", "notebooks/age.ipynb"), 2)
    assert told == "esteira: notebooks/age.ipynb does not exist: did you mean `ages.ipynb`?\n"
    told = refused(esteira(small, "strip", EXPLORE), 2)
    assert told == f"esteira: {EXPLORE} is no .ipynb file: only those keep outputs.\n"
    assert "either PATHS or --staged" in refused(esteira(small, "check", "--staged", "x.ipynb"), 2)


# -- The hook


def try_commit(project: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = ("git", "commit", "--quiet", "-m", "Try", *words)
    return run(project, *command, check=False, env=env)


def head(project: Path) -> str:
    return git(project, "rev-parse", "HEAD")


def test_a_commit_of_outputs_is_refused_until_they_are_out_of_the_index(small: Path) -> None:
    path, before = write(small / "notebooks" / "a é.ipynb", notebook("1")), head(small)
    git(small, "add", "--all")
    told = refused(try_commit(small))
    assert "a é.ipynb holds 1 output and 1 execution count: `uv run esteira notebook strip" in told
    esteira(small, "strip")
    assert esteira(small, "check").returncode == 0
    assert "holds 1 output" in refused(try_commit(small)), "the index still has them"
    assert head(small) == before
    git(small, "add", "--all")
    assert try_commit(small).returncode == 0
    write(path, notebook("2"))
    assert try_commit(small, "--allow-empty").returncode == 0, "they are not in this commit"
    assert "holds 1 output" in refused(try_commit(small, "--all"))
    assert "holds 1 output" in refused(try_commit(small, str(path)))
    assert try_commit(small, "--all", "--no-verify").returncode == 0
    git(small, "rm", "--quiet", str(path))
    assert try_commit(small).returncode == 0, "taking a notebook away is no fault"


def test_the_hook_looks_at_a_project_in_a_sub_folder_and_in_a_worktree(small: Path) -> None:
    shutil.rmtree(small / ".git")
    top = small.parent
    git(top, "init", "--quiet", "--initial-branch=main")
    git(top, "config", "core.hooksPath", f"{small.name}/.githooks")
    write(top / "another" / "theirs.ipynb", notebook("1"))
    git(top, "add", "--all")
    assert try_commit(top).returncode == 0, "another folder's notebooks are not this project's"
    write(small / "notebooks" / "ours.ipynb", notebook("1"))
    git(top, "add", "--all")
    assert "notebooks/ours.ipynb holds 1 output" in refused(try_commit(top))
    git(top, "reset", "--quiet", "--hard")
    git(top, "worktree", "add", "--quiet", "../tree")
    tree = top.parent / "tree" / small.name
    write(tree / "notebooks" / "ours.ipynb", notebook("1"))
    git(tree, "add", "--all")
    assert "notebooks/ours.ipynb holds 1 output" in refused(try_commit(tree, "--all"))


def test_where_the_hook_cannot_look_it_says_so(small: Path, tmp_path: Path) -> None:
    for program in ("git", "sh", "dirname"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    bare = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    assert try_commit(small, "--allow-empty", **bare).returncode == 0, "no notebook, no need of uv"
    write(small / "notebooks" / "a.ipynb", clean("1"))
    git(small, "add", "--all")
    told = "pre-commit: uv or this clone is not installed, so the notebooks were not checked"
    assert told in refused(try_commit(small, **bare))
    nothing = {"UV_PROJECT_ENVIRONMENT": str(tmp_path / "nothing")}
    assert told in refused(try_commit(small, **nothing))
    assert try_commit(small).returncode == 0


# -- The project's own tests


def own_tests(project: Path) -> subprocess.CompletedProcess[str]:
    return run(project, "pytest", "-q", "tests/test_notebooks.py", check=False)


def test_before_anything_is_reproduced_the_projects_tests_say_what_waits(small: Path) -> None:
    done = own_tests(small)
    assert done.returncode == 0, done.stdout
    assert "3 passed, 1 skipped" in done.stdout
    assert f"(`uv run dvc pull`, or `uv run dvc repro`): {EXPLORE} reads data/" in done.stdout


def test_the_projects_tests_refuse_outputs_and_names_that_are_gone(small: Path) -> None:
    write(small / "notebooks" / "a.ipynb", notebook("1"))
    git(small, "add", "--all")
    edit(small, EXPLORE, "import schema, table", "import schema, tables")
    edit(small, EXPLORE, "import pandas as pd", "import pandas as pd\nimport nobody_has_this")
    done = own_tests(small)
    assert done.returncode == 1
    assert "notebooks/a.ipynb holds 1 output and 1 execution count" in done.stdout
    assert "esteira.line.tables" in done.stdout
    assert "nobody_has_this" in done.stdout


DEP = "      - data/train.parquet\n"
COMMAND = "cmd: python -m esteira.line "
BY_STAGE = {
    "train": (DEP, f"{DEP}      - {EXPLORE}\n", f"has {EXPLORE} among its deps"),
    "evaluate": (DEP, f"{DEP}      - notebooks\n", "has notebooks among its deps"),
    "card": (DEP, f"{DEP}      - src\n", "has src/churn_radar/sketch.ipynb among its deps"),
    "predict": (f"{COMMAND}predict", f"cmd: python '{EXPLORE}'", f"runs {EXPLORE}"),
    "split": (f"{COMMAND}split", "cmd: papermill a.in b.out", "runs papermill"),
}


def test_each_stage_that_stands_on_a_notebook_is_refused(small: Path) -> None:
    write(small / "src" / "churn_radar" / "sketch.ipynb", clean("1"))
    line = (small / "dvc.yaml").read_text("utf-8")
    for stage, (old, new, _) in BY_STAGE.items():
        before, begin, rest = line.partition(f"  {stage}:\n")
        line = before + begin + rest.replace(old, new, 1)
    (small / "dvc.yaml").write_text(line, "utf-8")
    done = own_tests(small)
    assert done.returncode == 1
    for stage, (_, _, told) in BY_STAGE.items():
        assert f"stage {stage} {told}" in done.stdout
    assert "a notebook is no part of the line: put what is needed into a module" in done.stdout


def test_doctor_tells_of_code_that_imports_a_notebook(project: Path) -> None:
    edit(
        project,
        "src/churn_radar/features.py",
        "import pandas",
        "import notebooks.explore\nimport pandas",
    )
    told = run(project, "esteira", "doctor", check=False).stdout
    assert (
        "- src/churn_radar/features.py imports notebooks: a notebook is no part of the line: put"
        " what is needed into a module of src/, and import it in both.\n"
    ) in told


# -- Runs


def test_the_first_notebook_runs_on_every_kind_of_project(
    adopted: Path, elsewhere: Path, tmp_path: Path
) -> None:
    regression = tmp_path / elsewhere.name
    shutil.copytree(elsewhere, regression, symlinks=True)
    for project in (regression, adopted):
        said = esteira(project, "run").stdout
        assert re.fullmatch(rf"{EXPLORE} ran to its end in [\d.]+ s\.\n", said), said
        assert run(project, "pytest", "-q", "tests/test_notebooks.py").stdout.count("....")
        warned = run(project, "python", "-W", "error::FutureWarning", EXPLORE)
        assert warned.stderr == ""


def test_jupyter_opens_it_as_a_notebook_shows_its_bars_and_gives_it_back(project: Path) -> None:
    words = [word for package in JUPYTER for word in ("--with", package)]
    jupyter = ("uv", "run", "--no-sync", *words)
    folder = project / "notebooks"
    opened = run(folder, *jupyter, "jupytext", "--to", "ipynb", "--set-kernel", "python3",
                 "explore.py", check=False)  # fmt: skip
    if "dns error" in opened.stderr or "error sending request" in opened.stderr:
        pytest.skip(f"Jupyter cannot be had here: {opened.stderr.splitlines()[-1]}")
    assert opened.returncode == 0, opened.stderr
    run(folder, *jupyter, "jupyter-execute", "--inplace", "explore.ipynb")
    text = (folder / "explore.ipynb").read_text(encoding="utf-8")
    shown = [out for cell in json.loads(text)["cells"] for out in cell.get("outputs", [])]
    html = ["".join(out["data"]["text/html"]) for out in shown]
    assert len(html) == 6
    assert sum("linear-gradient" in page for page in html) == 3
    git(project, "add", "--force", "notebooks/explore.ipynb")
    assert "holds 6 outputs" in refused(esteira(project, "check"))
    esteira(project, "strip")
    assert esteira(project, "check").returncode == 0
    assert "notebooks/explore.ipynb ran to its end" in esteira(project, "run").stdout
    run(folder, *jupyter, "jupytext", "--to", "py:percent", "explore.ipynb", "--output", "back.py")
    back = (folder / "back.py").read_text(encoding="utf-8")
    assert back.endswith((project / EXPLORE).read_text(encoding="utf-8"))


BROKEN = [
    ("py.py", "import os\n\n\ndef half(x):\n    return x / 0\n\n\nhalf(os.getpid())\n",
     "notebooks/py.py, line 5: ZeroDivisionError: division by zero."),
    ("elsewhere.py", "import json\n\njson.loads('{')\n",
     "notebooks/elsewhere.py, line 3: JSONDecodeError: Expecting property name"),
    ("syntax.py", "x = 1\nx = = 2\n", "notebooks/syntax.py, line 2: SyntaxError: invalid syntax"),
    ("silent.py", "assert False\n", "notebooks/silent.py, line 1: AssertionError."),
    ("exit.py", "import sys\n\nsys.exit('no rows')\n",
     "notebooks/exit.py ended itself with 'no rows'."),
    ("killed.py", "import os\n\nos.kill(os.getpid(), 9)\n",
     "notebooks/killed.py was ended with status -9."),
    ("told.py", "from esteira.line import table\n\ntable.read('data/none.parquet')\n",
     "data/none.parquet does not exist: run `uv run dvc repro`"),
    ("a cell.ipynb", clean("x = 1", "y = 2\nz = x + 'é'"),
     "notebooks/a cell.ipynb, cell 2, line 2: TypeError: unsupported operand"),
    ("shell.ipynb", clean("x = 1\n!pip install it"),
     "notebooks/shell.ipynb, cell 1: `!pip install it` is IPython's and no Python"),
    ("help.ipynb", clean("print?"), "cell 1: `print?` is IPython's and no Python"),
    ("language.ipynb", clean("1", kernelspec={"language": "R", "name": "ir"}),
     "notebooks/language.ipynb is written in R, which is not run here."),
    ("json.ipynb", {"cells": 1}, "notebooks/json.ipynb cannot be read as a notebook"),
]  # fmt: skip


def test_each_notebook_that_stops_says_where_in_one_sentence(small: Path) -> None:
    """One run of them all: a notebook that stops keeps none of the others from its own run."""
    (small / EXPLORE).unlink()
    for name, content, _ in BROKEN:
        path = small / "notebooks" / name
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            write(path, content)
    said = refused(esteira(small, "run")).splitlines()
    assert len(said) == len(BROKEN)
    for name, _, told in BROKEN:
        assert len([line for line in said if told in line]) == 1, f"{name}: {said}"


def test_what_only_shows_is_passed_over_and_what_a_notebook_prints_is_kept_quiet(
    small: Path,
) -> None:
    source = ["%matplotlib inline\n", "%load_ext autoreload\n", "text = '''\n", "%x\n", "'''\n",
              "display(text)\n", "import __main__; __main__.x = 1\n", "assert x == 1"]  # fmt: skip
    write(
        small / "notebooks" / "a.ipynb", clean("".join(source), "from __future__ import division")
    )
    three = {"nbformat": 3, "metadata": {}, "worksheets": [{"cells": [
        {"cell_type": "code", "input": ["y = 2\n", "assert y == 2"], "outputs": []}]}]}  # fmt: skip
    write(small / "notebooks" / "three.ipynb", three)
    (small / "notebooks" / "_shared.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    done = esteira(small, "run", "notebooks/a.ipynb", "notebooks/three.ipynb")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.sub(r"[\d.]+ s", "n s", done.stdout) == (
        "notebooks/a.ipynb ran to its end in n s.\nnotebooks/three.ipynb ran to its end in n s.\n"
    )
    told = refused(esteira(small, "run", "notebooks/_shared.py"), 2)
    assert "notebooks/_shared.py is no notebook of this project: did you mean" in told


def test_a_run_uses_the_code_of_its_own_folder(project: Path, small: Path) -> None:
    (project / "src" / "churn_radar" / "extra.py").write_text("VALUE = 2\n", encoding="utf-8")
    code = 'from esteira.notebook import project\n\nassert project.module("extra").VALUE == 2\n'
    (project / EXPLORE).write_text(code, encoding="utf-8")
    other = {"PYTHONPATH": f"{small}/src:{small}/vendor"}
    assert esteira(project, "run", env=other).returncode == 0


def test_data_that_a_notebook_names_is_brought_and_no_other(project: Path) -> None:
    shutil.rmtree(project / ".dvc" / "cache")
    data = [*project.glob("data/*.parquet"), *project.glob("models/*")]
    for path in data:
        path.unlink()
    told = refused(esteira(project, "run"))
    assert told.startswith(f"notebook: {EXPLORE} reads data/train.parquet, data/holdout.parquet, ")
    assert "uv run dvc pull" in told
    assert not (project / "models" / "model.skops").exists()
    assert esteira(project, "run", "--pull").returncode == 0
    here = {path.name for path in data if path.exists()}
    assert here == {"train.parquet", "holdout.parquet", "model.skops"}


def test_without_a_remote_what_a_notebook_names_is_made(project: Path) -> None:
    shutil.rmtree(project.parent / "churn-radar-dvc-remote")
    shutil.rmtree(project / ".dvc" / "cache")
    for path in [*project.glob("data/*.parquet"), *project.glob("models/*")]:
        path.unlink()
    done = esteira(project, "run", "--pull")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{EXPLORE} ran to its end" in done.stdout
    assert git(project, "status", "--porcelain") == "", "and comes out as it was"


def test_data_that_cannot_be_had_is_told(adopted: Path, tmp_path: Path) -> None:
    project = tmp_path / adopted.name
    shutil.copytree(adopted, project, symlinks=True)
    (project / "data" / "raw" / "patients.csv").unlink()
    shutil.rmtree(project / ".dvc" / "cache")
    (project / EXPLORE).write_text('open("data/raw/patients.csv")\n', encoding="utf-8")
    told = refused(esteira(project, "run", "--pull"), 2)
    assert "data/raw/patients.csv cannot be had: the remote is the folder" in told


def test_touched_are_those_that_differ_from_the_base(small: Path) -> None:
    for name in ("one.py", "two.py"):
        (small / "notebooks" / name).write_text("print(1)\n", encoding="utf-8")
    git(small, "rm", "--quiet", EXPLORE)
    commit(small)
    git(small, "checkout", "--quiet", "-b", "change")
    edit(small, "README.md", "#", "# ")
    assert esteira(small, "run", "--touched").stdout == "This branch changes no notebook.\n"
    edit(small, "notebooks/two.py", "1", "2")
    commit(small)
    (small / "notebooks" / "three é.py").write_text("print(3)\n", encoding="utf-8")
    said = esteira(small, "run", "--touched").stdout
    assert re.findall(r"^(\S.*) ran", said, re.MULTILINE) == [
        "notebooks/three é.py",
        "notebooks/two.py",
    ]


# -- Continuous integration


def test_a_pull_request_with_a_notebook_that_stops_is_red(pull: Pull) -> None:  # noqa: F811
    """One that runs is shown with the merge queue's group, in test_workflows.py."""
    edit(pull.author, EXPLORE, "train.describe(", "train.describes(")
    commit(pull.author)
    assert not passed(pull.check(), "pull-request"), pull.said
    assert f"notebook: {EXPLORE}, line 26: AttributeError: " in pull.said
    [workspace] = pull.folder.glob("home/actions/*/hostexecutor")
    brought = {path.name for path in (workspace / "data").glob("*.parquet")}
    assert brought == {"train.parquet", "holdout.parquet"}
    assert not (workspace / "data" / "raw" / "patients.csv").exists()
    assert "but the run failed" in pull.said.partition("Summary - ")[2]
