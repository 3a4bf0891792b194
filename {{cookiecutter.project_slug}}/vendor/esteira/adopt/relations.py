"""Columns that say the same as another one, or tell which rows belong together."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from esteira.adopt.decisions import Decision
from esteira.adopt.roles import IDENTIFIER, snake_case
from esteira.adopt.rules import Finding, Rule
from esteira.line.schema import Column, Schema

FEW_ROWS = 20  # below, equal columns may be chance
GROUPS = 20  # different values from which a column may name groups of rows
NAMED_GROUPS = 8  # the same, where its name says so
GROUP_ROWS = 50  # rows of a group, on average, beyond which its name must say so
MIXED_BY_CHANCE = 5.0  # groups that would hold different targets if rows were shuffled
MOST_MIXED = 0.05  # share of them that may do so all the same: labels can be wrong
ALIKE = 0.9  # intraclass correlation of a numeric target
SMOOTH = 0.5  # correlation of neighbouring codes' targets, from which codes are a measure
ENTITY = re.compile(
    r"(.*[^a-z])?(patient|subject|participant|person|pessoa|paciente|customer|client|cliente|user"
    r"|household|family|animal|student|aluno|session|device|machine|account|member|donor)e?s?"
    r"([^a-z]*(id|no|nr|key|code|number))?"
)
GROUPING = ("integer", "category", "text")


@dataclass(frozen=True)
class Table:
    """The typed rows whose target is known, with what was decided of the columns so far."""

    rows: pd.DataFrame
    schema: Schema

    def candidates(self) -> list[str]:
        """Return the features and identifiers, in the table's order."""
        roles = ("feature", "identifier")
        return [name for name, column in self.schema.columns.items() if column.role in roles]


@dataclass(frozen=True)
class Related:
    """The schema without the columns put aside, and what speaks for that."""

    schema: Schema
    equal: dict[str, str]  # evidence by column
    group: str | None  # the column whose rows belong together
    remarks: dict[str, str]  # for schema.yaml, by column
    decisions: list[Decision]  # on groups


def relate(typed: pd.DataFrame, schema: Schema) -> Related:
    """Put aside columns that equal another, and the column of groups that must not be split."""
    known = Table(typed[typed[schema.target].notna()], schema)
    columns = dict(schema.columns)
    equal = {finding.column: finding.evidence for finding in EQUAL.find(known)}
    for name in equal:
        if columns[name].role != "identifier" and _others(columns, name):
            columns[name] = EQUAL.set(columns[name])
    known = Table(known.rows, schema.model_copy(update={"columns": columns}))
    remarks = dict(equal)
    groups = [finding for finding in GROUP.find(known) if _others(columns, finding.column)]
    if not groups:
        return Related(known.schema, equal, None, remarks, _suggestions(known))
    chosen = groups[0]
    columns[chosen.column] = GROUP.set(columns[chosen.column])
    remarks[chosen.column] = f"rows of one value are held out together: {chosen.evidence}"
    schema = schema.model_copy(update={"columns": columns})
    return Related(schema, equal, chosen.column, remarks, [_about_group(chosen)])


def _others(columns: dict[str, Column], name: str) -> bool:
    """Whether there is another feature to learn from."""
    return any(column.role == "feature" for other, column in columns.items() if other != name)


def _about_group(finding: Finding) -> Decision:
    what = f"`{finding.column}`: whole groups are held out, and it is no feature"
    where = "params.yaml, split.group: null, and schema.yaml, role: feature, if rows are unrelated"
    return Decision(what, finding.evidence, where, warning=True)


def equal_to_another(table: Table) -> Iterator[Finding]:
    """A column with the same value as an earlier one in every row."""
    if len(table.rows) < FEW_ROWS:
        return
    first: dict[tuple[str, bytes], str] = {}
    for name in table.candidates():
        values = table.rows[name]
        hashes = pd.util.hash_pandas_object(values, index=False).to_numpy()
        earlier = first.setdefault((str(values.dtype), hashes.tobytes()), name)
        if earlier != name:
            yield Finding(name, f"equal to `{earlier}` in every row")


def names_groups(table: Table) -> Iterator[Finding]:
    """A column whose values repeat, with one and the same target for each."""
    target = table.rows[table.schema.target]
    for name in _repeating(table):
        groups = table.rows[name]
        named = _named(name)
        different = groups.nunique()
        size = groups.count() / different
        enough = different >= (NAMED_GROUPS if named else GROUPS)
        if not enough or (size > GROUP_ROWS and not named):
            continue
        if not named and _is_measure(groups, target, table.schema):
            continue
        constancy = _constant_within(groups, target, table.schema)
        if constancy:
            times = f"{size:.0f}" if groups.value_counts().nunique() == 1 else f"about {size:.1f}"
            target_name = table.schema.target
            yield Finding(name, f"values come {times} times, and `{target_name}` is {constancy}")


EQUAL: Rule[Table] = Rule("equal to another", equal_to_another, role="ignored")
GROUP: Rule[Table] = Rule("names groups", names_groups, role="ignored", warning=True)
RULES = (EQUAL, GROUP)


def _repeating(table: Table) -> list[str]:
    """Return the columns most of whose values come more than once, but not in many rows."""
    found = []
    for name in table.candidates():
        column = table.schema.columns[name]
        if column.type not in GROUPING or column.unit:
            continue
        values = table.rows[name]
        if column.numeric and values.max() - values.min() + 1 < NAMED_GROUPS:
            continue  # whatever they are, they are few: no need to count
        sizes = values.value_counts()
        repeated = sizes[sizes > 1]
        if len(sizes) >= NAMED_GROUPS and repeated.sum() > 0.5 * len(table.rows):
            found.append(name)
    return found


def _named(name: str) -> bool:
    snake = snake_case(name)
    return bool(ENTITY.fullmatch(snake) or IDENTIFIER.search(snake))


def _constant_within(groups: pd.Series, target: pd.Series, schema: Schema) -> str:
    """Say that the target is the same within groups, beyond chance, or return nothing."""
    if schema.task == "regression" and target.nunique() > 2:
        correlation = _intraclass(groups, target)
        if correlation >= 1 - 1e-9:
            return "constant within each"
        if correlation >= ALIKE:
            return f"nearly constant within each (intraclass correlation {correlation:.2f})"
        return ""
    counts = pd.crosstab(groups, target).to_numpy()
    sizes = counts.sum(axis=1)
    shares = counts.sum(axis=0) / counts.sum()
    alike_by_chance = (shares[None, :] ** sizes[:, None]).sum(axis=1)
    expected = float((1 - alike_by_chance)[sizes > 1].sum())
    mixed = int(((counts > 0).sum(axis=1) > 1).sum())
    if expected < MIXED_BY_CHANCE or mixed > MOST_MIXED * expected:
        return ""
    if not mixed:
        return "constant within each"
    return f"constant within {len(sizes) - mixed} of {len(sizes)}"


def _intraclass(groups: pd.Series, target: pd.Series) -> float:
    """Intraclass correlation ICC(1) of one-way analysis of variance (Shrout and Fleiss 1979).

    (B - W) / (B + (k - 1) W), with mean squares B between and W within groups, k rows in each (for
    uneven groups their mean).
    """
    known = groups.notna()
    grouped = target[known].groupby(groups[known])
    means = grouped.transform("mean")
    count, rows = grouped.ngroups, int(known.sum())
    if count < 2 or rows <= count:
        return 0.0
    within = float(np.square(target[known] - means).sum()) / (rows - count)
    between = float(np.square(means - target[known].mean()).sum()) / (count - 1)
    total = between + (rows / count - 1) * within
    return (between - within) / total if total > 0 else 0.0


def _is_measure(groups: pd.Series, target: pd.Series, schema: Schema) -> bool:
    """Whether neighbouring numbers have alike targets, as ages have and codes have not."""
    if groups.dtype.kind != "f":
        return False
    if schema.task == "regression":
        values = target
    else:
        values = (target == target.mode().iloc[0]).astype("float64")
    means = values.groupby(groups).mean()
    if means.nunique() < 2:
        return False
    return bool(abs(means.corr(means.shift())) > SMOOTH)


def _suggestions(table: Table) -> list[Decision]:
    """Warn of a column whose name alone says that rows belong together."""
    named = [name for name in _repeating(table) if ENTITY.fullmatch(snake_case(name))]
    for name in named:
        groups = table.rows[name]
        different = groups.nunique()
        size = groups.count() / different
        if different >= GROUPS and size <= GROUP_ROWS:
            why = (
                f"by its name, and its values come about {size:.1f} times: if rows of one are"
                f" alike, write group: {name}"
            )
            what = f"`{name}`: rows may belong together, and are split all the same"
            return [Decision(what, why, "params.yaml, split.group", warning=True)]
    return []
