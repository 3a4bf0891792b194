"""The template that the project was made from: the record of it, and what it wrote, in Git.

Each version of the template that the project had is a commit of what the template wrote, nothing
else: the project's first, then one for each update, on the branch `template` and merged from there.
The last line of its message names its own tree, so that no squashed or edited commit, whose message
may have been kept, is taken for it.
"""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from esteira.line.errors import UserError
from esteira.line.files import read_json
from esteira.line.params import parse
from esteira.repository import git
from esteira.repository.base import upstream_remote
from esteira.repository.digest import of_folder

RECORD = Path(".esteira.json")
TOOLBOX = Path("vendor")
BRANCH = "template"
TREE = "Esteira-Tree"


class Record(BaseModel):
    """What .esteira.json holds; the template's hook writes it, and each update."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    template: str  # a path or an address of Git's
    version: str
    commit: str | None = None  # of the template, where it is known
    vendor: str  # digest of the toolbox as the template has it
    answers: dict[str, str | bool]

    @property
    def release(self) -> tuple[str, str | None, str]:
        """What tells one state of the template from another; answers may be edited."""
        return self.version, self.commit, self.vendor

    def as_text(self) -> str:
        """Return the file's text."""
        return json.dumps(self.model_dump(), indent=2, ensure_ascii=False) + "\n"


def recorded() -> Record | None:
    """Return the record, or None where the project has none. Raises UserError for a broken one."""
    return parse(read_json(RECORD), Record, str(RECORD)) if RECORD.exists() else None


def recorded_at(commit: str) -> Record | None:
    """Return the record as a commit has it, or None where it has none that can be read."""
    text = git.text_at(commit, RECORD)
    try:
        return parse(json.loads(text), Record, str(RECORD)) if text else None
    except (ValueError, UserError):
        return None


def branches() -> list[str]:
    """Return the branches `template` that are known here: the local one, then the remote's."""
    remote = upstream_remote()
    names = [f"refs/heads/{BRANCH}", *([f"refs/remotes/{remote}/{BRANCH}"] if remote else [])]
    return [name for name in names if git.commit(name) is not None]


def commits(revision: str) -> list[str]:
    """Return the commits of the template before a revision and at it, the newest first."""
    form = f"%H %T %(trailers:key={TREE},valueonly,separator=%x2C)"
    listed = git.run("log", f"--format={form}", f"--grep=^{TREE}: ", revision).splitlines()
    found = [line.split(" ", 2) for line in listed]
    return [commit for commit, tree, named in found if named == tree]


def commit_of(record: Record) -> str | None:
    """Return the commit of what the template wrote for a record, or None where it is not here.

    What was merged into this branch comes before what merely lies on a branch `template`.
    """
    for revision in ("HEAD", *branches()):
        for commit in commits(revision):
            there = recorded_at(commit)
            if there is not None and there.release == record.release:
                return commit
    return None


def has_toolbox() -> bool:
    """Whether the project has the toolbox in vendor/, and not from an index of the squad's own."""
    return (TOOLBOX / "esteira").is_dir()


def is_edited(record: Record) -> bool:
    """Whether vendor/ is not what the template wrote."""
    return has_toolbox() and of_folder(TOOLBOX) != record.vendor


def edits(commit: str) -> list[str]:
    """Return the files of vendor/ that are not as in a commit of the template, sorted."""
    changed = git.paths("diff", "--name-only", "--no-renames", "--relative", commit, "--", "vendor")
    new = git.paths("ls-files", "--others", "--exclude-standard", "--", "vendor")
    return sorted({*changed, *new})
