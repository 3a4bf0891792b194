"""The model: its metrics beside the base's, and its drawings."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from esteira import comparison, gate
from esteira.card.measure import Card
from esteira.comparison import Comparison
from esteira.line import schema as schemas
from esteira.line.errors import UserError
from esteira.line.files import read_json
from esteira.page.words import figure
from esteira.readiness import Tone
from esteira.report.facts import Confusion, Curve, Drawings, Important, Measured, Moved
from esteira.repository import git, snapshot

PLOTS = "reports/evaluate/plots/custom"
CURVES = {
    "roc": Curve(
        "ROC", "false positive rate", "true positive rate", (), shares=True, ideal="chance"
    ),
    "precision_recall": Curve("Precision and recall", "recall", "precision", (), shares=True),
    "calibration": Curve(
        title="Calibration",
        x="predicted probability",
        y="observed share",
        now=(),
        shares=True,
        ideal="perfect",
        dots=True,
    ),
    "predictions": Curve(
        "Predicted against actual", "actual", "predicted", (), ideal="perfect", dots=True
    ),
    "residuals": Curve(
        "Residuals", "predicted", "actual less predicted", (), level=True, dots=True
    ),
}
OF_ROWS = ("predictions", "residuals")  # whose points are rows
MOST_CLASSES = 12  # of a confusion that is drawn
TONES: dict[str, Tone] = {"better": "good", "worse": "bad"}


@dataclass(frozen=True)
class Metrics:
    """Every metric of the evaluation, those of gates.yaml first; why none is compared, if so."""

    measured: tuple[Measured, ...]
    not_compared: str
    shared_rows: int  # that both models answered; 0 where none is compared


def metrics(verdicts: Sequence[gate.Verdict], base: str | None, card: Card | None) -> Metrics:
    """Measure every metric beside the base's. Raises UserError."""
    values = _numbers(gate.read_metrics(gate.EVALUATION))
    names = list(values)
    judged = {verdict.metric: verdict for verdict in verdicts if verdict.file == gate.EVALUATION}
    order = list(judged)
    names.sort(key=lambda name: order.index(name) if name in judged else len(order))
    found = comparison.compare(base, names) if base else []
    by_name = {known.metric: known for known in found if known.difference is not None}
    reasons = [known.reason for known in found]
    return Metrics(
        measured=tuple(
            _measured(name, values[name], judged.get(name), by_name.get(name), card)
            for name in names
        ),
        not_compared="" if by_name else next(iter(reasons), ""),
        shared_rows=max((known.rows for known in by_name.values()), default=0),
    )


def _numbers(found: gate.MetricsFile) -> dict[str, float]:
    """Return the metrics that are of rows held out; one that is no number is told by its gate."""
    numbers = {}
    for name in found.values:
        if name in comparison.METRICS:
            with suppress(UserError):
                numbers[name] = found.number(name)
    return numbers


def _measured(
    name: str,
    now: float,
    judged: gate.Verdict | None,
    compared: Comparison | None,
    card: Card | None,
) -> Measured:
    figures = {figure.name: figure.interval for figure in (card.figures if card else ())}
    interval = figures.get(name)
    higher = comparison.METRICS[name].higher
    return Measured(
        name=name,
        better="higher" if higher else "lower",
        now=now,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        base=compared.base if compared else None,
        moved=_moved(compared) if compared else None,
        tone=TONES.get(compared.verdict, "none") if compared else "none",
        must_be=judged.must_be if judged else "",
        refused=judged.reason if judged else "",
    )


def _moved(compared: Comparison) -> Moved:
    change = compared.difference or 0.0
    if compared.unchanged:
        return Moved("unchanged", "")
    ends = f"[{figure(compared.low)}, {figure(compared.high)}]"
    sign = "+" if change > 0 else ""
    return Moved(compared.verdict, f"{sign}{figure(change)} {ends}")


# ---- drawings


def drawings(base: str | None) -> Drawings:
    """Read the plots that `evaluate` wrote, now and at the base. Raises UserError."""
    what = schemas.load()
    names = [name for name in CURVES if f"{PLOTS}/{name}.json" in _plots()]
    confusion = read_json(f"{PLOTS}/confusion.json") if what.task == "classification" else []
    settings = snapshot.section_of("params.yaml", "evaluate", None)
    return Drawings(
        curves=tuple(_curve(name, base) for name in names),
        confusion=_confusion(confusion),
        importance=tuple(_important()),
        importance_of=str(settings.get("importance", "score")),
        importance_rows=_importance_rows(),
    )


def _plots() -> set[str]:
    found = {path.as_posix() for path in Path(PLOTS).glob("*.json")}
    if not found:
        raise UserError(f"{PLOTS} has no plots: run `uv run dvc repro`.")
    return found


def _curve(name: str, base: str | None) -> Curve:
    known = CURVES[name]
    now = _points(read_json(f"{PLOTS}/{name}.json"))
    before = git.text_at(base, f"{PLOTS}/{name}.json") if base else None
    then = _points(json.loads(before)) if before and not known.dots else ()
    rows = _rows_held_out() if name in OF_ROWS else 0
    return replace(known, now=now, base=then if then != now else (), of_rows=rows)


def _rows_held_out() -> int:
    rows = gate.read_metrics(gate.EVALUATION).values.get("rows")
    return rows if isinstance(rows, int) else 0


def _points(records: Any) -> tuple[tuple[float, float], ...]:
    """Return the points of a plot, its columns in the order of `line/plots.py`: x, then y."""
    return tuple((float(x), float(y)) for x, y in (list(point.values())[:2] for point in records))


def _confusion(cells: list[dict[str, Any]]) -> Confusion | None:
    classes = tuple(dict.fromkeys(str(cell["actual"]) for cell in cells))
    if not 1 < len(classes) <= MOST_CLASSES:
        return None
    counts = {(str(cell["actual"]), str(cell["predicted"])): int(cell["rows"]) for cell in cells}
    rows = tuple(tuple(counts.get((a, p), 0) for p in classes) for a in classes)
    return Confusion(classes, rows)


def _important() -> Iterator[Important]:
    for entry in read_json(f"{PLOTS}/importance.json"):
        yield Important(str(entry["input"]), float(entry["importance"]), entry.get("spread"))


def _importance_rows() -> int:
    return int(next(iter(read_json(f"{PLOTS}/importance.json")), {}).get("rows", 0))
