"""Predict: what the model says of every row of a batch, and which rules a row breaks."""

from esteira.line import answers, schema
from esteira.line.params import Section, run

from ..model import MODEL, load


class Settings(Section):
    """Section `predict:` of params.yaml."""

    batch: str  # a raw file like the training table's, or data/current.parquet


def main(settings: Settings) -> None:
    """Write data/answers.parquet."""
    what = schema.load()
    origin = answers.origin_of(MODEL)
    rows = answers.read(settings.batch, what)
    answered = answers.answer(load(), rows, what, origin)
    answers.write(answered, "data/answers.parquet")


if __name__ == "__main__":
    run("predict", main, Settings)
