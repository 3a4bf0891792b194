"""Put an update into a folder, from which another job of the workflow offers it.

The job that renders runs the template's code, so it has no rights to write.
"""

from pathlib import Path

from esteira.github.api import output
from esteira.line.files import write_text
from esteira.repository import git
from esteira.update import say
from esteira.update.facts import FACTS, MOST, Facts
from esteira.update.merge import make_commit
from esteira.update.update import Coming, message, try_out

BUNDLE = "update.bundle"
COMMIT, WRITTEN = "refs/esteira/update", "refs/esteira/template"  # in the bundle
TRAILER = "Esteira-Update"


def pack(coming: Coming, folder: Path) -> str:
    """Write an update's commits and facts below `folder`; return what was done, in a sentence.

    Where files are in conflict, what the template wrote is offered as it is: GitHub says itself
    that it conflicts, and lets nobody merge it. Tells the workflow whether anything is new.
    """
    output("new", str(coming.is_new).lower())
    if not coming.is_new:
        return say.nothing_new(coming)
    merged = try_out(coming)
    offered = coming.written
    if not merged.conflicts:
        text = f"{message(coming)}\n\n{TRAILER}: {coming.written}"
        offered = make_commit(merged.tree, text, coming.head, coming.written)
    folder.mkdir(parents=True, exist_ok=True)
    git.run("update-ref", COMMIT, offered)
    git.run("update-ref", WRITTEN, coming.written)
    git.run("bundle", "create", "--quiet", str(folder / BUNDLE), COMMIT, WRITTEN, f"^{coming.head}")
    facts = Facts(
        old=coming.old,
        new=coming.new,
        address=coming.address,
        base=coming.head,
        written=coming.written,
        news=tuple(line[:MOST] for line in coming.news[:MOST]),
        edited=coming.edited,
        groups=tuple(say.groups(merged.changes)),
        conflicts=tuple(conflict.path for conflict in merged.conflicts),
        questions=coming.questions,
        packages=merged.packages,
    )
    write_text(folder / FACTS, facts.model_dump_json(indent=2) + "\n")
    return f"Esteira {coming.old} → {coming.new} is in {folder}."
