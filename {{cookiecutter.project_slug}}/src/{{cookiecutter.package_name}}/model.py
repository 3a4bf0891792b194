"""The model and its search space: edit this file first.

`params.yaml`, section `train:`, chooses an algorithm by name and sets its hyperparameters.
"""

from pathlib import Path
from typing import Any

from esteira.line import model_file
from esteira.line.pipeline_parts import Features, NumberedLabels, learns_words
from scipy.stats import loguniform, randint
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .features import engineer

ALGORITHMS: dict[str, dict[str, Any]] = {
    "classification": {
        "linear": LogisticRegression(max_iter=1000),
        "forest": RandomForestClassifier(n_estimators=300, min_samples_leaf=2),
        "boosting": HistGradientBoostingClassifier(early_stopping=False),
    },
    "regression": {
        "linear": Ridge(),
        "forest": RandomForestRegressor(n_estimators=300, min_samples_leaf=2),
        "boosting": HistGradientBoostingRegressor(early_stopping=False),
    },
}

# What a search draws from, by algorithm: distributions or lists of hyperparameters.
SEARCH_SPACE: dict[str, dict[str, dict[str, Any]]] = {
    "classification": {
        "linear": {"C": loguniform(1e-3, 1e2)},
        "forest": {"min_samples_leaf": randint(1, 20), "max_features": ["sqrt", 0.3, 0.6]},
        "boosting": {
            "learning_rate": loguniform(0.01, 0.3),
            "max_leaf_nodes": randint(4, 48),
            "min_samples_leaf": randint(5, 60),
        },
    },
}
SEARCH_SPACE["regression"] = {
    **SEARCH_SPACE["classification"],
    "linear": {"alpha": loguniform(1e-3, 1e3)},
}

# What a saved model may be made of beside scikit-learn's own: your classes and functions, and those
# of other libraries. Loading a model runs no other code; `train` tells you what is missing here.
# TRUSTED = ("collections.OrderedDict", "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier")
TRUSTED: tuple[str, ...] = ()

MODEL = "models/model.skops"


def build(task: str, algorithm: str, seed: int) -> Pipeline:
    """Return the unfitted pipeline: features, preprocessing, and the estimator as step `model`."""
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    categories = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=5,
        max_categories=50,
        sparse_output=False,
    )
    preprocess = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_exclude="number")),
    )
    model = ALGORITHMS[task][algorithm]
    if "random_state" in model.get_params():
        model = model.set_params(random_state=seed)
    if task == "classification" and not learns_words(model):
        model = NumberedLabels(model)
    return Pipeline(
        [("features", Features(engineer)), ("preprocess", preprocess), ("model", model)]
    )


def save(
    model: Pipeline, path: str | Path = MODEL, origin: model_file.MadeFrom | None = None
) -> None:
    """Write the fitted pipeline, and what it was made from beside it.

    Raises UserError if `load` would refuse it.
    """
    model_file.save(model, path, TRUSTED, functions=(engineer,), origin=origin)


def load(path: str | Path = MODEL) -> Pipeline:
    """Read the fitted pipeline. Raises UserError for a file that is absent, broken or not ours."""
    return model_file.load(path, TRUSTED, functions=(engineer,))
