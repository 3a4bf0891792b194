"""Which modules of the project a stage imports, directly or not; DVC does not follow imports."""

import ast
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from esteira.files import read_yaml


def _only_docstring(path: Path) -> bool:
    body = ast.parse(path.read_bytes()).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


def modules(entry: str, source: str | Path = "src") -> set[str]:
    """Return the files under `source` that module `entry` needs, itself included.

    Static, so an import inside a function counts. Files with nothing but a docstring are left out.
    """
    finder = ModuleFinder(path=[str(source)])
    finder.import_hook(entry)
    files = {Path(module.__file__) for module in finder.modules.values() if module.__file__}
    here = Path.cwd()
    return {f.relative_to(here).as_posix() for f in files if not _only_docstring(f)}


def stage_modules(stage: dict[str, Any]) -> set[str]:
    """Return the files that the `python -m …` commands of one stage of dvc.yaml need."""
    commands = stage["cmd"] if isinstance(stage["cmd"], list) else [stage["cmd"]]
    words = [command.split() for command in commands]
    entries = [w[w.index("-m") + 1] for w in words if "-m" in w]
    return set().union(*(modules(entry) for entry in entries))


def undeclared(path: str | Path = "dvc.yaml") -> dict[str, list[str]]:
    """Return, for each stage, the modules that it imports and does not name among its deps."""
    stages = read_yaml(path)["stages"]
    missing = {
        name: sorted(stage_modules(stage) - set(stage.get("deps", [])))
        for name, stage in stages.items()
    }
    return {name: files for name, files in missing.items() if files}
