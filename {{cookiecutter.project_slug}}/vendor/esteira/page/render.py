"""Fill a page's template, and put style and script into it."""

from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from esteira.page import draw, words

HERE = Path(__file__).parent


def page(template: Path, *others: Path, **shown: Any) -> str:
    """Fill a template, which extends `base.html` and may import `drawings.html`.

    It may import templates of `others`, folders, as well. Every text is escaped where it is
    printed. The same values give the same bytes.
    """
    folders = [template.parent, *others, HERE]
    loader = ChoiceLoader([FileSystemLoader(folder) for folder in folders])
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {
        "figure": words.figure,
        "exact": words.exact,
        "percent": words.percent,
        "percents": _percents,
        "marked": words.marked,
        "command": words.command,
    }
    environment.filters |= filters
    filled = environment.get_template(template.name)
    text = filled.render(draw=draw, style=_own("style.css"), script=_own("sort.js"), **shown)
    return text.strip() + "\n"


def _own(name: str) -> Markup:
    """Return a file of this folder as it is: it is ours."""
    return Markup((HERE / name).read_text("utf-8"))  # noqa: S704


def _percents(share: float) -> float:
    return 100 * share
