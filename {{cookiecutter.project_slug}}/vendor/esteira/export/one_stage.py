"""One stage of the line, run in a clone of its own: what other clones ran is not run again.

DVC's run cache does not carry a stage whose outputs Git keeps (`cache: false`) to another clone, so
a stage that has run hands over what DVC's cache lacks: its entry of dvc.lock, and those outputs. It
lies on the remote, by commit and stage. Nothing of it is believed: DVC compares an entry with the
code, settings and data that are here, and runs the stage again where one differs.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

from pydantic import Base64Bytes, BaseModel, ConfigDict, ValidationError

from esteira.export import graph
from esteira.line.errors import UserError, one_line
from esteira.line.files import replacing
from esteira.repository import dvc, git, remote

if TYPE_CHECKING:
    from dvc.repo import Repo

FOLDER = "line"  # on the remote; a file may be removed there at any time: its stage then runs again
# Not the run cache of the remote: all of it would be downloaded, and it grows with history.
REPRO = ["repro", "--pull", "--allow-missing", "--no-run-cache"]


class Handover(BaseModel):
    """What a stage leaves for other clones of the same commit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entry: dict[str, Any]  # of dvc.lock
    files: dict[str, Base64Bytes]  # by path: the outputs that Git keeps


@dataclass(frozen=True)
class Done:
    """What `run` or `collect` did."""

    ran: list[str]  # stages that were executed here
    taken: list[str]  # stages that other clones had run

    def says(self) -> str:
        """Say it in a sentence."""
        ran = f"ran {', '.join(self.ran)}" if self.ran else "no stage had to run"
        taken = f"; taken over from other clones: {', '.join(self.taken)}" if self.taken else ""
        return f"{ran}{taken}."


def run(name: str) -> Done:
    """Run one stage, and hand it over by way of the remote.

    Stages before it that no other clone has run are run here as well. Raises UserError for an
    unknown stage, a remote that cannot be used, and a stage that fails.
    """
    line = graph.read()
    before = line.before(name)
    commit = _usable()
    taken = _take_over([*before, name], commit)
    ran = _reproduce(name)
    made_here = [stage for stage in (*before, name) if stage in ran or stage == name]
    if not dvc.run("push", "--run-cache", *made_here):
        raise UserError(f"the outputs of {name} could not be pushed: DVC says why above.")
    _hand_over(made_here, commit)
    return Done(ran, [stage for stage in taken if stage not in ran])


def collect() -> Done:
    """Take over every stage that clones of this commit ran, and write the whole dvc.lock.

    What is missing is run here. Raises UserError as `run` does.
    """
    taken = _take_over(graph.read().names(), _usable())
    ran = _reproduce()
    return Done(ran, [stage for stage in taken if stage not in ran])


def _usable() -> str:
    """Return the commit that is here. Raises UserError without one, or without a remote."""
    commit = git.commit("HEAD") if git.is_repository() else None
    if commit is None:
        raise UserError("there is no commit here, which stages in other clones would be of.")
    remote.check()
    return commit


def _reproduce(*names: str) -> list[str]:
    """Run `dvc repro`, let its lines through, and return the stages that it executed."""
    ran = []
    process = dvc.start(*REPRO, *names)
    for line in process.stdout or ():
        print(line, end="", flush=True)
        if line.startswith("Running stage '"):
            ran.append(line.split("'")[1])
    if process.wait():
        raise UserError(f"{' '.join(names) or 'the line'} did not run through: see above.")
    return ran


def _take_over(names: list[str], commit: str) -> list[str]:
    """Put here what other clones handed over; return the stages whose entry was not here yet."""
    with dvc.repository() as repo:
        line = {stage.name: stage for stage in dvc.line(repo)}
        with _told_of_the_remote():
            folder = dvc.remote_folder(repo, FOLDER)
            contents = {name: folder.read(f"{commit}/{name}.json") for name in names}
        found = {name: _read(content) for name, content in contents.items()}
        given = {name: handed for name, handed in found.items() if handed is not None}
        new = {n: h for n, h in given.items() if h.entry != dvc.locked_entry(repo, n)}
        for name, handed in new.items():
            _write_files(line[name], handed)
        dvc.write_locked_entries(repo, {name: handed.entry for name, handed in new.items()})
    _renew([line[name] for name in new])
    return list(new)


def _renew(stages: list[dvc.Stage]) -> None:
    """Bring outputs that are here from an earlier run, for which DVC would run their stages again.

    Those that are not here stay where they are. Raises UserError where one cannot be had.
    """
    old = [
        stage.name
        for stage in stages
        if any(out.cached and Path(out.path).exists() for out in stage.outs)
    ]
    if old and not dvc.run("pull", *old):
        raise UserError(
            f"what other clones made of {', '.join(old)} could not be pulled: DVC says why above."
        )


def _read(content: bytes | None) -> Handover | None:
    """Read a handover; None where there is none, or it is damaged: its stage then runs again."""
    if content is None:
        return None
    try:
        return Handover.model_validate_json(content)
    except ValidationError:
        return None


def _write_files(stage: dvc.Stage, handed: Handover) -> None:
    """Write the outputs that Git keeps, and no other file: only what dvc.yaml says."""
    for out in (Path(out.path) for out in stage.outs if not out.cached):
        inside = {Path(p): content for p, content in handed.files.items() if _is_in(Path(p), out)}
        if inside and out.is_dir():
            rmtree(out)
        for path, content in inside.items():
            with replacing(path) as temporary:
                temporary.write_bytes(content)


def _is_in(path: Path, out: Path) -> bool:
    return ".." not in path.parts and path.is_relative_to(out)


def _hand_over(names: list[str], commit: str) -> None:
    """Put what stages left beside DVC's cache on the remote."""
    with dvc.repository() as repo:
        line = {stage.name: stage for stage in dvc.line(repo)}
        contents = {name: _handover(repo, line[name]) for name in names}
        with _told_of_the_remote():
            folder = dvc.remote_folder(repo, FOLDER)
            for name, content in contents.items():
                folder.write(f"{commit}/{name}.json", content)


def _handover(repo: "Repo", stage: dvc.Stage) -> bytes:
    kept_by_git = [Path(out.path) for out in stage.outs if not out.cached]
    files = {
        path.as_posix(): base64.b64encode(path.read_bytes())
        for out in kept_by_git
        for path in _files_of(out)
    }
    entry = dvc.locked_entry(repo, stage.name) or {}
    handed = Handover(entry=entry, files=files)
    return handed.model_dump_json().encode()


@contextmanager
def _told_of_the_remote() -> Iterator[None]:
    """Turn whatever the storage raises into a UserError."""
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except Exception as error:  # every kind of storage has its own
        raise UserError(
            f"the remote stopped answering: {one_line(error)}; `uv run esteira remote check` has "
            "more."
        ) from None


def _files_of(out: Path) -> Iterator[Path]:
    if out.is_file():
        yield out
    else:
        yield from sorted(path for path in out.rglob("*") if path.is_file())
