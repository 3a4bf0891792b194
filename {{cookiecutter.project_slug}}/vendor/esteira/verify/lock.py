"""What dvc.lock says, compared with the repository and with the remote; merged locks resolved."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from esteira.line.errors import UserError
from esteira.repository import git, remote
from esteira.repository.dvc import BUSY, at_work, pipeline, repository

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage


def stale(only: list[str] | None = None) -> dict[str, list[str]]:
    """Return, for each stage that dvc.lock does not describe, what changed; empty if it is fresh.

    Needs no data, no network and no credentials: data that is absent is taken to be as the lock
    says (`--pushed` tells whether it can be had). `only` names the stages to look at. Raises
    UserError for one that is not in dvc.yaml.
    """
    if at_work():  # DVC would take their files for changed ones
        raise UserError(BUSY)
    with repository() as repo:
        line = {stage.addressing: stage for stage in pipeline(repo)}
        if strange := sorted(set(only or []) - set(line)):
            raise UserError(
                f"dvc.yaml has no stage {', '.join(strange)}; it has {', '.join(line)}."
            )
        found = {name: gaps(stage) for name, stage in line.items() if not only or name in only}
        if not any(found.values()) and not _fresh(repo, only):
            with repo.lock:
                stages = repo.index.stages if not only else [line[name] for name in only]
                found = {stage.addressing: reasons(stage) for stage in stages}
            found = found if any(found.values()) else {"dvc.yaml": ["DVC would run the line again"]}
    return {name: why for name, why in found.items() if why}


def _fresh(repo: "Repo", only: list[str] | None) -> bool:
    from dvc.exceptions import ReproductionError

    options = {"dry": True, "allow_missing": True, "on_error": "keep-going"}
    try:
        return repo.reproduce(only, single_item=bool(only), **options) == []
    except ReproductionError:  # a stage that would run, and whose data is not here
        return False


def gaps(stage: "PipelineStage") -> list[str]:
    """Return what DVC itself does not compare: a frozen stage, and names that the lock lacks."""
    if stage.frozen:
        return [f"it is frozen, so DVC compares nothing: `uv run dvc unfreeze {stage.addressing}`"]
    entries = [*stage.deps, *stage.outs]
    absent = [str(entry) for entry in entries if not entry.hash_info]
    if len(absent) == len(entries):
        return ["dvc.lock does not know it"]
    return [f"dvc.lock does not name {path}" for path in absent]


def reasons(stage: Any) -> list[str]:
    """Return what differs between one stage and the lock; data that is merely absent does not."""
    found = []
    for entry in stage.status().get(stage.addressing, []):
        if isinstance(entry, str):
            found.append(entry if entry != "changed checksum" else "its .dvc file was edited")
            continue
        for kind, paths in entry.items():
            for path, how in paths.items():
                if isinstance(how, dict):  # params.yaml: how each section changed
                    found += [f"{path}: {name} {state}" for name, state in how.items()]
                elif how not in ("deleted", "not in cache"):
                    found.append(f"{path} {how} ({kind.removeprefix('changed ')})")
    return found


def unpushed() -> list[str]:
    """Return the files that the lock (or a .dvc file) names and the remote does not hold.

    Asks the remote; needs its credentials for reading. Raises UserError if it does not answer.
    """
    url = remote.default()["url"]
    if "://" in url:
        remote.check()  # DVC itself would try for 39 s
    with repository() as repo:
        try:
            status = repo.data_status(granular=True, not_in_remote=True, remote_refresh=True)
        except Exception as error:  # every kind of storage has its own
            text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise UserError(
                f"{url} stopped answering: {text}; `uv run esteira doctor` checks it."
            ) from None
    return sorted(status["not_in_remote"])


def unkept() -> dict[str, str]:
    """Return the dependencies that neither Git nor DVC keeps, each with the command that adds it.

    DVC reads such a file, names its hash in dvc.lock and pushes nothing: nobody else can have it.
    """
    if not git.is_repository():
        return {}
    with repository() as repo:
        root = Path(repo.root_dir)
        kept = [Path(out.fs_path) for stage in repo.index.stages for out in stage.outs]
        kept += [root / path for path in git.tracked()]
        deps = {Path(d.fs_path) for s in pipeline(repo) for d in s.deps if d.protocol == "local"}
    known = {above for path in kept for above in (path, *path.parents)}
    lost = (d for d in deps if d not in known and not known_folder(d, kept))
    names = sorted(d.relative_to(root).as_posix() for d in lost if d.is_relative_to(root))
    return {
        name: f"uv run dvc add {name}" if git.ignores(name) else f"git add {name}" for name in names
    }


def known_folder(path: Path, kept: list[Path]) -> bool:
    """Whether a path lies in a folder that DVC keeps as a whole."""
    return not set(path.parents).isdisjoint(kept)
