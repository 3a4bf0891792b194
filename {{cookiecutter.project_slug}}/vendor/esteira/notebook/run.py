"""Run notebooks without a screen, and bring the data that they name first."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from esteira.github.api import PullRequestEvent, event
from esteira.line.errors import UserError
from esteira.line.nearest import closest
from esteira.notebook.code import texts
from esteira.repository import base, dvc, git, remote, snapshot
from esteira.repository.notebooks import FOLDER, SUFFIX


@dataclass(frozen=True)
class Ran:
    """How a run of a notebook ended: what stopped it, or "" where it came to its end."""

    path: str
    seconds: float
    fault: str


@dataclass(frozen=True)
class Data:
    """A file or folder that a stage writes, or a .dvc file names."""

    path: str
    stage: str  # "" where no stage writes it
    kept: bool  # by DVC; else by Git

    @property
    def here(self) -> bool:
        """Whether it is in the folder."""
        return Path(self.path).exists()


def find(paths: Iterable[str] = ()) -> list[str]:
    """Return the notebooks that are named, else all: notebooks/*.py, and every .ipynb file.

    A module whose name begins with `_` is none: it is there to be imported. Raises UserError for a
    path that is no notebook.
    """
    everything = git.known(".") if git.is_repository() else _files_below(FOLDER)
    found = [path for path in everything if _runs(path) and Path(path).is_file()]
    named = [PurePosixPath(Path(path)).as_posix() for path in paths]
    for path in named:
        if path not in found:
            hint = closest(path, found) if found else f"{FOLDER}/ has none."
            raise UserError(f"{path} is no notebook of this project: {hint}")
    return named or sorted(found)


def _files_below(folder: str) -> list[str]:
    return [path.as_posix() for path in Path(folder).rglob("*")]


def _runs(path: str) -> bool:
    place = PurePosixPath(path)
    is_script = place.suffix == ".py" and place.parts[0] == FOLDER
    private = any(part.startswith("_") for part in place.parts[1:])
    return place.suffix.lower() == SUFFIX or (is_script and not private)


def touched(notebooks: list[str]) -> list[str]:
    """Return those of the notebooks that differ from where this branch left the default one.

    In CI, from what the pull request would be merged into. All of them where nothing is to be
    compared with.
    """
    started_by = event(PullRequestEvent) or PullRequestEvent()
    found = base.find(started_by.base)
    if found.commit is None:
        return notebooks
    changed = set(git.differing_from(found.commit))
    return [path for path in notebooks if path in changed]


def absent(notebooks: list[str]) -> dict[str, list[Data]]:
    """Return, for each notebook, the data of the line that it names and that is not here.

    A file is known to be read by its path, which stands as a text in the code.
    """
    known = _known_data() if notebooks else []
    return {path: [each for each in _named(path, known) if not each.here] for path in notebooks}


def _known_data() -> list[Data]:
    with dvc.repository() as repo:
        stages = dvc.line(repo)
    written = [Data(out.path, stage.name, out.cached) for stage in stages for out in stage.outs]
    return [*written, *(Data(path, "", True) for path in snapshot.raw_files(None))]


def _named(path: str, known: list[Data]) -> list[Data]:
    """Return the data that a notebook names; none of one that is no Python, as its run will say."""
    try:
        said = [PurePosixPath(text) for text in texts(path) if text]
    except UserError:
        return []
    return [each for each in known if any(text.is_relative_to(each.path) for text in said)]


def bring(data: Iterable[Data]) -> None:
    """Bring data by `dvc pull`; where no remote is here, run the stages that write it.

    Raises UserError where it cannot be had.
    """
    wanted = list({each.path: each for each in data if each.kept}.values())
    if not wanted:
        return
    why = remote.unusable()
    raw = [each.path for each in wanted if not each.stage]
    if why and raw:
        raise UserError(f"{', '.join(raw)} cannot be had: {why}")
    if why:
        words = ["repro", *dict.fromkeys(each.stage for each in wanted)]
    else:
        words = ["pull", *(each.path for each in wanted)]
    if not dvc.run(*words):
        raise UserError(f"`dvc {' '.join(words)}` failed (see above): mend that first.")


def run(path: str, lacking: Iterable[Data] = ()) -> Ran:
    """Run one notebook in the project's folder, with its code and no window.

    One that lacks data is not run, and says so.
    """
    names = ", ".join(each.path for each in lacking)
    if names:
        return Ran(path, 0.0, f"{path} reads {names}, not here: `uv run dvc pull`, or say --pull.")
    here = [str(Path(folder).resolve()) for folder in ("src", "vendor")]
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    more = {
        "PYTHONPATH": os.pathsep.join([*here, *filter(None, inherited)]),
        "MPLBACKEND": "Agg",  # Matplotlib, where a squad has it, opens no window
    }
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "esteira.notebook.execute", path],
        env=os.environ | more,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    return Ran(path, time.monotonic() - started, _fault(path, done))


def _fault(path: str, done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode == 0:
        return ""
    said = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode < 0 or not said:
        return f"{path} was ended with status {done.returncode}."
    return said[-1]
