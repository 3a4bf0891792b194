"""What differs between two commits, from the files in Git alone: no data, no code is run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esteira.pull_request import facts as f
from esteira.repository import git, snapshot

# Files of which the report tells otherwise: the lock, settings, the environment.
NOT_CODE = {"dvc.lock", "params.yaml", "schema.yaml", "gates.yaml", "environment.json"}


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


def texts(base: str | None) -> Texts:
    """Return what differs in settings, schema, gates and environment; nothing where no base is."""
    if base is None:
        return Texts([], [], [], [])
    then, now = environment(base), environment(None)
    return Texts(
        params=changes(settings(base), settings(None)),
        columns=column_changes(schema_columns(base), schema_columns(None)),
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


def settings(revision: str | None) -> dict[str, str]:
    """Return params.yaml as values, each as text, by dotted name."""
    return dict(_settings("", snapshot.yaml_of("params.yaml", revision)))


def _settings(prefix: str, section: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in section.items():
        dotted = f"{prefix}.{name}" if prefix else str(name)
        if isinstance(value, dict):  # an empty one has no setting
            yield from _settings(dotted, value)
        else:
            yield dotted, short(value)


def schema_columns(revision: str | None) -> dict[str, dict[str, Any]]:
    """Return the rules of each column of schema.yaml, by its name."""
    columns = snapshot.yaml_of("schema.yaml", revision).get("columns", {})
    if not isinstance(columns, dict):
        return {}
    return {str(name): rules if isinstance(rules, dict) else {} for name, rules in columns.items()}


def column_changes(
    old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]
) -> list[f.Change]:
    """Return what differs in schema.yaml: columns that came or went, else rule by rule."""
    found = []
    for name in old | new:
        if name in old and name in new:
            found += [
                rule_change(f"{name}: {rule}", old[name].get(rule), new[name].get(rule))
                for rule in old[name] | new[name]
                if old[name].get(rule) != new[name].get(rule)
            ]
        else:
            came = described(new[name]) if name in new else None
            went = described(old[name]) if name in old else None
            found.append(f.Change(name=short(name), old=went, new=came))
    return found


def described(rules: dict[str, Any]) -> str:
    """Say a column's rules as text."""
    return short(", ".join(f"{key}: {short(value)}" for key, value in rules.items()))


def rule_change(name: str, old: Any, new: Any) -> f.Change:
    """Return how one rule changed; of two lists, such as categories, what only one of them has."""
    if isinstance(old, list) and isinstance(new, list):
        gone = [value for value in old if value not in new]
        come = [value for value in new if value not in old]
        if gone or come:  # else their order changed
            old, new = gone or None, come or None
    return f.Change(
        name=short(name),
        old=None if old is None else short(old),
        new=None if new is None else short(new),
    )


def gate_rules(revision: str | None) -> dict[str, str]:
    """Return the terms of each rule of gates.yaml, as text, by what it judges."""
    content = snapshot.yaml_of("gates.yaml", revision)
    rules = content.get("rules")
    described = {}
    for rule in rules if isinstance(rules, list) else []:
        if isinstance(rule, dict):
            terms = (f"{key}: {value}" for key, value in rule.items() if key != "metric")
            described[str(rule.get("metric"))] = ", ".join(terms)
    if "drift" in content:
        described["drift"] = short(content["drift"])
    return described


def environment(revision: str | None) -> dict[str, str]:
    """Return the versions of the environment that made dvc.lock, by name; empty where unknown."""
    content = snapshot.yaml_of("environment.json", revision)  # JSON is YAML
    return {str(name): short(value, 100) for name, value in content.items() if name != "lock"}


def code(base: str | None) -> list[str]:
    """Return the paths of the squad's own files that differ from the base, in Git alone.

    What the line writes is left out; of the toolbox one entry says how many files differ.
    """
    if base is None:
        return []
    changed = git.paths(
        "diff", "--name-only", "--no-renames", "--relative", base, "HEAD", "--", "."
    )
    toolbox = [path for path in changed if path.startswith("vendor/")]
    written = ("reports/", "vendor/")
    own = [
        path
        for path in changed
        if not path.startswith(written) and path not in NOT_CODE and not path.endswith(".dvc")
    ]
    return [*map(short, own), *([f"vendor/ ({len(toolbox)} files)"] if toolbox else [])]


def changed_stages(base: str | None) -> list[str]:
    """Return the stages that gave something else at the base, or that it did not have."""
    if base is None:
        return []
    before, now = snapshot.stages_outputs(base), snapshot.stages_outputs(None)
    return [short(name) for name, outs in now.items() if before and before.get(name) != outs]


def removed_stages(base: str | None) -> list[f.Stage]:
    """Return the stages that the base had and dvc.yaml no longer has."""
    if base is None:
        return []
    gone = [name for name in snapshot.stage_names(base) if name not in snapshot.stage_names(None)]
    return [f.Stage(name=short(name), state="removed") for name in gone]


def data(base: str | None) -> list[f.Data]:
    """Return DVC's files whose content differs between the base and now. Raises UserError."""
    old = stored(base) if base else {}
    new = stored(None)
    raw = snapshot.raw_files(None) | (snapshot.raw_files(base) if base else {})
    paths = [path for path in old | new if _md5(old, path) != _md5(new, path)]
    return [
        f.Data(
            path=short(path),
            old_hash=_md5(old, path),
            new_hash=_md5(new, path),
            old_size=old[path].size if path in old else None,
            new_size=new[path].size if path in new else None,
            raw=path in raw,
        )
        for path in paths
    ]


def _md5(side: dict[str, snapshot.Stored], path: str) -> str | None:
    return short(side[path].md5) if path in side else None


def stored(revision: str | None) -> dict[str, snapshot.Stored]:
    """Return what DVC keeps and Git does not, by path: from .dvc files and dvc.lock.

    Raises UserError where one of them is not written as DVC writes it.
    """
    raw = snapshot.raw_files(revision)
    in_git = git.tracked() if revision is None else git.tracked_at(revision)
    folders_in_git = {above.as_posix() for path in in_git for above in Path(path).parents}
    kept_by_git = folders_in_git.union(in_git)
    locked = snapshot.locked_outputs(revision)
    return raw | {path: out for path, out in locked.items() if path not in kept_by_git}
