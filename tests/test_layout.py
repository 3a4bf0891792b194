"""The house: floors whose imports run downwards only, and rooms small enough to read."""

import ast
from pathlib import Path

import pytest
from helpers import TEMPLATE

TOOLBOX = TEMPLATE / "vendor" / "esteira"
SQUAD = TEMPLATE / "src" / "{{cookiecutter.package_name}}"
# From the ground up. What is not named here is a room: it may use any floor, and no other room.
FLOORS = [
    *("line", "page", "drift", "card", "log"),
    *("repository", "github", "readiness", "comparison", "gate", "standing"),
]


def room(path: Path) -> str:
    return path.relative_to(TOOLBOX).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Return the rooms and floors of the toolbox that a module imports, wherever in its text."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("esteira.")}
    return found


MODULES = [p for p in sorted(TOOLBOX.rglob("*.py")) if p.name != "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(TOOLBOX).as_posix())
def test_imports_run_downwards_only(path: Path) -> None:
    here, needs = room(path), imported(path) - {room(path)}
    if here == "cli":
        return
    if here in FLOORS:
        assert needs <= set(FLOORS[: FLOORS.index(here)])
    else:
        assert needs <= set(FLOORS), f"room {here} imports another room"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(TOOLBOX).as_posix())
def test_the_toolbox_imports_relatively_nowhere_and_no_squad_by_name(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level
            assert "cookiecutter" not in (node.module or "")


def test_the_squads_rooms_are_small() -> None:
    lines = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in SQUAD.rglob("*.py")}
    assert sum(lines.values()) < 600, lines


def test_every_public_function_is_typed_and_described() -> None:
    for path in [*MODULES, *SQUAD.rglob("*.py")]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert node.returns is not None, f"{path.name}: {node.name} has no return type"
                assert ast.get_docstring(node), f"{path.name}: {node.name} has no docstring"
