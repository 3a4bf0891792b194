"""At home where people work: what AGENTS.md, make, VS Code and the dev container say is true."""

import json
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
from helpers import ROOT, TEMPLATE, bake, run, tracked
from toolbox.test_cli import parse

AGENTS = (TEMPLATE / "AGENTS.md").read_text(encoding="utf-8")
MAKEFILE = (TEMPLATE / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z]+):.*?## (.+)$", MAKEFILE, re.MULTILINE)
RECIPES = re.findall(r"^\t(uv .+)$", MAKEFILE, re.MULTILINE)
EDITORS = [TEMPLATE / ".vscode" / "settings.json", TEMPLATE / ".vscode" / "extensions.json"]
CONTAINER = TEMPLATE / ".devcontainer" / "devcontainer.json"


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def installed(project: Path) -> dict[str, str]:
    """Return the variables of an own environment: a plain `uv sync` takes extras out of it."""
    return {"UV_PROJECT_ENVIRONMENT": str(project.parent / "installed")}


def commands_of(text: str) -> list[str]:
    """Return the commands in the code blocks of a page, and those between backticks."""
    blocks = re.findall(r"^(uv .+?)(?: +#.*)?$", text, re.MULTILINE)
    return [*blocks, *re.findall(r"`(uv [^`]+)`", text.replace("\n", " "))]


# -- AGENTS.md


def test_it_is_short() -> None:
    assert len(AGENTS.splitlines()) <= 60


def test_every_command_in_it_is_one_of_the_projects_and_those_in_blocks_run(project: Path) -> None:
    """Those that make has, too, are run by make below."""
    commands = commands_of(AGENTS)
    assert len(commands) >= 12
    for command in commands:
        words = shlex.split(re.sub(r"\s+", " ", command))
        if words[2:3] == ["esteira"]:
            parse(shlex.join(words))
    in_blocks = re.findall(r"^(uv .+?)(?: +#.*)?$", AGENTS, re.MULTILINE)
    of_make_as_well = [command for command in in_blocks if command in RECIPES]
    assert len(of_make_as_well) == 7
    run(project, "uv", "run", "esteira", "record")
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "-m", "Record")
    for command in in_blocks:
        if command not in RECIPES:
            run(project, *shlex.split(command))
    assert run(project, "git", "status", "--porcelain").stdout == "", "and nothing is left behind"


def test_every_place_in_it_is_there_and_what_is_not_to_be_edited_is_no_ones_code(
    project: Path,
) -> None:
    run(project, "esteira", "record")
    rows = re.findall(r"^\| (`.+?) \| .+ \| (.+) \|$", AGENTS, re.MULTILINE)
    assert len(rows) >= 9
    for places, edited in rows:
        for place in re.findall(r"`([^`]+)`", places):
            assert list(project.glob(place.rstrip("/"))), place
            assert not (edited == "no" and place.startswith(("src", "tests", "notebooks"))), place


# -- make


def test_make_help_lists_every_target_and_is_what_make_alone_does(tmp_path: Path) -> None:
    project = bake(tmp_path)
    listed = run(project, "make", "help").stdout
    assert run(project, "make").stdout == listed
    assert [line.split(None, 1) for line in listed.splitlines()] == [list(t) for t in TARGETS]
    rules = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert phony
    assert rules == set(phony[1].split()) == {name for name, _ in TARGETS}


@pytest.mark.parametrize("command", RECIPES)
def test_a_target_is_a_command_and_nothing_more(command: str) -> None:
    assert not re.search(r"[|&;$<>]", command)
    assert command.startswith(("uv run ", "uv sync"))
    if command.startswith("uv run esteira"):
        parse(command)


def test_targets_run_and_a_no_stops_make(project: Path) -> None:
    # `report` opens a browser and `verify` has tests of its own.
    run(project, "make", "install", env=installed(project))
    run(project, "make", "repro")
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "-m", "Record")
    for target in ("status", "gate", "lint", "format", "push"):
        run(project, "make", target)
    some = {"PYTEST_ADDOPTS": "-k test_line"}  # all of them run in test_workflows.py
    assert "4 passed" in run(project, "make", "test", env=some).stdout
    assert run(project, "git", "status", "--porcelain").stdout == "", "and nothing is left behind"
    assert "notebooks/explore.py ran" in run(project, "make", "notebooks").stdout
    gates = project / "gates.yaml"
    gates.write_text(gates.read_text("utf-8").replace("limit: 0.95", "limit: 1.1"), "utf-8")
    assert run(project, "make", "gate", check=False).returncode == 2


# -- VS Code and the container


def test_git_keeps_them_whatever_a_global_ignore_file_says(tmp_path: Path) -> None:
    ours = {str(path.relative_to(TEMPLATE)) for path in (*EDITORS, CONTAINER)}
    (tmp_path / "ignore").write_text(".vscode/\n.devcontainer\n", encoding="utf-8")
    settings = f"[core]\n\texcludesFile = {tmp_path}/ignore\n"
    (tmp_path / "gitconfig").write_text(settings, encoding="utf-8")
    project = bake(tmp_path / "out", environment={"GIT_CONFIG_GLOBAL": f"{tmp_path}/gitconfig"})
    assert tracked(project) >= ours


def test_the_editor_knows_dvc_the_tests_and_the_linter(tmp_path: Path) -> None:
    settings, listed = (load(path) for path in EDITORS)
    assert {"iterative.dvc", "ms-python.python", "ms-toolsai.jupyter"} <= {
        *listed["recommendations"]
    }
    assert settings["[python]"]["editor.defaultFormatter"] in listed["recommendations"]
    about = tomllib.loads((TEMPLATE / "pyproject.toml").read_text(encoding="utf-8"))
    assert (
        settings["python.testing.pytestArgs"] == about["tool"]["pytest"]["ini_options"]["testpaths"]
    )
    assert settings["jupyter.notebookFileRoot"] == "${workspaceFolder}"
    project = bake(tmp_path)
    assert all(
        (project / place).exists() for place in settings["search.exclude"] if "." not in place
    )


def test_the_container_has_the_same_extensions_and_the_same_uv_as_the_image() -> None:
    container, listed = load(CONTAINER), load(EDITORS[1])
    assert container["customizations"]["vscode"]["extensions"] == listed["recommendations"]
    assert re.fullmatch(r"[\w./-]+:\d+-3\.12-\w+", container["image"]), "pinned, and not `latest`"
    uv = re.compile(r"uv==([\d.]+)")
    dockerfile = (TEMPLATE / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    assert uv.findall(container["postCreateCommand"]) == uv.findall(dockerfile)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"UV_VERSION := {uv.findall(dockerfile)[0]}\n" in makefile


def test_what_the_container_runs_once_makes_a_clone_ready(reproduced: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(reproduced), str(clone))
    steps = load(CONTAINER)["postCreateCommand"].split(" && ")
    assert steps[0] == "sudo chown vscode: .venv"
    assert steps[1].startswith("pipx install uv==")
    (clone / ".venv").mkdir()  # as an empty volume is
    for step in steps[2:]:
        run(clone, *shlex.split(step), env={"UV_NO_SYNC": "0", "UV_PROJECT_ENVIRONMENT": ".venv"})
    assert run(clone, "git", "config", "core.hooksPath").stdout == ".githooks\n"
    assert run(clone, str(clone / ".venv" / "bin" / "esteira"), "--help").returncode == 0
    shutil.rmtree(clone / ".venv")


def test_no_answer_stands_in_any_of_them(tmp_path: Path) -> None:
    answers = {"project_name": "Zebra", "package_name": "stripes", "owner": "savanna"}
    project = bake(tmp_path, **answers)
    for path in (*EDITORS, CONTAINER, TEMPLATE / "AGENTS.md", TEMPLATE / "Makefile"):
        assert (project / path.relative_to(TEMPLATE)).read_bytes() == path.read_bytes()
