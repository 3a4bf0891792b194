"""What dvc.lock says, compared with the repository and with the remote."""

from pathlib import Path
from typing import TYPE_CHECKING

from esteira.line.errors import UserError
from esteira.repository import dvc, git, remote

if TYPE_CHECKING:
    from dvc.repo import Repo

OTHER_LINE_ENDS = (
    "has Windows line ends here, and other bytes in every clone: `uv run esteira doctor --fix`"
)
ABSENT = ("deleted", "not in cache")  # data that is merely not here is taken to be as locked


def stale(only: list[str] | None = None) -> dict[str, list[str]]:
    """Return, for each stage that dvc.lock does not describe, what changed; empty if it is fresh.

    It describes no clone, either, where it names a file that Git stores with other line ends.

    Needs no data, no network and no credentials: data that is absent is taken to be as the lock
    says (`--pushed` tells whether it can be had). `only` names the stages to look at. Raises
    UserError for one that is not in dvc.yaml.
    """
    with dvc.repository() as repo:
        return stale_in(repo, only)


def says_stale() -> str:
    """Say in one sentence that dvc.lock is stale, so its figures are of before; "" where fresh.

    Raises UserError where that cannot be found out.
    """
    changed = stale()
    if not changed:
        return ""
    names = ", ".join(f"`{name}`" for name in changed)
    return f"dvc.lock is stale, so these figures are of before ({names}): run `uv run dvc repro`."


def stale_in(repo: "Repo", only: list[str] | None = None) -> dict[str, list[str]]:
    """As `stale`, in a repository that is open."""
    if dvc.at_work():  # DVC would take their files for changed ones
        raise UserError(dvc.BUSY)
    line = dvc.line(repo)
    names = [stage.name for stage in line]
    unknown = sorted(set(only or []) - set(names))
    if unknown:
        raise UserError(f"dvc.yaml has no stage {', '.join(unknown)}; it has {', '.join(names)}.")
    asked = [stage for stage in line if not only or stage.name in only]
    not_compared = _only_filled({stage.name: gaps(stage) for stage in asked})
    found = not_compared or line_ends(asked) or changes(repo, only) or torn(repo, only)
    for stage in asked:
        gone = kept_by_git_and_gone(stage)
        if stage.name in found and gone:
            found[stage.name].insert(0, f"its last run did not end well: {gone[0]} is not here")
    return found


def _only_filled(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: reasons for name, reasons in found.items() if reasons}


def gaps(stage: dvc.Stage) -> list[str]:
    """Return what DVC itself does not compare: a frozen stage, and names that the lock lacks."""
    if stage.frozen:
        return [f"it is frozen, so DVC compares nothing: `uv run dvc unfreeze {stage.name}`"]
    if not stage.locked:
        return ["dvc.lock does not know it"]
    return [f"dvc.lock does not name {path}" for path in stage.unlocked]


def kept_by_git_and_gone(stage: dvc.Stage) -> list[str]:
    """Return the outputs that any clone has, and that are not here: DVC removes them for a run."""
    kept = [out.path for out in stage.outs if out.hash and not out.cached]
    return [path for path in kept if not Path(path).exists()]


def line_ends(stages: list[dvc.Stage]) -> dict[str, list[str]]:
    """Return, for each stage, the files that DVC hashed with line ends that Git does not store."""
    changed = git.with_other_line_ends() if git.is_repository() else []
    found = {}
    for stage in stages:
        hashed = [entry.path for entry in (*stage.deps, *stage.outs)]
        files = [path for path in changed if any(Path(path).is_relative_to(h) for h in hashed)]
        found[stage.name] = [f"{path} {OTHER_LINE_ENDS}" for path in files]
    return _only_filled(found)


def changes(repo: "Repo", only: list[str] | None) -> dict[str, list[str]]:
    """Return, for each stage, what differs from the lock; data that is merely absent does not."""
    found = {}
    for stage, differences in dvc.differences(repo, only).items():
        found[stage] = [describe(difference) for difference in told(differences)]
    return _only_filled(found)


def told(differences: list[dvc.Difference]) -> list[dvc.Difference]:
    """Return the differences that make a lock stale: not that data is merely absent."""
    return [each for each in differences if not (each.role and each.how in ABSENT)]


def torn(repo: "Repo", only: list[str] | None) -> dict[str, list[str]]:
    """Return, for each stage, the files for which dvc.lock names two states."""
    found = {
        stage: [f"dvc.lock names {path} otherwise where it is written" for path in paths]
        for stage, paths in dvc.torn(repo, only).items()
    }
    return _only_filled(found)


def of_another_commit(repo: "Repo") -> list[str]:
    """Return the data that is here as another commit's lock names it, if nothing else is stale.

    That is what `git switch` leaves: `dvc checkout` brings this commit's, and nothing is to rerun.
    """
    others = dvc.of_another_commit(repo)
    differences = [each for stage in dvc.differences(repo, None).values() for each in stage]
    stale = told(differences)
    only_data = bool(stale) and all(each.role and each.subject in others for each in stale)
    return others if only_data else []


def describe(difference: dvc.Difference) -> str:
    """Say one difference in a few words."""
    if difference.how == "changed checksum":
        return "its .dvc file was edited"
    if not difference.subject:
        return difference.how
    role = f" ({difference.role})" if difference.role else ""
    return f"{difference.subject} {difference.how}{role}"


def unpushed() -> list[str]:
    """Return the files that the lock (or a .dvc file) names and the remote does not hold.

    Asks the remote; needs its credentials for reading. Raises UserError if it does not answer.
    """
    with dvc.repository() as repo:
        return unpushed_in(repo)


def unpushed_in(repo: "Repo") -> list[str]:
    """As `unpushed`, in a repository that is open."""
    url = remote.default()["url"]
    if "://" in url:
        remote.check()  # DVC itself would try for 39 s
    try:
        return dvc.not_on_remote(repo)
    except Exception as error:  # every kind of storage has its own
        text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UserError(
            f"{url} stopped answering: {text}; `uv run esteira doctor` checks it."
        ) from None


def unkept() -> dict[str, str]:
    """Return the dependencies that neither Git nor DVC keeps, each with the command that adds it.

    DVC reads such a file, names its hash in dvc.lock and pushes nothing: nobody else can have it.
    """
    if not git.is_repository():
        return {}
    with dvc.repository() as repo:
        root = Path(repo.root_dir)
        outs = [Path(out.fs_path) for stage in repo.index.stages for out in stage.outs]
        line = dvc.line(repo)
    deps = {root / dep.path for stage in line for dep in stage.deps}
    deps |= {root / path for stage in line for path in stage.settings}
    kept = {*outs, *(root / path for path in git.tracked())}
    known = kept.union(*(path.parents for path in kept))  # a folder with a file that is kept
    lost = [dep for dep in deps if dep not in known and kept.isdisjoint(dep.parents)]
    names = sorted(dep.relative_to(root).as_posix() for dep in lost)
    return {name: command_that_adds(name) for name in names}


def command_that_adds(path: str) -> str:
    """Return the command by which Git, or DVC where Git leaves data out, keeps a file."""
    return f"uv run dvc add {path}" if git.ignores(path) else f"git add {path}"
