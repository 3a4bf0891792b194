"""Notebooks and the line: what is a notebook, and that no stage stands on one."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from esteira.repository import dvc, git

FOLDER = "notebooks"
SUFFIX = ".ipynb"
RUNNERS = ("jupyter", "jupytext", "nbconvert", "papermill")
ADVICE = (
    "a notebook is no part of the line: put what is needed into a module of src/, and import it in"
    " both"
)


def is_notebook(path: str) -> bool:
    """Whether a path is one of a notebook, or of the folder that holds them."""
    place = PurePosixPath(path)
    return place.suffix.lower() == SUFFIX or place.parts[:1] == (FOLDER,)


def in_line() -> list[str]:
    """Say what of the line reads, runs or imports a notebook, a clause each.

    People run a notebook's cells in any order, so nobody could say what a stage has read. `ADVICE`
    says what to do. Raises UserError where DVC cannot read the line.
    """
    with dvc.repository() as repo:
        stages = dvc.line(repo)
    known = [path for path in git.known(".") if is_notebook(path)] if git.is_repository() else []
    found = [told for stage in stages for told in (*_read(stage, known), *_run(stage))]
    return [*found, *_imported()]


def _read(stage: dvc.Stage, known: Iterable[str]) -> Iterator[str]:
    for dep in stage.deps:
        inside = (path for path in known if PurePosixPath(path).is_relative_to(dep.path))
        path = dep.path if is_notebook(dep.path) else next(inside, "")
        if path:
            yield f"stage {stage.name} has {path} among its deps"


def _run(stage: dvc.Stage) -> Iterator[str]:
    words = [word.strip("'\"") for command in stage.commands for word in command.split()]
    run = next((word for word in words if is_notebook(word) or word in RUNNERS), "")
    if run:
        yield f"stage {stage.name} runs {run}"


def _imported() -> Iterator[str]:
    for path in sorted(Path("src").rglob("*.py")):
        if any(name.partition(".")[0] == FOLDER for name in _imports(path)):
            yield f"{path.as_posix()} imports {FOLDER}"


def _imports(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports by their whole name; none of one that is no Python."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
