"""Bring a project to a newer template: what is to come is said first, then done, or nothing is."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from esteira.line.errors import UserError
from esteira.repository import git
from esteira.repository import template as own
from esteira.update import lock, merge, record
from esteira.update.merge import Merged
from esteira.update.record import Record
from esteira.update.template import Template, fetch, render


@dataclass(frozen=True)
class Coming:
    """What an update would bring."""

    before: str  # version
    after: str  # version
    news: str  # of the changelog
    new_answers: dict[str, str]  # to questions that were not asked before
    edited: tuple[str, ...]  # files of vendor/ that were changed here


@dataclass(frozen=True)
class Updated:
    """What an update did."""

    coming: Coming
    merged: Merged
    left_to_do: str  # about uv.lock; "" for nothing


def update(source: str | None, to: str | None, tell: Callable[[Coming], object]) -> Updated | None:
    """Render the template's version with the recorded answers, and merge it into this branch.

    `tell` gets what is to come before anything is changed. Returns None where nothing is new.
    Where both sides changed the same lines, the merge waits for the squad, uncommitted. Raises
    UserError, with all as it was, where the working tree is not clean or the update cannot be made.
    """
    _demand_clean()
    known = record.read()
    source = source or known.template
    if not source:
        raise UserError(
            f"{record.RECORD} does not say where the template is: name its address or folder with"
            " --template."
        )
    with tempfile.TemporaryDirectory(prefix="esteira-template-") as name:
        folder = Path(name)
        template = fetch(source, to, folder)
        if record.release(template.version) < record.release(known.version):
            raise UserError(
                f"{source} is version {template.version}, and this project is of {known.version}:"
                " an update does not go back; Git does (`git revert -m 1`)."
            )
        rendered = render(template, known, folder)
        base = own.base()
        tip = merge.record(rendered, base, template.version)
        coming = _coming(template, known)
    if git.succeeds("merge-base", "--is-ancestor", tip, "HEAD"):
        return None
    tell(coming)
    return _merge(tip, coming)


def _demand_clean() -> None:
    """Raise UserError unless all that Git keeps here is committed."""
    if not git.is_repository() or git.commit("HEAD") is None:
        raise UserError("an update is a merge, and Git keeps nothing here yet: commit first.")
    command = git.operation()
    if command:
        raise UserError(f"a {command} is not finished: `git {command} --continue`, or `--abort`.")
    changed = git.changed()
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(
            f"{', '.join(changed[:3])}{more} is not committed: commit or stash it first, so that an"
            " update can be taken back."
        )


def _coming(template: Template, known: Record) -> Coming:
    new = {name: answer for name, answer in template.questions.items() if name not in known.answers}
    return Coming(
        before=known.version,
        after=template.version,
        news=template.news(known.version),
        new_answers=new,
        edited=tuple(own.edited() or ()),
    )


def _merge(tip: str, coming: Coming) -> Updated:
    """Merge, lock anew, commit; take all of it back where a step fails."""
    try:
        merged = merge.merge(tip)
        if merged.conflicts:
            merge.move_branch(tip)
            return Updated(coming, merged, "")
        left = lock.relock()
        merge.commit(coming.after)
    except BaseException:
        merge.abort()
        raise
    merge.move_branch(tip)
    return Updated(coming, merged, left)
