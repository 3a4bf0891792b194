"""Ingest: the raw table, or a sample of scikit-learn's, into one Parquet file of plain cells."""

from collections.abc import Iterable

import pandas as pd
from esteira.line import parts, schema
from esteira.line.errors import UserError
from esteira.line.params import Section, run
from esteira.line.repeated import Seen

SAMPLES = ("sample-classification", "sample-regression")


class Settings(Section):
    """Section `ingest:` of params.yaml."""

    source: str  # a file under data/raw/, or the name of a sample
    drop_duplicates: bool


def sample(name: str) -> pd.DataFrame:
    """Return one of scikit-learn's own tables, with its target as the last column."""
    from sklearn import datasets

    if name == "sample-regression":
        frame = datasets.load_diabetes(as_frame=True, scaled=False).frame
        return frame.rename(columns={"target": "progression"})
    bunch = datasets.load_breast_cancer(as_frame=True)
    names = bunch.target_names[bunch.frame.pop("target")]
    return bunch.frame.assign(diagnosis=names)


def cells_of(source: str) -> Iterable[pd.DataFrame]:
    """Read the source part by part."""
    if source in SAMPLES:
        return [sample(source)]
    return parts.read_raw(source, schema.load().file)


def main(settings: Settings) -> str:
    """Read the source, drop empty rows and repeated rows, write data/ingested.parquet."""
    came, seen = 0, Seen()
    with parts.writing("data/ingested.parquet") as ingested:
        for raw in cells_of(settings.source):
            came += len(raw)
            kept = raw.dropna(how="all")
            if settings.drop_duplicates:
                kept = kept[seen.are_new(kept)]
            ingested.write(kept)
        if not ingested.rows:
            raise UserError(f"{settings.source} has no row with a value in it.")
    return f"{came} rows in, {ingested.rows} out, of {settings.source}"


if __name__ == "__main__":
    run("ingest", main, Settings)
