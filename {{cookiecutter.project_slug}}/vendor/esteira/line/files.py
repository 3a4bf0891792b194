"""Files that are whole or absent, one at a time (`replacing`) or many as one (`transaction`)."""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    ScalarEvent,
)

from esteira.line.errors import UserError

PREDICTIONS = "data/predictions.parquet"  # the model's answers on the rows held out


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


@dataclass(frozen=True)
class Journal:
    """What a transaction is about to change. While its file is there, nothing is settled."""

    command: str
    pid: int
    started: float  # seconds since 1970, of the process: a dead one's number is given again
    paths: list[str]  # the file that stood at the n-th is kept beside the journal as `n`
    absent: list[str]  # those of the paths where no file stood


KEPT = "data/.before-{command}.tmp"  # Git and DVC ignore it
JOURNAL = "journal.json"


@contextmanager
def transaction(paths: Iterable[str | Path], command: str) -> Iterator[None]:
    """Change many files as one: all of them if the block succeeds, and otherwise none.

    `paths` are all the files that the block may write or remove, below the current folder. Where
    the block fails they are put back at once; where the process is killed, by `recover`. Raises
    UserError if another such command is at work here.
    """
    import psutil

    recover()
    kept = Path(KEPT.format(command=command))
    if kept.exists():
        raise UserError(f"`esteira {command}` is at work here: wait for it, or end it.")
    names = [Path(path).as_posix() for path in paths]
    absent = [name for name in names if not Path(name).exists()]
    started = psutil.Process().create_time()
    journal = Journal(command, os.getpid(), started, names, absent)
    kept.mkdir(parents=True)
    try:
        for number, name in enumerate(names):
            if name not in absent:
                shutil.copy2(name, kept / str(number))
        write_json(kept / JOURNAL, asdict(journal))
        yield
    except BaseException:
        _undo(kept)
        raise
    _settle(kept)


def interrupted() -> list[str]:
    """Return the commands that were killed while they changed many files."""
    return [folder.name.removeprefix(".before-").removesuffix(".tmp") for folder in _unsettled()]


def recover() -> list[str]:
    """Put back the files of every command that `interrupted` names; return their names."""
    commands = interrupted()
    for command in commands:
        _undo(Path(KEPT.format(command=command)))
    return commands


def _unsettled() -> list[Path]:
    """Return the folders of transactions whose process is gone."""
    pattern = Path(KEPT.format(command="*"))
    return sorted(folder for folder in pattern.parent.glob(pattern.name) if not _at_work(folder))


def _read_journal(kept: Path) -> Journal | None:
    """Return a folder's journal; None where the files were not yet, or no longer, being changed."""
    journal = None
    try:
        text = (kept / JOURNAL).read_text(encoding="utf-8")
        journal = Journal(**json.loads(text))
        inside = not any(_leads_outside(Path(name)) for name in journal.paths)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        inside = False
    if journal is None or not inside:
        raise UserError(
            f"{kept / JOURNAL} cannot be believed: put back by hand what lies beside it, then "
            "remove the folder."
        )
    return journal


def _leads_outside(path: Path) -> bool:
    return path.is_absolute() or ".." in path.parts


def _at_work(kept: Path) -> bool:
    import psutil

    journal = _read_journal(kept)
    if journal is None:
        return False
    try:
        return psutil.Process(journal.pid).create_time() == journal.started
    except psutil.Error:
        return False


def _undo(kept: Path) -> None:
    """Put a transaction's files back as they were; may be interrupted, and done again."""
    journal = _read_journal(kept)
    if journal is None:
        _settle(kept)
        return
    for number, name in enumerate(journal.paths):
        before = kept / str(number)
        if name in journal.absent:
            with suppress(FileNotFoundError, NotADirectoryError):
                Path(name).unlink()
        elif before.exists():
            with replacing(name) as temporary:
                shutil.copy2(before, temporary)
    _settle(kept)


def _settle(kept: Path) -> None:
    """End a transaction: from here on the files are as they should be."""
    (kept / JOURNAL).unlink(missing_ok=True)
    shutil.rmtree(kept, ignore_errors=True)


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

    Rounding keeps last-digit noise of another processor out of the diff. Raises UserError for a
    metric that is not finite, because DVC would show it as changed for ever.
    """
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        raise UserError(
            f"{path} would hold metrics that are not finite numbers: {', '.join(bad)}. Look for "
            "values too large to compute with, or a model that answers with infinity."
        )
    write_json(path, {name: significant(value, digits) for name, value in metrics.items()})


def significant(value: float, digits: int = 6) -> float:
    """Round to `digits` significant digits; integers stay as they are."""
    return int(value) if isinstance(value, bool | int) else float(f"{value:.{digits}g}")


def md5_of(path: str | Path) -> str:
    """Return the hash of a file, as DVC has it. Raises UserError for a file that is not here."""
    try:
        with Path(path).open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    except FileNotFoundError:
        raise UserError(
            f"{path} is not here: run `uv run dvc pull` or `uv run dvc repro`."
        ) from None
    return found.hexdigest()


LARGEST_YAML, LARGEST_JSON = 4_000_000, 64_000_000  # bytes of a file of settings or facts
DEEPEST = 100  # levels of lists and mappings in it
MOST_NODES = 1_000_000  # that a YAML file stands for, once its aliases are written out


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML 1.2 mapping, in which `yes` and `no` are words.

    Raises UserError, also for one that is too large, nested too deeply, or stands for too much.
    """
    text = _read_text(path, LARGEST_YAML)
    try:
        if "*" in text and "&" in text:
            _refuse_multiplied(path, text)
        value = parse_yaml(text)
    except YAMLError as error:
        where = " ".join(str(error).split())
        raise UserError(f"{path} is not valid YAML: {where}") from None
    except RecursionError:
        raise UserError(f"{path} is nested too deeply: more than {DEEPEST} levels.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} must hold a mapping of names to values.")
    _refuse_deep(path, value)
    return value


def require_of_the_line(path: str | Path) -> None:
    """Raise UserError unless a table of the line is there."""
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: run `uv run dvc repro` (or `uv run dvc pull`).")


def listed_in(stage: dict[str, Any], *kinds: str) -> list[str]:
    """Return the paths that a stage of dvc.yaml lists, as `deps` or `outs`; some have options."""
    entries = [entry for kind in kinds for entry in stage.get(kind) or []]
    return [next(iter(entry)) if isinstance(entry, dict) else str(entry) for entry in entries]


def parse_yaml(text: str) -> Any:
    """Parse YAML 1.2. Raises YAMLError. The same files are read often, and parsing takes long."""
    return deepcopy(_parsed(text))


@lru_cache(maxsize=32)
def _parsed(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def read_json(path: str | Path) -> Any:
    """Read a JSON file. Raises UserError, also for one that is too large or nested too deeply."""
    text = _read_text(path, LARGEST_JSON)
    try:
        value = json.loads(text)
    except RecursionError:
        raise UserError(f"{path} is nested too deeply: more than {DEEPEST} levels.") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from None
    _refuse_deep(path, value)
    return value


def _read_text(path: str | Path, largest: int) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(largest + 1)
        if len(content) > largest:
            raise UserError(f"{path} is larger than {largest / 1e6:.0f} MB: that cannot be right.")
        return content.decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run this in the project's folder.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a file.") from None
    except UnicodeDecodeError as error:
        kind = "JSON" if Path(path).suffix == ".json" else "YAML"
        raise UserError(f"{path} is not valid {kind}: {error}") from None


def _refuse_deep(path: str | Path, value: Any) -> None:
    """Raise UserError for lists and mappings in more than DEEPEST levels."""
    level, depth = [value] if isinstance(value, dict | list) else [], 0
    seen: set[int] = set()  # an alias of YAML is one object in many places
    while level:
        inner = []
        for node in level:
            children = node.values() if isinstance(node, dict) else node
            new = [c for c in children if isinstance(c, dict | list) and id(c) not in seen]
            seen.update(map(id, new))
            inner += new
        level, depth = inner, depth + 1
        if depth > DEEPEST:
            raise UserError(f"{path} is nested too deeply: more than {DEEPEST} levels.")


def _refuse_multiplied(path: str | Path, text: str) -> None:
    """Raise UserError for YAML whose aliases stand for too much, or for what they stand in.

    Ten lines of aliases of aliases can stand for more than any memory holds.
    """
    sizes: dict[str, int] = {}  # nodes that each anchor stands for, once it is complete
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and nodes counted before it
    total = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        anchor = getattr(event, "anchor", None)
        if isinstance(event, AliasEvent):
            if anchor not in sizes:
                raise UserError(f"{path}: the alias *{anchor} stands for nothing, or for itself.")
            total += sizes[anchor]
        elif isinstance(event, CollectionStartEvent):
            open_nodes.append((anchor, total))
            total += 1
        elif isinstance(event, CollectionEndEvent):
            name, before = open_nodes.pop()
            if name:
                sizes[name] = total - before
        elif isinstance(event, ScalarEvent):
            total += 1
            if anchor:
                sizes[anchor] = 1
        if total > MOST_NODES:
            raise UserError(
                f"{path} stands for more than {MOST_NODES} values: write fewer aliases."
            )
