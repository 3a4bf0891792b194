"""Ingest: the raw table, or a sample of scikit-learn's, into one Parquet file of plain cells."""

import pandas as pd
from esteira.line import schema, table
from esteira.line.errors import UserError
from esteira.line.params import Section, run

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


def main(settings: Settings) -> str:
    """Read the source, drop empty rows and repeated rows, write data/ingested.parquet."""
    if settings.source in SAMPLES:
        raw = sample(settings.source)
    else:
        raw = table.read_raw(settings.source, schema.load().file)
    came = len(raw)
    raw = raw.dropna(how="all")
    if settings.drop_duplicates:
        raw = raw.drop_duplicates()
    if raw.empty:
        raise UserError(f"{settings.source} has no row with a value in it.")
    table.write(raw, "data/ingested.parquet")
    return f"{came} rows in, {len(raw)} out, of {settings.source}"


if __name__ == "__main__":
    run("ingest", main, Settings)
