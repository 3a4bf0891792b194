"""Files that are whole or absent: written under a temporary name, then moved into place."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from esteira.line.errors import UserError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and move it there if the block succeeds.

    A killed or failing writer leaves the old file as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON. Raises ValueError on NaN or infinity: JSON has neither."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_metrics(path: str | Path, metrics: Mapping[str, float], digits: int = 6) -> None:
    """Write flat metrics for DVC, rounded to `digits` significant digits.

    Rounding keeps last-digit noise of another processor out of the diff. Raises ValueError for a
    metric that is not finite, because DVC would show it as changed for ever.
    """
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        raise ValueError(f"metrics that are not finite numbers: {', '.join(bad)}")
    write_json(path, {name: significant(value, digits) for name, value in metrics.items()})


def significant(value: float, digits: int = 6) -> float:
    """Round to `digits` significant digits; integers stay as they are."""
    return int(value) if isinstance(value, bool | int) else float(f"{value:.{digits}g}")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML 1.2 mapping, in which `yes` and `no` are words. Raises UserError."""
    try:
        value = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run this in the project's folder.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        where = " ".join(str(error).split())
        raise UserError(f"{path} is not valid YAML: {where}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} must hold a mapping of names to values.")
    return value
