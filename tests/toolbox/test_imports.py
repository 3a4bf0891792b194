"""Which modules a stage imports, and whether its deps, files or folders, cover them."""

from pathlib import Path

import pytest

from esteira.repository.imports import undeclared

FILES = {
    "src/squad/__init__.py": "",
    "src/squad/features.py": "from esteira.line import table\n",
    "src/squad/stages/__init__.py": "",
    "src/squad/stages/train.py": (
        "from esteira.drift import check\n\nfrom ..features import table\n"
        "def late():\n    from esteira.noise import measure\n"
    ),
    "vendor/esteira/__init__.py": '"""Only words, so no change of it changes a result."""\n',
    "vendor/esteira/line/__init__.py": "",
    "vendor/esteira/line/table.py": "import json\n",
    "vendor/esteira/drift/__init__.py": "",
    "vendor/esteira/drift/check.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from esteira.gate import judge\n"
    ),
    "vendor/esteira/noise.py": "",
    "vendor/esteira/gate.py": "",
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def missing(*deps: str, command: str = "python -m esteira.line train") -> list[str]:
    lines = "".join(f"      - {dep}\n" for dep in deps)
    text = f"stages:\n  train:\n    cmd: {command}\n" + ("    deps:\n" + lines if deps else "")
    Path("dvc.yaml").write_text(text, encoding="utf-8")
    return undeclared().get("train", [])


OWN = ("src/squad/stages/train.py", "src/squad/features.py")
ROOMS = ("vendor/esteira/line/table.py", "vendor/esteira/drift/check.py")


def test_folders_cover_what_lies_in_them() -> None:
    assert missing(*OWN, "vendor/esteira/line", "vendor/esteira/drift") == []
    assert missing("src/squad", "vendor") == []
    assert missing("src/squad/", "vendor/esteira/") == []


def test_what_no_file_and_no_folder_covers_is_named() -> None:
    assert missing() == sorted([*OWN, *ROOMS])
    assert missing(*OWN, "vendor/esteira/line") == ["vendor/esteira/drift/check.py"]
    assert missing(OWN[0], "vendor/esteira") == ["src/squad/features.py"]


def test_a_name_that_a_folders_name_begins_does_not_lie_in_it() -> None:
    assert missing(*OWN, "vendor/esteira/li", "vendor/esteira/drift") == [ROOMS[0]]


def test_a_module_that_is_run_itself_is_followed_too() -> None:
    assert missing(*ROOMS, command="python -m squad.features") == ["src/squad/features.py"]
    assert missing(command="cp a b") == []
