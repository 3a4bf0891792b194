"""Split: the newest rows are the current batch; of the rest, some are held out from training."""

from contextlib import ExitStack

from esteira.line import holdout, parts, schema
from esteira.line.params import run

SOURCE = "data/validated.parquet"

Settings = holdout.Settings  # section `split:` of params.yaml


def main(settings: Settings) -> str:
    """Write data/train.parquet, data/holdout.parquet, data/current.parquet, and who is in which."""
    what = schema.load()
    # What was looked at has no name: it is let go of before the rows are written.
    found = holdout.decide(holdout.look(parts.read(SOURCE), what, settings.group), what, settings)
    holdout.demand_enough(found, what, settings)
    with ExitStack() as opened:
        tables = {
            name: opened.enter_context(parts.writing(f"data/{name}.parquet"))
            for name in holdout.NAMES
        }
        done = 0
        for rows in parts.in_order(SOURCE, found.order):
            goes_to = found.parts[done : done + len(rows)]
            for place, part in enumerate(tables.values()):
                part.write(rows[goes_to == place])
            done += len(rows)
    holdout.write(found)
    for remark in found.remarks:
        print(f"split: {remark}")
    train, held, current = (found.rows(name) for name in holdout.NAMES)
    return f"{train} rows to train on, {held} held out, {current} in the batch"


if __name__ == "__main__":
    run("split", main, Settings)
