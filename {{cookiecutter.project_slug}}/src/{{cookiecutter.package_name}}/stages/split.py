"""Split: the newest rows are the current batch; of the rest, some are held out from training."""

from typing import Annotated, Literal

import pandas as pd
from esteira.line import schema, table
from esteira.line.errors import UserError
from esteira.line.params import Section, run
from pydantic import Field

Share = Annotated[float, Field(gt=0, lt=1)]


class Settings(Section):
    """Section `split:` of params.yaml."""

    current: Annotated[float, Field(ge=0, lt=1)]  # share of the newest rows; they play the batch
    order: Literal["rows", "random"]  # of the file, if no column is the time
    holdout: Share  # share of the rest that evaluates the model
    shuffle: bool  # hold out random rows (stratified by class), or else the newest ones
    seed: int


def newest(frame: pd.DataFrame, share: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut off the last `share` of the rows; return the older part and the newer one."""
    cut = len(frame) - round(len(frame) * share)
    return frame.iloc[:cut], frame.iloc[cut:]


def main(settings: Settings) -> None:
    """Write data/train.parquet, data/holdout.parquet and data/current.parquet."""
    what = schema.load()
    rows = table.read("data/validated.parquet")
    if what.time:
        rows = rows.sort_values(what.time, kind="stable", ignore_index=True)
    elif settings.order == "random":  # the file is sorted, by the target at worst
        rows = rows.sample(frac=1, random_state=settings.seed, ignore_index=True)
    rest, current = newest(rows, settings.current)
    if not settings.shuffle:
        train, holdout = newest(rest, settings.holdout)
    else:
        groups = rest.groupby(what.target) if what.task == "classification" else rest
        chosen = groups.sample(frac=settings.holdout, random_state=settings.seed).index
        train, holdout = rest.drop(chosen), rest.loc[chosen].sort_index()
    parts = {"train": train, "holdout": holdout, "current": current}
    for name, part in parts.items():
        if name == "current":
            few = part.empty and settings.current > 0
        else:
            few = part[what.target].nunique() < 2
        if few:
            raise UserError(
                f"{len(rows)} rows are too few for this split: `{name}` would have {len(part)} "
                f"rows and fewer than two values of `{what.target}`; change `split:` in "
                "params.yaml."
            )
    for name, part in parts.items():
        table.write(part, f"data/{name}.parquet")


if __name__ == "__main__":
    run("split", main, Settings)
