"""The verdict on a change, in the same few words for the screen, the page and the comment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Generic, Literal, TypeVar

from esteira.page.words import counted

Tone = Literal["good", "look", "bad", "none"]  # none: not checked
Reason = TypeVar("Reason")

GATES = "gates.yaml"
# What decides the verdict on a pull request: folders (as their first parts), then names of files.
JUDGING_FOLDERS = ("vendor", ".github", ".githooks", ".dvc")
JUDGING_FILES = (
    GATES, "dvc.yaml", ".esteira.json", ".dvcignore", ".gitattributes", ".gitmodules",
    "uv.lock", "uv.toml", "pyproject.toml", "constraints.txt", ".python-version",
    "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg",
)  # fmt: skip
JUDGING_ANYWHERE = ("conftest.py", "sitecustomize.py", "usercustomize.py")


@dataclass(frozen=True)
class Readiness(Generic[Reason]):
    """Whether a change can be merged, and why."""

    tone: Tone
    headline: str
    reasons: tuple[Reason, ...]


def conclude(
    refused: Sequence[Reason], look: Sequence[Reason], good: Sequence[Reason]
) -> Readiness[Reason]:
    """Conclude from what refuses a change and what a reviewer must look at; else it is `good`."""
    if refused:
        return Readiness("bad", "Not ready", (*refused, *look))
    if look:
        return Readiness("look", "Look first", tuple(look))
    return Readiness("good", "Ready", tuple(good))


def judges(path: str, prefix: str = "") -> bool:
    """Whether a file of the repository decides what is said of a change.

    `prefix` is the project's folder in its repository, such as "ml/".
    """
    at_root, in_project = PurePosixPath(path), PurePosixPath(path.removeprefix(prefix))
    if at_root.parts[:1] == (".github",) or at_root.name in JUDGING_ANYWHERE:
        return True
    places = {at_root.as_posix(), in_project.as_posix()}
    folders = {at_root.parts[0], in_project.parts[0]}
    return not (folders.isdisjoint(JUDGING_FOLDERS) and places.isdisjoint(JUDGING_FILES))


def judging_in_words(count: int) -> str:
    """Say that a change touches what judges it, as a clause."""
    return f"it changes the checks themselves ({counted(count, 'file')})"


def not_pushed(count: int) -> str:
    """Say how many of DVC's files the remote lacks, as a clause."""
    return f"{count:,} of DVC's files {'is' if count == 1 else 'are'} not pushed"
