"""Which modules of the project a stage imports, directly or not; DVC does not follow imports."""

import ast
import io
from collections.abc import Iterable
from modulefinder import ModuleFinder
from pathlib import Path, PurePosixPath
from typing import Any, cast

from esteira.line.__main__ import module_of
from esteira.line.files import read_yaml

SOURCES = ("src", "vendor")
LAUNCHER = "esteira.line"  # `python -m esteira.line STAGE`


class _ForTypesOnly(ast.NodeTransformer):
    """Drop `if TYPE_CHECKING:` blocks: what they import is not there when the stage runs."""

    def visit_If(self, node: ast.If) -> ast.AST:
        skipped = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return ast.Pass() if skipped else self.generic_visit(node)


class _Finder(ModuleFinder):
    def load_module(self, fqname: str, fp: Any, pathname: str, file_info: Any) -> Any:
        if fp is not None:
            tree = _ForTypesOnly().visit(ast.parse(fp.read()))
            fp = cast("Any", io.BytesIO(ast.unparse(tree).encode()))
        return super().load_module(fqname, fp, pathname, file_info)


def only_docstring(path: Path) -> bool:
    """Whether a module holds no code, so that nobody depends on what is in it."""
    body = ast.parse(path.read_bytes()).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


def modules(entry: str, sources: Iterable[str] = SOURCES) -> set[str]:
    """Return the files under `sources` that module `entry` needs, itself included.

    Static, so an import inside a function counts. Files with nothing but a docstring are left out.
    """
    finder = _Finder(path=list(sources))
    finder.import_hook(entry)
    named = [getattr(module, "__file__", None) for module in finder.modules.values()]
    files = {Path(file) for file in named if file}
    here = Path.cwd()
    return {f.relative_to(here).as_posix() for f in files if not only_docstring(f)}


def entry_module(command: str) -> str | None:
    """Return the module that one command of dvc.yaml runs, or None where it runs none."""
    words = command.split()
    if "-m" not in words:
        return None
    module, *arguments = words[words.index("-m") + 1 :]
    return module_of(arguments[0]) if module == LAUNCHER else module


def stage_modules(stage: dict[str, Any]) -> set[str]:
    """Return the files that the `python -m …` commands of one stage of dvc.yaml need."""
    commands = stage["cmd"] if isinstance(stage["cmd"], list) else [stage["cmd"]]
    entries = [entry for entry in map(entry_module, commands) if entry]
    return set().union(*(modules(entry) for entry in entries))


def covered(file: str, deps: Iterable[str]) -> bool:
    """Whether a file is one of the deps, or lies in a folder that is one."""
    return any(PurePosixPath(file).is_relative_to(dep) for dep in deps)


def undeclared(path: str | Path = "dvc.yaml") -> dict[str, list[str]]:
    """Return, for each stage, the modules that it imports and that no entry of its deps covers."""
    missing = {}
    for name, stage in read_yaml(path)["stages"].items():
        deps = [str(dep) for dep in stage.get("deps", [])]
        missing[name] = sorted(file for file in stage_modules(stage) if not covered(file, deps))
    return {name: files for name, files in missing.items() if files}
