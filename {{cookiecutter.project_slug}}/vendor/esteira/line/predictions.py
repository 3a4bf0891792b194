"""The model's answers on the rows held out, kept so that two models can be compared row by row."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from esteira.line import table
from esteira.line.errors import UserError
from esteira.line.files import PREDICTIONS as PATH

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
    try:
        frame = table.read(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} cannot be read as predictions: {reason}") from None
    names = [str(name) for name in frame if str(name).startswith(PROBABILITY)]
    needed = ["row", "actual", *(names or ["predicted"])]
    if not set(needed) <= set(frame) or frame["row"].dtype != np.uint64:
        raise UserError(f"{path} holds no predictions of this line: `uv run dvc repro` makes it.")
    said = frame[names] if names else frame["predicted"]
    try:
        numbers = said.to_numpy(np.float64)
        actual = frame["actual"].to_numpy(object if names else np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{path} holds predictions that are not numbers.") from None
    if not np.isfinite(numbers).all() or frame["actual"].isna().any():
        raise UserError(f"{path} holds predictions that are not finite numbers, or no truth.")
    classes = tuple(str(name).removeprefix(PROBABILITY) for name in names)
    return Answers(frame["row"].to_numpy(), actual, classes, numbers)
