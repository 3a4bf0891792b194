"""Typed settings: stage `x` reads section `x:` of params.yaml and nothing else."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from esteira.line import engine, events
from esteira.line.errors import UserError, of_the_disk
from esteira.line.files import interrupted, read_yaml
from esteira.line.nearest import nearest

STOPPED = 130  # exit status after Ctrl-C, as shells have it
TOO_LARGE = (
    "this takes more memory than there is. Training holds all rows that it learns from: a number of"
    " rows as `train.sample` in params.yaml bounds them; elsewhere take a machine with more."
)


class Section(BaseModel):
    """Base of a stage's settings: a name that is not declared and a wrong type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Settings = TypeVar("Settings", bound=BaseModel)


def parse(value: Any, kind: type[Settings], where: str) -> Settings:
    """Check `value` against `kind`. Raises UserError that names every fault and its place."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        known = set(_names(kind.model_json_schema()))
        faults = "; ".join(_fault(fault, value, known) for fault in error.errors())
        raise UserError(f"{where}: {faults}{'' if faults.endswith('?') else '.'}") from None


def _fault(fault: Any, value: Any, known: set[str]) -> str:
    """Say one of pydantic's faults: where it is, what is wrong, and what was probably meant."""
    place = _place(fault["loc"], value) or "the value"
    if fault["type"] == "missing":
        return f"{place}: {fault['msg'].lower()}"
    said = f"{place}: {fault['msg'].lower()} (got {fault['input']!r})"
    if fault["type"] != "extra_forbidden":
        return said
    near = nearest(str(fault["loc"][-1]), known)
    return f"{place}: no such name{f'; did you mean `{near}`?' if near else ''}"


def _place(parts: tuple[int | str, ...], value: Any) -> str:
    """Name the place of a fault; an entry of a list by its metric or name, where it has one."""
    named = []
    for part in parts:
        inner = _inner(value, part)
        called = inner.get("metric", inner.get("name")) if isinstance(inner, dict) else None
        is_entry = isinstance(part, int) and isinstance(called, str)
        named.append(f"{part} ({called})" if is_entry else str(part))
        value = inner
    return ".".join(named)


def _inner(value: Any, part: int | str) -> Any:
    """Return what a part of a place leads to; None where it leads nowhere."""
    if isinstance(value, list) and isinstance(part, int):
        return value[part] if part < len(value) else None
    return value.get(part) if isinstance(value, dict) else None


def _names(schema: Any) -> Iterator[str]:
    """Yield the names of all fields of a model and of the models in it, from its JSON schema."""
    yield from schema.get("properties", {})
    for inner in schema.get("$defs", {}).values():
        yield from inner.get("properties", {})


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
        with (
            events.told(section) as event,
            threadpool_limits(1, user_api="blas"),
            engine.running(),
        ):
            started = time.perf_counter()
            did = main(read(section, kind))
            event.says = did or "done"
        print(f"{section}: {did or 'done'}, {time.perf_counter() - started:.1f} s.")
    except UserError as error:
        sys.exit(f"{section}: {error}")
    except MemoryError:
        sys.exit(f"{section}: {TOO_LARGE}")
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
