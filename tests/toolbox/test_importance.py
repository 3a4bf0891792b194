"""Permutation importance: scikit-learn's numbers, in a bounded number of questions."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge

from esteira.line import plots

ROWS, INPUTS = 200, 9


def found_of(model, inputs: pd.DataFrame, target: pd.Series, scoring: str) -> list[dict]:
    places = plots.importance_places(len(inputs), inputs.shape[1], 42)
    sample, truth = inputs.iloc[places], target.iloc[places]
    return plots.importance(model, sample, truth, scoring, 42, len(inputs))


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    random = np.random.default_rng(0)
    names = [f"input {number}" for number in range(INPUTS)]
    table = pd.DataFrame(random.normal(size=(ROWS, INPUTS)), columns=names)
    noise = random.normal(size=ROWS)
    return table.assign(number=table["input 0"] * 2 + noise, word=np.where(noise > 0, "a", "b"))


@pytest.mark.parametrize(
    ("model", "target", "scoring"),
    [
        (LogisticRegression(), "word", "neg_log_loss"),
        (RandomForestClassifier(9, random_state=0), "word", "roc_auc"),
        (LogisticRegression(), "word", "f1_macro"),
        (Ridge(), "number", "r2"),
    ],
)
def test_it_is_scikit_learns(rows: pd.DataFrame, model, target: str, scoring: str) -> None:
    inputs, truth = rows.iloc[:, :INPUTS], rows[target]
    model.fit(inputs, truth)
    theirs = permutation_importance(
        model, inputs, truth, scoring=scoring, n_repeats=5, random_state=42
    )
    ours = pd.DataFrame(found_of(model, inputs, truth, scoring)).set_index("input")
    ours = ours.loc[inputs.columns]
    np.testing.assert_allclose(ours["importance"], theirs.importances_mean, atol=2e-6)
    np.testing.assert_allclose(ours["spread"], theirs.importances_std, atol=2e-6)
    assert set(ours["rows"]) == {ROWS}
    assert set(ours["repeats"]) == {5}


class Counting(LogisticRegression):
    """A model that counts the rows it is asked."""

    asked = 0

    def predict_proba(self, X):
        type(self).asked += len(X)
        return super().predict_proba(X)


def test_a_wide_table_is_asked_about_no_more_rows_and_says_how_many() -> None:
    random = np.random.default_rng(0)
    wide = pd.DataFrame(random.normal(size=(600, 150)), columns=[f"x{i}" for i in range(150)])
    truth = pd.Series(np.where(wide["x0"] + random.normal(size=600) > 0, "a", "b"))
    model = Counting().fit(wide, truth)
    found = found_of(model, wide, truth, "neg_log_loss")
    assert Counting.asked <= plots.ANSWERS + 600
    assert {(entry["rows"], entry["repeats"]) for entry in found} == {(250, 2)}
    assert found[0]["input"] == "x0"
    again = found_of(model, wide, truth, "neg_log_loss")
    assert again == found, "the same every time"


@pytest.mark.parametrize(
    ("rows", "inputs", "expected"),
    [(113, 30, (113, 5)), (1000, 15, (1000, 5)), (1000, 395, (100, 2)), (50, 10_000, (50, 2))],
)
def test_how_much_is_asked_follows_from_the_tables_size(
    rows: int, inputs: int, expected: tuple[int, int]
) -> None:
    assert plots.importance_sample(rows, inputs) == expected
