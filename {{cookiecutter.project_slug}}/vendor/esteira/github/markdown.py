"""Texts in GitHub's Markdown: what does not say that it is Markdown is escaped.

A pull request's author chooses names of columns, settings and files. None of them may become a
link, a mention, an image, HTML or another cell of a table.
"""

import math
import re
import textwrap
import unicodedata
import urllib.parse
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

Value = str | float | None


class Markdown(str):
    """Text that is Markdown already. It appears as it is; every other text is escaped."""

    __slots__ = ()


def shown(value: Value) -> Markdown:
    """Return what a value looks like in the report; all that a template prints goes through it."""
    if isinstance(value, Markdown):
        return value
    if value is None or isinstance(value, int | float):
        return Markdown(number(value))
    return words(value)


def one_line(text: str, length: int) -> str:
    """Put a text on one line, without control or invisible characters, and cut it."""
    spaced = "".join(" " if character.isspace() else character for character in text)
    visible = "".join(c for c in spaced if unicodedata.category(c)[0] != "C")
    line = " ".join(visible.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def words(text: str, length: int = 300) -> Markdown:
    """Show a text as words: markup is escaped, mentions, links and references are defused."""
    defused = re.sub(r"([@#:]|www(?=\.)|GH(?=-))(?=\S)", "\\1\u200b", one_line(text, length))
    without_html = defused.replace("&", "&amp;").replace("<", "&lt;")
    return Markdown(re.sub(r"([\\`*{}\[\]()#!~$>]|\b_|_\b)", r"\\\1", without_html))


def sentence(text: str) -> Markdown:
    """Show a text as a sentence, which begins with a capital."""
    return words(text[:1].upper() + text[1:])


def code(text: str | None, length: int = 80) -> Markdown:
    """Show a text as code: GitHub makes no link, mention, image or HTML of it. None is a dash."""
    if text is None:
        return Markdown("–")
    without_backticks = one_line(text, length).replace("`", "'")
    return Markdown(f"`{without_backticks or ' '}`")


def fenced(text: str) -> Markdown:
    """Show a text as lines of a code block, which it cannot end."""
    line = one_line(text, 300).replace("`", "'")
    return Markdown(textwrap.fill(line, 100, subsequent_indent="  ", break_on_hyphens=False))


def label(text: str, length: int = 24) -> Markdown:
    """Show a text inside the quotes of a Mermaid chart."""
    safe = re.sub(r"[^\w .:+-]", " ", one_line(text, length), flags=re.ASCII).strip()
    return Markdown(safe or "?")


def url(address: str) -> Markdown:
    """Show an address inside the parentheses of a link, which it cannot end."""
    return Markdown(urllib.parse.quote(address, safe=":/?&=%"))


def number(value: float | None) -> str:
    """Show a number with up to six significant digits; an absent one as a dash."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.6g}"


def digits(value: float, count: int = 6) -> str:
    """Show a number with `count` significant digits."""
    return f"{value:.{count}g}"


def difference(base: float | None, now: float | None) -> str:
    """Show a difference, signed, with three significant digits; a dash where a side is absent."""
    if base is None or now is None:
        return "–"
    change = float(f"{now - base:.3g}")
    return "0" if change == 0 else f"{change:+g}"


def size(count: int | None) -> str:
    """Show bytes as people write them."""
    if count is None:
        return "–"
    power = min(4, int(math.log(count, 1000))) if count else 0
    decimals = 1 if power else 0
    unit = ("B", "kB", "MB", "GB", "TB")[power]
    return f"{count / 1000**power:.{decimals}f} {unit}"


def joined(values: Iterable[Value], separator: str = ", ") -> Markdown:
    """Put values side by side, each shown as it would be alone."""
    return Markdown(separator.join(shown(value) for value in values))


def row(*cells: Value) -> Markdown:
    """Make one row of a table. No cell can become two."""
    safe = [shown(cell).replace("|", "\\|") for cell in cells]
    return Markdown(f"| {' | '.join(safe)} |")


@cache
def templates(folder: Path) -> Environment:
    """Return Jinja's environment for the Markdown files of a folder.

    `finalize` sees everything that a template prints. Jinja's own escaping is for HTML.
    """
    environment = Environment(  # noqa: S701 - `finalize` escapes, for Markdown
        loader=FileSystemLoader(folder),
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (
        code, difference, digits, fenced, joined, label, number, sentence, size, url, words,
    )  # fmt: skip
    environment.filters = {function.__name__: function for function in filters}
    environment.globals.clear()
    return environment


def fill(template: Path, **parts: object) -> str:
    """Fill a template; sections that were left out leave no gap."""
    text = templates(template.parent).get_template(template.name).render(row=row, **parts)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
