"""A workflow of Argo's: a task for each stage, and one that collects what they made."""

from pathlib import Path

from esteira.export import place
from esteira.export.fill import fill, keys
from esteira.export.graph import COLLECTOR, Graph, tasks
from esteira.export.kubernetes import WHOSE


def paths() -> list[Path]:
    """Return where the file is written."""
    return [Path("deploy") / "argo.yaml"]


def render(graph: Graph) -> list[str]:
    """Return the workflow. Raises UserError as `place.find` does."""
    here = place.find(WHOSE, image=True)
    by_name = keys(graph.names(), taken=(COLLECTOR,))
    filled = fill("argo.txt", here=here, tasks=tasks(graph, by_name), collector=COLLECTOR)
    return [filled]
