"""The model's answers on the rows held out, kept so that two models can be compared row by row."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from esteira.line.errors import UserError
from esteira.line.files import PREDICTIONS as PATH
from esteira.line.files import require_of_the_line

if TYPE_CHECKING:
    import pyarrow as pa

PROBABILITY = "probability of "  # before a class, in the name of a column


@dataclass(frozen=True)
class Answers:
    """What a model said of some rows, beside the truth. Of a regression `classes` is empty."""

    keys: np.ndarray  # uint64 (rows,): see holdout.distinct
    actual: np.ndarray  # (rows,): numbers, or classes as text
    classes: tuple[str, ...]
    said: np.ndarray  # predicted numbers (rows,), or probabilities (rows, classes)

    def take(self, places: np.ndarray) -> "Answers":
        """Return the answers at these places, in this order."""
        return Answers(self.keys[places], self.actual[places], self.classes, self.said[places])


def write(answers: Answers, path: str | Path = PATH) -> None:
    """Write the answers as Parquet: `row`, `actual`, and `predicted` or a column for each class."""
    import pandas as pd

    from esteira.line import table

    columns: dict[str, np.ndarray | pd.Series] = {"row": answers.keys}
    if answers.classes:
        columns["actual"] = pd.Series(answers.actual, dtype="str")
        for place, name in enumerate(answers.classes):
            columns[f"{PROBABILITY}{name}"] = answers.said[:, place]
    else:
        columns["actual"] = np.asarray(answers.actual, dtype=np.float64)
        columns["predicted"] = answers.said
    table.write(pd.DataFrame(columns), path)


def read(path: str | Path = PATH) -> Answers:
    """Read what `write` wrote. Raises UserError for a file that is absent or is something else."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    require_of_the_line(path)
    try:
        with pq.ParquetFile(path) as file:  # `read_table` would import pandas, as a data set does
            kept = file.read()
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} cannot be read as predictions: {reason}") from None
    names = [name for name in kept.column_names if name.startswith(PROBABILITY)]
    needed = {"row", "actual", *(names or ["predicted"])}
    if not needed <= set(kept.column_names) or kept.schema.field("row").type != pa.uint64():
        raise UserError(f"{path} holds no predictions of this line: `uv run dvc repro` makes it.")
    truth = kept["actual"]
    not_finite = f"{path} holds predictions that are not finite numbers, or no truth."
    if any(kept[name].null_count for name in needed):
        raise UserError(not_finite)
    try:
        said = np.array([_numbers(kept[name]) for name in names or ["predicted"]])
        actual = np.array(truth.to_pylist(), object) if names else _numbers(truth)
    except (TypeError, ValueError):
        raise UserError(f"{path} holds predictions that are not numbers.") from None
    if not np.isfinite(said).all() or not (names or np.isfinite(actual).all()):
        raise UserError(not_finite)
    keys = np.from_dlpack(kept["row"].combine_chunks())
    classes = tuple(name.removeprefix(PROBABILITY) for name in names)
    return Answers(keys, actual, classes, said.T if names else said[0])


def _numbers(column: "pa.ChunkedArray") -> np.ndarray:
    """Return numbers as NumPy has them. The `to_numpy` of pyarrow would import pandas."""
    return np.from_dlpack(column.cast("float64").combine_chunks())
