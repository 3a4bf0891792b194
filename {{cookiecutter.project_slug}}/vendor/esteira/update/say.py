"""What an update says in a terminal: what comes, what was done, and what to do next."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from esteira.repository.template import TOOLBOX
from esteira.update.facts import Group
from esteira.update.merge import Change, Kind, Merged
from esteira.update.update import Coming, Done

WORKFLOWS = ".github/workflows/"
MOST_NEWS = 30  # lines of the changelog in a terminal
KINDS: dict[Kind, str] = {
    "replaced": "replaced whole",
    "taken": "as the template has them now (not changed here)",
    "merged": "merged (changed here and by the template)",
    "new": "new",
    "removed": "removed (the template has them no more)",
    "stays removed": "stay removed, as you have it (the template changed them)",
    "stays": "stay, since you changed them (the template has them no more)",
    "left": "left as they are (compare: git diff template -- FILE)",
}


def groups(changes: tuple[Change, ...]) -> list[Group]:
    """Group the files by what happens to them; the toolbox's are one entry."""
    found = []
    for kind, what in KINDS.items():
        paths = [change.path for change in changes if change.kind == kind]
        toolbox = [path for path in paths if path.startswith(f"{TOOLBOX}/")]
        others = [path for path in paths if path not in toolbox]
        count = f"{len(toolbox)} file{'' if len(toolbox) == 1 else 's'}"
        folded = [f"{TOOLBOX}/ ({count})"] if toolbox else []
        if paths:
            found.append(Group(what=what, files=(*folded, *others)))
    return found


def nothing_new(found: Coming) -> str:
    """Say that an update would bring nothing."""
    return f"Nothing new: the project has all that Esteira {found.new} writes ({found.address})."


def coming(found: Coming) -> str:
    """Say what an update would bring."""
    news = found.news[:MOST_NEWS]
    return _fill("coming.txt", coming=found, news=news, more=len(found.news) - len(news))


def tried(found: Coming, merged: Merged) -> str:
    """Say what an update would do."""
    return _fill("tried.txt", coming=found, merged=merged, groups=groups(merged.changes))


def done(found: Coming, made: Done) -> str:
    """Say what an update did, and what comes next."""
    name = "done.txt" if made.commit else "conflicts.txt"
    new = [change.path for change in made.merged.changes if change.kind == "new"]
    workflows = [path for path in new if path.startswith(WORKFLOWS)]
    changes = groups(made.merged.changes)
    return _fill(name, coming=found, made=made, groups=changes, workflows=workflows)


def _fill(name: str, **parts: object) -> str:
    """Fill a template; nothing is escaped, for a terminal."""
    environment = Environment(  # noqa: S701
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**parts).strip("\n")
