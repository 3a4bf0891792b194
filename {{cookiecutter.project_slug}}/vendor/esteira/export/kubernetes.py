"""Files of Kubernetes: a Job that runs the line, and a CronJob that checks the newest batch.

Kubernetes has no order among Jobs, so one Job runs the stages one after the other. Each hands over
what it made, so that a pod that is tried again begins where the last one stopped.
"""

from pathlib import Path

from esteira.export import place
from esteira.export.fill import fill
from esteira.export.graph import Graph

FOLDER = Path("deploy") / "kubernetes"
WHOSE = "the pods of a cluster"


def paths() -> list[Path]:
    """Return where the files are written."""
    return [FOLDER / "line.yaml", FOLDER / "drift.yaml"]


def render(graph: Graph) -> list[str]:
    """Return the text of each file. Raises UserError as `place.find` does."""
    here = place.find(WHOSE, image=True)
    return [
        fill("kubernetes_line.txt", here=here, stages=graph.names()),
        fill("kubernetes_drift.txt", here=here),
    ]
