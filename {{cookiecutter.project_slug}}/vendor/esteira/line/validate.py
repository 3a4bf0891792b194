"""Check a raw table against schema.yaml, and list every violation at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from esteira.line import engine, parts, table
from esteira.line.nearest import closest
from esteira.line.schema import Column, Schema

if TYPE_CHECKING:
    import pandera.pandas as pa

FAULT = ["column", "rule", "row", "value"]
VIOLATION = ["column", "rule", "rows", "examples", "row_numbers"]
RULES = {"column_in_dataframe": "absent column", "column_in_schema": "unknown column"}


def expectation(schema: Schema) -> "pa.DataFrameSchema":
    """Say schema.yaml as a pandera schema for a typed table; its errors are the rules' names."""
    import pandera.pandas as pa

    columns = {
        name: pa.Column(
            checks=_checks(column), nullable=column.missing, required=column.role != "ignored"
        )
        for name, column in schema.columns.items()
    }
    return pa.DataFrameSchema(columns, strict=True)


def _checks(column: Column) -> list["pa.Check"]:
    import pandera.pandas as pa

    checks = []
    if column.type == "integer":
        checks.append(pa.Check(lambda values: values == values.round(), error="whole number"))
    if column.min is not None:
        checks.append(pa.Check.ge(column.min, error=f"min {column.min:g}"))
    if column.max is not None:
        checks.append(pa.Check.le(column.max, error=f"max {column.max:g}"))
    if column.allowed is not None:
        checks.append(pa.Check.isin(column.allowed, error="allowed values"))
    return checks


def check(raw: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Type a raw table and check it.

    Returns the typed table (see `table.parse`) and its faults, one row per faulty cell: `column`,
    `rule`, `row` (counted from 1, the header not counted; missing where the whole column is at
    fault) and `value`. A cell that cannot have its type is one fault, not also a missing value.
    """
    import pandera.errors

    raw = raw.reset_index(drop=True)
    typed, rejects = table.parse(raw, schema)
    rejects = rejects.assign(rule="type " + rejects["column"].map(_types(schema)).astype("str"))
    seen = typed[[name for name in typed if name in raw]]
    unknown = [name for name in raw if name not in schema.columns]
    try:
        expectation(schema).validate(pd.concat([seen, raw[unknown]], axis=1), lazy=True)
        found = pd.DataFrame(columns=FAULT)
    except pandera.errors.SchemaErrors as errors:
        found = _faults(errors.failure_cases)
    lost = pd.MultiIndex.from_frame(rejects[["column", "row"]])
    again = (found["rule"] == "missing value").to_numpy() & pd.MultiIndex.from_frame(
        found[["column", "row"]]
    ).isin(lost)
    parts = [part[FAULT].astype("object") for part in (rejects, found[~again]) if len(part)]
    faults = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=FAULT)
    order = {name: i for i, name in enumerate([*schema.columns, *unknown])}
    rank = faults["column"].map(order)
    faults = faults.assign(rank=rank).sort_values(["rank", "rule", "row"], kind="stable")
    return typed, faults[FAULT].reset_index(drop=True)


def _checked(part: tuple[pd.DataFrame, Schema]) -> tuple[pd.DataFrame, pd.DataFrame]:
    return check(*part)


def absent(columns: Iterable[str], schema: Schema, called: str | Path) -> str:
    """Say which columns a table lacks that the line cannot do without; "" for none."""
    there = list(columns)
    names = [name for name in (*schema.inputs, schema.target) if name not in there]
    if not names:
        return ""
    unknown = [name for name in there if name not in schema.columns]
    near = f" ({closest(names[0], unknown)})" if unknown else ""
    return (
        f"{called} lacks {', '.join(f'`{name}`' for name in names)}{near}: correct the table"
        " or `file:` in schema.yaml, or give the column `role: ignored` there."
    )


def _types(schema: Schema) -> dict[str, str]:
    return {name: column.type for name, column in schema.columns.items()}


def _faults(cases: pd.DataFrame) -> pd.DataFrame:
    """Give pandera's failure cases our names."""
    whole = cases["schema_context"] == "DataFrameSchema"
    empty = cases["check"] == "not_nullable"
    return pd.DataFrame(
        {
            "column": cases["failure_case"].where(whole, cases["column"]),
            "rule": cases["check"].replace({**RULES, "not_nullable": "missing value"}),
            "row": pd.to_numeric(cases["index"]) + 1,
            "value": cases["failure_case"].mask(whole | empty, ""),
        }
    )


@dataclass
class Violation:
    """How often one rule of one column was broken so far, and where first."""

    rows: int = 0
    cells: int = 0  # with a row number; a rule that the whole column breaks has none
    values: list[str] = field(default_factory=list)  # different ones, the first that came
    numbers: list[str] = field(default_factory=list)  # of rows, the first that came


class Checking:
    """Checks a table part by part, and counts what it finds: no more is kept of a violation."""

    def __init__(self, schema: Schema, examples: int = 5) -> None:
        """Take `examples` values and row numbers of each violation."""
        self.rows = 0
        self.rows_in_violation = 0
        self.columns: tuple[str, ...] = ()  # of the table
        self._schema = schema
        self._examples = examples
        self._found: dict[tuple[str, str], Violation] = {}
        self._unknown: list[str] = []  # columns of the table that the schema does not have

    def check(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Check the next part, and return it with the schema's types."""
        (typed,) = self.checked([raw])
        return typed

    def checked(self, tables: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Check part after part, and yield each with the schema's types."""
        for typed, faults in engine.mapped(_checked, self._with_schema(tables)):
            self.rows_in_violation += int(faults["row"].nunique())
            for (column, rule), group in faults.groupby(["column", "rule"], sort=False):
                violation = self._found.setdefault((str(column), str(rule)), Violation())
                self._count(violation, group)
            self.rows += len(typed)
            yield typed

    def _with_schema(self, tables: Iterable[pd.DataFrame]) -> Iterator[tuple[pd.DataFrame, Schema]]:
        """Settle with each part, in their order, what all later ones are read by."""
        for raw in tables:
            self._schema = parts.with_formats(self._schema, raw)
            self._unknown = [str(name) for name in raw if name not in self._schema.columns]
            self.columns = tuple(str(name) for name in raw)
            yield raw, self._schema

    def _count(self, violation: Violation, faults: pd.DataFrame) -> None:
        numbers = faults["row"].dropna()
        violation.rows += int(numbers.nunique())
        violation.cells += len(numbers)
        first = numbers.head(self._examples - len(violation.numbers))
        violation.numbers += [f"{number + self.rows:.0f}" for number in first]
        values = [str(value) for value in faults["value"].unique()[: self._examples]]
        new = [value for value in values if value not in violation.values]
        violation.values = [*violation.values, *new][: self._examples]

    def violations(self) -> pd.DataFrame:
        """Return what was found by column and rule, with the first values and row numbers."""
        order = {name: i for i, name in enumerate([*self._schema.columns, *self._unknown])}
        known = sorted(self._found, key=lambda key: (order[key[0]], key[1]))
        rows = [self._row(key, self._found[key]) for key in known]
        return pd.DataFrame(rows, columns=VIOLATION)

    def _row(self, key: tuple[str, str], violation: Violation) -> dict[str, Any]:
        more = ["…"] if violation.cells > self._examples else []
        return {
            "column": key[0],
            "rule": key[1],
            "rows": violation.rows,
            "examples": " | ".join(value for value in violation.values if value != ""),
            "row_numbers": " ".join(violation.numbers + more),
        }
