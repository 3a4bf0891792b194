"""What an update says: before it begins, and when it is done."""

from pathlib import Path

from jinja2 import DictLoader, Environment, StrictUndefined

from esteira.repository.template import merged
from esteira.update.update import Coming, Updated

MOST_FILES = 15  # of the squad's own that are named


# Read when this is imported: an update replaces the folder that they stand in.
_FILES = Path(__file__).parent.glob("*.txt")
_TEXTS = Environment(
    loader=DictLoader({path.name: path.read_text(encoding="utf-8") for path in _FILES}),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # noqa: S701 - text for a terminal
)


def _fill(name: str, **values: object) -> str:
    return _TEXTS.get_template(name).render(**values).strip()


def coming(found: Coming) -> str:
    """Say what an update brings."""
    return _fill(
        "coming.txt",
        before=found.before,
        after=found.after,
        news=found.news,
        new_answers=found.new_answers,
        edited=found.edited,
        here=(merged() or "")[:10],
    )


def done(found: Updated) -> str:
    """Say what an update did, and what comes next."""
    of_squad = [path for path in found.merged.all_changed if not path.startswith("vendor/")]
    more = len(of_squad) - MOST_FILES
    return _fill(
        "done.txt",
        conflicts=found.merged.conflicts,
        vendored=found.merged.vendored,
        merged=len(of_squad),
        own=[*of_squad[:MOST_FILES], *([f"… and {more} more"] if more > 0 else [])],
        stayed_removed=found.merged.stayed_removed,
        kept=found.merged.kept,
        left_to_do=found.left_to_do,
    )
