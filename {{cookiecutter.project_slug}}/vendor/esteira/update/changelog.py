"""What the template's changelog says between two versions."""

import re
from pathlib import Path

from esteira.update.source import numbers

HEADING = re.compile(r"^## +(.+)$", re.MULTILINE)
UNRELEASED = "unreleased"


def between(changelog: Path, old: str, new: str, with_unreleased: bool) -> list[str]:
    """Return the lines of the sections after version `old`, up to `new`; none where there are none.

    A section begins with `## 1.1.0`, whatever follows the version, or with `## Unreleased`.
    """
    if not changelog.is_file():
        return []
    _, *parts = HEADING.split(changelog.read_text(encoding="utf-8"))
    lines: list[str] = []
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        version = heading.split()[0].strip("[]")
        is_later = numbers(old) < numbers(version) <= numbers(new)
        if is_later or (with_unreleased and version.lower() == UNRELEASED):
            lines += [heading, "", *text.strip().splitlines(), ""]
    return lines[:-1]
