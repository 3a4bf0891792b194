"""Every algorithm learns, takes missing and new values, and comes back whole from its file."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from esteira.line.schema import Schema


@pytest.fixture
def fitted(algorithm: str, package: ModuleType, schema: Schema, table: pd.DataFrame):
    model = package.model.build(schema.task, algorithm, seed=0)
    if "n_estimators" in model.named_steps["model"].get_params():
        model.named_steps["model"].set_params(n_estimators=10)  # enough to see it work
    return model.fit(table[schema.inputs], table[schema.target])


def test_missing_cells_and_new_categories_are_predicted(
    fitted, schema: Schema, table: pd.DataFrame
) -> None:
    rows = table[schema.inputs].head(4).copy()
    numeric = [name for name in schema.features if schema.columns[name].numeric]
    rows.loc[0, numeric] = np.nan
    rows.loc[1, [name for name in schema.features if name not in numeric]] = "never seen"
    assert len(fitted.predict(rows)) == 4


def test_the_same_data_and_seed_give_the_same_file(
    fitted, package: ModuleType, schema: Schema, table: pd.DataFrame, tmp_path: Path
) -> None:
    package.model.save(fitted, tmp_path / "first.skops")
    again = fitted.fit(table[schema.inputs], table[schema.target])
    package.model.save(again, tmp_path / "second.skops")
    assert (tmp_path / "first.skops").read_bytes() == (tmp_path / "second.skops").read_bytes()
    loaded = package.model.load(tmp_path / "first.skops")
    assert (loaded.predict(table[schema.inputs]) == fitted.predict(table[schema.inputs])).all()
