"""Notebook files: which there are, what they keep of a run, and how it is taken out."""

import shlex
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from esteira.line.errors import UserError
from esteira.line.files import replacing
from esteira.line.nearest import closest
from esteira.notebook.outputs import Kept, NotANotebook, look
from esteira.repository import git
from esteira.repository.notebooks import SUFFIX

PATTERN = f":(icase)*{SUFFIX}"  # of Git's


@dataclass(frozen=True)
class File:
    """A notebook's name, and how its bytes are had: from the folder, or from Git's index."""

    path: str
    read: Callable[[], bytes]


def to_check(paths: Iterable[str]) -> list[File]:
    """Return the notebooks that are named, or are in folders that are; else all that Git tracks.

    Raises UserError for a path that is no notebook.
    """
    named = list(paths)
    found = [file for path in named for file in _below(Path(path))] if named else tracked()
    return [File(path, Path(path).read_bytes) for path in dict.fromkeys(found)]


def staged() -> list[File]:
    """Return the notebooks that the next commit changes, as it would hold them."""
    index = git.in_index(PATTERN)
    paths = [path for path in git.staged(PATTERN) if path in index]
    return [File(path, partial(git.content, index[path])) for path in paths]


def tracked() -> list[str]:
    """Return the notebooks that Git tracks and are here; without Git, all below."""
    known = git.in_index(PATTERN) if git.is_repository() else _not_hidden(Path())
    return [path for path in known if Path(path).is_file()]


def _below(path: Path) -> list[str]:
    """Return the notebook at a path, or those in a folder. Raises UserError."""
    if path.is_dir():
        inside = git.known(path.as_posix()) if git.is_repository() else _not_hidden(path)
        notebooks = [name for name in inside if name.lower().endswith(SUFFIX)]
        return sorted(name for name in notebooks if Path(name).is_file())
    if path.suffix.lower() != SUFFIX:
        raise UserError(f"{path} is no {SUFFIX} file: only those keep outputs.")
    if not path.is_file():
        there = [each.name for each in path.parent.glob(f"*{SUFFIX}")]
        hint = closest(path.name, there) if there else "look at its name."
        raise UserError(f"{path} does not exist: {hint}")
    return [str(path)]


def _not_hidden(folder: Path) -> list[str]:
    """Return the notebooks below a folder, but of no folder whose name begins with a dot."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() == SUFFIX)
    return [str(path) for path in found if not any(part.startswith(".") for part in path.parts)]


def faults(files: Iterable[File]) -> list[str]:
    """Say in a sentence of each file what it keeps of a run, or why it cannot be read."""
    found = []
    for file in files:
        try:
            kept = examine(file).says()
        except UserError as error:
            found.append(str(error))
            continue
        if kept:
            mend = f"uv run esteira notebook strip {shlex.quote(file.path)}"
            found.append(f"{file.path} holds {kept}: `{mend}` takes them out.")
    return found


def examine(file: File) -> Kept:
    """Find what a notebook keeps of a run. Raises UserError where it cannot be read."""
    try:
        return look(file.read().decode("utf-8"))
    except NotANotebook as error:
        reason = str(error)
    except UnicodeDecodeError:
        reason = "it is not written in UTF-8"
    except OSError as error:
        reason = str(error.strerror)
    raise UserError(f"{file.path} cannot be read as a notebook: {reason}.")


def strip(files: Iterable[File]) -> list[str]:
    """Take out what notebooks keep of a run, and nothing else; say in a line what was done to each.

    All are read before the first is written. Raises UserError where one cannot be read.
    """
    examined = [(Path(file.path), examine(file)) for file in files]
    done = []
    for path, kept in examined:
        if kept.says():
            _write(path.resolve(), kept.clean)
            done.append(f"{path}: {kept.says()} taken out.")
    return done


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))
        shutil.copymode(path, temporary)
