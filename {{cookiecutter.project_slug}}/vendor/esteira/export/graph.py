"""The line as a graph: what every export is made of."""

from dataclasses import asdict, dataclass
from typing import Any

from esteira.line.errors import UserError
from esteira.line.nearest import closest
from esteira.repository import dvc

COLLECTOR = "collect"  # after all stages: `esteira stage collect`


@dataclass(frozen=True)
class Step:
    """A stage of dvc.yaml, and what must be there before it."""

    name: str
    after: list[str]  # the stages that it reads something of
    commands: list[str]
    deps: list[str]  # paths, relative to the project's folder
    outs: list[str]


@dataclass(frozen=True)
class Graph:
    """The stages of dvc.yaml, each after those that it needs."""

    steps: list[Step]

    def names(self) -> list[str]:
        """Return the names of the stages, in their order."""
        return [step.name for step in self.steps]

    def before(self, name: str) -> list[str]:
        """Return every stage that must have run before one, in their order. Raises UserError."""
        after = {step.name: step.after for step in self.steps}
        if name not in after:
            raise UserError(f"dvc.yaml has no stage {name!r}: {closest(name, list(after))}")
        needed: set[str] = set()
        open_names = list(after[name])
        while open_names:
            each = open_names.pop()
            if each not in needed:
                needed.add(each)
                open_names += after[each]
        return [other for other in self.names() if other in needed]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"stages": [asdict(step) for step in self.steps]}


@dataclass(frozen=True)
class Task:
    """A stage as a task of another tool, which has names of its own."""

    key: str
    stage: str
    after: list[str]  # keys of other tasks


def tasks(graph: Graph, keys: dict[str, str]) -> list[Task]:
    """Return a task for each stage, by the key that each has in the tool."""
    return [
        Task(keys[step.name], step.name, [keys[other] for other in step.after])
        for step in graph.steps
    ]


def read() -> Graph:
    """Return the graph of the project's dvc.yaml. Raises UserError where there is no stage."""
    with dvc.repository() as repo:
        line, after = dvc.line(repo), dvc.upstream(repo)
    if not line:
        raise UserError("dvc.yaml has no stage: there is nothing to export.")
    return Graph(
        [
            Step(
                name=stage.name,
                after=after[stage.name],
                commands=stage.commands,
                deps=[dep.path for dep in stage.deps],
                outs=[out.path for out in stage.outs],
            )
            for stage in line
        ]
    )
