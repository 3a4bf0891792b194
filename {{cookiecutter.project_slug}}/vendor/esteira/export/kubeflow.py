"""A pipeline of Kubeflow's, as KFP compiles one: a task for each stage, and one that collects.

It is written without KFP, whose packages the project then does not need; a test lets KFP load it,
run it, and compile the same.
"""

from pathlib import Path

from esteira.export import place
from esteira.export.fill import fill, keys
from esteira.export.graph import COLLECTOR, Graph, tasks
from esteira.export.kubernetes import WHOSE


def paths() -> list[Path]:
    """Return where the file is written."""
    return [Path("deploy") / "kubeflow.yaml"]


def render(graph: Graph) -> list[str]:
    """Return the pipeline. Raises UserError as `place.find` does."""
    here = place.find(WHOSE, image=True)
    by_name = keys(graph.names(), taken=(COLLECTOR,))
    filled = fill("kubeflow.txt", here=here, tasks=tasks(graph, by_name), collector=COLLECTOR)
    return [filled]
