"""Split: the newest rows are the current batch; of the rest, some are held out from training."""

from esteira.line import holdout, schema, table
from esteira.line.errors import UserError
from esteira.line.params import run

Settings = holdout.Settings  # section `split:` of params.yaml


def main(settings: Settings) -> str:
    """Write data/train.parquet, data/holdout.parquet, data/current.parquet, and who is in which."""
    what = schema.load()
    rows = table.read("data/validated.parquet")
    found = holdout.split(rows, what, settings)
    for name in ("train", "holdout", "current"):
        part = found.part(name)
        needed = name != "current" or settings.current > 0
        too_few = part.empty if name == "current" else part[what.target].nunique() < 2
        if needed and too_few:
            raise UserError(
                f"{len(rows)} rows are too few for this split: `{name}` would have {len(part)} "
                f"rows and fewer than two values of `{what.target}`; change `split:` in "
                "params.yaml."
            )
    for name in ("train", "holdout", "current"):
        table.write(found.part(name), f"data/{name}.parquet")
    holdout.write(found)
    for remark in found.remarks:
        print(f"split: {remark}")
    train, held, current = (len(found.part(name)) for name in ("train", "holdout", "current"))
    return f"{train} rows to train on, {held} held out, {current} in the batch"


if __name__ == "__main__":
    run("split", main, Settings)
