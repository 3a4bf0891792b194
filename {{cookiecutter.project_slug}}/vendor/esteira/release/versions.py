"""Released versions of the model: what each is, how two differ, which is in use, and the way back.

Everything is read from Git (tags, reports, dvc.lock) and from DVC (model, profile, predictions);
nothing is rebuilt, and no working tree is needed.
"""

import contextlib
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from esteira.card.measure import interval
from esteira.comparison import METRICS
from esteira.gate import EVALUATION, judge_all, read_metrics
from esteira.line import predictions
from esteira.line.errors import UserError
from esteira.line.files import significant, write_json, write_text
from esteira.line.influence import Undefined
from esteira.repository import dvc, git, releases, snapshot
from esteira.repository.releases import MODEL, Version

PROFILE = "models/reference.json"
SCHEMA = "schema.yaml"
LEARNT = "data/train.parquet"
ENVIRONMENT = "environment.json"
RELEASE = "release.json"


@dataclass(frozen=True)
class Figure:
    """A metric of one version; the ends of its interval where its predictions can be had."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None

    def says(self) -> str:
        """Say it as `0.842 [0.831, 0.853]`."""
        text = f"{significant(self.value, 4):g}"
        if self.low is None or self.high is None:
            return text
        return f"{text} [{significant(self.low, 4):g}, {significant(self.high, 4):g}]"


@dataclass(frozen=True)
class Card:
    """What one version is."""

    version: Version
    stages: tuple[str, ...]  # where it is
    figures: tuple[Figure, ...]
    model: str  # hash
    learnt: str  # hash of the rows that it learnt
    source: str  # the table that those come from, with its hash where DVC keeps it
    environment: str


@dataclass(frozen=True)
class Note:
    """What release.json says of a version, beside its files."""

    version: str
    tag: str
    commit: str
    date: str  # of the tag, YYYY-MM-DD
    model: str  # hash
    data: str  # hash of the rows that it learnt
    metrics: tuple[Figure, ...]


@dataclass(frozen=True)
class Change:
    """Something that two versions differ in; "" where one of them has no such thing."""

    what: str
    before: str
    after: str


# ---- looking ----


def overview() -> tuple[list[Version], dict[str, Version]]:
    """Return the versions, the highest first, and which of them is where. Raises UserError."""
    known = releases.versions()
    return known, releases.stages(known)


def figures(version: Version) -> list[Figure]:
    """Return the metrics of a version's evaluation, without intervals. Raises UserError."""
    measured = read_metrics(EVALUATION, version.commit)
    return [Figure(name, measured.number(name)) for name in measured.values]


def card(name: str) -> Card:
    """Say what a version is. Raises UserError for an unknown one, or one without reports."""
    version = releases.find(name)
    outputs = snapshot.locked_outputs(version.commit)
    source = snapshot.source(version.commit)
    path = snapshot.section_of("params.yaml", "ingest", version.commit).get("source", "")
    where = releases.stages(releases.versions())
    return Card(
        version=version,
        stages=tuple(stage for stage, there in where.items() if there.name == version.name),
        figures=tuple(_with_intervals(version, figures(version))),
        model=outputs[MODEL].md5 if MODEL in outputs else "",
        learnt=outputs[LEARNT].md5 if LEARNT in outputs else "",
        source=f"{path} {source.md5}".strip() if source else "",
        environment=_environment(version),
    )


def _with_intervals(version: Version, plain: list[Figure]) -> list[Figure]:
    """Give figures their intervals, by the rows' influences, where it can be done.

    Where the predictions cannot be had the figures stay as they are.
    """
    named = snapshot.locked_outputs(version.commit).get(predictions.PATH)
    target = snapshot.target(version.commit)
    if named is None or target is None:
        return plain
    try:
        path = dvc.fetch(named.md5, f"{predictions.PATH} of {version.name}")
        answers = predictions.read(path)
    except UserError:
        return plain
    found = []
    for figure in plain:
        with contextlib.suppress(Undefined):
            if figure.name in METRICS:
                known = interval(figure.name, answers, target.positive or None)
                figure = Figure(figure.name, figure.value, known.low, known.high)
        found.append(figure)
    return found


def _environment(version: Version) -> str:
    """Say in a few words what made a version, as environment.json of its commit has it."""
    known = snapshot.yaml_of(ENVIRONMENT, version.commit)  # JSON is YAML
    named = ("python", "platform", "scikit-learn", "pandas", "numpy")
    told = [f"{name} {known[name]}" for name in named if name in known]
    return ", ".join(told) or "not recorded (`uv run esteira record`)"


def differences(before: str, after: str) -> list[Change]:
    """Say what two versions differ in: metrics, settings, data, model. Raises UserError."""
    old, new = releases.find(before), releases.find(after)
    old_figures = {figure.name: figure.says() for figure in _with_intervals(old, figures(old))}
    new_figures = {figure.name: figure.says() for figure in _with_intervals(new, figures(new))}
    old_files, new_files = _files(old), _files(new)
    pairs = (
        (old_figures, new_figures),
        (_settings(old), _settings(new)),
        (old_files, new_files),
    )
    changes = []
    for was, now in pairs:
        for what in dict.fromkeys([*was, *now]):
            one, other = was.get(what, ""), now.get(what, "")
            if one != other:
                changes.append(Change(what, one, other))
    return changes


def _settings(version: Version) -> dict[str, str]:
    """Return the settings of params.yaml by their dotted names."""
    params = snapshot.yaml_of("params.yaml", version.commit)
    flat = pd.json_normalize(params).to_dict("records")
    return {str(name): str(value) for name, value in (flat[0] if flat else {}).items()}


def _files(version: Version) -> dict[str, str]:
    """Return what DVC keeps of a version, as the start of each hash, by path."""
    kept = snapshot.raw_files(version.commit) | snapshot.locked_outputs(version.commit)
    return {path: each.md5[:8] for path, each in kept.items() if not path.startswith("reports/")}


# ---- moving ----


def get(name: str, folder: Path) -> Note:
    """Put a version's model, profile and schema into a new folder; all of them, or nothing.

    `release.json` beside them says which version it is, and how good.

    Raises UserError for an unknown version, a folder that holds something, and files that neither
    cache nor remote has.
    """
    version = releases.find(name)
    require_free(folder)
    schema = git.text_at(version.commit, SCHEMA)
    if schema is None:
        raise UserError(f"{version.tag} has no {SCHEMA}, so its model cannot be used.")
    outputs = snapshot.locked_outputs(version.commit)
    found = {}
    for path in (MODEL, PROFILE):
        if path not in outputs:
            raise UserError(f"dvc.lock of {version.tag} names no {path}.")
        found[path] = dvc.fetch(outputs[path].md5, f"{path} of {version.tag}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".esteira-get-") as temporary:
        whole = Path(temporary) / "whole"
        whole.mkdir()
        for path, source in found.items():
            shutil.copyfile(source, whole / Path(path).name)
        write_text(whole / SCHEMA, schema)
        note = _note(version)
        write_json(whole / RELEASE, asdict(note))
        whole.replace(folder)
    return note


def require_free(folder: Path) -> None:
    """Raise UserError for a place where something is already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already, and not empty: name a folder of its own.")


def _note(version: Version) -> Note:
    """Say what a version is, for those who have its files and not the repository."""
    outputs = snapshot.locked_outputs(version.commit)
    return Note(
        version=version.name,
        tag=version.tag,
        commit=version.commit,
        date=version.date,
        model=outputs[MODEL].md5,
        data=outputs[LEARNT].md5 if LEARNT in outputs else "",
        metrics=tuple(_with_intervals(version, figures(version))),
    )


def promote(name: str, stage: str) -> tuple[Version, str]:
    """Put a version to a stage; return it and the tag, which is "" where it is there already.

    Raises UserError for an unknown version, one that its own gates refuse, and one whose model
    cannot be had.
    """
    version = releases.find(name)
    trail = releases.history(stage, releases.versions())
    if trail and trail[-1].name == version.name:
        return version, ""
    refused = _refusals(version)
    if refused:
        raise UserError(f"{version.tag} is refused by its own gates: {' '.join(refused)}")
    _require_model(version)
    return version, releases.assign(version, stage)


def rollback(stage: str) -> tuple[Version, str]:
    """Put the version back that was in a stage before; return it and the tag. Raises UserError.

    Its gates are not asked again: they let it in, and it is the way out of trouble.
    """
    trail = releases.history(stage, releases.versions())
    if not trail:
        raise UserError(
            f"no version is in {stage}: `uv run esteira model promote VERSION {stage}`."
        )
    if len(trail) == 1:
        raise UserError(f"no version was in {stage} before {trail[0].name}.")
    version = trail[-2]
    _require_model(version)
    return version, releases.assign(version, stage)


def _refusals(version: Version) -> list[str]:
    """Judge a version by its own gates.yaml and reports, in a checkout of its commit."""
    with tempfile.TemporaryDirectory(prefix="esteira-promote-") as temporary:
        project = git.check_out(version.commit, Path(temporary) / "version")
        with contextlib.chdir(project):
            return [verdict.reason for verdict in judge_all() if verdict.reason]


def _require_model(version: Version) -> None:
    """Raise UserError unless a version's model can be had."""
    named = snapshot.locked_outputs(version.commit).get(MODEL)
    if named is None:
        raise UserError(f"dvc.lock of {version.tag} names no {MODEL}.")
    dvc.fetch(named.md5, f"{MODEL} of {version.tag}")
