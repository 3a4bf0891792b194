"""The line as a graph, with what ran when; and where the model comes from."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from esteira.line.errors import UserError
from esteira.line.params import parse
from esteira.report.facts import Line, Lineage, Origin, Stage, State
from esteira.repository import git, snapshot
from esteira.repository.snapshot import LockFile, Outputs

LOCK = "dvc.lock"
MOST_COMMITS = 100  # looked through for when a stage ran
ENTRY = re.compile(r"^  (?P<name>\S+):\n(?P<entry>(?:^   .*\n)+)", re.MULTILINE)
STEPS = {
    "data/ingested.parquet": "Ingested",
    "data/validated.parquet": "Validated",
    "data/train.parquet": "Trained on",
    "data/holdout.parquet": "Held out",
    "models/model.skops": "Model",
    "models/reference.json": "Reference for drift",
}
ENVIRONMENT = ("python", "platform", "scikit-learn", "pandas", "numpy", "scipy")


def line(base: str | None, stale: set[str]) -> Line:
    """Draw the stages of dvc.lock; say when each ran, and what changed. Raises UserError."""
    import networkx  # which DVC itself stands on

    stages = parse(snapshot.yaml_of(LOCK, None), LockFile, LOCK).stages
    if not stages:
        raise UserError("dvc.lock names no stage: run `uv run dvc repro`.")
    graph = networkx.DiGraph()
    graph.add_nodes_from(stages)
    graph.add_edges_from(_arrows(stages))
    if not networkx.is_directed_acyclic_graph(graph):
        raise UserError("the stages of dvc.lock go in a circle: run `uv run dvc repro`.")
    columns = list(networkx.topological_generations(graph))
    now, before = _entries(None), _entries(base) if base else {}
    when = _when(now)

    def state(name: str) -> State:
        if name in stale:
            return "stale"
        if base and name not in before:
            return "new"
        same = not base or _outputs(before[name]) == _outputs(now.get(name, ""))
        return "fresh" if same else "changed"

    placed = tuple(
        Stage(name, across, down, state(name), when.get(name, ""))
        for across, names in enumerate(columns)
        for down, name in enumerate(sorted(names, key=list(stages).index))
    )
    shortest = networkx.transitive_reduction(graph)  # a stage's older sources are its sources' own
    return Line(placed, tuple(sorted(shortest.edges)), compared=base is not None)


def _arrows(stages: Mapping[str, Outputs]) -> Iterator[tuple[str, str]]:
    """Yield who reads what whom wrote; a file inside a folder that was written counts."""
    makers = {out.path: name for name, stage in stages.items() for out in stage.outs}
    for name, stage in stages.items():
        for dep in stage.deps:
            above = [dep.path, *(parent.as_posix() for parent in Path(dep.path).parents)]
            maker = next((makers[path] for path in above if path in makers), name)
            if maker != name:
                yield maker, name


def _entries(revision: str | None) -> dict[str, str]:
    """Return the text of each stage's entry in dvc.lock, as DVC writes it."""
    return {m["name"]: m["entry"] for m in ENTRY.finditer(snapshot.text_of(LOCK, revision))}


def _outputs(entry: str) -> str:
    """Return what a stage wrote."""
    return entry.partition("    outs:\n")[2]


def _when(now: dict[str, str]) -> dict[str, str]:
    """Say for each stage when its entry was committed: the oldest commit that still has it."""
    if not git.is_repository() or git.commit("HEAD") is None:
        return {}
    told = dict.fromkeys(now, "not committed yet")
    open_names = set(now)
    for commit in git.commits_that_changed(LOCK, "HEAD", MOST_COMMITS):
        entries = _entries(commit)
        open_names = {name for name in open_names if entries.get(name) == now[name]}
        if not open_names:
            break
        said = _said(commit)
        told |= dict.fromkeys(open_names, said)
    return told


def _said(commit: str) -> str:
    date = git.ask("show", "--no-patch", "--format=%cs", commit) or ""
    return f"{date}, {commit[:7]}"


def lineage() -> Lineage:
    """Follow the model back to the raw file. Raises UserError."""
    written = snapshot.locked_outputs(None)
    source = snapshot.source(None)
    steps = []
    if source is not None:
        is_file = bool(source.md5) or Path(source.path).exists()
        note = f"{source.size:,} bytes" if source.size else "" if is_file else "a sample"
        steps.append(Origin("Raw table", source.path, source.md5, note))
    for path, what in STEPS.items():
        if path in written:
            steps.append(Origin(what, path, written[path].md5, f"{written[path].size:,} bytes"))
    known = snapshot.yaml_of("environment.json", None)  # JSON is YAML
    return Lineage(
        steps=tuple(steps),
        commit=git.commit("HEAD") or "" if git.is_repository() else "",
        dirty=bool(git.ask("status", "--porcelain")),
        environment=tuple((name, str(known[name])) for name in ENVIRONMENT if name in known),
    )
