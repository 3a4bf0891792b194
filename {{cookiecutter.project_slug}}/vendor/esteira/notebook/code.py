"""The code of a notebook: its cells, and what can be told of them before they run."""

import ast
import importlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from esteira.line.errors import UserError, one_line
from esteira.repository.notebooks import SUFFIX

PYTHON = ("", "python", "python3", "ipython")
# Of IPython's commands these only change what is shown, so a run without a screen goes without.
ONLY_SHOWN = re.compile(r"^[ \t]*%(?:matplotlib|config|load_ext|autoreload)\b.*$", re.MULTILINE)
OF_IPYTHON = re.compile(r"^[ \t]*(?:[%!]|[\w.]+\?\??$).*", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """Code that runs as one: a cell of an .ipynb file, or the whole of a .py file."""

    name: str  # such as `notebooks/explore.ipynb, cell 3`
    source: str


def cells(path: str) -> list[Cell]:
    """Return a notebook's code, in its order. Raises UserError where it is not Python's alone."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
        if not path.lower().endswith(SUFFIX):
            return [Cell(path, text)]
        return [Cell(cell.name, _as_python(cell)) for cell in _of_json(path, json.loads(text))]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read as a notebook: {one_line(error)}.") from None


def _of_json(path: str, content: dict[str, Any]) -> Iterator[Cell]:
    """Yield the code cells of nbformat 3 or 4, numbered among all cells from 1."""
    about = content.get("metadata", {})
    spec, info = about.get("kernelspec", {}), about.get("language_info", {})
    language = str(spec.get("language") or info.get("name") or "")
    if language.lower() not in PYTHON:
        raise UserError(f"{path} is written in {language}, which is not run here.")
    sheets = content.get("worksheets", [content])
    everything = [cell for sheet in sheets for cell in sheet["cells"]]
    for number, cell in enumerate(everything, 1):
        if cell["cell_type"] == "code":
            source = cell["source"] if "source" in cell else cell["input"]
            lines = source if isinstance(source, str) else "".join(source)
            yield Cell(f"{path}, cell {number}", lines)


def _as_python(cell: Cell) -> str:
    """Return a cell without what only IPython understands. Raises UserError where that matters."""
    if _parses(cell.source):
        return cell.source
    without = ONLY_SHOWN.sub("", cell.source)
    left = OF_IPYTHON.search(without)
    if left is not None and not _parses(without):
        line = left[0].strip()
        raise UserError(
            f"{cell.name}: `{line}` is IPython's and no Python: take it out, or write it as Python."
        )
    return without


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return True


def texts(path: str) -> set[str]:
    """Return every text that stands as a constant in a notebook's code, such as a file's path."""
    return {
        node.value
        for tree in _trees(path)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def missing_imports(path: str) -> list[str]:
    """Return what a notebook imports and nobody has, as `module` or `module.name`.

    Needs no data: so a name that was changed in a module of src/ is told where none is.
    """
    found = []
    for tree in _trees(path):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names if not _is_module(alias.name)]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [name for name in _names(node) if not _has(node.module, name)]
                found += [f"{node.module}.{name}" for name in names]
    return found


def _trees(path: str) -> list[ast.Module]:
    """Parse a notebook's cells. Raises UserError for one that is no Python."""
    found = []
    for cell in cells(path):
        try:
            found.append(ast.parse(cell.source))
        except SyntaxError as error:
            place = f"{cell.name}, line {error.lineno}"
            raise UserError(f"{place}: SyntaxError: {error.msg}.") from None
        except ValueError as error:
            raise UserError(f"{cell.name} is no Python: {one_line(error)}.") from None
    return found


def _names(node: ast.ImportFrom) -> list[str]:
    return [alias.name for alias in node.names if alias.name != "*"]


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ImportError:
        return False


def _has(module: str, name: str) -> bool:
    if not _is_module(module):
        return False
    return hasattr(importlib.import_module(module), name) or _is_module(f"{module}.{name}")
