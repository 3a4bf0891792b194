"""The files that are exported: write them, or tell whether they are still what dvc.yaml says."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from esteira.export import airflow, argo, github, graph, kubeflow, kubernetes
from esteira.line.files import write_text


@dataclass(frozen=True)
class Kind:
    """Files for another tool."""

    paths: Callable[[], list[Path]]
    render: Callable[[graph.Graph], list[str]]  # a text for each path

    def rendered(self) -> dict[Path, str]:
        """Return the text of each file, by its path. Raises UserError."""
        return dict(zip(self.paths(), self.render(graph.read()), strict=True))


KINDS = {
    "github": Kind(github.paths, github.render),
    "kubernetes": Kind(kubernetes.paths, kubernetes.render),
    "argo": Kind(argo.paths, argo.render),
    "airflow": Kind(airflow.paths, airflow.render),
    "kubeflow": Kind(kubeflow.paths, kubeflow.render),
}


def write(kind: str) -> list[Path]:
    """Write the files of a kind; return their paths. Raises UserError, with nothing written."""
    texts = KINDS[kind].rendered()
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def check(kind: str) -> str:
    """Return what is wrong with the files of a kind, or "" if they are up to date.

    Raises UserError where that cannot be told.
    """
    known = KINDS[kind]
    again = f"`uv run esteira export {kind}`"
    for path in known.paths():
        if not path.is_file():
            return f"{path} is not here: write it by {again}."
    for path, text in known.rendered().items():
        if path.read_text(encoding="utf-8") != text:
            return f"{path} is not what dvc.yaml says now: write it again by {again}."
    return ""


def outdated() -> list[str]:
    """Return, of the files that are here, what is wrong with those that dvc.yaml no longer gives.

    Raises UserError where one cannot be told.
    """
    here = [kind for kind, known in KINDS.items() if any(p.is_file() for p in known.paths())]
    return [said for said in map(check, here) if said]
