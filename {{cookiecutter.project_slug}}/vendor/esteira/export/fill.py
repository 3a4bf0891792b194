"""Fill a template of a file for another tool, whose own braces stand: ours are `[[ ]]`."""

import json
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"


def fill(template: str, **shown: Any) -> str:
    """Fill a template. The same values give the same bytes."""
    environment = Environment(  # noqa: S701 - not HTML
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        variable_start_string="[[",
        variable_end_string="]]",
        block_start_string="[%",
        block_end_string="%]",
        comment_start_string="[#",
        comment_end_string="#]",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = quoted
    environment.filters["shell"] = shlex.quote
    return environment.get_template(template).render(**shown)


def quoted(text: str) -> str:
    """Write a text as a string of YAML, JSON and Python."""
    return json.dumps(text)


def keys(
    names: Iterable[str],
    pattern: str = r"[^A-Za-z0-9-]+",
    by: str = "-",
    taken: tuple[str, ...] = (),
) -> dict[str, str]:
    """Return for each name a key that other tools allow, no other name has, and is not taken.

    `pattern` is what they do not allow, and is replaced with `by`. A key begins with a letter.
    """
    found: dict[str, str] = {}
    for name in names:
        cleaned = re.sub(pattern, by, name).strip(by) or "stage"
        key = base = cleaned if cleaned[0].isalpha() else f"stage{by}{cleaned}"
        number = 1
        while key in taken or key in found.values():
            number += 1
            key = f"{base}{by}{number}"
        found[name] = key
    return found
