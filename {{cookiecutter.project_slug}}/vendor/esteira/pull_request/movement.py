"""Say how far a metric moved, and whether that is better, worse, or no more than noise."""

from esteira.github.markdown import difference
from esteira.page.words import ROUNDING, figure
from esteira.pull_request.facts import Compared, Gate

UNCHANGED = "unchanged"


def movement(gate: Gate) -> str:
    """Say how a gate's metric moved since the base: `↑ better, +0.004 [+0.001, +0.007]`.

    Where models were compared on the same rows, with the interval; else by its direction alone.
    """
    verdict = verdict_of(gate)
    if verdict in ("", UNCHANGED):
        return verdict or "–"
    if gate.compared is None:
        moved = difference(gate.base, gate.now)
        return f"{arrow(moved)}{verdict}, {moved}"
    moved = difference(gate.compared.base, gate.compared.now)
    return f"{arrow(moved)}{verdict}, {moved} {interval(gate.compared)}"


def arrow(moved: str) -> str:
    """Say by an arrow whether a figure went up or down."""
    return {"+": "↑ ", "-": "↓ "}.get(moved[:1], "")


def verdict_of(gate: Gate) -> str:
    """Say in a word or two how a metric moved; "" where that is not known."""
    if gate.compared is not None:
        compared = gate.compared
        change = compared.now - compared.base
        if max(abs(change), abs(compared.low), abs(compared.high)) < ROUNDING:
            return UNCHANGED
        if compared.low <= 0 <= compared.high:
            return "within noise"
        return direction(gate, change)
    if gate.base is None or gate.now is None:
        return ""
    return direction(gate, gate.now - gate.base) if gate.now != gate.base else UNCHANGED


def interval(compared: Compared) -> str:
    """Write the interval of a difference."""
    low, high = (f"{'+' if end > 0 else ''}{figure(end)}" for end in (compared.low, compared.high))
    return f"[{low}, {high}]"


def direction(gate: Gate, change: float) -> str:
    """Say whether a metric that changed became better or worse, by its gate's direction."""
    return "better" if (change > 0) == (gate.better == "higher") else "worse"
