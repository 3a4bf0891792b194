"""The line's own parts of a pipeline: features without infinity, labels as numbers, errors told."""

import warnings
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from esteira.line.errors import UserError
from esteira.line.pipeline_parts import (
    Features,
    NumberedLabels,
    arose_in_pipeline,
    faults_told,
    learns_words,
)

RAW = pd.DataFrame({"x": [0.0, 1.0, -2.0], "word": ["a", None, "b"]})


def made(**columns: Any) -> pd.DataFrame:
    """Return what the step makes of an `engineer` that returns these columns."""
    return Features(lambda _: pd.DataFrame(columns)).fit_transform(RAW)


def test_what_divides_by_zero_is_missing_without_a_warning() -> None:
    def engineer(table: pd.DataFrame) -> pd.DataFrame:
        table = table.copy()
        table["inverse"] = 1 / table["x"]
        table["log"] = np.log(table["x"].to_numpy())
        return table

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Features(engineer).fit_transform(RAW)
    assert found["inverse"].isna().tolist() == [True, False, False]
    assert found["log"].isna().tolist() == [True, False, True]
    pd.testing.assert_frame_equal(found[["x", "word"]], RAW)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "Float64", "object"])
def test_infinity_is_missing_in_every_kind_of_number(dtype: str) -> None:
    found = made(f=pd.Series([np.inf, -np.inf, 1.5], dtype=dtype))["f"]
    assert found.isna().tolist() == [True, True, False]
    assert found[2] == 1.5


def test_what_is_too_large_for_single_precision_is_missing() -> None:
    found = made(f=[1e300, 3e38, -1e39])["f"]
    assert found.isna().tolist() == [True, False, True]


def test_a_table_of_plain_numbers_and_words_is_not_gone_through() -> None:
    table = pd.DataFrame(
        {
            "half": np.array([1.5, np.nan, 2], dtype="float16"),
            "double": [1.5, np.nan, -3e38],
            "whole": [1, 2, 3],
            "flag": [True, False, True],
            "word": pd.Series(["a", None, "b"], dtype="str"),
        }
    )
    assert Features(lambda _: table).fit_transform(RAW) is table
    words = table[["word"]]
    assert Features(lambda _: words).fit_transform(RAW) is words
    endless = table.assign(more=[0.5, -np.inf, 1e300])
    found = Features(lambda _: endless).fit_transform(RAW)
    assert found["more"].isna().tolist() == [False, True, True]
    pd.testing.assert_frame_equal(found[list(table)], table)


def test_numbers_and_words_pass_as_they_are() -> None:
    columns = {
        "whole": pd.Series([1, 2, 3]),
        "gaps": pd.Series([1, None, 3], dtype="Int64"),
        "flag": pd.Series([True, False, True]),
        "word": pd.Series(["a", None, "b"], dtype="str"),
        "object": pd.Series(["a", None, "b"], dtype="object"),
        "category": pd.Series(["a", None, "b"], dtype="category"),
    }
    found = made(**columns)
    for name, values in columns.items():
        pd.testing.assert_series_equal(found[name], values, check_names=False)


@pytest.mark.parametrize("cells", [[1.5, None, 2], [Decimal("1.5"), None, Decimal(2)]])
def test_numbers_in_a_column_of_objects_are_numbers(cells: list) -> None:
    found = made(f=pd.Series(cells, dtype="object"))["f"]
    assert found.dtype == "float64"
    assert found.isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (pd.Series([datetime(2024, 1, 1)] * 3), "datetime64"),
        (pd.Series([pd.Timedelta("1h")] * 3), "timedelta64"),
        (pd.Series([1 + 2j] * 3), "complex128"),
        (pd.Series(["a", 1, None], dtype="object"), "mixed-integer"),
        (pd.Series([[1], [2], [3]]), "mixed"),
        (pd.Series(pd.period_range("2024", periods=3, freq="D")), "period[D]"),
    ],
)
def test_a_column_that_is_no_feature_is_named(values: pd.Series, found: str) -> None:
    with pytest.raises(UserError) as refused:
        made(fine=[1, 2, 3], strange=values)
    assert str(refused.value).startswith("the feature `strange` that `engineer` in features.py")
    assert f"holds {found}" in str(refused.value)


@pytest.mark.parametrize(
    ("engineer", "said"),
    [
        (lambda t: t["x"], "returns a Series: it must return a table"),
        (lambda t: None, "returns a NoneType"),
        (lambda t: t.head(2), "makes 2 rows of 3"),
        (lambda t: t[[]], "returns no column"),
        (lambda t: t.rename(columns={"x": 5}), "names a feature 5"),
        (lambda t: t.rename(columns={"x": "word"}), "makes the feature `word` twice"),
    ],
)
def test_what_is_no_table_of_features_is_told(engineer: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Features(engineer).fit_transform(RAW)


class OnlyNumbers(ClassifierMixin, BaseEstimator):
    """Like XGBoost: refuses every label but 0, 1, 2, …, and answers in those."""

    def __init__(self, strength: float = 1.0) -> None:
        self.strength = strength

    def fit(self, X: Any, y: Any) -> "OnlyNumbers":
        self.classes_ = np.unique(y)
        if self.classes_.tolist() != list(range(len(self.classes_))):
            raise ValueError("Invalid classes inferred from unique values of `y`.")
        self.inner_ = LogisticRegression(C=self.strength).fit(X, y)
        return self

    def predict(self, X: Any) -> np.ndarray:
        return self.inner_.predict(X).astype("float32")

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.inner_.predict_proba(X)


RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(90, 2))
LABELS = np.array(["low", "middle", "high"])[np.digitize(ROWS[:, 0], [-0.5, 0.5])]


def test_labels_in_words_are_numbers_for_the_model_and_words_for_everyone_else() -> None:
    with pytest.raises(ValueError, match="Invalid classes"):
        OnlyNumbers().fit(ROWS, LABELS)
    model = make_pipeline(NumberedLabels(OnlyNumbers())).fit(ROWS, LABELS)
    expected = LogisticRegression(C=1.0).fit(ROWS, LABELS)
    assert list(model.classes_) == ["high", "low", "middle"]
    assert (model.predict(ROWS) == expected.predict(ROWS)).all()
    np.testing.assert_allclose(model.predict_proba(ROWS), expected.predict_proba(ROWS), rtol=1e-6)


def test_hyperparameters_are_named_as_the_models_own() -> None:
    wrapped = clone(NumberedLabels(OnlyNumbers()).set_params(strength=0.5))
    assert wrapped.estimator.strength == 0.5
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        wrapped.set_params(depth=3)
    found = RandomizedSearchCV(
        Pipeline([("model", NumberedLabels(OnlyNumbers()))]),
        {"model__strength": [0.01, 10.0]},
        n_iter=2,
        cv=3,
        scoring="accuracy",
        error_score="raise",
    ).fit(ROWS, LABELS)
    assert found.best_estimator_["model"].estimator_.strength == 10.0


def test_a_model_without_probabilities_still_has_none() -> None:
    assert not hasattr(NumberedLabels(LinearSVC()), "predict_proba")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (LogisticRegression(), True),
        (CalibratedClassifierCV(LinearSVC()), True),
        (make_pipeline(FunctionTransformer(), LogisticRegression()), True),
        (OnlyNumbers(), False),
        (CalibratedClassifierCV(OnlyNumbers()), False),
        (make_pipeline(FunctionTransformer(), OnlyNumbers()), False),
    ],
)
def test_only_what_is_wholly_scikit_learns_is_known_to_take_words(model: Any, words: bool) -> None:
    assert learns_words(model) is words


def test_an_error_is_told_with_the_projects_own_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "src" / "squad" / "features.py"
    source.parent.mkdir(parents=True)
    source.write_text("def engineer(table):\n    return table['no such']\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "src")
    from squad.features import engineer

    model = make_pipeline(Features(engineer), LogisticRegression())
    with pytest.raises(UserError) as told, faults_told("the model cannot answer"):
        model.fit(RAW, [0, 1, 1])
    assert str(told.value) == (
        "the model cannot answer: KeyError: 'no such' (src/squad/features.py, line 2)."
    )


def test_whose_error_it_is() -> None:
    model = make_pipeline(OnlyNumbers())
    with pytest.raises(ValueError, match="Invalid classes") as of_model:
        model.fit(ROWS, LABELS)
    assert arose_in_pipeline(of_model.value)
    with pytest.raises(ValueError, match="Invalid parameter") as of_setting:
        model[-1].set_params(depth=3)
    assert not arose_in_pipeline(of_setting.value)
    with pytest.raises(OSError, match="full"), faults_told("no"):
        raise OSError("full")
