"""What adopting says: decisions with their evidence, and where each is overruled."""

from dataclasses import dataclass

SHOWN = 60  # decisions that are printed; the others stand as comments in schema.yaml


@dataclass(frozen=True)
class Decision:
    """One thing decided about the table: what, on what evidence, and where to overrule it."""

    what: str
    evidence: str
    where: str = ""
    warning: bool = False

    def line(self) -> str:
        """Say the decision on one line; a warning is marked."""
        mark = "! " if self.warning else "  "
        place = f"  [{self.where}]" if self.where else ""
        return f"{mark}{self.what}: {self.evidence}{place}"


def of_column(name: str, what: str, evidence: str, warning: bool = False) -> Decision:
    """Return a decision on one column, which schema.yaml overrules."""
    return Decision(f"`{name}`: {what}", evidence, f"schema.yaml, columns.{name}", warning)


def describe(decisions: list[Decision], limit: int = SHOWN) -> str:
    """Say each decision on a line, warnings last and marked, so that they are seen."""
    plain = [decision for decision in decisions if not decision.warning]
    warnings = [decision for decision in decisions if decision.warning]
    lines = [decision.line() for decision in plain[:limit]]
    if len(plain) > limit:
        lines.append(f"  … and {len(plain) - limit} more, as comments in schema.yaml")
    lines += [decision.line() for decision in warnings]
    return "\n".join(lines)
