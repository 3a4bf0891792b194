"""Merge dvc.yaml stage by stage.

Git merges it line by line: where the squad and the template each add a stage in the same place, it
mixes their lines, and keeping both sides of each conflict gives neither. The stages are no lines
but records with a name, and two that are new beside each other are no conflict.
"""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ruamel.yaml.error import YAMLError

from esteira.line.files import parse_yaml
from esteira.repository import git

LINE = "dvc.yaml"
STAGES = re.compile(r"^stages:[ \t]*(#.*)?$", re.MULTILINE)
NEXT_SECTION = re.compile(r"^[^\s#]", re.MULTILINE)
# A stage begins with the comments right above its name, which is two spaces in.
STAGE = re.compile(r"^(?:  #.*\n)*  (?P<name>[\w.@-]+):", re.MULTILINE)


@dataclass(frozen=True)
class Parts:
    """The text of a dvc.yaml, in parts."""

    before: str  # to the end of the line `stages:`
    stages: dict[str, str]  # text by name, in their order
    after: str


def merged(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """Return the merged file; None where it is a conflict, or one is laid out otherwise."""
    try:
        text = _merged_text(base.decode(), ours.decode(), theirs.decode())
    except UnicodeDecodeError:
        return None
    return None if text is None else text.encode()


def _merged_text(base: str, ours: str, theirs: str) -> str | None:
    known, here, there = parts(base), parts(ours), parts(theirs)
    if known is None or here is None or there is None:
        return None
    before = _merged_part(known.before, here.before, there.before)
    after = _merged_part(known.after, here.after, there.after)
    if before is None or after is None:
        return None
    stages: dict[str, str] = {}
    for name in _in_order(here, there):
        text = _merged_stage(known.stages.get(name), here.stages.get(name), there.stages.get(name))
        if text is None:
            return None
        if text:
            stages[name] = text
    below_each_other = "\n".join(stage.rstrip("\n") + "\n" for stage in stages.values())
    whole = before + below_each_other + (f"\n{after}" if after else "")
    found = parts(whole)
    return whole if found is not None and [*found.stages] == [*stages] else None


def parts(text: str) -> Parts | None:
    """Take a dvc.yaml apart; None where its stages are not laid out one below the other."""
    heading = STAGES.search(text)
    if heading is None:
        return None
    start = heading.end() + 1
    following = NEXT_SECTION.search(text, start)
    end = following.start() if following else len(text)
    if following:
        end = _with_comments_above(text, end)
    inside = text[start:end]
    entries = list(STAGE.finditer(inside))
    begins = [entry.start() for entry in entries]
    names = [entry["name"] for entry in entries]
    texts = [inside[start:end] for start, end in pairwise([*begins, len(inside)])]
    stages = dict(zip(names, texts, strict=True))
    try:
        meant = parse_yaml(text)
    except YAMLError:
        return None
    if not entries or inside[: begins[0]].strip() or not isinstance(meant["stages"], dict):
        return None
    is_meant = [*meant["stages"]] == names
    return Parts(text[:start], stages, text[end:]) if is_meant else None


def _with_comments_above(text: str, end: int) -> int:
    """Return where the comments begin that stand right above a place."""
    lines = text[:end].splitlines(keepends=True)
    while lines and lines[-1].startswith("#"):
        end -= len(lines.pop())
    return end


def _in_order(here: Parts, there: Parts) -> Iterator[str]:
    """Yield all stages in our order, each that only they have behind the one that they have it."""
    behind: dict[str, list[str]] = {}
    last = ""
    for name in there.stages:
        if name in here.stages:
            last = name
        else:
            behind.setdefault(last, []).append(name)
    yield from behind.get("", [])
    for name in here.stages:
        yield name
        yield from behind.get(name, [])


def _merged_stage(base: str | None, ours: str | None, theirs: str | None) -> str | None:
    """Return the text of one stage, "" where it is removed, None where it is a conflict."""
    one, two, three = (None if text is None else text.rstrip("\n") for text in (base, ours, theirs))
    if two in (one, three):
        return theirs or ""
    if three == one:
        return ours or ""
    return _merged_part(base, ours, theirs) if base and ours and theirs else None


def _merged_part(base: str, ours: str, theirs: str) -> str | None:
    """Merge some lines as Git does; None where they are in conflict."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("ours", "base", "theirs")]
        for file, text in zip(files, (ours, base, theirs), strict=True):
            file.write_bytes(text.encode())
        clean = git.succeeds("merge-file", "--quiet", *map(str, files))
        return files[0].read_bytes().decode() if clean else None
