"""The environment that made dvc.lock: a small committed record, compared with the one at hand."""

import platform
import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from esteira.line.errors import UserError
from esteira.line.files import md5_of, read_json, write_json
from esteira.line.params import parse

RECORD = Path("environment.json")


def dependencies(path: str) -> set[str]:
    """Return the names of what a pyproject.toml depends on; none where there is no such file."""
    if not Path(path).is_file():
        return set()
    project = tomllib.loads(Path(path).read_text(encoding="utf-8"))["project"]
    return {re.split(r"[^\w.-]", need)[0].lower() for need in project["dependencies"]}


def current() -> dict[str, str]:
    """Return this environment: Python, platform, and versions of what the project depends on.

    `blas` names the kernels that numpy's linear algebra chose for the processor, and `simd` its
    instruction sets: they decide last digits.
    """
    import numpy
    from threadpoolctl import threadpool_info

    names = dependencies("pyproject.toml") | dependencies("vendor/pyproject.toml")
    names |= {"joblib", "numpy"}  # whose last digits are the line's
    kernels = [library for library in threadpool_info() if library["user_api"] == "blas"]
    described = [f"{k['internal_api']} {k['version']} {k.get('architecture', '')}" for k in kernels]
    instructions = numpy.show_config(mode="dicts")["SIMD Extensions"]["found"]
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "blas": "; ".join(described),
        "simd": " ".join(instructions),
        **{name: version(name) for name in sorted(names)},
    }


class Toolbox(BaseModel):
    """What verify reads of `[tool.esteira]` in pyproject.toml."""

    model_config = ConfigDict(strict=True)

    environment: list[str] = []  # names of variables that the stages may read


def passed_on() -> list[str]:
    """Return the names of the variables that pyproject.toml lets the stages read.

    Raises UserError where pyproject.toml cannot be read, or says it otherwise than as a list.
    """
    try:
        tools = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8")).get("tool", {})
    except FileNotFoundError:
        return []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"pyproject.toml cannot be read: {error}.") from None
    found = parse(tools.get("esteira", {}), Toolbox, "pyproject.toml, section `tool.esteira`")
    return found.environment


def version(name: str) -> str:
    """Return the version of an installed distribution, or `absent`."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def lock_hash() -> str:
    """Return the MD5 of dvc.lock. Raises UserError if there is none."""
    if not Path("dvc.lock").is_file():
        raise UserError("there is no dvc.lock: `uv run dvc repro` makes it.")
    return md5_of(Path("dvc.lock"))


def record() -> bool:
    """Write environment.json for dvc.lock as it is; return whether that changed the file.

    A lock that was recorded already keeps its record: it is not this environment that made it.
    """
    if known():
        return False
    write_json(RECORD, {"lock": lock_hash(), **current()})
    return True


def recorded() -> dict[str, Any]:
    """Return the record, empty if there is none or it cannot be read."""
    try:
        found = read_json(RECORD)
    except UserError:
        return {}
    return found if isinstance(found, dict) else {}


def known() -> bool:
    """Whether environment.json describes dvc.lock as it is."""
    return recorded().get("lock") == lock_hash()


def differences() -> list[str]:
    """Return how this environment differs from the one that made dvc.lock; empty if unknown."""
    if not known():
        return []
    then = recorded()
    del then["lock"]
    now = current()
    changed = [name for name in sorted(now | then) if now.get(name) != then.get(name)]
    return [
        f"{name}: {then.get(name, 'absent')} when dvc.lock was made, {now.get(name, 'absent')} here"
        for name in changed
    ]
