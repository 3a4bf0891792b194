"""What a new stage is made of, as texts."""

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEXTS = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    variable_start_string="[[",
    variable_end_string="]]",
    block_start_string="[%",
    block_end_string="%]",
    trim_blocks=True,
    keep_trailing_newline=True,
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701 - Python and YAML, of names that were checked
)


@dataclass(frozen=True)
class Files:
    """The texts of a new stage."""

    module: str
    test: str
    entry: str  # of dvc.yaml
    section: str  # of params.yaml


def files(name: str, table: str, deps: list[str]) -> Files:
    """Return the texts of a stage that reads a table of the line."""
    title = name.replace("_", " ").capitalize()
    values = {"name": name, "title": title, "table": table, "deps": deps}
    texts = {
        kind: TEXTS.get_template(f"{kind}.txt").render(values)
        for kind in ("module", "test", "entry", "section")
    }
    return Files(**texts)
