"""The target: classes or numbers, which class is the one of interest, and what is unusual."""

from dataclasses import dataclass
from typing import Literal, get_args

import pandas as pd

from esteira.adopt.cells import MOST
from esteira.adopt.decisions import Decision
from esteira.adopt.rules import Cells
from esteira.line import table
from esteira.line.errors import UserError
from esteira.line.nearest import closest
from esteira.line.schema import Column, Schema

Task = Literal["classification", "regression"]
CLASSES = 10  # different whole numbers up to which a numeric target is read as classes
MOST_CLASSES = 100
RARE_CLASS = 10  # rows below which a class cannot be learnt
UNEVEN = 0.2  # share of the rarer of two classes below which accuracy says little
POSITIVE = {
    *("yes", "y", "true", "t", "positive", "bad", "churned", "fraud", "default", "malignant"),
    *("ja", "j", "oui", "o", "sim", "s", "si", "sí"),
}


@dataclass(frozen=True)
class Target:
    """What was decided about the column to predict; `positive` only where there are two classes."""

    column: Column
    task: Task
    positive: str | None = None


def decide(cells: Cells, task: str | None, positive: str | None) -> Target:
    """Decide the task and the positive class; `task` and `positive` as the user gave them.

    Raises UserError for a target that cannot be learnt, or options that do not fit it.
    """
    if cells.different < 2:
        raise UserError(
            f"the target `{cells.name}` is always {cells.counts.index[0]!r}: there is nothing to"
            " learn."
        )
    if task not in (None, *get_args(Task)):
        raise UserError(f"--task is {task!r}: it must be classification or regression.")
    is_regression = task == "regression" if task else _looks_like_amounts(cells)
    if is_regression:
        return _numbers(cells, positive)
    return _classes(cells, positive)


def _looks_like_amounts(cells: Cells) -> bool:
    few_whole = cells.column.type == "integer" and cells.different <= CLASSES
    return cells.column.numeric and cells.different > 2 and not few_whole


def _numbers(cells: Cells, positive: str | None) -> Target:
    """Check that the target is numeric."""
    seen = cells.column if cells.column.numeric else Column(type="number")
    column = seen.model_copy(update={"role": "target"})
    readable = table.cast(cells.values, column, cells.form).notna().sum()
    if readable < MOST * cells.filled:
        raise UserError(f"the target `{cells.name}` is not numeric: regression needs numbers.")
    if positive is not None:
        raise UserError("--positive is for classification; the task is regression.")
    return Target(column, "regression")


def _classes(cells: Cells, positive: str | None) -> Target:
    """Check the number of classes, and find the positive one of two."""
    column = Column(type="category", role="target")
    classes = table.cast(cells.values, column, cells.form).value_counts().index.tolist()
    if len(classes) > MOST_CLASSES:
        raise UserError(
            f"the target `{cells.name}` has {len(classes)} different values, too many for classes:"
            " give --task regression or another target."
        )
    if positive is not None and positive not in classes:
        raise UserError(f"`{cells.name}` has no class {positive!r}: {closest(positive, classes)}")
    if positive is not None and len(classes) != 2:
        raise UserError(f"--positive needs two classes; `{cells.name}` has {len(classes)}.")
    if positive is None and len(classes) == 2:
        positive = _positive(classes)
    return Target(column, "classification", positive)


def _positive(classes: list[str]) -> str:
    """Return the class of two that means yes, or is 1, or else the rarer one (the last)."""
    means_yes = [name for name in classes if name.lower() in POSITIVE]
    if len(means_yes) == 1:
        return means_yes[0]
    if not means_yes and set(classes) in ({"0", "1"}, {"-1", "1"}):
        return "1"
    return classes[-1]


def remarks(values: pd.Series, schema: Schema) -> list[Decision]:
    """Say the task, the classes' shares and what is unusual about them.

    `values` are the target's typed cells, none missing.
    """
    where = "schema.yaml, task; --task"
    counts = values.value_counts()
    if schema.task == "regression":
        unit = schema.columns[schema.target].unit
        seen = f"{len(counts)} different numbers, {values.min():g} to {values.max():g}"
        seen += f" {unit}" if unit else ""
        return [Decision(f"regression of `{schema.target}`", seen, where)]
    shares = [f"{name} {count / len(values):.1%}" for name, count in counts.head(5).items()]
    more = " …" if len(counts) > 5 else ""
    seen = f"{len(counts)} classes: {', '.join(shares)}{more}"
    found = [Decision(f"classification of `{schema.target}`", seen, where)]
    found += _about_positive(schema)
    found += _about_rare(counts)
    return found


def _about_positive(schema: Schema) -> list[Decision]:
    if not schema.positive:
        return []
    by_name = schema.positive.lower() in POSITIVE or schema.positive == "1"
    why = "by its name" if by_name else "the rarer class, or as given"
    return [Decision(f"positive class {schema.positive}", why, "schema.yaml, positive")]


def _about_rare(counts: pd.Series) -> list[Decision]:
    """Warn of two uneven classes, and of classes with hardly a row."""
    found = []
    rarest = counts.iloc[-1] / counts.sum()
    if rarest < UNEVEN and len(counts) == 2:
        why = f"{counts.index[-1]} is {rarest:.1%} of the rows: accuracy says little"
        found.append(Decision("imbalanced classes", why, warning=True))
    rare = [str(name) for name, count in counts.items() if count < RARE_CLASS]
    if rare:
        why = f"fewer than {RARE_CLASS} rows each: {', '.join(rare[:5])}: merge or drop them"
        found.append(Decision("classes too rare to learn", why, warning=True))
    return found
