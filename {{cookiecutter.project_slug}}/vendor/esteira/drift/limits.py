"""Where the limits of the drift check are decided: their defaults, which params.yaml overrules.

A change is drift if it is both significant (its p-value is below a level, `…alpha`) and large (its
size reaches a limit). Sizes are explained in `statistics.py`.
"""

from pydantic import Field

from esteira.line.params import Section


class ColumnLimits(Section):
    """The size from which on a significant change of one column is drift, on each scale."""

    ks: float = 0.1  # numbers: largest distance of the two distribution functions
    psi: float = 0.1  # numbers and categories: population stability index
    total_variation: float = 0.08  # categories: share of rows that changed category
    missing: float = 0.2  # share of missing cells: Cohen's h
    unseen: float = 0.005  # share of rows with a category that the reference never had


class Settings(ColumnLimits):
    """All limits and levels of significance; `columns` overrules the limits of one column."""

    alpha: float = 0.03  # level of all columns together
    correlation: float = 0.1  # change of a rank correlation
    correlation_alpha: float = 0.001
    auc: float = 0.55  # how well a classifier tells batch from reference; 0.5 is not at all
    auc_alpha: float = 0.005
    loss: float = 0.15  # rise of the model's error, as a share of what is expected
    gain: float = 0.1  # share of the squared residual that the inputs explain, beyond the holdout's
    concept_alpha: float = 0.02
    support: float = 0.5  # share of the batch that must be like the holdout to judge the concept
    least_rows: int = Field(50, ge=8)  # of reference and batch, for any verdict
    classifier: bool = True  # whether to train one, which takes most of the time
    columns: dict[str, ColumnLimits] = Field(default_factory=dict)

    def of_column(self, name: str) -> ColumnLimits:
        """The limits of one column: its own where it has some, else those of all."""
        limits = {field: getattr(self, field) for field in ColumnLimits.model_fields}
        own = self.columns.get(name)
        if own is not None:
            limits |= own.model_dump(exclude_unset=True)
        return ColumnLimits.model_construct(**limits)
