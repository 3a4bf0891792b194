"""Collect what the report shows, from what the line wrote; what is not here is told, not hidden."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from esteira import gate
from esteira.card import measure
from esteira.card.measure import Card
from esteira.drift import shown
from esteira.drift.verdicts import KEEP, RETRAIN, VERDICTS
from esteira.line.errors import UserError
from esteira.line.files import read_json
from esteira.page.words import figure
from esteira.report import dictionary, line, model
from esteira.report.facts import (
    Candidates,
    Found,
    Measured,
    Part,
    Report,
    Standing,
    Validation,
    Violation,
)
from esteira.repository import base as bases
from esteira.repository import dvc, git, snapshot

DRIFT = "reports/drift_check/shown.json"
VIOLATIONS, VALIDATION = "reports/validate/violations.csv", "reports/validate/metrics.json"
SEARCH = "reports/train/search.csv"
MOST_CANDIDATES = 20


def collect(named: str | None = None) -> Report:
    """Collect the report; `named` is the base to compare with, else the default branch.

    Raises UserError where nothing was reproduced yet, for broken settings, and an unknown base.
    """
    base = bases.find(named)
    verdicts = gate.judge_all(base.comparable)
    stale = _stale()
    card = part(_card)
    found = model.metrics(verdicts, base.comparable, card.found)
    drawings = part(lambda: model.drawings(base.comparable))
    return Report(
        name=Path.cwd().name,
        made=_made(),
        against=f"Not compared: {found.not_compared}" if found.not_compared else base.says(),
        compared=any(measured.moved is not None for measured in found.measured),
        standing=_standing(verdicts, found.measured, stale),
        metrics=found.measured,
        card=card,
        drawings=drawings,
        drift=part(lambda: shown.read(DRIFT)),
        validation=part(_validation),
        search=part(_search),
        line=part(lambda: line.line(base.commit, set(stale))),
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


def _made() -> str:
    now = datetime.now(UTC)
    head = git.commit("HEAD") if git.is_repository() else None
    return f"{now:%Y-%m-%d %H:%M} UTC" + (f", at commit {head[:7]}" if head else "")


def _stale() -> list[str]:
    """Return the stages that dvc.lock does not describe."""
    if dvc.at_work():
        raise UserError(dvc.BUSY)
    with dvc.repository() as repo:
        if dvc.fresh(repo, None):
            return []
        return [name for name, found in dvc.differences(repo, None).items() if found] or [
            "dvc.yaml"
        ]


# ---- the verdict


def _standing(
    verdicts: list[gate.Verdict], metrics: tuple[Measured, ...], stale: list[str]
) -> Standing:
    """Say first what refuses; then what to look at; then that it is ready."""
    refused = tuple(verdict.reason for verdict in verdicts if verdict.reason)
    drift = next((verdict.word for verdict in verdicts if verdict.word), "")
    if stale:
        named = ", ".join(f"`{name}`" for name in stale)
        reason = f"dvc.lock is stale: {named} changed since it was written."
        step = "Run `uv run dvc repro`: the figures below are of before."
        return Standing("bad", "Not reproduced", (reason, *refused), step)
    if refused:
        step = "Mend what the first line says, then `uv run dvc repro` and `uv run esteira gate`."
        return Standing("bad", "Not ready", refused, step)
    leading = _leading(metrics)
    said = next((known for known in VERDICTS if known.action == drift), KEEP)
    if said != KEEP:
        reason = f"The newest batch says `{said.action}`. {said.advice}"
        then = ", then `uv run esteira absorb BATCH`" if said == RETRAIN else ""
        step = f"See the drift below{then}."
        return Standing("look", "Ready, but look at the drift", (leading, reason), step)
    worse = tuple(
        f"`{x.name}` is {x.moved.says()}." for x in metrics if x.moved and x.tone == "bad"
    )
    if worse:
        step = "Every gate lets it pass; say in the pull request why it may be worse."
        return Standing("look", "Ready, but worse than the base", worse, step)
    step = "Commit, `uv run dvc push`, and open a pull request."
    return Standing("good", "Ready", (leading, "Every gate says yes; no drift that matters."), step)


def _is_worse(metrics: tuple[Measured, ...]) -> Iterator[str]:
    for measured in metrics:
        if measured.moved and measured.tone == "bad":
            yield f"`{measured.name}` is {measured.moved.says()}."


def _leading(metrics: tuple[Measured, ...]) -> str:
    """Say how the first metric stands."""
    if not metrics:
        return "No metric of rows held out was measured."
    first = metrics[0]
    moved = f", against the base {first.moved.says()}" if first.moved else ""
    return f"`{first.name}` is {figure(first.now)}{moved}."


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
    if not Path(SEARCH).is_file():
        raise UserError("No search was made: `train.search.candidates` in params.yaml is 0.")
    tried = pd.read_csv(SEARCH)
    if tried.empty:
        raise UserError("No search was made: `train.search.candidates` in params.yaml is 0.")
    names = tuple(str(name) for name in tried)
    rows = tuple(
        tuple(_cell(cell) for cell in row) for row in tried.head(MOST_CANDIDATES).to_numpy()
    )
    return Candidates(names, rows, len(tried))


def _cell(value: object) -> str:
    return figure(float(value)) if isinstance(value, int | float) else str(value)
