"""What the tests share: bake a project, run its own commands in one environment, look at it."""

import ast
import contextlib
import functools
import hashlib
import importlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cookiecutter.main import cookiecutter
from filelock import FileLock
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "{{cookiecutter.project_slug}}"
ENVIRONMENT = ROOT / ".cache" / "project-env"
LEFT_OUT = {"PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "PYTHONPATH", "PYTEST_CURRENT_TEST"}
LEFT_OUT |= {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}  # `make test` is no squad's shell
OFF_DEFAULT = {
    "dataset": "sample-regression",
    "remote_url": "s3://squad-data/churn",
    "license": "Proprietary",
    "project_name": "Previsão de “Évasion”",
    "project_slug": "previsao-2",
    "package_name": "previsao_2",
    "description": 'Quotes " and \\ and 😀.',
    "owner": "squad-br",
    "squad": "Dados & Ações",
}
# Tests that let another system run the whole line.
slow = pytest.mark.skipif("ESTEIRA_SLOW" not in os.environ, reason="slow: make test-slow runs it")
LINE = ("ingest", "validate", "split", "train", "evaluate", "drift_check", "predict", "card")
# Runs the modules that `python -m esteira.line STAGE` would run, one after another.
STAGES_IN_ONE_PROCESS = """
import runpy, sys
from esteira.line.__main__ import module_of
for stage in sys.argv[1:]:
    runpy.run_module(module_of(stage), run_name="__main__", alter_sys=True)
"""
LET_DVC_NOTE_THEM = """
from dvc.cli import main
sys.exit(main(["commit", "--force", "--quiet", *sys.argv[1:]]))
"""


def surroundings(project: Path | None = None, **more: str) -> dict[str, str]:
    """Return the variables of a squad's shell in `project`, with the shared environment."""
    env = {k: v for k, v in os.environ.items() if k not in LEFT_OUT and not k.startswith("GIT_")}
    env |= {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "Ana",
        "GIT_AUTHOR_EMAIL": "ana@example.org",
        "GIT_COMMITTER_NAME": "Ana",
        "GIT_COMMITTER_EMAIL": "ana@example.org",
        "UV_PROJECT_ENVIRONMENT": str(ENVIRONMENT),
        "UV_NO_SYNC": "1",
        "PATH": os.pathsep.join((f"{ENVIRONMENT}/bin", f"{sys.prefix}/bin", env["PATH"])),
        "COLUMNS": "120",
    }
    if project is not None:
        # Before the environment's own entry, which names the project it was made from.
        env["PYTHONPATH"] = os.pathsep.join((f"{project}/src", f"{project}/vendor"))
    return env | more


@contextlib.contextmanager
def made_once(folder: Path) -> Iterator[bool]:
    """Say whether `folder` is still to be made, while other processes wait for it.

    What was begun and not ended is removed first, and made again.
    """
    done = folder.with_name(f"{folder.name}.done")
    with FileLock(f"{folder}.lock"):
        lacking = not done.exists()
        if lacking:
            shutil.rmtree(folder, ignore_errors=True)
        yield lacking
        done.touch()


def environment_of(name: str, *requirements: str) -> Path:
    """Return an environment with packages that do not go with the template's own; made once."""
    place = ROOT / ".cache" / f"{name}-env"
    ready = place / "ready"
    wanted = "\n".join(requirements)
    uv = str(shutil.which("uv", path=surroundings()["PATH"]))
    with FileLock(f"{place}.lock"):
        if not ready.is_file() or ready.read_text(encoding="utf-8") != wanted:
            venv = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)]
            subprocess.run(venv, check=True)
            install = [uv, "pip", "install", "--quiet", "--compile-bytecode"]
            subprocess.run([*install, "--python", str(place), *requirements], check=True)
            ready.write_text(wanted, encoding="utf-8")
    return place


def run(
    project: Path, *command: str, check: bool = True, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one of the project's own commands in its folder; fail with all it said."""
    done = subprocess.run(
        command,
        cwd=project,
        env=surroundings(project, **(env or {})),
        capture_output=True,
        text=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
    )
    if check and done.returncode:
        raise AssertionError(
            f"{command} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done


def within(limit: int, *command: str) -> list[str]:
    """Return a command that may use so many bytes of memory."""
    return ["bash", "-c", f'ulimit -d {limit // 1024} && exec "$@"', "within", *command]


def imported(folder: Path, code: str, *words: str) -> set[str]:
    """Run code of the toolbox in a process of its own; return the modules that it has imported."""
    tell = f"{code}\nimport sys\nprint(*sys.modules, sep='\\n')"
    env = {"PYTHONPATH": str(TEMPLATE / "vendor")}
    return set(run(folder, sys.executable, "-c", tell, *words, env=env).stdout.split())


def run_stages(project: Path, *stages: str) -> str:
    """Run stages in one process, for speed: most of a stage's time goes into its imports.

    Returns what they printed. DVC knows nothing of it.
    """
    return run(project, "python", "-c", STAGES_IN_ONE_PROCESS, *stages).stdout


def reproduce(project: Path, *stages: str) -> str:
    """Do what `dvc repro` does, in a third of its time: run stages, and have DVC note the files.

    The stages are those that a change made stale, in the line's order; all of them unless told.
    """
    code = STAGES_IN_ONE_PROCESS + LET_DVC_NOTE_THEM
    return run(project, "python", "-c", code, *(stages or LINE)).stdout


def run_here(
    project: Path, *command: str, check: bool = True, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of the project's toolbox in this process, for speed; return what `run` does."""
    from esteira import cli

    assert command[0] == "esteira"
    variables = surroundings(project, **(env or {}))
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(project),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        for name in os.environ.keys() - variables.keys():
            patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", list(command))
        try:
            cli.main()
        except SystemExit as end:
            status = end.code
    code = status if isinstance(status, int) else int(status is not None)
    done = subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())
    if check and code:
        raise AssertionError(f"{command} exited with {code}:\n{done.stdout}{done.stderr}")
    return done


def bake(
    folder: Path,
    lock: bool = False,
    overwrite: bool = False,
    environment: dict[str, str] | None = None,
    template: Path = ROOT,
    **answers: str,
) -> Path:
    """Generate a project below `folder`; return its path. Without `lock`, uv is not found.

    With `overwrite` the project's folder may be there already. `environment` adds variables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = dict(os.environ)
    os.environ.update(surroundings(None, **(environment or {})))
    try:
        with TemporaryDirectory() as only_git:
            if not lock:
                Path(only_git, "git").symlink_to(str(shutil.which("git")))
                os.environ["PATH"] = only_git
            made = cookiecutter(
                str(template),
                no_input=True,
                output_dir=str(folder),
                extra_context=answers,
                default_config=True,
                overwrite_if_exists=overwrite,
            )
    finally:
        os.environ.clear()
        os.environ.update(before)
    return Path(made)


def own_model(task: str) -> Any:
    """Return what the template's own model.py offers for a task, as `adopt` would load it."""
    from esteira.adopt.project import OwnModel

    if "template_squad" not in sys.modules:
        (source,) = (TEMPLATE / "src").glob("*/__init__.py")
        spec = importlib.util.spec_from_file_location(
            "template_squad", source, submodule_search_locations=[str(source.parent)]
        )
        assert spec is not None
        sys.modules["template_squad"] = importlib.util.module_from_spec(spec)
    model = importlib.import_module("template_squad.model")
    return OwnModel(tuple(model.ALGORITHMS[task]), lambda name: model.build(task, name, 42))


@functools.cache
def parse(suffix: str, text: str) -> None:
    """Parse a file by its kind; most files of two projects are the same, and parsed once."""
    if suffix == ".toml":
        tomllib.loads(text)
    elif suffix in (".yaml", ".yml"):
        YAML(typ="safe", pure=True).load(text)
    elif suffix == ".json":
        json.loads(text)
    elif suffix == ".py":
        ast.parse(text)


def tracked(project: Path) -> set[str]:
    """Return the paths that Git tracks in `project`."""
    return set(run(project, "git", "ls-files", "-z").stdout.split("\0")) - {""}


def ran(output: str) -> list[str]:
    """Return the stages that a `dvc repro` ran, in order, from what it printed."""
    lines = [line for line in output.splitlines() if line.startswith("Running stage ")]
    return [line.split("'")[1] for line in lines]


def agree(project: Path, file: str) -> None:
    """Make dvc.lock name a file as it is now, as a merge can."""
    content = (project / file).read_bytes()
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    lock = (project / "dvc.lock").read_text("utf-8")
    old = rf"(path: {file}\n +hash: md5\n +md5: )\w+(\n +size: )\d+"
    new, count = re.subn(old, rf"\g<1>{digest}\g<2>{len(content)}", lock)
    assert count >= 1  # of the stage that wrote it, and of those that read it
    (project / "dvc.lock").write_text(new, "utf-8")
