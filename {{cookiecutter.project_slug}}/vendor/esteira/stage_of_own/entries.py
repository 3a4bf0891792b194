"""Entries of YAML files as lines of text: put in or taken out, and every other byte is kept."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """Where an entry stands: its first line, and the first that is no longer its own."""

    start: int
    end: int


def find(lines: list[str], key: str, indent: int, within: Entry | None = None) -> Entry | None:
    """Return the entry of a key at this indent, or None, without blank lines and comments below.

    `lines` end with their line ends, as `str.splitlines(keepends=True)` gives them.
    """
    area = within or Entry(0, len(lines))
    margin = " " * indent
    for start in range(area.start, area.end):
        if lines[start].startswith(f"{margin}{key}:"):
            end = start + 1
            while end < area.end and _belongs(lines[end], indent):
                end += 1
            return Entry(start, _without_what_is_above_the_next(lines, start, end, indent))
    return None


def _belongs(line: str, indent: int) -> bool:
    """Whether a line is deeper than an entry's key, or says nothing."""
    text = line.strip()
    return not text or text.startswith("#") or _depth(line) > indent


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _without_what_is_above_the_next(lines: list[str], start: int, end: int, indent: int) -> int:
    """Leave out blank lines at the end, and comments that stand above what comes next."""
    while end > start + 1:
        last = lines[end - 1]
        is_comment = last.lstrip().startswith("#") and _depth(last) <= indent
        if last.strip() and not is_comment:
            break
        end -= 1
    return end


def insert_after(text: str, entry: Entry, new: str) -> str:
    """Put a block below an entry, with a blank line between."""
    lines = text.splitlines(keepends=True)
    if not lines[entry.end - 1].endswith("\n"):
        lines[entry.end - 1] += "\n"
    return "".join([*lines[: entry.end], "\n", new, *lines[entry.end :]])


def remove(text: str, entry: Entry) -> str:
    """Take an entry out, and the blank line above it."""
    lines = text.splitlines(keepends=True)
    start = entry.start
    if start and not lines[start - 1].strip():
        start -= 1
    return "".join([*lines[:start], *lines[entry.end :]])
