"""Card: what the model is, how good it is where, and what card.yaml says that it is for."""

from esteira.card.measure import measure
from esteira.card.write import write
from esteira.line.params import Section, run
from pydantic import Field


class Settings(Section):
    """Section `card:` of params.yaml."""

    columns: int = Field(ge=0)  # inputs whose segments are shown, those that matter most
    least_rows: int = Field(ge=10)  # of a segment


def main(settings: Settings) -> str:
    """Write reports/card.md and reports/card.html."""
    card = measure(settings.columns, settings.least_rows)
    write(card, "reports/card.md", "reports/card.html")
    return f"{len(card.figures)} metrics, {len(card.segments)} segments"


if __name__ == "__main__":
    run("card", main, Settings)
