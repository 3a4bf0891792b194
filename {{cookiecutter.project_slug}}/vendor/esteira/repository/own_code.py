"""The squad's own modules, for commands beside the line: those of this folder and no other."""

import importlib
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

from esteira.line.errors import UserError


def module(name: str) -> Any:
    """Import a module of the project's package, from this folder and no other. Raises UserError."""
    package = _package()
    source = next(
        (place for place in _places() if (place / package / f"{name}.py").is_file()), None
    )
    if source is None:
        raise UserError(f"src/{package}/{name}.py does not exist: put it back.")
    _forget_other_folders(package, source)
    sys.path.insert(0, str(source))
    try:
        return importlib.import_module(f"{package}.{name}")
    except Exception as error:  # whatever the squad's code raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{package}/{name}.py cannot be imported: {reason}.") from None
    finally:
        sys.path.remove(str(source))


def folder() -> Path:
    """Return the folder of the project's package, relative to the project. Raises UserError."""
    package = _package()
    found = next((place / package for place in _places() if (place / package).is_dir()), None)
    if found is None:
        raise UserError(f"src/{package} does not exist: put it back.")
    return found.relative_to(Path.cwd())


def _places() -> list[Path]:
    """Return where a package may lie: in src/, or beside dvc.yaml."""
    return [Path.cwd() / "src", Path.cwd()]


def _package() -> str:
    """Return the name of the squad's package, from section `[tool.esteira]` of pyproject.toml."""
    try:
        text = Path("pyproject.toml").read_text(encoding="utf-8")
        return str(tomllib.loads(text)["tool"]["esteira"]["package"])
    except FileNotFoundError:
        raise UserError("pyproject.toml is not here: run this in the project's folder.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"pyproject.toml is not valid TOML: {error}.") from None
    except (KeyError, TypeError):
        raise UserError(
            'pyproject.toml names no package: write `package = "…"` below `[tool.esteira]`.'
        ) from None


def _forget_other_folders(package: str, source: Path) -> None:
    """Drop modules of this name that were imported from elsewhere: an installed copy, a clone."""
    loaded: ModuleType | None = sys.modules.get(package)
    if loaded is None or Path(loaded.__file__ or "").is_relative_to(source / package):
        return
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
