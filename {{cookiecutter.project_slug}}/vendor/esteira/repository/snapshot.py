"""The project's files as they stand in a Git revision, or here: read for what they say of the line.

`revision` is None for the working tree in all that follows.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from ruamel.yaml.error import YAMLError

from esteira.drift.limits import Settings as DriftLimits
from esteira.line.files import PREDICTIONS, parse_yaml
from esteira.line.params import parse
from esteira.repository import git


class Stored(BaseModel):
    """A file or folder as a .dvc file or dvc.lock names it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    path: str
    md5: str = ""
    size: int = 0


class Outputs(BaseModel):
    """A .dvc file, or one stage of dvc.lock."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    deps: list[Stored] = []
    outs: list[Stored] = []


class LockFile(BaseModel):
    """The whole of dvc.lock."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    stages: dict[str, Outputs] = {}


@dataclass(frozen=True)
class Target:
    """What the model predicts, as schema.yaml says."""

    column: str
    task: str
    positive: str

    def says(self) -> str:
        """Name it: the column, and the class of interest where one is set."""
        return f"{self.column} ({self.positive})" if self.positive else self.column


def text_of(path: str, revision: str | None) -> str:
    """Read a file; "" where it is not there. Raises UserError for an unknown revision."""
    if revision is not None:
        return git.text_at(revision, path) or ""
    here = Path(path)
    return here.read_text(encoding="utf-8", errors="replace") if here.is_file() else ""


def yaml_of(path: str, revision: str | None) -> dict[str, Any]:
    """Read a YAML mapping; empty where there is none to read."""
    return _mapping(text_of(path, revision))


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = parse_yaml(text)
    except YAMLError:
        return {}
    return value if isinstance(value, dict) else {}


def section_of(path: str, name: str, revision: str | None) -> dict[str, Any]:
    """Read one section of a YAML file; empty where there is none."""
    section = yaml_of(path, revision).get(name)
    return section if isinstance(section, dict) else {}


def drift_limits(revision: str | None) -> DriftLimits:
    """Return the limits of the drift check, as params.yaml has them. Raises UserError."""
    section = dict(section_of("params.yaml", "drift_check", revision))
    section.pop("current", None)
    return parse(section, DriftLimits, "params.yaml, section `drift_check`")


def stage_names(revision: str | None) -> list[str]:
    """Return the names of dvc.yaml's stages, in their order."""
    return [str(name) for name in section_of("dvc.yaml", "stages", revision)]


def locked_outputs(revision: str | None) -> dict[str, Stored]:
    """Return what dvc.lock says that the line wrote, by path. Raises UserError."""
    lock = parse(yaml_of("dvc.lock", revision), LockFile, "dvc.lock")
    return {out.path: out for stage in lock.stages.values() for out in stage.outs}


def same_answers(revision: str) -> bool:
    """Whether dvc.lock names the same answers on rows held out there and here, to one question."""
    then, now = (locked_outputs(each).get(PREDICTIONS) for each in (revision, None))
    if then is None or now is None or not now.md5:
        return False
    return then.md5 == now.md5 and target(revision) == target(None)


def stages_outputs(revision: str | None) -> dict[str, dict[str, str]]:
    """Return the hash of what each stage of dvc.lock wrote, by its path. Raises UserError."""
    lock = parse(yaml_of("dvc.lock", revision), LockFile, "dvc.lock")
    return {name: {out.path: out.md5 for out in stage.outs} for name, stage in lock.stages.items()}


def maker(path: str, revision: str | None) -> Outputs | None:
    """Return the stage of dvc.lock that wrote a file, or None where none did. Raises UserError."""
    lock = parse(yaml_of("dvc.lock", revision), LockFile, "dvc.lock")
    wrote = (stage for stage in lock.stages.values() if path in [out.path for out in stage.outs])
    return next(wrote, None)


def raw_files(revision: str | None) -> dict[str, Stored]:
    """Return the files that .dvc files name, by path. Raises UserError."""
    if revision is None:
        pointers = {file: text_of(file, None) for file in dvc_files()}
    else:
        pointers = git.texts_at(revision, ".dvc")
    found = {}
    for file, text in pointers.items():
        outs = _pointed_at(text, file).outs
        found |= {(Path(file).parent / out.path).as_posix(): out for out in outs}
    return found


@cache
def _pointed_at(text: str, file: str) -> Outputs:
    """Read a .dvc file: most are the same in two revisions, and are asked for more than once."""
    return parse(_mapping(text), Outputs, file)


def dvc_files() -> list[str]:
    """Return the paths of all .dvc files here, also those not yet added to Git."""
    return git.paths("ls-files", "--cached", "--others", "--exclude-standard", "--", "*.dvc")


def target(revision: str | None) -> Target | None:
    """Return what is predicted, or None where schema.yaml does not say."""
    content = yaml_of("schema.yaml", revision)
    for name, column in section_of("schema.yaml", "columns", revision).items():
        if isinstance(column, dict) and column.get("role") == "target":
            task, positive = content.get("task"), content.get("positive")
            return Target(str(name), str(task or ""), str(positive or ""))
    return None


def source(revision: str | None) -> Stored | None:
    """Return the training table, or None where params.yaml does not name one. Raises UserError.

    The samples, and files that DVC does not keep, have no hash.
    """
    path = section_of("params.yaml", "ingest", revision).get("source")
    if not isinstance(path, str):
        return None
    return raw_files(revision).get(path) or Stored(path=path)
