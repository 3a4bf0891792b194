"""A small made-up table that fits schema.yaml, so that the tests need no data."""

import importlib
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from esteira.line import schema as schemas

ROOT = Path(__file__).resolve().parent.parent
ROWS = 120


@pytest.fixture(autouse=True)
def _in_the_projects_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def _package() -> ModuleType:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    name = settings["tool"]["esteira"]["package"]
    for module in ("features", "model"):
        importlib.import_module(f"{name}.{module}")
    return importlib.import_module(name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for an `algorithm` with each that model.py has for the task."""
    if "algorithm" in metafunc.fixturenames:
        task = schemas.load(ROOT / "schema.yaml").task
        metafunc.parametrize("algorithm", list(_package().model.ALGORITHMS[task]))


@pytest.fixture(scope="session")
def package() -> ModuleType:
    """Return the squad's own package, whatever it is called."""
    return _package()


@pytest.fixture(scope="session")
def schema() -> schemas.Schema:
    """Return schema.yaml."""
    return schemas.load(ROOT / "schema.yaml")


def _cells(column: schemas.Column, random: np.random.Generator) -> pd.Series:
    if column.numeric:
        low, high = column.min or 0, column.max if column.max is not None else 100
        values = pd.Series(random.uniform(low, max(low, high), ROWS))
        return values.round() if column.type == "integer" else values
    if column.type == "datetime":
        return pd.Series(pd.date_range("2024-01-01", periods=ROWS, freq="7h", unit="us"))
    words = ("false", "true") if column.type == "boolean" else column.allowed or ("a", "b")
    return pd.Series(np.resize(np.array(words, dtype=object), ROWS), dtype="str")


@pytest.fixture
def table(schema: schemas.Schema) -> pd.DataFrame:
    """Return a table of 120 rows with every column of schema.yaml and every allowed category."""
    random = np.random.default_rng(0)
    return pd.DataFrame({name: _cells(c, random) for name, c in schema.columns.items()})
