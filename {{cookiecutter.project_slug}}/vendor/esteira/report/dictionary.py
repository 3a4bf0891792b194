"""The data dictionary: the table's columns, and the features that are made of them."""

from typing import Any

import numpy as np

from esteira.line import parts
from esteira.line import schema as schemas
from esteira.line.errors import UserError
from esteira.line.schema import Column
from esteira.report.facts import Drawings, Feature, Features, Term
from esteira.repository import own_code

HOLDOUT = "data/holdout.parquet"
ROWS = 200  # that the features are made of


def dictionary(drawings: Drawings | None) -> tuple[Term, ...]:
    """Say what each column of schema.yaml holds."""
    losses = {known.name: known.loss for known in drawings.importance} if drawings else {}
    columns = schemas.load().columns
    return tuple(
        Term(
            name=name,
            role=column.role,
            type=column.type,
            unit=column.unit or "",
            description=column.description or "",
            rules=_rules(column),
            loss=losses.get(name),
        )
        for name, column in columns.items()
    )


def _rules(column: Column) -> str:
    rules = []
    if column.min is not None:
        rules.append(f"from {column.min:g}")
    if column.max is not None:
        rules.append(f"up to {column.max:g}")
    if column.allowed is not None:
        shown = ", ".join(column.allowed[:6])
        rules.append(f"{shown} and {len(column.allowed) - 6} more" if column.allowed[6:] else shown)
    rules.append("may be missing" if column.missing else "never missing")
    return "; ".join(rules)


def features() -> Features:
    """Make the features of some rows, and ask the model for their weights. Raises UserError."""
    what = schemas.load()
    rows = next(parts.read(HOLDOUT, ROWS))
    model = own_code.module("model").load()
    try:
        made = model.steps[0][1].transform(rows[what.inputs])
        names = [str(name) for name in made.columns]
    except (AttributeError, IndexError):
        raise UserError("the model's first step is none that makes features.") from None
    weights = _weights(model)
    shares = _shares(names, weights)
    told = tuple(Feature(name, name in what.columns, shares.get(name)) for name in names)
    ordered = sorted(told, key=lambda feature: -(feature.share or 0.0))
    return Features(tuple(ordered), weights=_of_what(model) if shares else "")


def _final(model: Any) -> Any:
    """Return the fitted estimator, out of what wraps it."""
    final = model.steps[-1][1]
    return getattr(final, "estimator_", final)


def _of_what(model: Any) -> str:
    if hasattr(_final(model), "coef_"):
        return "coefficients, of inputs on one scale"
    return "the model's own feature importances"


def _weights(model: Any) -> dict[str, float]:
    """Return the size of the weight of each input of the estimator; empty where it tells none."""
    final = _final(model)
    told = getattr(final, "coef_", getattr(final, "feature_importances_", None))
    if told is None or len(model.steps) < 3:
        return {}
    try:
        names = model.steps[-2][1].get_feature_names_out()
        sizes = np.abs(np.atleast_2d(np.asarray(told, dtype=float))).mean(axis=0)
    except Exception:  # a squad's own steps may raise anything: then there are no weights
        return {}
    return dict(zip(names, sizes.tolist(), strict=True)) if len(names) == len(sizes) else {}


def _shares(names: list[str], weights: dict[str, float]) -> dict[str, float]:
    """Add the weights up by feature: a category has one for each value, a gap has its own."""
    total = sum(weights.values())
    if not total:
        return {}
    shares = dict.fromkeys(names, 0.0)
    longest_first = sorted(names, key=len, reverse=True)
    for name, weight in weights.items():
        bare = name.partition("__")[2].removeprefix("missingindicator_")
        owner = next((x for x in longest_first if bare == x or bare.startswith(f"{x}_")), None)
        if owner is None:
            return {}
        shares[owner] += weight / total
    return shares
