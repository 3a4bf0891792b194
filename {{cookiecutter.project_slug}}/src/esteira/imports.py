"""Which modules of the project a stage imports, directly or not; DVC does not follow imports."""

import ast
import io
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from esteira.files import read_yaml


class _ForTypesOnly(ast.NodeTransformer):
    """Drop `if TYPE_CHECKING:` blocks: what they import is not there when the stage runs."""

    def visit_If(self, node: ast.If) -> ast.AST:
        skipped = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return ast.Pass() if skipped else self.generic_visit(node)


class _Finder(ModuleFinder):
    def load_module(self, name: str, file: Any, path: str, info: tuple) -> Any:
        if file is not None:
            tree = _ForTypesOnly().visit(ast.parse(file.read()))
            file = io.BytesIO(ast.unparse(tree).encode())
        return super().load_module(name, file, path, info)


def _only_docstring(path: Path) -> bool:
    body = ast.parse(path.read_bytes()).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


def modules(entry: str, source: str | Path = "src") -> set[str]:
    """Return the files under `source` that module `entry` needs, itself included.

    Static, so an import inside a function counts. Files with nothing but a docstring are left out.
    """
    finder = _Finder(path=[str(source)])
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
