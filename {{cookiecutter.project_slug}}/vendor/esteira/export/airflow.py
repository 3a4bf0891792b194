"""A DAG of Airflow's: a task for each stage, and one that collects what they made."""

from pathlib import Path

from esteira.export import place
from esteira.export.fill import fill, keys
from esteira.export.graph import COLLECTOR, Graph, tasks

WHOSE = "Airflow's workers"


def paths() -> list[Path]:
    """Return where the file is written. Raises UserError without pyproject.toml."""
    return [Path("dags") / f"{place.name().replace('-', '_')}.py"]


def render(graph: Graph) -> list[str]:
    """Return the DAG, a file that stands alone. Raises UserError as `place.find` does."""
    here = place.find(WHOSE)
    by_name = keys(graph.names(), r"[^A-Za-z0-9_-]+", taken=(COLLECTOR,))
    filled = fill(
        "airflow.txt",
        here=here,
        tasks=tasks(graph, by_name),
        collector=COLLECTOR,
    )
    return [filled]
