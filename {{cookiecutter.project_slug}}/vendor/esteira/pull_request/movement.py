"""Say how far a metric moved, and whether that is better, worse, or no more than chance."""

from esteira.github.markdown import difference, digits
from esteira.pull_request.facts import Compared, Gate


def movement(gate: Gate) -> str:
    """Say how a gate's metric moved since the base: `better by 0.004 [0.001, 0.007]`.

    Where models were compared on the same rows, with the interval; else by its direction alone.
    """
    if gate.compared is not None:
        return compared_movement(gate, gate.compared)
    if gate.base is None or gate.now is None:
        return "–"
    change = gate.now - gate.base
    return "0" if change == 0 else f"{difference(gate.base, gate.now)} {direction(gate, change)}"


def compared_movement(gate: Gate, compared: Compared) -> str:
    """Say the difference on the same rows; where it is worse, by how much worse."""
    change = compared.now - compared.base
    if change == compared.low == compared.high == 0:
        return "0"
    if compared.low <= 0 <= compared.high:
        return f"within chance, {difference(compared.base, compared.now)} {interval(compared)}"
    low, high = sorted((abs(compared.low), abs(compared.high)))
    amount = f"{digits(abs(change), 3)} [{digits(low, 3)}, {digits(high, 3)}]"
    return f"{direction(gate, change)} by {amount}"


def interval(compared: Compared) -> str:
    """Write the interval of a difference that may be of either sign."""
    return f"[{compared.low:+.3g}, {compared.high:+.3g}]"


def direction(gate: Gate, change: float) -> str:
    """Say whether a metric that changed became better or worse, by its gate's direction."""
    return "better" if (change > 0) == (gate.better == "higher") else "worse"
