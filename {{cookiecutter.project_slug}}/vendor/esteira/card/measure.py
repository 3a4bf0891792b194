"""The numbers of a card, from what the line wrote."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from esteira.card import said
from esteira.drift.verdicts import BY_CODE
from esteira.line import model_file, parts, predictions, table
from esteira.line import schema as schemas
from esteira.line.errors import UserError
from esteira.line.files import md5_of, read_json
from esteira.line.influence import CLASSIFICATION, REGRESSION, Metric, Undefined
from esteira.line.predictions import Answers
from esteira.line.schema import Schema
from esteira.page.words import exact, figure

Z = 1.959964  # of a normal distribution, for 95 %
METRICS = CLASSIFICATION | REGRESSION
BINS = 10  # of calibration
MOST_CATEGORIES = 8  # of one column, the commonest
QUARTERS = (0.25, 0.5, 0.75)
TRAIN, HOLDOUT = "data/train.parquet", "data/holdout.parquet"
MODEL = "models/model.skops"
IMPORTANCE = "reports/evaluate/plots/custom/importance.json"
TRAINING, EVALUATION = "reports/train/metrics.json", "reports/evaluate/metrics.json"
DRIFT, VALIDATION = "reports/drift_check/metrics.json", "reports/validate/metrics.json"


@dataclass(frozen=True)
class Interval:
    """A measured value and its 95 % interval; the ends are absent where rows are too few."""

    value: float
    low: float | None = None
    high: float | None = None

    def says(self) -> str:
        """Say it as `0.842 [0.831, 0.853]`."""
        text = figure(self.value)
        if self.low is None or self.high is None:
            return text
        return f"{text} [{figure(self.low)}, {figure(self.high)}]"


@dataclass(frozen=True)
class Figure:
    """One metric on the rows held out."""

    name: str
    better: str  # higher or lower
    interval: Interval


@dataclass(frozen=True)
class Segment:
    """A metric on some of the rows held out."""

    column: str
    rows_with: str
    rows: int
    interval: Interval | None  # None: too few rows


@dataclass(frozen=True)
class Bin:
    """Rows to which the model gave a like probability, and how often it was so."""

    predicted: float
    observed: Interval
    rows: int


@dataclass(frozen=True)
class Data:
    """What the model learnt, and was measured on."""

    learnt: int  # rows
    held_out: int  # rows
    inputs: int
    period: str  # of both; "" without a time column
    md5: str  # of the rows that were learnt
    refused: int  # rows in violation of a rule of schema.yaml
    rules_broken: int


@dataclass(frozen=True)
class Drift:
    """What the last batch's check found."""

    action: str
    headline: str
    rows: int
    columns_drifted: int
    columns_checked: int


@dataclass(frozen=True)
class Card:
    """All that a card says."""

    target: str
    positive: str | None
    task: str
    estimator: str
    md5: str
    said: said.Said
    data: Data
    figures: tuple[Figure, ...]
    of_segments: str  # the metric that segments are measured in
    segments: tuple[Segment, ...]
    calibration: tuple[Bin, ...]
    drift: Drift | None


def measure(columns: int, least_rows: int) -> Card:
    """Measure a card; `columns` inputs are broken down, into segments of at least `least_rows`.

    Raises UserError where the line has not written what it needs.
    """
    what = schemas.load()
    answers = predictions.read()
    if parts.count(HOLDOUT) != len(answers.keys):
        raise UserError(
            f"{HOLDOUT} and {predictions.PATH} have other rows: run `uv run dvc repro`."
        )
    reported = read_json(EVALUATION)
    metrics = {name: METRICS[name] for name in reported if name in METRICS}
    name = "accuracy" if what.task == "classification" else "mae"
    return Card(
        target=what.target,
        positive=what.positive,
        task=what.task,
        estimator=model_file.estimator(MODEL),
        md5=md5_of(MODEL),
        said=said.read(),
        data=_data(what, len(answers.keys)),
        figures=tuple(_figures(metrics, answers, what.positive)),
        of_segments=name,
        segments=tuple(
            segment
            for column in most_important(what, columns)
            for segment in segments(
                table.read(HOLDOUT, [column])[column], what, answers, name, least_rows
            )
        ),
        calibration=tuple(calibration(answers, what.positive)),
        drift=_drift(),
    )


def _period(what: Schema) -> str:
    """Say from when to when the rows are; "" without a time column."""
    if what.time is None:
        return ""
    sides = [table.read(path, [what.time])[what.time] for path in (TRAIN, HOLDOUT)]
    times = pd.concat(sides).dropna()
    if times.empty:
        return ""
    if what.columns[what.time].numeric:
        return f"{times.min():.12g} to {times.max():.12g}"
    return f"{times.min():%Y-%m-%d} to {times.max():%Y-%m-%d}"


def _data(what: Schema, held_out: int) -> Data:
    learnt = int(read_json(TRAINING).get("rows", parts.count(TRAIN)))
    validated = read_json(VALIDATION)
    return Data(
        learnt=learnt,
        held_out=held_out,
        inputs=len(what.inputs),
        period=_period(what),
        md5=md5_of(TRAIN),
        refused=int(validated.get("rows_in_violation", 0)),
        rules_broken=int(validated.get("rules_broken", 0)),
    )


def interval(name: str, answers: Answers, positive: str | None) -> Interval:
    """Measure one metric with its 95 % interval, by the rows' influences. Raises Undefined.

    That of accuracy is Wilson's, as a share of few rows may well be 1.
    """
    metric = METRICS[name]
    measured = metric.measure(answers, positive)
    if name == "accuracy":
        rows = len(answers.keys)
        return wilson(round(measured.value * rows), rows)
    error = float(np.std(measured.influence, ddof=1)) / np.sqrt(len(answers.keys))
    low, high = measured.value - Z * error, measured.value + Z * error
    # Scores are at most 1, and nothing but r2 is below 0.
    high = min(high, 1.0) if metric.higher else high
    low = low if name == "r2" else max(low, 0.0)
    return Interval(float(measured.value), float(low), float(high))


def _figures(
    metrics: dict[str, Metric], answers: Answers, positive: str | None
) -> Iterator[Figure]:
    for name, metric in metrics.items():
        try:
            found = interval(name, answers, positive)
        except Undefined:
            continue
        yield Figure(name, "higher" if metric.higher else "lower", found)


def most_important(what: Schema, count: int) -> list[str]:
    """Return the inputs that the score loses most without, the first ones of `evaluate`'s list."""
    ordered = sorted(read_json(IMPORTANCE), key=lambda entry: -entry["importance"])
    features = [entry["input"] for entry in ordered if entry["input"] in what.features]
    return features[:count]


def segments(
    values: pd.Series, what: Schema, answers: Answers, metric: str, least_rows: int
) -> Iterator[Segment]:
    """Measure a metric in each part of a column: its commonest categories, or its quarters."""
    column = str(values.name)
    for rows_with, places in _parts(values.reset_index(drop=True), what):
        if not len(places):
            continue
        found = None
        if len(places) >= least_rows:
            try:
                found = interval(metric, answers.take(places), what.positive)
            except Undefined:
                found = None
        yield Segment(column, rows_with, len(places), found)


def _parts(values: pd.Series, what: Schema) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the parts of a column in words, and the places of their rows."""
    missing = values.isna().to_numpy()
    if what.columns[str(values.name)].numeric:
        edges = np.unique(values.dropna().quantile(list(QUARTERS)))
        bounds = [-np.inf, *edges, np.inf]
        whole = what.columns[str(values.name)].type == "integer"
        for low, high in pairwise(bounds):
            inside = ((values > low) & (values <= high)).to_numpy()
            first = low + 1 if whole and np.isfinite(high) else low
            yield _between(first, high), np.flatnonzero(inside)
    else:
        ordered = values.value_counts().index
        for name in ordered[:MOST_CATEGORIES]:
            yield str(name), np.flatnonzero((values == name).to_numpy())
        others = ordered[MOST_CATEGORIES:]
        if len(others):
            yield f"{len(others)} others", np.flatnonzero(values.isin(others).to_numpy())
    yield "missing", np.flatnonzero(missing)


def _between(low: float, high: float) -> str:
    if low == high:
        return exact(low)
    if np.isinf(low):
        return f"up to {exact(high)}"
    return f"above {exact(low)}" if np.isinf(high) else f"{exact(low)} to {exact(high)}"


def calibration(answers: Answers, positive: str | None) -> Iterator[Bin]:
    """Compare the probabilities of `positive` with how often it was so, in bins of equal width.

    The intervals are Wilson's (1927, https://doi.org/10.1080/01621459.1927.10502953).
    """
    if positive is None or positive not in answers.classes:
        return
    given = answers.said[:, answers.classes.index(positive)]
    truth = answers.actual == positive
    which = np.minimum((given * BINS).astype(int), BINS - 1)
    for number in range(BINS):
        inside = which == number
        rows = int(inside.sum())
        if rows:
            yield Bin(float(given[inside].mean()), wilson(int(truth[inside].sum()), rows), rows)


def wilson(hits: int, rows: int) -> Interval:
    """Return a share with Wilson's 95 % interval."""
    share = hits / rows
    middle = (share + Z**2 / (2 * rows)) / (1 + Z**2 / rows)
    spread = np.sqrt(share * (1 - share) / rows + Z**2 / (4 * rows**2)) / (1 + Z**2 / rows)
    return Interval(
        share, float(max(0.0, middle - Z * spread)), float(min(1.0, middle + Z * spread))
    )


def _drift() -> Drift | None:
    found = read_json(DRIFT)
    verdict = BY_CODE.get(found.get("action"))
    if verdict is None:
        return None
    return Drift(
        action=verdict.action,
        headline=verdict.headline,
        rows=int(found.get("rows_current", 0)),
        columns_drifted=int(found.get("columns_drifted", 0)),
        columns_checked=int(found.get("columns_checked", 0)),
    )
