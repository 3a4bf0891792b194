"""What differs between two commits, from the files in Git alone: no data, no code is run."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from esteira.pull_request import facts as f


def git(*words: str) -> str | None:
    """Return what a Git command printed, without its last line end, or None where it failed."""
    done = subprocess.run(["git", *words], capture_output=True)
    return None if done.returncode else done.stdout.decode("utf-8", "replace").rstrip("\n")


def short(value: Any, length: int = 500) -> str:
    """Return a value as text of at most `length` characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= length else text[: length - 1] + "…"


def yaml_at(path: str, revision: str | None) -> dict[str, Any]:
    """Read a YAML mapping in the working tree or a revision; empty where there is none to read."""
    if revision is None:
        text = (
            Path(path).read_text(encoding="utf-8", errors="replace") if Path(path).is_file() else ""
        )
    else:
        text = git("show", f"{revision}:{path}") or ""
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        return {}
    return value if isinstance(value, dict) else {}


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
    """Return params.yaml as {dotted name: value as text}."""
    found: dict[str, str] = {}

    def add(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for name, inner in value.items():
                add(f"{prefix}.{name}" if prefix else str(name), inner)
        else:
            found[prefix] = short(value)

    content = yaml_at("params.yaml", revision)
    if content:
        add("", content)
    return found


def schema_columns(revision: str | None) -> dict[str, str]:
    """Return the columns of schema.yaml as {name: its rules as text}."""
    columns = yaml_at("schema.yaml", revision).get("columns", {})
    described = {}
    for name, rules in columns.items() if isinstance(columns, dict) else ():
        parts = (
            [f"{key}: {short(v)}" for key, v in rules.items()] if isinstance(rules, dict) else []
        )
        described[str(name)] = ", ".join(parts)
    return described


def gate_rules(revision: str | None) -> dict[str, str]:
    """Return gates.yaml as {what is judged: its terms as text}."""
    content = yaml_at("gates.yaml", revision)
    rules = {
        str(rule.get("metric")): ", ".join(f"{k}: {v}" for k, v in rule.items() if k != "metric")
        for rule in (content.get("rules") if isinstance(content.get("rules"), list) else [])
        if isinstance(rule, dict)
    }
    return rules | ({"drift": short(content["drift"])} if "drift" in content else {})


def environment(revision: str | None) -> dict[str, str]:
    """Return the environment that made dvc.lock as {name: version}; empty where none is known."""
    content = yaml_at("environment.json", revision)  # JSON is YAML
    return {str(name): short(v, 100) for name, v in content.items() if name != "lock"}


def texts(base: str | None) -> dict[str, list[f.Change]]:
    """Return what differs in settings, schema, gates and environment; nothing where no base is."""
    if base is None:
        return {}
    kinds = {"params": settings, "columns": schema_columns, "rules": gate_rules}
    found = {name: changes(kind(base), kind(None)) for name, kind in kinds.items()}
    then, now = environment(base), environment(None)
    return found | {"environment": changes(then, now) if then and now else []}


def outputs(revision: str | None) -> dict[str, tuple[str, int]]:
    """Return DVC's files as {path: (hash, bytes)}, from .dvc files and dvc.lock."""
    if revision is None:
        listed = (
            git("ls-files", "--cached", "--others", "--exclude-standard", "*.dvc") or ""
        ).split("\n")
        in_git = set((git("ls-files") or "").splitlines())
    else:
        listed = (git("ls-tree", "-r", "--name-only", revision) or "").splitlines()
        in_git, listed = set(listed), [name for name in listed if name.endswith(".dvc")]
    found: dict[str, tuple[str, int]] = {}
    for file in filter(None, listed):
        for out in yaml_at(file, revision).get("outs", []):
            path = (Path(file).parent / out["path"]).as_posix()
            found[path] = (str(out.get("md5", "")), int(out.get("size", 0)))
    for stage in yaml_at("dvc.lock", revision).get("stages", {}).values():
        for out in stage.get("outs", []):
            folder = any(name.startswith(out["path"] + "/") for name in in_git)
            if out["path"] not in in_git and not folder:
                found[out["path"]] = (str(out.get("md5", "")), int(out.get("size", 0)))
    return found


def data(base: str | None) -> list[f.Data]:
    """Return DVC's files whose content differs between the base and now."""
    old, new = outputs(base) if base else {}, outputs(None)
    found = []
    for path in old | new:
        (old_hash, old_size), (new_hash, new_size) = (
            side.get(path, (None, None)) for side in (old, new)
        )
        if old_hash != new_hash:
            found.append(
                f.Data(
                    path=short(path),
                    old_hash=old_hash,
                    new_hash=new_hash,
                    old_size=old_size,
                    new_size=new_size,
                )
            )
    return found


def removed(base: str | None) -> Iterable[f.Stage]:
    """Yield the stages that the base had and dvc.yaml no longer has."""
    now = yaml_at("dvc.yaml", None).get("stages", {})
    for name in yaml_at("dvc.yaml", base).get("stages", {}) if base else ():
        if name not in now:
            yield f.Stage(name=name, state="removed")
