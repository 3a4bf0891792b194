"""Render the facts of a pull request as Markdown, within the size that GitHub takes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from esteira.github.markdown import Markdown, fill
from esteira.pull_request import view as views
from esteira.pull_request.facts import Facts
from esteira.pull_request.view import Fold, Place, Some, View

HERE = Path(__file__).parent
COMMENT_BYTES = 65_000  # GitHub refuses a comment of more than 65,536 characters
SUMMARY_BYTES = 1_000_000  # and a job summary of more than 1 MiB
# What is kept free for each row and each fold, as what surrounds them is not counted.
ROW_MARGIN = 36
FOLD_MARGIN = 225
# Where the report is too long, these sections go, one after the other.
WITHOUT: tuple[Callable[[View], View], ...] = (
    lambda view: replace(view, chart=None),
    lambda view: replace(view, changed=None),
    lambda view: replace(view, violations=Some((), len(view.violations.shown))),
    lambda view: replace(view, drift=None),
    lambda view: replace(view, stages=None),
    lambda view: replace(view, gates=None),
)


def comment(view: View) -> str:
    """Fill comment.md."""
    return fill(HERE / "comment.md", view=view, marker=views.MARKER)


def size(view: View) -> int:
    """Return the bytes of the comment."""
    return len(comment(view).encode())


def render(facts: Facts, place: Place | None = None, most_bytes: int = COMMENT_BYTES) -> str:
    """Return the report as Markdown, shortened where it is longer than `most_bytes`."""
    whole = views.whole(facts, place or Place())
    shortest = replace(whole, moved_metrics=None, other_metrics=None, shortened=True)
    sections = shortest
    for without_one in WITHOUT:
        if size(sections) <= most_bytes:
            break
        sections = without_one(sections)
    moved, room = fitting(whole.moved_metrics, most_bytes - size(sections))
    others, _ = fitting(whole.other_metrics, room)
    folds_are_whole = moved == whole.moved_metrics and others == whole.other_metrics
    shortened = sections != shortest or not folds_are_whole
    kept = replace(sections, moved_metrics=moved, other_metrics=others, shortened=shortened)
    return comment(kept)


def fitting(fold: Fold | None, room: int) -> tuple[Fold | None, int]:
    """Return as many rows of a fold as fit in `room` bytes, and the bytes that are left.

    A fold of which nothing fits is None. Where one row does not fit, nothing after it does.
    """
    if fold is None:
        return None, room
    room -= FOLD_MARGIN
    rows: list[Markdown] = []
    for row in fold.rows:
        room -= len(row.encode()) + ROW_MARGIN
        if room < 0:
            break
        rows.append(row)
    return (Fold(fold.total, tuple(rows)) if rows else None), room


def not_believed(reason: str, place: Place) -> str:
    """Return the report for a run whose facts say what GitHub denies; `reason` is one sentence."""
    return fill(HERE / "not_believed.md", marker=views.MARKER, reason=reason, run=place.run)


def no_report(reason: str, place: Place) -> str:
    """Return the report for a run that left no usable facts; `reason` is one sentence."""
    return fill(HERE / "no_report.md", marker=views.MARKER, reason=reason, run=place.run)
