"""The files that are exported: write one, or tell whether it is still what dvc.yaml says."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from esteira.export import github, graph
from esteira.line.files import write_text


@dataclass(frozen=True)
class Kind:
    """A file for another tool."""

    path: Callable[[], Path]
    render: Callable[[graph.Graph], str]


KINDS = {
    "github": Kind(github.path, github.render),
}


def write(kind: str) -> Path:
    """Write the file of a kind; return its path. Raises UserError."""
    known = KINDS[kind]
    text = known.render(graph.read())
    path = known.path()
    write_text(path, text)
    return path


def check(kind: str) -> str:
    """Return what is wrong with the file of a kind, or "" if it is up to date. Raises UserError."""
    known = KINDS[kind]
    path = known.path()
    again = f"`uv run esteira export {kind}`"
    if not path.is_file():
        return f"{path} is not here: write it by {again}."
    if path.read_text(encoding="utf-8") != known.render(graph.read()):
        return f"{path} is not what dvc.yaml says now: write it again by {again}."
    return ""


def outdated() -> list[str]:
    """Return, of the files that are here, what is wrong with those that dvc.yaml no longer gives.

    Raises UserError where one cannot be told.
    """
    here = [kind for kind, known in KINDS.items() if known.path().is_file()]
    return [said for said in map(check, here) if said]
