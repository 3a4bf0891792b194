"""Typed settings: stage `x` reads section `x:` of params.yaml and nothing else."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from esteira.line.errors import UserError, of_the_disk
from esteira.line.files import interrupted, read_yaml

STOPPED = 130  # exit status after Ctrl-C, as shells have it


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


def run(section: str, main: Callable[[Settings], str | None], kind: type[Settings]) -> None:
    """Run a stage: its settings in, what it did out, as `main` says it, with the seconds it took.

    A user's mistake is told in one sentence, with exit status 1.

    Linear algebra runs on one thread: split over several, its last digits depend on their number.
    (Processes of joblib, and the threads of forests and boosting, are as many as ever.)
    """
    from threadpoolctl import threadpool_limits

    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # for what loads later
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see __main__.py
            signal.signal(signal.SIGINT, signal.default_int_handler)
        _demand_own_code(section, main)
        _demand_settled(section)
        with threadpool_limits(1, user_api="blas"):
            started = time.perf_counter()
            did = main(read(section, kind))
        print(f"{section}: {did or 'done'}, {time.perf_counter() - started:.1f} s.")
    except UserError as error:
        sys.exit(f"{section}: {error}")
    except OSError as error:
        sentence = of_the_disk(error, again="`uv run dvc repro`")
        if sentence is None:
            raise
        sys.exit(f"{section}: {sentence}")
    except KeyboardInterrupt:
        print(f"{section}: stopped; `uv run dvc repro` starts it again.", file=sys.stderr)
        sys.exit(STOPPED)


def _demand_own_code(section: str, main: Callable[..., str | None]) -> None:
    """Raise UserError for a stage whose code is another folder's than the one it runs in.

    DVC hashes the code that lies here; an installed project may be another clone's.
    """
    here = Path.cwd().resolve()
    if main.__module__ != "__main__":  # called by other code, as by a test
        return
    for code in (Path(main.__code__.co_filename), *_toolbox_of(here)):
        if not (code.resolve().is_relative_to(here) or code.absolute().is_relative_to(here)):
            raise UserError(
                f"{code} would run, which is not in {here}: start the stage by `uv run dvc repro`, "
                f"or as `python -m esteira.line {section}`."
            )


def _toolbox_of(here: Path) -> list[Path]:
    """Return the file of the toolbox in use, where the project has a toolbox of its own."""
    return [Path(__file__)] if (here / "vendor" / "esteira").is_dir() else []


def _demand_settled(section: str) -> None:
    """Raise UserError where a command was killed that had begun to change the project."""
    commands = interrupted()
    if commands:
        raise UserError(
            f"`esteira {commands[0]}` was killed halfway: `uv run esteira doctor --fix` puts its "
            "files back."
        )
