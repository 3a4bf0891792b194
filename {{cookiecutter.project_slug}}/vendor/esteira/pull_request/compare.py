"""What differs between two commits, from the files in Git alone: no data, no code is run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from esteira.line.params import parse
from esteira.pull_request import facts as f
from esteira.repository import git

# A file as text in each of the functions below: in a revision, or in the working tree for None.
Revision = str | None


class Stored(BaseModel):
    """A file or folder that DVC keeps, as a .dvc file or dvc.lock names it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    path: str
    md5: str = ""
    size: int = 0


class Outputs(BaseModel):
    """A .dvc file, or one stage of dvc.lock."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    outs: list[Stored] = []


class LockFile(BaseModel):
    """The whole of dvc.lock."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    stages: dict[str, Outputs] = {}


@dataclass(frozen=True)
class Texts:
    """What differs in the files that people write, and in the environment that made dvc.lock."""

    params: list[f.Change]
    columns: list[f.Change]
    rules: list[f.Change]
    environment: list[f.Change]


def short(value: Any, length: int = 500) -> str:
    """Return a value as text of at most `length` characters, all of which UTF-8 can hold."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= length else text[: length - 1] + "…"


def text_of(path: str, revision: Revision) -> str:
    """Read a file; "" where it is not there."""
    if revision is not None:
        return git.text_at(revision, path) or ""
    here = Path(path)
    return here.read_text(encoding="utf-8", errors="replace") if here.is_file() else ""


def yaml_of(path: str, revision: Revision) -> dict[str, Any]:
    """Read a YAML mapping; empty where there is none to read."""
    try:
        value = YAML(typ="safe", pure=True).load(text_of(path, revision))
    except YAMLError:
        return {}
    return value if isinstance(value, dict) else {}


def texts(base: str | None) -> Texts:
    """Return what differs in settings, schema, gates and environment; nothing where no base is."""
    if base is None:
        return Texts([], [], [], [])
    then, now = environment(base), environment(None)
    return Texts(
        params=changes(settings(base), settings(None)),
        columns=changes(schema_columns(base), schema_columns(None)),
        rules=changes(gate_rules(base), gate_rules(None)),
        environment=changes(then, now) if then and now else [],
    )


def changes(old: dict[str, str], new: dict[str, str]) -> list[f.Change]:
    """Return what differs between two mappings of texts."""
    names = [name for name in old | new if old.get(name) != new.get(name)]
    return [
        f.Change(
            name=short(name),
            old=short(old[name]) if name in old else None,
            new=short(new[name]) if name in new else None,
        )
        for name in names
    ]


def settings(revision: Revision) -> dict[str, str]:
    """Return params.yaml as values, each as text, by dotted name."""
    return dict(_settings("", yaml_of("params.yaml", revision)))


def _settings(prefix: str, section: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in section.items():
        dotted = f"{prefix}.{name}" if prefix else str(name)
        if isinstance(value, dict) and value:
            yield from _settings(dotted, value)
        else:
            yield dotted, short(value)


def schema_columns(revision: Revision) -> dict[str, str]:
    """Return the rules of each column of schema.yaml, as text, by its name."""
    columns = yaml_of("schema.yaml", revision).get("columns", {})
    if not isinstance(columns, dict):
        return {}
    described = {}
    for name, rules in columns.items():
        known = rules if isinstance(rules, dict) else {}
        described[str(name)] = ", ".join(f"{key}: {short(value)}" for key, value in known.items())
    return described


def gate_rules(revision: Revision) -> dict[str, str]:
    """Return the terms of each rule of gates.yaml, as text, by what it judges."""
    content = yaml_of("gates.yaml", revision)
    rules = content.get("rules")
    described = {}
    for rule in rules if isinstance(rules, list) else []:
        if isinstance(rule, dict):
            terms = (f"{key}: {value}" for key, value in rule.items() if key != "metric")
            described[str(rule.get("metric"))] = ", ".join(terms)
    if "drift" in content:
        described["drift"] = short(content["drift"])
    return described


def environment(revision: Revision) -> dict[str, str]:
    """Return the versions of the environment that made dvc.lock, by name; empty where unknown."""
    content = yaml_of("environment.json", revision)  # JSON is YAML
    return {str(name): short(value, 100) for name, value in content.items() if name != "lock"}


def stage_names(revision: Revision) -> list[str]:
    """Return the names of dvc.yaml's stages, in their order."""
    stages = yaml_of("dvc.yaml", revision).get("stages")
    return [str(name) for name in stages] if isinstance(stages, dict) else []


def removed_stages(base: str | None) -> list[f.Stage]:
    """Return the stages that the base had and dvc.yaml no longer has."""
    if base is None:
        return []
    gone = [name for name in stage_names(base) if name not in stage_names(None)]
    return [f.Stage(name=short(name), state="removed") for name in gone]


def data(base: str | None) -> list[f.Data]:
    """Return DVC's files whose content differs between the base and now. Raises UserError."""
    old = stored(base) if base else {}
    new = stored(None)
    paths = [path for path in old | new if _md5(old, path) != _md5(new, path)]
    return [
        f.Data(
            path=short(path),
            old_hash=_md5(old, path),
            new_hash=_md5(new, path),
            old_size=old[path].size if path in old else None,
            new_size=new[path].size if path in new else None,
        )
        for path in paths
    ]


def _md5(side: dict[str, Stored], path: str) -> str | None:
    return short(side[path].md5) if path in side else None


def stored(revision: Revision) -> dict[str, Stored]:
    """Return what DVC keeps and Git does not, by path: from .dvc files and dvc.lock.

    Raises UserError where one of them is not written as DVC writes it.
    """
    raw = raw_files(revision)
    in_git = git.tracked() if revision is None else git.tracked_at(revision)
    folders_in_git = {above.as_posix() for path in in_git for above in Path(path).parents}
    kept_by_git = folders_in_git.union(in_git)
    lock = parse(yaml_of("dvc.lock", revision), LockFile, "dvc.lock")
    outs = (out for stage in lock.stages.values() for out in stage.outs)
    return raw | {out.path: out for out in outs if out.path not in kept_by_git}


def raw_files(revision: Revision) -> dict[str, Stored]:
    """Return the files that .dvc files name, by path. Raises UserError."""
    found = {}
    for file in dvc_files(revision):
        content = parse(yaml_of(file, revision), Outputs, file)
        found |= {(Path(file).parent / out.path).as_posix(): out for out in content.outs}
    return found


def dvc_files(revision: Revision) -> list[str]:
    """Return the paths of all .dvc files; in the working tree, also those not yet added to Git."""
    if revision is not None:
        return [path for path in git.tracked_at(revision) if path.endswith(".dvc")]
    return git.paths("ls-files", "--cached", "--others", "--exclude-standard", "--", "*.dvc")
