"""Update the project to another version of the template: look first, then merge, then carry out.

Up to `carry_out` nothing of the project is touched, and that is what Git does by one merge.
"""

import posixpath
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from esteira.line.errors import UserError
from esteira.line.files import read_json, read_yaml
from esteira.repository import git, template
from esteira.repository.template import BRANCH, RECORD, Record
from esteira.update import changelog
from esteira.update.facts import Question
from esteira.update.merge import (
    Change,
    Merged,
    Workshop,
    commit_written,
    empty_commit,
    in_place_of,
    make_commit,
    merge,
    workshop,
)
from esteira.update.policy import ADOPTED
from esteira.update.render import render
from esteira.update.source import Source, fetch, fetch_again, title

GENERATED = "Start from the Esteira template"  # the first commit's subject
MOST_NAMED = 5  # files, in one sentence
LOCAL = "local"  # the remote_url of a folder beside the project
SAMPLES = "sample-"  # begin the names of tables that come with the template
LOCAL_BRANCH = f"refs/heads/{BRANCH}"


@dataclass(frozen=True)
class Wanted:
    """What was asked for."""

    to: str | None = None  # version, branch or commit of the template
    template: str | None = None  # path or address
    answers: Path | None = None  # of a project without a record


@dataclass(frozen=True)
class Coming:
    """What an update would bring."""

    old: str  # title of the version that the project has
    new: str
    address: str
    was_at: str  # the address that is recorded; "" where none is
    is_new: bool  # whether it brings anything at all
    news: tuple[str, ...]  # lines of the template's changelog
    edited: tuple[str, ...]  # files of vendor/ that the squad edited
    base: str  # commit of what the template wrote of the old version
    written: str  # of the new one
    head: str  # commit that it is merged into
    left: tuple[str, ...]  # files that are not merged
    merging: str  # what is merged: `written`, or that with the files of a table that was adopted
    questions: tuple[Question, ...]
    shop: Workshop


@dataclass(frozen=True)
class Done:
    """What an update did."""

    merged: Merged
    commit: str | None  # None where files are in conflict: the merge is then not committed


@dataclass(frozen=True)
class Start:
    """Where an update begins: the record, and the commit of what the template wrote for it."""

    record: Record
    commit: str | None  # None where it is in no history that is here
    left: tuple[str, ...] = ()
    adopted: dict[str, Path] = field(default_factory=dict)  # as a project beside has them


@contextmanager
def opened(wanted: Wanted, is_only_looked_at: bool = False) -> Iterator[Coming]:
    """Fetch and render the template, and yield what an update would bring.

    `is_only_looked_at` lets changes that are not committed be. Raises UserError where the project
    is in no state to be updated, or the template cannot be had.
    """
    _demand_ready(is_only_looked_at)
    start = _start(wanted)
    record = start.record
    address = wanted.template or record.template
    if not address:
        raise UserError("where the template is found is not recorded: name it by --template.")
    with TemporaryDirectory(prefix="esteira-") as folder:
        place = Path(folder)
        source = fetch(address, wanted.to, record, place / "template")
        if _is_shared(record.template) and not _is_shared(source.address):
            source = replace(source, address=record.template)  # others do not have this folder
        written = render(source, record.answers, place / "new")
        with workshop("HEAD") as shop:
            base = start.commit or _written_again(shop, record, address, place)
            tip = _tip()
            commit = commit_written(shop, written, base, tip, source.version)
            yield _coming(shop, start, source, base, commit, written)


def _demand_ready(is_only_looked_at: bool) -> None:
    """Raise UserError where the project is in no state to be updated."""
    if not git.is_repository() or git.commit("HEAD") is None:
        raise UserError("an update is a merge: the project must be in a Git repository.")
    if _was_killed():
        git.run("merge", "--quit")
    operation = git.operation()
    if operation:
        raise UserError(
            f"a {operation} is not finished: `git {operation} --continue` or --abort first."
        )
    changed = git.run("status", "--porcelain", "--untracked-files=no").splitlines()
    if changed and not is_only_looked_at:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UserError(
            f"{changed[0][3:]}{more} changed since the last commit: commit or `git stash` first, "
            "so that the update can be told from your work, and undone."
        )
    if git.ask("symbolic-ref", "--quiet", "HEAD") == LOCAL_BRANCH:
        raise UserError(f"`{BRANCH}` holds what the template wrote: switch to a branch of yours.")
    if git.ask("var", "GIT_COMMITTER_IDENT") is None:
        raise UserError(
            "Git does not know who commits: `git config user.name …`, `git config user.email …`."
        )


def _was_killed() -> bool:
    """Whether an update was killed that had said what it merges, and had not yet changed a file."""
    merging = git.commit("MERGE_HEAD")
    if merging is None or merging not in template.commits(merging):
        return False
    return git.run("status", "--porcelain", "--untracked-files=no") == ""


def _start(wanted: Wanted) -> Start:
    """Find the record of what the project was made from. Raises UserError where there is none."""
    record = template.recorded()
    if record is not None and wanted.answers is not None:
        raise UserError(f"{RECORD} has the answers: correct them there; --answers is for none.")
    if record is not None:
        return Start(record, template.commit_of(record))
    if wanted.answers is None:
        raise UserError(
            f"there is no {RECORD}, which says what this project was made from. Generate one anew "
            f"elsewhere, with the same answers, and give its record once: --answers {RECORD} of it."
        )
    return _unrecorded(wanted.answers)


def _unrecorded(path: Path) -> Start:
    """Begin from a file of answers, and from the commit that the project was generated by.

    The file may be the record of another project, generated anew with the same answers. Of a table
    of the squad's own, that commit holds what `adopt` wrote: what is merged is then what it wrote
    in the other project, and where there is none those files are left. Raises UserError for answers
    that are not this project's.
    """
    content = read_json(path)
    answers = _answers(content, path)
    about = Path("vendor/pyproject.toml")
    toolbox = tomllib.loads(about.read_text("utf-8"))["project"] if about.exists() else {}
    commit = content.get("commit") if "context" in content else None  # cruft's
    record = Record(
        template=str(content.get("template") or ""),
        version=str(toolbox.get("version", "an unknown version")),
        commit=commit if isinstance(commit, str) else None,
        vendor="",
        answers=answers,
    )
    found = git.run("log", "--format=%H", f"--grep=^{GENERATED}$", "HEAD").split()
    if not found and git.is_shallow():
        raise UserError("this clone lacks the older commits: `git fetch --unshallow` brings them.")
    if not found and record.commit is None:
        raise UserError(
            f"no commit {GENERATED!r} is in this history, so your work cannot be told from the "
            "template's: fetch the history that has it (`git fetch ADDRESS`, then merge it), begin "
            "from the project's .cruft.json if it has one, or carry your files into a new project."
        )
    commit = found[-1] if found else None
    _demand_own(answers, path, commit)
    if str(answers.get("dataset", SAMPLES)).startswith(SAMPLES):
        return Start(record, commit)
    beside = {name: path.with_name(name) for name in ADOPTED}
    if commit is None or not _has_adopted(beside):
        return Start(record, commit, ADOPTED)
    return Start(record, commit, adopted=beside)


def _has_adopted(files: dict[str, Path]) -> bool:
    """Whether a project's files are there, and run on a table of its own."""
    if not all(file.is_file() for file in files.values()):
        return False
    source = read_yaml(files["params.yaml"]).get("ingest", {}).get("source", SAMPLES)
    return not str(source).startswith(SAMPLES)


def _demand_own(answers: dict[str, str | bool], path: Path, commit: str | None) -> None:
    """Raise UserError where answers are not those that this project was generated by, as `commit`.

    Those that differ would be merged as a change of the template's.
    """
    package = str(answers.get("package_name", ""))
    if package and not Path("src", package).is_dir():
        here = sorted(each.name for each in Path("src").glob("[!.]*") if each.is_dir())
        raise UserError(
            f"{path} is of another project: its package_name is {package!r}, and here src/ holds "
            f"{', '.join(here) or 'nothing'}. Generate it with this project's answers."
        )
    said = str(answers.get("remote_url", LOCAL))
    config = git.text_at(commit, ".dvc/config") if commit else None
    url = re.search(r"^\s*url = (.+)$", config or "", re.MULTILINE)
    there = url[1].strip() if url and "://" in url[1] else LOCAL
    if config and said != there:
        raise UserError(
            f"{path} has the remote_url {said!r}, and this project was generated with {there!r}: "
            "generate it with this project's answers, so that its data stays where it is."
        )


def _answers(content: Any, path: Path) -> dict[str, str | bool]:
    """Return the answers of a file of Cookiecutter's, cruft's, a project's, or a plain one."""
    inner = content
    for name in ("context", "cookiecutter", "answers"):
        inner = inner.get(name, inner) if isinstance(inner, dict) else {}
    found = {
        name: value
        for name, value in inner.items()
        if not name.startswith("_") and isinstance(value, str | bool)
    }
    if "project_slug" not in found:
        raise UserError(f"{path} holds no answers: they are a mapping, with `project_slug` in it.")
    return found


def _is_shared(address: str) -> bool:
    """Whether an address means the same on another machine."""
    return "://" in address or re.match(r"[\w.-]+@[\w.-]+:", address) is not None


def _written_again(shop: Workshop, record: Record, address: str, folder: Path) -> str:
    """Render the version that the project has, whose commit is not here; return a commit of it."""
    source = fetch_again(record, address, folder / "old-template")
    written = render(source, record.answers, folder / "old")
    return commit_written(shop, written, empty_commit(), None, source.version)


def _tip() -> str | None:
    """Return the newest commit of a branch `template`: the local one's, unless it is behind."""
    tips = [commit for name in template.branches() if (commit := _at_tip(name))]
    ahead = [tip for tip in tips[1:] if git.succeeds("merge-base", "--is-ancestor", tips[0], tip)]
    return next(iter([*ahead, *tips]), None)


def _at_tip(branch: str) -> str | None:
    """Return the commit at a branch's tip, where it is of what the template wrote."""
    commit = git.commit(branch)
    return commit if commit in template.commits(branch) else None


def _coming(
    shop: Workshop, start: Start, source: Source, base: str, written: str, folder: Path
) -> Coming:
    """Put together what an update would bring; `folder` holds what the template wrote."""
    record = start.record
    text = (folder / RECORD).read_text(encoding="utf-8")
    answers = Record.model_validate_json(text).answers
    same = source.version == record.version
    return Coming(
        old=title(record.version, record.commit if same else None),
        new=source.title,
        address=source.address,
        was_at=record.template,
        is_new=written != base,
        news=tuple(_news(source, record)),
        edited=tuple(template.edits(base)) if template.has_toolbox() else (),
        base=base,
        written=written,
        head=git.run("rev-parse", "HEAD").strip(),
        left=start.left,
        merging=in_place_of(shop, written, start.adopted) if start.adopted else written,
        questions=tuple(
            Question(name=name, answer=str(answer))
            for name, answer in answers.items()
            if name not in record.answers
        ),
        shop=shop,
    )


def _news(source: Source, record: Record) -> list[str]:
    """Return what the template's changelog says since the version that is recorded."""
    path = source.folder / "CHANGELOG.md"
    return changelog.between(path, record.version, source.version, not source.is_release)


def try_out(coming: Coming) -> Merged:
    """Merge, and touch nothing of the project's.

    Raises UserError where files that Git does not know would be overwritten.
    """
    merged = merge(coming.shop, coming.head, coming.base, coming.merging, coming.left)
    in_the_way = [each.path for each in merged.changes if each.kind == "new" and _is_here(each)]
    if in_the_way:
        named = ", ".join(in_the_way[:MOST_NAMED])
        more = f" and {len(in_the_way) - MOST_NAMED} more" if len(in_the_way) > MOST_NAMED else ""
        raise UserError(
            f"{named}{more} would be overwritten: commit, move or remove what is there."
        )
    return merged


def _is_here(change: Change) -> bool:
    """Whether a file that is new lies here all the same: Git does not know it."""
    return Path(change.path).exists()


def carry_out(coming: Coming, merged: Merged) -> Done:
    """Bring the merge into the branch, the index and the folder of the project.

    Where files are in conflict it is a merge like any other: to be resolved and committed, or
    aborted. Raises UserError, with nothing changed, where Git refuses.
    """
    commit = None
    if merged.conflicts:
        _begin_merge(coming, merged)
    else:
        commit = make_commit(merged.tree, message(coming), coming.head, coming.written)
        git.run("merge", "--quiet", "--ff-only", commit)
    if git.commit(LOCAL_BRANCH) is None or _at_tip(LOCAL_BRANCH):
        git.run("update-ref", LOCAL_BRANCH, coming.written)
    return Done(merged, commit)


def message(coming: Coming) -> str:
    """Return the message of the commit that merges an update."""
    return f"Update the Esteira template from {coming.old} to {coming.new}"


def _begin_merge(coming: Coming, merged: Merged) -> None:
    """Leave the merge as Git does where files are in conflict."""
    text = Path(git.run("rev-parse", "--git-path", "MERGE_MSG").strip())
    text.write_text(message(coming) + "\n", encoding="utf-8")
    git.run("update-ref", "MERGE_HEAD", coming.written)  # from here on `git merge --abort` undoes
    try:
        git.run("read-tree", "-m", "-u", coming.head, merged.tree)
    except UserError:
        git.run("merge", "--quit")
        raise
    entries = []
    for conflict in merged.conflicts:
        path = posixpath.normpath(coming.shop.prefix + conflict.path)
        entries.append(f"0 {'0' * 40}\t{path}")
        entries += [f"{side.mode} {side.blob} {side.stage}\t{path}" for side in conflict.sides]
    git.feed("".join(f"{entry}\0" for entry in entries), "update-index", "-z", "--index-info")
