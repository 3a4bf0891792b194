"""Make a stage of the squad's own, or take one away: all of its files, or none."""

import keyword
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esteira.line.errors import UserError
from esteira.line.files import listed_in, parse_yaml, read_yaml, transaction, write_text
from esteira.line.nearest import closest
from esteira.repository import git, own_code
from esteira.stage_of_own import entries
from esteira.stage_of_own.files import Files, files

LINE, PARAMS, LOCK = Path("dvc.yaml"), Path("params.yaml"), Path("dvc.lock")
TOOLBOX = "vendor/esteira/line"
NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


@dataclass(frozen=True)
class Place:
    """Where the files of a stage belong."""

    module: Path
    test: Path


def place_of(name: str) -> Place:
    """Return where a stage's module and test belong. Raises UserError without a package."""
    return Place(
        own_code.folder() / "stages" / f"{name}.py", Path("tests") / f"test_stage_{name}.py"
    )


def new(name: str, after: str) -> str:
    """Make a stage that comes after another; return what was done.

    Raises UserError, with all as it was, for a name that cannot be one, for a stage that is not in
    the line, and where a file of that name is there.
    """
    stages = _stages()
    if name in stages:
        return f"The stage `{name}` is there already: nothing was done."
    _demand_name(name)
    if after not in stages:
        raise UserError(f"--after names {after!r}, which is no stage: {closest(after, stages)}")
    place = place_of(name)
    there = [path for path in (place.module, place.test) if path.exists()]
    if there:
        raise UserError(f"{there[0]} is there, and would be written over: choose another name.")
    table = _table_of(stages, after)
    made = files(name, table, _deps(stages[after], table, place.module))
    line = _with_entry(made, name, after)
    params = _with_section(made, name)
    with transaction([LINE, PARAMS, place.module, place.test], "new-stage"):
        write_text(LINE, line)
        write_text(PARAMS, params)
        write_text(place.module, made.module)
        write_text(place.test, made.test)
    return (
        f"Made `{name}`: {place.module}, {place.test}, its section in params.yaml, its entry in"
        " dvc.yaml.\nNext: uv run dvc repro, then write what the stage is for."
    )


def remove(name: str) -> str:
    """Take a stage and its files away; return what was done.

    Raises UserError, with all as it was, for a stage that is not there, whose outputs others read,
    or whose module is not committed as it stands.
    """
    stages = _stages()
    place = place_of(name)
    if name not in stages:
        if not place.module.exists():
            return f"There is no stage `{name}`: nothing was done."
        raise UserError(f"dvc.yaml has no stage {name!r}: {closest(name, stages)}")
    outs = _outs(stages[name])
    readers = [other for other in stages if set(listed_in(stages[other], "deps")) & set(outs)]
    if readers:
        raise UserError(f"`{readers[0]}` reads what `{name}` writes: change its `deps` first.")
    _demand_kept(name, place, stages[name])
    line = _without(LINE, "stages", name)
    params = _without(PARAMS, None, name)
    lock = _without(LOCK, "stages", name) if LOCK.exists() else None
    written = [Path(path) for path in outs if Path(path).is_file()]
    with transaction([LINE, PARAMS, LOCK, place.module, place.test, *written], "remove-stage"):
        write_text(LINE, line)
        write_text(PARAMS, params)
        if lock is not None:
            write_text(LOCK, lock)
        for path in (place.module, place.test, *written):
            path.unlink(missing_ok=True)
    with suppress(OSError):  # there is none, or the squad keeps more in it
        (Path("reports") / name).rmdir()
    return f"Took `{name}` away. Next: uv run dvc repro, and commit."


def _stages() -> dict[str, Any]:
    stages = read_yaml(LINE).get("stages")
    if not isinstance(stages, dict) or not stages:
        raise UserError("dvc.yaml has no stages.")
    return stages


def _demand_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot be a stage: use up to 31 lower-case letters, digits and underscores,"
            " starting with a letter, such as clean_text."
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise UserError(f"{name!r} is a word of Python's own: choose another.")


def _outs(stage: dict[str, Any]) -> list[str]:
    return listed_in(stage, "outs", "metrics", "plots")


def _table_of(stages: dict[str, Any], after: str) -> str:
    """Return a table that a stage writes, or reads, or else one of the stages above it.

    Raises UserError for none.
    """
    above = list(stages)[: list(stages).index(after)][::-1]
    known = [*_outs(stages[after]), *listed_in(stages[after], "deps")]
    known += [path for stage in above for path in _outs(stages[stage])]
    tables = [path for path in known if path.endswith(".parquet")]
    if not tables:
        raise UserError(f"neither `{after}` nor a stage above it has a table: name a later one.")
    return tables[0]


def _deps(stage: dict[str, Any], table: str, module: Path) -> list[str]:
    """Return what the new stage reads: a table, what makes it come after the other, its code."""
    outs = _outs(stage)
    after = [] if table in outs or not outs else outs[:1]
    return [table, *after, module.as_posix(), TOOLBOX]


def _with_entry(made: Files, name: str, after: str) -> str:
    """Return dvc.yaml with the new stage below the other. Raises UserError where that fails."""
    text = LINE.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    stages = entries.find(lines, "stages", 0)
    there = entries.find(lines, after, 2, stages) if stages else None
    new = entries.insert_after(text, there, made.entry) if there else text
    _demand_only(LINE, new, lambda before: before["stages"], name, made.entry)
    return new


def _with_section(made: Files, name: str) -> str:
    """Return params.yaml with the new stage's section at its end."""
    text = PARAMS.read_text(encoding="utf-8")
    if name in read_yaml(PARAMS):
        raise UserError(f"params.yaml has a section `{name}:` already: choose another name.")
    new = f"{text.rstrip(chr(10))}\n\n{made.section}"
    _demand_only(PARAMS, new, lambda before: before, name, made.section)
    return new


def _demand_only(
    path: Path, new: str, part: Callable[[Any], dict[str, Any]], name: str, entry: str
) -> None:
    """Raise UserError unless a new text says what the old one does, and one entry more."""
    before = part(read_yaml(path))
    try:
        after = part(parse_yaml(new))
        added = {key: value for key, value in after.items() if key != name}
        is_right = added == before and after.get(name) == parse_yaml(entry)[name]
    except Exception:  # whatever a text that is no YAML raises
        is_right = False
    if not is_right:
        raise UserError(f"{path} is written in a way that cannot be added to; add this:\n{entry}")


def _without(path: Path, above: str | None, name: str) -> str:
    """Return a file without the entry of a stage. Raises UserError where that fails."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    area = entries.find(lines, above, 0) if above else None
    there = entries.find(lines, name, 2 if above else 0, area)
    new = entries.remove(text, there) if there else text
    before = read_yaml(path)
    expected = before[above] if above else before
    expected = {key: value for key, value in expected.items() if key != name}
    after = parse_yaml(new) or {}
    if ((after.get(above) or {}) if above else after) != expected:
        raise UserError(
            f"{path} is written in a way that cannot be cut: take `{name}` out by hand."
        )
    return new


def _demand_kept(name: str, place: Place, stage: dict[str, Any]) -> None:
    """Raise UserError unless Git has the stage's files as they stand, or nobody changed them."""
    if not git.is_repository():
        raise UserError("Git keeps nothing here, so the stage could not be had again.")
    changed = set(git.changed())
    table = next((path for path in listed_in(stage, "deps") if path.endswith(".parquet")), "")
    fresh = files(name, table, [])
    for path, as_made in ((place.module, fresh.module), (place.test, fresh.test)):
        is_new = path.as_posix() in changed and path.exists()
        if is_new and path.read_text(encoding="utf-8") != as_made:
            raise UserError(
                f"{path} is not committed: commit it first, so that it can be had again."
            )
