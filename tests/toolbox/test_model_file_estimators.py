"""Every estimator of scikit-learn that can be saved loads again; what could not is told before."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.experimental.enable_halving_search_cv
import sklearn.experimental.enable_iterative_imputer  # noqa: F401
from sklearn import (
    calibration,
    cluster,
    ensemble,
    feature_selection,
    gaussian_process,
    linear_model,
    model_selection,
    neighbors,
    neural_network,
    preprocessing,
)
from sklearn.base import BaseEstimator, TransformerMixin, clone, is_classifier
from sklearn.decomposition import SparseCoder
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.image import PatchExtractor
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import kernels
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics import f1_score, make_scorer
from sklearn.pipeline import make_pipeline
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances
from sklearn.utils.estimator_checks import _enforce_estimator_tags_X, _enforce_estimator_tags_y
from threadpoolctl import threadpool_limits

from esteira.line import loadable, model_file
from esteira.line.errors import UserError

RANDOM = np.random.default_rng(0)
ROWS = np.abs(RANDOM.normal(size=(40, 4)))
NUMBERS = ROWS[:, 0] * 2 + RANDOM.normal(size=40) * 0.1 + 1
CLASSES = (ROWS[:, 0] + RANDOM.normal(size=40) * 0.3 > 0.8).astype(int)
# skops cannot save a Birch: its nodes hold each other in a circle.
NOT_SAVED = {"Birch"}
# TSNE is slow, and a FrozenEstimator, which is among FURTHER, is nothing without what it freezes.
NOT_TRIED = {"TSNE", "FrozenEstimator"}
NEED_CLASSES = ("NeighborhoodComponentsAnalysis", "SelectKBest", "SequentialFeatureSelector")
TEXTS = ["a cold morning", "a warm evening", "cold and warm"]
COUNTS = [{"a": 1, "b": 2}, {"a": 3}, {"c": 1}]
OTHER_TASTES = [
    (CountVectorizer(), TEXTS),
    (TfidfVectorizer(ngram_range=(1, 2), stop_words="english"), TEXTS),
    (HashingVectorizer(n_features=8), TEXTS),
    (DictVectorizer(), COUNTS),
    (FeatureHasher(n_features=8), COUNTS),
    (preprocessing.LabelEncoder(), ["x", "y", "x"]),
    (preprocessing.LabelBinarizer(), ["x", "y", "z"]),
    (preprocessing.MultiLabelBinarizer(), [["x"], ["y", "x"], []]),
    (SparseCoder(np.eye(4)), ROWS),
    (PatchExtractor(patch_size=(2, 2)), ROWS.reshape(2, 5, 4, 4)),
]
OF_OTHER_TASTES = {type(estimator).__name__ for estimator, _ in OTHER_TASTES}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute as a stage does: over several threads the last digits differ."""
    with threadpool_limits(1, user_api="blas"):
        yield


def taste(estimator: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return a small table of rows and their target that an estimator can be fitted to."""
    by_class = is_classifier(estimator) or type(estimator).__name__ in NEED_CLASSES
    rows = _enforce_estimator_tags_X(estimator, ROWS)
    return rows, _enforce_estimator_tags_y(estimator, CLASSES if by_class else NUMBERS)


def fitted(estimator: Any, rows: np.ndarray, target: np.ndarray) -> Any:
    """Fit a copy of an estimator."""
    estimator = clone(estimator)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(rows, target)


def answers(estimator: Any, rows: Any) -> list[np.ndarray]:
    """Return all that an estimator says of rows."""
    ways = ("predict", "predict_proba", "transform", "score_samples")
    found = [getattr(estimator, way)(rows) for way in ways if hasattr(estimator, way)]
    return [part.toarray() if hasattr(part, "toarray") else np.asarray(part) for part in found]


def comes_back_whole(estimator: Any, folder: Path) -> None:
    """Fail unless two equal fits give equal bytes, and the file an estimator that answers alike."""
    rows, target = taste(estimator)
    are_one(fitted(estimator, rows, target), fitted(estimator, rows, target), rows, folder)


def are_one(model: Any, again: Any, rows: Any, folder: Path) -> None:
    """Fail unless two models have equal bytes, and their file gives one that answers alike."""
    model_file.save(model, folder / "first.skops")
    model_file.save(again, folder / "again.skops")
    assert (folder / "first.skops").read_bytes() == (folder / "again.skops").read_bytes()
    loaded = model_file.load(folder / "first.skops")
    for mine, theirs in zip(answers(model, rows), answers(loaded, rows), strict=True):
        if mine.dtype.kind == "f":  # where arrays lie in memory shows in the last digit
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-15)
        else:
            np.testing.assert_array_equal(mine, theirs)


def small(name: str, kind: type) -> Iterator[Any]:
    if name.startswith("Halving"):
        search: Any = kind(linear_model.Ridge(), {"alpha": [0.1, 1.0]}, random_state=0)
        yield search
    else:
        yield from _construct_instances(kind)


@pytest.mark.parametrize(
    ("name", "kind"),
    [pair for pair in all_estimators() if pair[0] not in NOT_TRIED | NOT_SAVED | OF_OTHER_TASTES],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_estimator_of_scikit_learn_comes_back_whole(
    name: str, kind: type, tmp_path: Path
) -> None:
    for estimator in small(name, kind):
        comes_back_whole(estimator, tmp_path)


@pytest.mark.parametrize(
    ("estimator", "cells"), OTHER_TASTES, ids=lambda value: type(value).__name__
)
def test_what_is_fitted_to_other_things_comes_back_whole(
    estimator: Any, cells: Any, tmp_path: Path
) -> None:
    are_one(clone(estimator).fit(cells), clone(estimator).fit(cells), cells, tmp_path)


FURTHER = [
    calibration.CalibratedClassifierCV(linear_model.LogisticRegression(), method="isotonic"),
    calibration.CalibratedClassifierCV(linear_model.LogisticRegression(), method="temperature"),
    calibration.CalibratedClassifierCV(ensemble.RandomForestClassifier(3, random_state=0)),
    cluster.FeatureAgglomeration(pooling_func=np.median),
    cluster.BisectingKMeans(algorithm="elkan", random_state=0),
    FrozenEstimator(linear_model.Ridge().fit(ROWS, NUMBERS)),
    ensemble.GradientBoostingRegressor(loss="huber", n_estimators=3),
    ensemble.HistGradientBoostingRegressor(loss="poisson", max_iter=3),
    ensemble.HistGradientBoostingRegressor(loss="quantile", quantile=0.4, max_iter=3),
    ensemble.StackingClassifier([("a", neighbors.KNeighborsClassifier())]),
    feature_selection.SelectKBest(feature_selection.chi2, k=2),
    feature_selection.SelectKBest(feature_selection.f_regression, k=2),
    feature_selection.SelectKBest(feature_selection.mutual_info_regression, k=2),
    linear_model.TweedieRegressor(power=1.5),
    linear_model.LogisticRegressionCV(scoring=make_scorer(f1_score), cv=model_selection.KFold(3)),
    neighbors.KNeighborsRegressor(algorithm="ball_tree", metric="manhattan"),
    neighbors.KNeighborsRegressor(algorithm="kd_tree", metric="chebyshev"),
    neighbors.KNeighborsClassifier(algorithm="ball_tree", metric="canberra"),
    neural_network.MLPClassifier(hidden_layer_sizes=(3,), solver="sgd", max_iter=3, random_state=0),
    neural_network.MLPRegressor(
        hidden_layer_sizes=(3,), solver="lbfgs", max_iter=3, random_state=0
    ),
    Nystroem(n_components=3, random_state=0),
    preprocessing.FunctionTransformer(np.log1p),
    preprocessing.SplineTransformer(degree=2, extrapolation="linear"),
    *(  # such an alpha makes the matrix of any kernel up to 1 positive definite for forty rows
        gaussian_process.GaussianProcessRegressor(kernel, alpha=50.0, optimizer=None)
        for kernel in (
            kernels.ConstantKernel() * kernels.Matern() + kernels.WhiteKernel(),
            kernels.RationalQuadratic() ** 2 + kernels.DotProduct(),
            kernels.ExpSineSquared() + kernels.WhiteKernel(),
            kernels.PairwiseKernel(metric="laplacian") + kernels.WhiteKernel(2.0),
        )
    ),
]


@pytest.mark.parametrize("estimator", FURTHER, ids=lambda estimator: type(estimator).__name__)
def test_other_settings_that_bring_other_types_come_back_whole(
    estimator: Any, tmp_path: Path
) -> None:
    comes_back_whole(estimator, tmp_path)


def test_a_model_of_texts_has_no_address_in_its_file(tmp_path: Path) -> None:
    """A vectorizer notes where its stop words lie in memory: elsewhere in another process."""
    for number in (1, 2):
        model = make_pipeline(TfidfVectorizer(stop_words=["a", "and"]))
        model.fit(TEXTS)
        model[0]._stop_words_id = number
        model_file.save(model, tmp_path / f"{number}.skops")
    assert (tmp_path / "1.skops").read_bytes() == (tmp_path / "2.skops").read_bytes()
    loaded = model_file.load(tmp_path / "1.skops")
    assert (loaded.transform(TEXTS) != model.transform(TEXTS)).nnz == 0


class Shifted(TransformerMixin, BaseEstimator):
    """A squad's own transformer."""

    def fit(self, X: Any, y: Any = None) -> "Shifted":
        self.by_ = X.min()
        return self

    def transform(self, X: Any) -> Any:
        return X - self.by_


OWN = f"{__name__}.Shifted"


def test_a_class_that_is_not_scikit_learns_is_saved_once_it_is_trusted(tmp_path: Path) -> None:
    model = make_pipeline(Shifted(), linear_model.Ridge()).fit(ROWS, NUMBERS)
    path = tmp_path / "model.skops"
    path.write_text("the old one")
    with pytest.raises(UserError) as refused:
        model_file.save(model, path, trusted=("another.One",))
    assert str(refused.value) == (
        f"the model could not be loaded again: it holds {OWN}, which is not scikit-learn's own. If"
        f" you trust what it names, write in model.py: TRUSTED = ('another.One', '{OWN}')"
    )
    assert path.read_text() == "the old one"
    model_file.save(model, path, trusted=(OWN,))
    assert (model_file.load(path, trusted=(OWN,)).predict(ROWS) == model.predict(ROWS)).all()
    with pytest.raises(UserError, match=r"is refused: it holds \S+Shifted, which is neither"):
        model_file.load(path)


class Forgetful(Shifted):
    """Cannot be made again from what it saves."""

    def __setstate__(self, state: dict) -> None:
        raise RuntimeError("I forgot\neverything.")


@pytest.mark.parametrize(
    ("model", "names", "said"),
    [
        (Forgetful(), (f"{__name__}.Forgetful",), "loaded again: I forgot everything."),
        (cluster.Birch(), (), "cannot be saved: Objects of type Birch are not supported yet."),
        (
            preprocessing.FunctionTransformer(lambda rows: rows),
            (),
            "a function without a name: define it with `def` in features.py",
        ),
        (Shifted(), OWN, "TRUSTED in model.py is one text"),
    ],
    ids=["forgetful", "birch", "lambda", "one text"],
)
def test_a_model_that_cannot_come_back_is_told_of_and_nothing_is_written(
    model: Any, names: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    model.fit(ROWS)
    with pytest.raises(UserError) as refused:
        model_file.save(model, tmp_path / "model.skops", trusted=names)
    assert said in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_the_names_that_may_be_named_are_there() -> None:
    """A name that has moved in a newer version would let nothing through, without a word."""
    import importlib

    for names in loadable.ALLOWED.values():
        for name in names:
            module, _, attribute = name.rpartition(".")
            assert hasattr(importlib.import_module(module), attribute), name


def test_an_estimator_is_known_by_the_same_rule_as_scikit_learns_own_list() -> None:
    listed = {f"{kind.__module__}.{kind.__qualname__}" for _, kind in all_estimators()}
    assert {name for name in listed if not loadable.is_estimator(name)} == set()
    others = "sklearn.base.BaseEstimator", "sklearn.base.clone", "sklearn.linear_model._base"
    for name in (*others, "sklearn..x", "_sklearn.x", "x", "", "pandas.DataFrame"):
        assert not loadable.is_estimator(name), name
