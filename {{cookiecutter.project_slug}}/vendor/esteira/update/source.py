"""Where a version of the template is had: a folder as it lies, or a clone at a release."""

import re
from dataclasses import dataclass
from pathlib import Path

from esteira.line.errors import UserError
from esteira.line.nearest import closest
from esteira.repository import git
from esteira.repository.template import Record

QUESTIONS = "cookiecutter.json"
RELEASE = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
SHORT = {
    "gh:": "https://github.com/{}.git",
    "gl:": "https://gitlab.com/{}.git",
    "bb:": "https://bitbucket.org/{}",
}  # as Cookiecutter has them


@dataclass(frozen=True)
class Source:
    """The template, laid out in a folder."""

    folder: Path
    address: str  # where others find it: what the record says
    version: str
    commit: str | None  # None where the folder is not as Git has it, or in no Git
    is_release: bool

    @property
    def title(self) -> str:
        """Name the version; one that is no release by its commit too, if it is a commit's."""
        if self.commit is None:
            return f"{self.version} (as the folder lies, not a commit of its own)"
        return title(self.version, None if self.is_release else self.commit)


def title(version: str, commit: str | None) -> str:
    """Name a version of the template, such as `1.0.0` or `1.0.0 (at 4ec9bd0)`."""
    return f"{version} (at {commit[:7]})" if commit else version


def fetch(address: str, to: str | None, record: Record | None, folder: Path) -> Source:
    """Lay the template out: the version `to`, else the newest release, else what it holds now.

    A folder of the template is taken as it lies unless a version is asked for; all else is cloned
    into `folder`, which must not be there yet. Raises UserError.
    """
    here = Path(address).expanduser()
    if (here / QUESTIONS).is_file() and not to:
        return _described(here.resolve(), str(here.resolve()))
    _clone(address, folder)
    revision = _named(folder, to, address) if to else _newest(folder, record)
    _check_out(folder, revision)
    return _described(folder, str(here.resolve()) if here.exists() else address)


def fetch_again(record: Record, address: str, folder: Path) -> Source:
    """Lay the version out that a record names by its commit. Raises UserError."""
    lost = (
        f"what the template wrote as version {record.version} is not here, so nothing can be "
        "merged: `git fetch origin template:template` brings it where somebody pushed it, "
        "`git fetch --unshallow` where this clone lacks older commits."
    )
    if record.commit is None:
        raise UserError(lost)
    _clone(address, folder)
    if git.ask("-C", str(folder), "cat-file", "-t", record.commit) is None:
        raise UserError(lost)
    _check_out(folder, record.commit)
    return _described(folder, address)


def _clone(address: str, folder: Path) -> None:
    place = Path(address).expanduser()
    for short, full in SHORT.items():
        if address.startswith(short):
            address = full.format(address.removeprefix(short))
    try:
        git.run("clone", "--quiet", str(place) if place.exists() else address, str(folder))
    except UserError as error:
        raise UserError(
            f"the template cannot be had from {address} ({error}) Name it by --template."
        ) from None


def _check_out(folder: Path, revision: str) -> None:
    quiet = ("-c", "advice.detachedHead=false")
    git.run("-C", str(folder), *quiet, "checkout", "--quiet", "--detach", revision)


def _releases(folder: Path) -> list[str]:
    """Return the tags of releases, the highest version first; no pre-releases."""
    tags = git.run("-C", str(folder), "tag", "--list").split()
    return sorted(filter(RELEASE.fullmatch, tags), key=numbers, reverse=True)


def numbers(version: str) -> tuple[int, ...]:
    """Return a version's numbers, by which versions are ordered; none where it is no release."""
    found = RELEASE.fullmatch(version)
    return tuple(int(number) for number in found.groups()) if found else ()


def _newest(folder: Path, record: Record | None) -> str:
    """Return the newest release; what the template holds now where there is none.

    A project that was made from something newer than the newest release stays with that.
    """
    releases = _releases(folder)
    if not releases:
        return "HEAD"
    newest = releases[0]
    known = record.commit if record else None
    contains = ("-C", str(folder), "merge-base", "--is-ancestor", newest)
    return known if known and git.succeeds(*contains, known) else newest


def _named(folder: Path, to: str, address: str) -> str:
    """Return the tag, branch or commit that was asked for. Raises UserError where there is none."""
    for revision in (f"v{to}", to, f"origin/{to}"):
        if git.ask("-C", str(folder), "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"):
            return revision
    releases = [tag.removeprefix("v") for tag in _releases(folder)]
    hint = closest(to, releases) if releases else "it has no releases yet."
    raise UserError(f"the template at {address} has no version {to}: {hint}")


def _described(folder: Path, address: str) -> Source:
    about = next(folder.glob("*/vendor/pyproject.toml"), None)
    if not (folder / QUESTIONS).is_file() or about is None:
        raise UserError(f"{address} is no Esteira template: name one by --template.")
    found = re.search(r'^version = "(.+)"$', about.read_text(encoding="utf-8"), re.MULTILINE)
    shared = re.sub(r"^(https?://)[^/@]*@", r"\1", address)  # no name, no password
    commit = _commit(folder)
    tags = git.run("-C", str(folder), "tag", "--points-at", commit).split() if commit else []
    is_release = any(RELEASE.fullmatch(tag) for tag in tags)
    return Source(folder, shared, found[1] if found else "", commit, is_release)


def _commit(folder: Path) -> str | None:
    """Return the commit that a folder holds, where it holds nothing else."""
    inside = ("-C", str(folder))
    at_top = git.ask(*inside, "rev-parse", "--show-cdup") == ""
    is_clean = at_top and git.ask(*inside, "status", "--porcelain") == ""
    return git.ask(*inside, "rev-parse", "HEAD") if is_clean else None
