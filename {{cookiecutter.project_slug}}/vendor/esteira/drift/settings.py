"""Thresholds of the drift check, as params.yaml holds them."""

from pydantic import Field

from esteira.line.params import Section


class Limits(Section):
    """The size from which on a significant change of a column is an alarm."""

    ks: float = 0.1
    psi: float = 0.1
    total_variation: float = 0.08
    missing: float = 0.2
    unseen: float = 0.005


class Settings(Limits):
    """Limits and significance levels; `columns` overrides the limits of one column."""

    alpha: float = 0.035
    correlation: float = 0.1
    correlation_alpha: float = 0.003
    auc: float = 0.55
    auc_alpha: float = 0.01
    loss: float = 0.15
    gain: float = 0.1
    concept_alpha: float = 0.03
    support: float = 0.5
    least_rows: int = Field(50, ge=8)
    classifier: bool = True
    columns: dict[str, Limits] = Field(default_factory=dict)

    def of(self, name: str) -> dict:
        """The settings, with one column's own limits."""
        return self.model_dump() | self.columns.get(name, Limits()).model_dump(exclude_unset=True)
