"""A workflow of GitHub's: a job for each stage, and one that collects what they made."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from esteira.export.fill import fill, keys, quoted
from esteira.export.graph import COLLECTOR, Graph
from esteira.export.place import require_shared_remote
from esteira.line.errors import UserError
from esteira.repository import git


@dataclass(frozen=True)
class Job:
    """A job that runs one stage."""

    key: str
    name: str
    needs: list[str]  # keys of other jobs
    command: str


def folder() -> Path:
    """Return where GitHub reads workflows: at the top of the repository."""
    top = git.ask("rev-parse", "--show-cdup") or "."
    return Path(top) / ".github" / "workflows"


def paths() -> list[Path]:
    """Return where the workflow is written."""
    return [folder() / "line.yml"]


def render(graph: Graph) -> list[str]:
    """Return the workflow. Actions and their pins are those of the workflow `reproduce`.

    Raises UserError where that is not there, and where the remote is a folder of this machine,
    by way of which jobs on GitHub can hand nothing over.
    """
    require_shared_remote("GitHub's machines")
    by_name = keys(graph.names(), r"[^A-Za-z0-9_-]+", taken=(COLLECTOR,))
    jobs = [
        Job(
            key=by_name[step.name],
            name=quoted(step.name),
            needs=[by_name[other] for other in step.after],
            command=quoted(f"uv run esteira stage run {shlex.quote(step.name)}"),
        )
        for step in graph.steps
    ]
    place = git.prefix().strip("/") if git.is_repository() else ""
    filled = fill(
        "line.txt",
        jobs=jobs,
        collector=COLLECTOR,
        place=place,
        checkout=_step("actions/checkout"),
        setup=_step("./.github/actions/setup"),
    )
    return [filled]


def _step(action: str) -> str:
    """Return the line by which `reproduce` uses an action, with its pin and its comment."""
    reproduce = folder() / "reproduce.yml"
    if not reproduce.is_file():
        raise UserError(f"{reproduce} is not here, whose actions and pins `line` takes over.")
    found = re.search(
        rf"^ +- (uses: {re.escape(action)}(?:@.*|\s.*|))$", reproduce.read_text("utf-8"), re.M
    )
    if found is None:
        raise UserError(f"{reproduce} has no step that uses {action}: put it back.")
    return found[1].rstrip()
