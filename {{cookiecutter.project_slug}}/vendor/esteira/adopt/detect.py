"""Decide from a raw table what each of its columns is: pure functions, decisions as data."""

import difflib
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from esteira.line import table
from esteira.adopt import leaks
from esteira.adopt.cells import MOST, conventions, fits, numeric
from esteira.adopt.sniff import Decision
from esteira.line.errors import UserError
from esteira.line.schema import Column, FileFormat, Schema

MANY = 50  # categories from which a text column counts as high-cardinality
CLASSES = 10  # different whole numbers up to which a numeric target is read as classes
FEW_ROWS = 20  # below, "every value differs" says nothing
POSITIVE = {"yes", "y", "true", "t", "positive", "bad", "churned", "fraud", "default", "malignant"}
POSITIVE |= {"ja", "j", "oui", "o", "sim", "s", "si", "sí"}
IDENTIFIER = re.compile(r"(^|[^a-z])(id|key|uuid|guid|index|idx|nr|no|rowid|instant)$")
NOT_TIME = re.compile(r"birth|dob|born", re.IGNORECASE)
TIME_NAME = re.compile(r"date|time|day|month|stamp", re.IGNORECASE)
DAYS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%d/%m/%y")
DAYS += ("%m/%d/%y", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%d %B %Y")
DAYS += ("%B %d, %Y", "%Y-%m", "%b %Y", "%B %Y", "%Y.%m.%d")
HOURS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %H.%M.%S")


@dataclass(frozen=True)
class Found:
    """What was decided: the schema, a remark for some columns, and every decision to print."""

    schema: Schema
    notes: dict[str, str]
    decisions: list[Decision]


@dataclass(frozen=True)
class _Guess:
    """One column's guess; `reason` is set where the column is put aside."""

    column: Column
    note: str = ""
    reason: str = ""
    warning: bool = False


def detect(
    raw: pd.DataFrame,
    form: FileFormat,
    target: str,
    time: str | None = None,
    task: str | None = None,
    positive: str | None = None,
) -> Found:
    """Decide the schema of a raw table (text cells, or typed ones from Parquet and JSON).

    Raises UserError where the line could not run: unknown or useless target or time, no rows,
    no usable feature.
    """
    if raw.empty:
        raise UserError("the table has a header and no rows: there is nothing to learn from.")
    for name in filter(None, (target, time)):
        if name not in raw:
            hint = " ".join(["", *(f"Perhaps {d.evidence}." for d in _header(raw, form))])
            raise UserError(f"the table has no column `{name}`: {closest(name, list(raw))}{hint}")
    if target == time:
        raise UserError(f"`{target}` cannot be both target and time: choose one.")
    raw, form, decisions = conventions(raw, form, target)
    decisions += _header(raw, form)
    if raw[target].count() == 0:
        raise UserError(f"the target `{target}` is missing in all {len(raw)} rows.")
    guesses = {name: guess(raw[name], form, name == time) for name in raw}
    time = _time(raw, guesses, form, target, time, decisions)
    columns = {name: found.column for name, found in guesses.items()}
    columns[target], task, positive = _target(raw[target], guesses[target], form, task, positive)
    notes = {name: found.note for name, found in guesses.items() if found.note}
    for name, found in guesses.items():
        if name not in (target, time) and found.reason:
            decisions.append(_column(name, columns[name].role, found.reason, found.warning))
            notes[name] = found.reason
    if time:
        columns[time] = columns[time].model_copy(update={"role": "time"})
    columns = {n: _missing(columns[n], raw[n], target, decisions) for n in columns}
    try:
        schema = Schema(task=task, positive=positive, file=form, columns=columns)
    except ValueError:
        raise UserError(
            f"no column is left to learn `{target}` from: the others are constant, empty,"
            " identifiers or dates."
        ) from None
    typed, rejects = table.parse(raw, schema)
    columns, more = _ranges(raw, typed, schema, rejects, notes)
    decisions += [*_about_target(typed[target].dropna(), schema), *more]
    schema = schema.model_copy(update={"columns": columns})
    schema, more = leaks.set_aside(typed, schema, notes)
    return Found(schema, notes, [*decisions, *_kinds(schema), *more])


def closest(name: str, names: list[str]) -> str:
    """Say which of `names` was probably meant."""
    lower = {str(n).lower(): n for n in reversed(names)}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    if near:
        return f"did you mean `{lower[near[0]]}`?"
    listed = ", ".join(f"`{n}`" for n in names[:10])
    return f"it has {listed}{' …' if len(names) > 10 else ''}."


def _column(name: str, what: str, evidence: str, warning: bool = False) -> Decision:
    return Decision(f"`{name}`: {what}", evidence, f"schema.yaml, columns.{name}", warning)


def _header(raw: pd.DataFrame, form: FileFormat) -> list[Decision]:
    """Warn where the names look like a row of data."""
    own = [name for name in raw if re.fullmatch(r"[+-]?\d+([.,]\d+)?(\.\d+)?", name)]
    own += [n for n in raw if n not in own and raw[n].dtype == "str" and (raw[n] == n).any()]
    if not form.header or len(own) < max(2, 0.5 * raw.shape[1]):
        return []
    why = f"the names {', '.join(own[:3])} look like data: if the file has no header, say"
    why += " --no-header, and its columns are column_1, column_2 …"
    return [Decision("the first line is the header", why, "schema.yaml, file.header", warning=True)]


def guess(values: pd.Series, form: FileFormat, is_time: bool = False) -> _Guess:
    """Guess type and role of one column whose missing tokens are blanked out."""
    counts = values.value_counts()
    if len(counts) == 0:
        return _Guess(Column(type="text", role="ignored"), reason="all cells are missing")
    column = _type(values, counts, form, is_time)
    if len(counts) == 1 and not values.isna().any():
        ignored = column.model_copy(update={"role": "ignored"})
        return _Guess(ignored, reason=f"constant: always {counts.index[0]!s:.40}")
    if column.type in ("boolean", "datetime", "number"):
        return _Guess(column)
    return _identity(values, counts, column, form)


def _type(values: pd.Series, counts: pd.Series, form: FileFormat, is_time: bool) -> Column:
    kinds = pd.api.types
    if kinds.is_bool_dtype(values):
        return Column(type="boolean")
    if kinds.is_datetime64_any_dtype(values):
        return Column(type="datetime")
    words = {str(value).lower() for value in counts.index[:3]}
    if len(words) == 2 and len(words & table.TRUE) == 1 and len(words & table.FALSE) == 1:
        return Column(type="boolean")
    if kinds.is_numeric_dtype(values):
        gaps = values.isna().any()  # integers with a gap arrive as floats
        whole = kinds.is_integer_dtype(values) or (gaps and (counts.index % 1 == 0).all())
        return Column(type="integer" if whole else "number")
    date = _date(values, counts, is_time)
    if date:
        return Column(type="datetime", format=date)
    is_number = numeric(counts.index, form)
    code = fits(counts.index, r"0\d{2,}|\d{16,}").any()
    if counts[is_number].sum() >= MOST * counts.sum() and not code:
        whole = fits(counts.index[is_number], r"[+-]?\d+").all()
        return Column(type="integer" if whole else "number")
    return Column(type="category" if len(counts) <= MANY else "text")


def _identity(values: pd.Series, counts: pd.Series, column: Column, form: FileFormat) -> _Guess:
    """Recognise identifiers, near-identifiers, free text and high-cardinality text."""
    different, filled = len(counts), int(counts.sum())
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(values.name)).lower()
    named = bool(IDENTIFIER.search(snake)) and different > 0.5 * filled
    share = f"{different} different values in {filled} cells"
    if column.type == "integer":
        numbers = table.cast(values, column, form).dropna()
        counted = filled >= FEW_ROWS and numbers.max() - numbers.min() + 1 == different == filled
        if counted or (named and filled >= FEW_ROWS):
            why = "counts the rows" if counted else f"its name, and {share}"
            identifier = column.model_copy(update={"role": "identifier"})
            return _Guess(identifier, reason=why)
        return _Guess(column)
    if different > FEW_ROWS and (unit := _unit(counts.index[:200].tolist())):
        why = f"numbers with the unit {unit!r}, as {counts.index[0]!r}: write them without it"
        return _Guess(column.model_copy(update={"role": "ignored"}), reason=why, warning=True)
    if filled >= FEW_ROWS and (named or different >= 0.9 * filled):
        if np.mean([word.count(" ") for word in counts.index[:200]]) >= 3:
            ignored = column.model_copy(update={"type": "text", "role": "ignored"})
            return _Guess(ignored, reason=f"free text: {share}", warning=True)
        near = "" if different == filled else "nearly so: "
        identifier = column.model_copy(update={"type": "text", "role": "identifier"})
        return _Guess(identifier, reason=near + share)
    return _Guess(column, note=f"high cardinality: {share}" if column.type == "text" else "")


def _unit(words: list[str]) -> str:
    """The one unit that stands before (a currency) or after all the numbers, if there is one."""
    found = [
        re.fullmatch(r"([$€£¥]?) ?[+-]?\d[\d.,' ]*?(|%|[$€£¥]| ?[^\W\d]{1,4})", w) for w in words
    ]
    units = {(part[1] + part[2]).strip() for part in found if part}
    return units.pop() if None not in found and len(units) == 1 else ""


def _date(values: pd.Series, counts: pd.Series, is_time: bool) -> str | None:
    """Find the format in which the cells are dates, the month-first question settled by order."""
    sample = counts.index[:200]
    eight = fits(sample, r"(19|20)\d\d(0[1-9]|1[0-2])[0-3]\d").all()
    if eight and (is_time or TIME_NAME.search(str(values.name))):
        return "%Y%m%d"
    likely = fits(sample, r"(?=.*\d)\w{1,9}[-/. ,][\w:.,+\- /]{3,32}")
    if likely.mean() < MOST or fits(sample, r"[+-]?\d*[.,]\d*").mean() > 1 - MOST:
        return None
    sample = sample.to_series()
    formats = ["ISO8601", *(day + hour for day in DAYS for hour in HOURS)]
    found = [form for form in formats if _parsed(sample, form).notna().mean() >= MOST]
    found = [f for f in found if _parsed(values.dropna(), f).notna().mean() >= MOST]
    return max(found, key=lambda f: _ordered(_parsed(values, f)), default=None)


def _parsed(values: pd.Series, form: str) -> pd.Series:
    return pd.to_datetime(values, format=form, errors="coerce", utc=True)


def _ordered(moments: pd.Series) -> float:
    """Share of rows that are not earlier than the row before."""
    steps = moments.dropna().diff().dropna()
    return float((steps >= steps.iloc[0] * 0).mean()) if len(steps) else 0.0


def _target(
    values: pd.Series, found: _Guess, form: FileFormat, task: str | None, positive: str | None
) -> tuple[Column, str, str | None]:
    """Decide the task and, of two classes, the positive one. Raises UserError."""
    counts = values.value_counts()
    name = values.name
    if len(counts) < 2:
        raise UserError(
            f"the target `{name}` is always {counts.index[0]!r}: there is nothing to learn."
        )
    if task not in (None, "classification", "regression"):
        raise UserError(f"--task is {task!r}: it must be classification or regression.")
    number = found.column.type in ("number", "integer")
    classes = len(counts) <= 2 or (found.column.type == "integer" and len(counts) <= CLASSES)
    task = task or ("regression" if number and not classes else "classification")
    if task == "regression":
        column = Column(type=found.column.type if number else "number", role="target")
        if table.cast(values, column, form).notna().sum() < MOST * counts.sum():
            raise UserError(f"the target `{name}` is not numeric: regression needs numbers.")
        if positive is not None:
            raise UserError("--positive is for classification; the task is regression.")
        return column, task, None
    column = Column(type="category", role="target")
    classes = table.cast(values, column, form).value_counts()
    if len(classes) > 100:
        raise UserError(
            f"the target `{name}` has {len(classes)} different values, too many for classes:"
            " give --task regression or another target."
        )
    if positive is not None and positive not in classes.index:
        raise UserError(
            f"`{name}` has no class {positive!r}: {closest(positive, [*classes.index])}"
        )
    if positive is not None and len(classes) != 2:
        raise UserError(f"--positive needs two classes; `{name}` has {len(classes)}.")
    if positive is None and len(classes) == 2:
        said = [c for c in classes.index if c.lower() in POSITIVE]
        ones = ["1"] if set(classes.index) in ({"0", "1"}, {"-1", "1"}) else []
        positive = next(iter([*said, *ones] if len(said) < 2 else []), classes.index[-1])
    return column, task, positive


def _about_target(values: pd.Series, schema: Schema) -> list[Decision]:
    """Say the task, the classes' shares and what is unusual about them."""
    name, counts = schema.target, values.value_counts()
    if schema.task == "regression":
        seen = f"{len(counts)} different numbers, {values.min():g} to {values.max():g}"
        return [Decision(f"regression of `{name}`", seen, "schema.yaml, task; --task")]
    shares = ", ".join(f"{c} {k / len(values):.1%}" for c, k in counts.head(5).items())
    seen = f"{len(counts)} classes: {shares}{' …' if len(counts) > 5 else ''}"
    found = [Decision(f"classification of `{name}`", seen, "schema.yaml, task; --task")]
    if schema.positive:
        told = schema.positive.lower() in POSITIVE or schema.positive == "1"
        why = "by its name" if told else "the rarer class, or as given"
        found.append(Decision(f"positive class {schema.positive}", why, "schema.yaml, positive"))
    if counts.iloc[-1] < 0.2 * len(values) and len(counts) == 2:
        why = f"{counts.index[-1]} is {counts.iloc[-1] / len(values):.1%} of the rows"
        found.append(
            Decision("imbalanced classes", f"{why}: accuracy says little", "", warning=True)
        )
    rare = [str(c) for c, k in counts.items() if k < 10]
    if rare:
        why = f"fewer than 10 rows each: {', '.join(rare[:5])}: merge or drop them"
        found.append(Decision("classes too rare to learn", why, "", warning=True))
    return found


def _time(
    raw: pd.DataFrame,
    guesses: dict[str, _Guess],
    form: FileFormat,
    target: str,
    time: str | None,
    decisions: list[Decision],
) -> str | None:
    """Confirm the time column, or choose one whose dates rise with the rows."""
    if time is not None:
        if guesses[time].column.type not in ("datetime", "integer", "number"):
            example = next(iter(raw[time].dropna()), "every cell is missing")
            raise UserError(
                f"`{time}` cannot order the rows ({example!s:.40}): it needs dates, such as"
                " 2026-01-31, or numbers; correct it, or leave --time out."
            )
        why = "as given"
    else:
        dates = [
            n
            for n, g in guesses.items()
            if g.column.type == "datetime" and n != target and not g.reason
        ]
        order = {n: _ordered(table.cast(raw[n], guesses[n].column, form)) for n in dates}
        rising = [n for n in dates if order[n] >= MOST and not NOT_TIME.search(n)]
        if len(rising) != 1:
            if dates:
                why = f"{', '.join(dates)}: none, or more than one, rises with the rows"
                decisions.append(Decision("no time column", why, "--time"))
            return None
        time, why = rising[0], f"its dates rise in {order[rising[0]]:.0%} of the rows"
    cells = table.cast(raw[time], guesses[time].column, form)
    why += f"; {cells.min()} to {cells.max()}"
    decisions.append(_column(time, "time, the newest rows are held out", why))
    if form_ := guesses[time].column.format:
        decisions.append(_column(time, f"date format {form_}", f"`{raw[time].dropna().iloc[-1]}`"))
    return time


def _missing(column: Column, values: pd.Series, target: str, decisions: list[Decision]) -> Column:
    """Allow missing cells where there are some; a row without target or time is left out."""
    gaps = int(values.isna().sum())
    if gaps and (values.name == target or column.role == "time"):
        why = f"`{values.name}` is missing in {gaps} of {len(values)} rows"
        decisions.append(Decision(f"{gaps} rows are left out", why, "", warning=True))
    return column.model_copy(update={"missing": gaps > 0})


def _ranges(
    raw: pd.DataFrame,
    typed: pd.DataFrame,
    schema: Schema,
    rejects: pd.DataFrame,
    notes: dict[str, str],
) -> tuple[dict[str, Column], list[Decision]]:
    """Give numbers a range and categories their list; tell of gaps, odd cells and sentinels."""
    columns, decisions = {}, []
    lost = rejects.groupby("column")["value"].agg(["count", "first"])
    for name, column in schema.columns.items():
        update: dict[str, Any] = {}
        values = typed[name].dropna()
        gaps = len(typed) - len(values)
        if name in lost.index:
            count, example = lost.loc[name, "count"], lost.loc[name, "first"]
            why = f"{count} cells are not, as {example!r:.40}; they count as missing"
            decisions.append(_column(name, column.type, why, warning=True))
            update["missing"] = True
        elif gaps and column.role == "feature":
            why = f"{len(values)} of {len(typed)} cells; {gaps} missing"
            decisions.append(_column(name, column.type, why))
        if column.numeric and column.role in ("feature", "target") and len(values):
            update["min"], update["max"] = _span(values)
            notes.setdefault(name, f"{values.min():g} to {values.max():g}")
            decisions += _sentinel(values, raw[name])
        elif column.type == "category" and column.role in ("feature", "target"):
            update["allowed"] = tuple(sorted(values.unique()))
        if gaps and len(values):
            notes[name] = ", ".join(filter(None, [notes.get(name), f"{gaps} missing"]))
        columns[name] = column.model_copy(update=update)
    return columns, decisions


def _span(values: pd.Series) -> tuple[float, float]:
    """Bounds for blunders, not for drift: what was seen, widened by its own width.

    Codes that fill a short range, such as months, keep the range as it is.
    """
    low, high = float(values.min()), float(values.max())
    counts = values.value_counts()
    if len(counts) == high - low + 1 <= 31 and counts.min() >= 5 and (counts.index % 1 == 0).all():
        return low, high
    width = min(high - low, 1e300 - max(-low, high))
    if width <= 0:  # as large as numbers can be
        return low, high
    return 0.0 if low >= 0 else -_up(width - low), _up(high + width)


def _up(bound: float) -> float:
    """Round up to two significant digits."""
    if abs(bound) < 1e-300:
        return max(bound, 0.0)
    step = 10.0 ** (math.floor(math.log10(abs(bound))) - 1)
    return max(bound, float(f"{math.ceil(bound / step) * step:.3g}"))


def _kinds(schema: Schema) -> list[Decision]:
    """One line for each type, with its columns."""
    found = []
    for kind in ("number", "integer", "category", "boolean", "datetime", "text"):
        names = [n for n in schema.features if schema.columns[n].type == kind]
        if names:
            seen = ", ".join(names[:6]) + (" …" if len(names) > 6 else "")
            rule = {"category": "allowed values", "number": "range", "integer": "range"}.get(kind)
            where = "schema.yaml, columns" + (f"; {rule} there too" if rule else "")
            found.append(Decision(f"{kind}, {len(names)} features", seen, where))
    return found


def _sentinel(values: pd.Series, written: pd.Series) -> list[Decision]:
    """Suggest that a repeated value far from all others stands for missing."""
    counts = values.value_counts().sort_index()
    for at, rest in ((0, counts.index[1:]), (-1, counts.index[:-1])):
        value, count = counts.index[at], counts.iloc[at]
        if len(rest) < 5 or count < max(5, 0.002 * len(values)):
            continue
        gap = rest[0] - value if at == 0 else value - rest[-1]
        nines = re.fullmatch(r"-?9{2,}", f"{value:g}") and gap > 0.2 * (rest[-1] - rest[0])
        if gap > rest[-1] - rest[0] or nines or value < 0 <= rest[0]:
            token = str(written[values.index[values == value][0]])
            why = f"{count} cells, all others are {rest[0]:g} to {rest[-1]:g}"
            hint = f"if it means missing, add '{token}' to file.missing, `missing: true` here"
            what = f"`{values.name}`: {token} is kept as a number"
            return [Decision(what, f"{why}; {hint}", "schema.yaml, file.missing", warning=True)]
    return []
