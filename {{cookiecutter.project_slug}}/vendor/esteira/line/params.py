"""Typed settings: stage `x` reads section `x:` of params.yaml and nothing else."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from esteira.line.errors import UserError
from esteira.line.files import read_yaml


class Section(BaseModel):
    """Base of a stage's settings: a name that is not declared and a wrong type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Settings = TypeVar("Settings", bound=BaseModel)


def parse(value: Any, kind: type[Settings], where: str) -> Settings:
    """Check `value` against `kind`. Raises UserError that names every fault and its place."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'the value'}: {fault['msg'].lower()}"
            + ("" if fault["type"] == "missing" else f" (got {fault['input']!r})")
            for fault in error.errors()
        )
        raise UserError(f"{where}: {faults}.") from None


def read(section: str, kind: type[Settings], path: str | Path = "params.yaml") -> Settings:
    """Read one section of params.yaml as `kind`. Raises UserError for what is missing or wrong."""
    sections = read_yaml(path)
    if section not in sections:
        raise UserError(f"{path} has no section `{section}:`; add it.")
    return parse(sections[section], kind, f"{path}, section `{section}`")


def run(section: str, main: Callable[[Settings], None], kind: type[Settings]) -> None:
    """Run a stage: its settings in, a user's mistake told in one sentence with exit status 1.

    Linear algebra runs on one thread: split over several, its last digits depend on their number.
    (Processes of joblib, and the threads of forests and boosting, are as many as ever.)
    """
    from threadpoolctl import threadpool_limits

    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # for what loads later
    try:
        with threadpool_limits(1, user_api="blas"):
            main(read(section, kind))
    except UserError as error:
        sys.exit(f"{section}: {error}")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.exit(f"{section}: the disk is full: make room, then `uv run dvc repro`.")
