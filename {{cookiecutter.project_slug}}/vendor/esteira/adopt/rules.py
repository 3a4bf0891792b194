"""The form of adopt's rules: what each looks for, the evidence it returns, and what it sets.

A rule's function yields a finding where it sees what its docstring says. The tables of rules are
`roles.RULES` (one column at a time), `relations.RULES` (columns against each other), and
`leaks.CERTAIN_RULES` and `leaks.SUSPICIONS` (columns against the target).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import pandas as pd

from esteira.line.schema import Column, FileFormat, Role, Type


@dataclass(frozen=True)
class Finding:
    """A column in which a rule saw what it looks for, and the evidence in words."""

    column: str
    evidence: str


Scope = TypeVar("Scope")


@dataclass(frozen=True)
class Rule(Generic[Scope]):
    """What to look for (the docstring of `find`), and what a finding sets in its column."""

    name: str
    find: Callable[[Scope], Iterator[Finding]]
    role: Role | None = None  # None: the column keeps its role
    type: Type | None = None  # None: the column keeps its type
    warning: bool = False

    @property
    def looks_for(self) -> str:
        """Say in a line what the rule looks for."""
        return (self.find.__doc__ or "").strip().splitlines()[0]

    def set(self, column: Column) -> Column:
        """Return the column as the rule sets it."""
        update: dict[str, Any] = {}
        if self.role is not None:
            update["role"] = self.role
        if self.type is not None:
            update["type"] = self.type
        return column.model_copy(update=update)


TEXT = Column(type="text")


@dataclass(frozen=True)
class Cells:
    """One raw column whose missing tokens are blanked out, counted once for all rules."""

    name: str
    values: pd.Series  # as read: shape (rows,)
    counts: pd.Series  # number of cells by different value, the most frequent first
    form: FileFormat
    column: Column = TEXT  # with the type that the cells show, once it is known

    @classmethod
    def of(cls, values: pd.Series, form: FileFormat, counts: pd.Series | None = None) -> "Cells":
        """Count the cells of a raw column, unless that is done."""
        if counts is None:
            counts = values.value_counts()
        return cls(str(values.name), values, counts, form)

    def typed(self, column: Column) -> "Cells":
        """Return the same cells with the type that was decided."""
        return replace(self, column=column)

    @property
    def filled(self) -> int:
        """Number of cells that hold a value."""
        return int(self.counts.sum())

    @property
    def different(self) -> int:
        """Number of different values."""
        return len(self.counts)

    @property
    def first_words(self) -> list[Any]:
        """The 200 most frequent values, enough to judge how all are written."""
        return self.counts.index[:200].tolist()

    @property
    def share(self) -> str:
        """Say how many of the values differ."""
        return f"{self.different} different values in {self.filled} cells"

    def finding(self, evidence: str) -> Finding:
        """Return a finding in this column."""
        return Finding(self.name, evidence)
