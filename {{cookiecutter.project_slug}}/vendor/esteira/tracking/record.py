"""What is mirrored of a commit: all that DVC and Git know of its line, as plain values."""

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from esteira.line import schema as schemas
from esteira.line.errors import UserError
from esteira.line.files import read_json, read_yaml
from esteira.repository import git, own_code, releases, snapshot
from esteira.repository.releases import MODEL

METRICS = "reports/*/metrics.json"
PLOTS = "reports/evaluate/plots"
PAGES = ("reports/card.html", "reports/card.md", "reports/drift_check/report.html")
TABLES = ("data/train.parquet", "data/holdout.parquet")
LONGEST = 500  # characters of a parameter


@dataclass(frozen=True)
class Artifact:
    """A file or a folder, and the folder of the run that it goes to."""

    path: str
    to: str


@dataclass(frozen=True)
class Dataset:
    """A table that the model learnt or was measured on, as dvc.lock names it."""

    name: str
    digest: str
    use: str


@dataclass(frozen=True)
class Released:
    """A version of the model, and the stages that it is assigned to."""

    name: str
    tag: str
    commit: str
    stages: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """A run, and the versions of its model."""

    experiment: str
    name: str
    key: str  # the same for the same commit and results: such a run is renewed, and not doubled
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    artifacts: tuple[Artifact, ...]
    datasets: tuple[Dataset, ...]
    versions: tuple[Released, ...]

    def as_text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)


def collect() -> Record:
    """Collect what the line wrote for the commit that is checked out.

    Raises UserError where nothing is committed, or the line was not reproduced.
    """
    commit = git.commit("HEAD")
    if commit is None:
        raise UserError("nothing is committed here yet: commit the line first.")
    lock = Path("dvc.lock")
    if not lock.is_file() or not Path(MODEL).is_file():
        raise UserError(f"{MODEL} is not here: run `uv run dvc repro`, or `uv run dvc pull`.")
    locked = snapshot.locked_outputs(None)
    digest = hashlib.sha256(commit.encode() + lock.read_bytes()).hexdigest()
    what = schemas.load()
    known = [name for name in (*TABLES, MODEL) if name in locked]
    return Record(
        experiment=own_code.folder().name,
        name=commit[:10],
        key=digest,
        tags={
            "mlflow.source.git.commit": commit,
            "mlflow.source.type": "PROJECT",
            "dvc.version": metadata.version("dvc"),
            "target": what.target,
            "task": what.task,
            **{f"md5 {name}": locked[name].md5 for name in known},
        },
        params=dict(_flat(read_yaml("params.yaml"))),
        metrics=_metrics(),
        artifacts=tuple(_artifacts()),
        datasets=tuple(
            Dataset(name, locked[name].md5, "train" if name == TABLES[0] else "evaluate")
            for name in TABLES
            if name in locked
        ),
        versions=tuple(_versions()),
    )


def _flat(value: Any, *path: str) -> list[tuple[str, str]]:
    """Name every single setting by where it stands."""
    if isinstance(value, dict) and value:
        return [pair for key, inner in value.items() for pair in _flat(inner, *path, str(key))]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return [(".".join(path), text[:LONGEST])]


def _metrics() -> dict[str, float]:
    """Return all numbers that the stages measured, named `stage.metric`."""
    found = {}
    for path in sorted(Path().glob(METRICS)):
        for name, value in read_json(path).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[f"{path.parent.name}.{name}"] = float(value)
    return found


def _artifacts() -> list[Artifact]:
    found = [Artifact(MODEL, "model")]
    found += [Artifact(path, "reports") for path in PAGES if Path(path).is_file()]
    if Path(PLOTS).is_dir():
        found.append(Artifact(PLOTS, "plots"))
    return found


def _versions() -> list[Released]:
    known = releases.versions()
    places = releases.stages(known)
    return [
        Released(
            version.name,
            version.tag,
            version.commit,
            tuple(stage for stage, there in places.items() if there and there.tag == version.tag),
        )
        for version in known
    ]
