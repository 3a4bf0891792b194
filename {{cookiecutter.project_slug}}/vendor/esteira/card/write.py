"""A card as Markdown, and as one page that needs nothing from elsewhere."""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from esteira.card.measure import Card
from esteira.line.files import write_text

HERE = Path(__file__).parent
WIDTH = 320  # of the drawing, in its own units


def write(card: Card, markdown: str | Path, page: str | Path) -> None:
    """Write both; the same card gives the same bytes."""
    write_text(markdown, _filled("card.md", card))
    write_text(page, _filled("card.html", card))


def _filled(name: str, card: Card) -> str:
    is_page = name.endswith(".html")
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=is_page,  # noqa: S701 - in Markdown `_plain` escapes
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=None if is_page else _plain,
    )
    template = environment.get_template(name)
    text = template.render(card=card, width=WIDTH)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _plain(value: object) -> str:
    """Write a text where Markdown would make something of it as it is."""
    line = " ".join(str(value).split())
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", line)
