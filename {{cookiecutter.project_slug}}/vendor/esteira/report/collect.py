"""Collect what the report shows, from what the line wrote; what is not here is told, not hidden."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from esteira import standing
from esteira.card import measure
from esteira.card.measure import Card
from esteira.drift import shown
from esteira.line.errors import UserError
from esteira.line.files import read_json
from esteira.page.words import counted, figure
from esteira.report import dictionary, line, model
from esteira.report.facts import (
    Candidates,
    Found,
    Part,
    Report,
    Validation,
    Violation,
)
from esteira.repository import git, snapshot
from esteira.repository.base import Base

DRIFT = "reports/drift_check/shown.json"
VIOLATIONS, VALIDATION = "reports/validate/violations.csv", "reports/validate/metrics.json"
SEARCH = "reports/train/search.csv"
MOST_CANDIDATES = 20


def collect(named: str | None = None) -> Report:
    """Collect the report; `named` is the base to compare with, else the default branch.

    Raises UserError where nothing was reproduced yet, for broken settings, and an unknown base.
    """
    found = standing.find(named)
    base = found.base
    card = part(_card)
    metrics = model.metrics(found.verdicts, base.comparable, card.found)
    drawings = part(lambda: model.drawings(base.comparable))
    return Report(
        name=Path.cwd().name,
        made=_made(),
        against=_against(base, metrics),
        compared=any(measured.moved is not None for measured in metrics.measured),
        standing=found,
        metrics=metrics.measured,
        card=card,
        drawings=drawings,
        drift=part(lambda: shown.read(DRIFT)),
        validation=part(_validation),
        search=part(_search),
        line=part(lambda: line.line(base.commit, set(found.stale))),
        lineage=part(line.lineage),
        dictionary=dictionary.dictionary(drawings.found),
        features=part(dictionary.features),
    )


def part(make: Callable[[], Found]) -> Part[Found]:
    """Make a part of the page; where its files are not here, keep the reason."""
    try:
        return Part(make())
    except UserError as error:
        return Part(None, str(error))


def _against(base: Base, metrics: model.Metrics) -> str:
    """Say with what the metrics are compared, and on which rows."""
    if metrics.not_compared:
        return f"Not compared: {metrics.not_compared}"
    if not metrics.shared_rows:
        return base.says()
    rows = counted(metrics.shared_rows, "row")
    return f"{base.says()} The base and the difference are of the {rows} that both models answered."


def _made() -> str:
    now = datetime.now(UTC)
    head = git.commit("HEAD") if git.is_repository() else None
    if head is None:
        return f"{now:%Y-%m-%d %H:%M} UTC"
    more = " and changes that are not committed" if git.changed() else ""
    return f"{now:%Y-%m-%d %H:%M} UTC, at commit {head[:7]}{more}"


# ---- parts


def _card() -> Card:
    section: Mapping[str, int] = snapshot.section_of("params.yaml", "card", None)
    return measure.measure(int(section.get("columns", 3)), int(section.get("least_rows", 20)))


def _validation() -> Validation:
    figures = read_json(VALIDATION)
    try:
        rows = pd.read_csv(VIOLATIONS, dtype=str, keep_default_na=False)
    except OSError:
        raise UserError(f"{VIOLATIONS} is not here: run `uv run dvc repro validate`.") from None
    violations = tuple(
        Violation(row["column"], row["rule"], int(row["rows"]), row["examples"])
        for row in rows.to_dict("records")
    )
    return Validation(int(figures["rows"]), int(figures["rows_kept"]), violations)


def _search() -> Candidates:
    none = "No search was made: `train.search.candidates` in params.yaml is 0."
    if not Path(SEARCH).is_file():
        raise UserError(none)
    tried = pd.read_csv(SEARCH)
    if tried.empty:
        raise UserError(none)
    best = tried.head(MOST_CANDIDATES).to_numpy()
    scores = tried[["rank", "score", "spread"]].astype(float).itertuples(index=False, name=None)
    return Candidates(
        names=tuple(str(name) for name in tried),
        rows=tuple(tuple(_cell(cell) for cell in row) for row in best),
        scores=tuple(scores),
        tried=len(tried),
    )


def _cell(value: object) -> str:
    return figure(float(value)) if isinstance(value, int | float) else str(value)
