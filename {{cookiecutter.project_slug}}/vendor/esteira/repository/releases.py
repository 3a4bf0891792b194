"""Released versions of the model, and which is where: Git tags, as GTO writes and reads them.

`model@v1.2.0` is a version, `model#prod#3` puts the version of its commit to the stage `prod`; with
a `!` either is taken back (https://github.com/iterative/gto). The tags of a project below the top
of its repository begin with its folder. The commit says the rest: dvc.lock names model and data.
"""

import time
from dataclasses import dataclass
from datetime import datetime

from gto.constants import STAGE, VERSION, name_re
from gto.constants import Action as Acted
from gto.tag import parse_name

from esteira.line.errors import UserError
from esteira.line.nearest import nearest
from esteira.repository import git, snapshot

ARTIFACT = "model"  # as `artifacts:` in dvc.yaml names it
MODEL = "models/model.skops"
COUNTER, ACTION = "counter", "action"


@dataclass(frozen=True)
class Version:
    """A released version."""

    name: str  # v1.2.0
    tag: str
    commit: str
    date: str  # of its tag, YYYY-MM-DD


@dataclass(frozen=True)
class Assignment:
    """A tag that puts the version of a commit to a stage, or empties the stage."""

    number: int
    stage: str
    commit: str
    taken_back: bool


def artifact() -> str:
    """Return how tags name the model of this project."""
    folder = git.prefix().strip("/")
    return f"{folder}={ARTIFACT}" if folder else ARTIFACT


def versions() -> list[Version]:
    """Return the released versions, the highest first. Raises UserError outside of Git."""
    found, taken_back = [], set()
    for tag in _tags(f"{artifact()}@*"):
        said = parse_name(tag, raise_on_fail=False)
        if said.get(ACTION) == Acted.DEREGISTER:
            taken_back.add(said[VERSION])
        elif said.get(ACTION) == Acted.REGISTER:
            date = git.run("for-each-ref", "--format=%(creatordate:short)", f"refs/tags/{tag}")
            commit = git.commit(f"refs/tags/{tag}")
            if commit is not None:
                found.append(Version(said[VERSION], tag, commit, date.strip()))
    return [version for version in found if version.name not in taken_back]


def find(name: str) -> Version:
    """Return a version by its name, `v1.2.0`, `1.2.0` or `model@v1.2.0`. Raises UserError."""
    known = versions()
    wanted = name.rpartition("@")[2]
    wanted = wanted if wanted.startswith("v") else f"v{wanted}"
    for version in known:
        if version.name == wanted:
            return version
    if not known:
        raise UserError(
            f"there is no version {name} of the model, nor any other: {where_to_get_one()}."
        )
    names = [version.name for version in known]
    near = nearest(wanted, names)
    hint = f"did you mean {near}?" if near else f"the newest is {names[0]}."
    raise UserError(f"there is no version {name} of the model: {hint}")


def where_to_get_one() -> str:
    """Say how a first version is made, or how those that a shallow clone lacks are fetched."""
    if git.is_shallow():
        return "this clone is shallow, fetch them by `git fetch --unshallow --tags`"
    return f"release one by `git tag -a '{artifact()}@v1.0.0' -m 'Why'`"


def assignments(stage: str | None = None) -> list[Assignment]:
    """Return what was put to a stage, or to all of them, the oldest first."""
    found = []
    for tag in _tags(f"{artifact()}#*"):
        said = parse_name(tag, raise_on_fail=False)
        commit = git.commit(f"refs/tags/{tag}")
        if commit is None or STAGE not in said or stage not in (None, said[STAGE]):
            continue
        number, taken_back = said.get(COUNTER, 0), said[ACTION] == Acted.UNASSIGN
        found.append(Assignment(number, said[STAGE], commit, taken_back))
    return sorted(found, key=lambda each: each.number)


def stage_of(tag: str) -> str | None:
    """Return the stage that a tag puts a version to, or None for another tag."""
    said = parse_name(tag, raise_on_fail=False)
    ours = tag.startswith(f"{artifact()}#")
    return str(said[STAGE]) if ours and said.get(ACTION) == Acted.ASSIGN else None


def history(stage: str, known: list[Version]) -> list[Version]:
    """Return the versions that a rollback of `stage` leads through, the one there now last.

    A version that comes again takes those after it away, so a rollback is not itself rolled back.
    """
    by_commit = {version.commit: version for version in reversed(known)}  # the highest stays
    trail: list[Version] = []
    for each in assignments(stage):
        version = by_commit.get(each.commit)
        if each.taken_back:
            trail = []
        elif version in trail:
            trail = trail[: trail.index(version) + 1]
        elif version is not None:
            trail.append(version)
    return trail


def stages(known: list[Version]) -> dict[str, Version]:
    """Return which version is where, by stage."""
    names = dict.fromkeys(each.stage for each in assignments())
    trails = {name: history(name, known) for name in names}
    return {name: trail[-1] for name, trail in trails.items() if trail}


def assign(version: Version, stage: str) -> str:
    """Put a version to a stage, by a tag; return the tag. Raises UserError."""
    if not name_re.match(stage):
        raise UserError(f"{stage!r} cannot be a stage: use letters, digits, - and _, such as prod.")
    number = max((each.number for each in assignments()), default=0) + 1
    tag = f"{artifact()}#{stage}#{number}"
    words = ("--annotate", tag, version.commit, "--message", f"{version.name} to {stage}")
    git.run("tag", *words, env={"GIT_COMMITTER_DATE": _later_than_the_last()})
    return tag


def _later_than_the_last() -> str:
    """Return the date of a new assignment: now, or a second after the last one.

    GTO goes by these dates, which have whole seconds and come from the clocks of many machines.
    """
    tags = f"refs/tags/{artifact()}#*"
    dates = git.run("for-each-ref", "--format=%(creatordate:unix)", tags).split()
    last = max(map(int, dates), default=0)
    moment = datetime.fromtimestamp(max(time.time(), last + 1)).astimezone()
    return moment.isoformat(timespec="seconds")


def of_model(md5: str) -> Version | None:
    """Return the highest version whose dvc.lock names this model by its hash, if there is one."""
    for version in versions():
        named = snapshot.locked_outputs(version.commit).get(MODEL)
        if named is not None and named.md5 == md5:
            return version
    return None


def _tags(pattern: str) -> list[str]:
    """Return the tags of a pattern, the highest version first. Raises UserError outside of Git."""
    if not git.is_repository():
        raise UserError("this folder is not in a Git repository, which holds the model's versions.")
    # So that v1.0.0-rc.1 comes before v1.0.0, as semantic versions do.
    order = ("-c", "versionsort.suffix=-")
    return git.run(*order, "tag", "--list", pattern, "--sort=-version:refname").split()
