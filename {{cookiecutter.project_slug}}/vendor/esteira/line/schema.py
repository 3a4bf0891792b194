"""schema.yaml: how the squad's table is written in its file, and what each column must hold."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from esteira.line.files import read_yaml
from esteira.line.params import parse

Type = Literal["number", "integer", "category", "boolean", "datetime", "text"]
Role = Literal["feature", "target", "time", "identifier", "ignored"]


class FileFormat(BaseModel):
    """How a table is written in a text file; a Parquet file needs none of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    delimiter: str = ","
    encoding: str = "utf-8"
    decimal: str = "."
    thousands: str | None = None
    quote: str = '"'
    header: bool = True
    skip: int = Field(0, ge=0)  # title lines above the header
    footer: int = Field(0, ge=0)  # at most so many rows below the table are notes or totals
    missing: tuple[str, ...] = ("",)


class Column(BaseModel):
    """What one column must hold. `role` says what the line does with it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Type
    role: Role = "feature"
    missing: bool = False
    min: float | None = None
    max: float | None = None
    allowed: tuple[str, ...] | None = None
    format: str | None = None  # of dates; of a number: it is a time of day, read as hours
    unit: str | None = None  # a mark beside each number, such as R$ or %; it is taken off
    decimal: str | None = None  # the marks in numbers, where they are not those of the file
    thousands: str | None = None
    log: Literal["yes", "no", "hash"] = "yes"  # whether the service's log keeps its cells
    description: str | None = None  # what it means, in words: for people alone

    @property
    def numeric(self) -> bool:
        """Whether the line holds the column as float64."""
        return self.type in ("number", "integer")


class Schema(BaseModel):
    """The whole of schema.yaml. `columns` are in the table's order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Literal["classification", "regression"]
    positive: str | None = None
    file: FileFormat = FileFormat()
    columns: dict[str, Column]

    @model_validator(mode="after")
    def _one_target(self) -> "Schema":
        targets = self.named("target")
        if len(targets) != 1:
            raise ValueError(f"exactly one column needs `role: target`, found {len(targets)}")
        if len(self.named("time")) > 1:
            raise ValueError("at most one column may have `role: time`")
        if not self.features:
            raise ValueError("no column has `role: feature`")
        numeric = self.columns[targets[0]].numeric
        if numeric != (self.task == "regression"):
            need = "a number" if self.task == "regression" else "a category"
            raise ValueError(f"{self.task} needs {need} as target; `{targets[0]}` is not")
        return self

    def named(self, role: Role) -> list[str]:
        """Names of the columns with `role`, in the table's order."""
        return [name for name, column in self.columns.items() if column.role == role]

    @property
    def target(self) -> str:
        """Name of the column to predict."""
        return self.named("target")[0]

    @property
    def time(self) -> str | None:
        """Name of the column that orders the rows in time, if there is one."""
        return next(iter(self.named("time")), None)

    @property
    def features(self) -> list[str]:
        """Names of the columns with `role: feature`: what the drift check watches."""
        return self.named("feature")

    @property
    def inputs(self) -> list[str]:
        """Names of the columns the model is given: the features, and the time if there is one."""
        return [n for n, column in self.columns.items() if column.role in ("feature", "time")]


def load(path: str | Path = "schema.yaml") -> Schema:
    """Read schema.yaml. Raises UserError that names every fault and its place."""
    return parse(read_yaml(path), Schema, str(path))
