"""Predict: what the model says of every row of a batch, and which rules a row breaks."""

from esteira.line import answers, parts, schema
from esteira.line.params import Section, run

from ..model import MODEL, load


class Settings(Section):
    """Section `predict:` of params.yaml."""

    batch: str  # a raw file like the training table's, or data/current.parquet


def main(settings: Settings) -> str:
    """Write data/answers.parquet, part by part."""
    what = schema.load()
    origin = answers.origin_of(MODEL)
    answered = answers.answer(load(), settings.batch, what, origin)
    rows = parts.write(answered, "data/answers.parquet")
    return f"{rows} rows of {settings.batch} answered"


if __name__ == "__main__":
    run("predict", main, Settings)
