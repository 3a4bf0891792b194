"""The line's own parts of a fitted pipeline, and a model's errors told in one sentence."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn import pipeline
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, TransformerMixin, clone
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.metaestimators import available_if

from esteira.line.errors import UserError, one_line

# Forests and boosting compute in single precision, where anything beyond is infinite.
LARGEST = float(np.finfo("float32").max)
NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal", "boolean")
WORDS = ("string", "empty")


class Features(TransformerMixin, BaseEstimator):
    """The first step of the pipeline: what the squad's `engineer` makes of the raw columns.

    Infinite values, and those beyond single precision, become missing, as raw ones do; so one zero
    in a new batch stops no ratio. Columns of numbers and of words pass; anything else is refused.

    Parameters
    ----------
    engineer: from a table of raw columns to a table of features with as many rows.
    """

    def __init__(self, engineer: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Keep the squad's function."""
        self.engineer = engineer

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Learn nothing: features are made row by row."""
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the features, (rows, features). Raises UserError that names what is no feature."""
        with np.errstate(all="ignore"):  # what overflows or divides by zero is missing
            made = self.engineer(X)
        _require_table(made, len(X))
        if _is_plain(made):
            return made
        features = {name: _feature(values) for name, values in made.items()}
        return pd.DataFrame(features, index=made.index)

    def __sklearn_is_fitted__(self) -> bool:
        """Tell scikit-learn that there is nothing to fit."""
        return True


def _require_table(made: Any, rows: int) -> None:
    """Raise UserError unless `made` is a table of `rows` rows, its columns named apart."""
    if not isinstance(made, pd.DataFrame):
        raise UserError(
            f"`engineer` in features.py returns a {type(made).__name__}: it must return a table"
            " (a pandas DataFrame)."
        )
    if len(made) != rows:
        raise UserError(
            f"`engineer` in features.py makes {len(made)} rows of {rows}: it must keep every row."
        )
    if not made.shape[1]:
        raise UserError("`engineer` in features.py returns no column: return the features.")
    unnamed = [name for name in made.columns if not isinstance(name, str)]
    if unnamed:
        raise UserError(f"`engineer` in features.py names a feature {unnamed[0]!r}: use words.")
    if not made.columns.is_unique:
        twice = made.columns[made.columns.duplicated()][0]
        raise UserError(f"`engineer` in features.py makes the feature `{twice}` twice: rename one.")


def _is_plain(made: pd.DataFrame) -> bool:
    """Whether all are words, or numbers that are not endless, which is seen in one look at most.

    Going through the columns one by one would be a sixth to a third of the time of one answer.
    """
    floats = []
    for place, dtype in enumerate(made.dtypes.tolist()):
        kind = dtype.kind if isinstance(dtype, np.dtype) else ""
        if kind == "f":
            floats.append(place)
        elif kind not in ("i", "u", "b") and not isinstance(dtype, pd.StringDtype):
            return False
    return not (np.abs(made.iloc[:, floats].to_numpy("float64")) > LARGEST).any()


def _feature(values: pd.Series) -> pd.Series:
    """Return one feature with its infinite values missing. Raises UserError for another type."""
    kind = pd.api.types
    if kind.is_complex_dtype(values) or kind.is_timedelta64_dtype(values):
        raise _no_feature(values, str(values.dtype))
    if kind.is_object_dtype(values):
        found = kind.infer_dtype(values.dropna())
        if found in WORDS:
            return values
        if found not in NUMBERS:
            raise _no_feature(values, found)
        values = values.mask(values.isna(), np.nan).astype("float64")
    if kind.is_float_dtype(values):
        endless = np.abs(values.to_numpy("float64", na_value=np.nan)) > LARGEST
        return values.mask(endless) if endless.any() else values
    if kind.is_numeric_dtype(values) or kind.is_string_dtype(values):
        return values
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values
    raise _no_feature(values, str(values.dtype))


def _no_feature(values: pd.Series, found: str) -> UserError:
    return UserError(
        f"the feature `{values.name}` that `engineer` in features.py makes holds {found} values:"
        " make it numbers or words."
    )


def _answers_odds(wrapper: "NumberedLabels") -> bool:
    return hasattr(wrapper.estimator, "predict_proba")


class NumberedLabels(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A classifier whose model learns the labels as 0, 1, 2, …, and which answers in the labels.

    XGBoost, for one, learns no others. `set_params` sets what the model itself calls by that name,
    so hyperparameters and search spaces are written as without it.

    Parameters
    ----------
    estimator: the classifier, unfitted.
    """

    def __init__(self, estimator: Any) -> None:
        """Keep the classifier."""
        self.estimator = estimator

    def set_params(self, **params: Any) -> Self:
        """Set hyperparameters of the model."""
        self.estimator.set_params(**params)
        return self

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the model to rows X, (rows, features), and their labels y, (rows,)."""
        self.labels_ = LabelEncoder().fit(y)
        self.classes_ = self.labels_.classes_
        self.estimator_ = clone(self.estimator).fit(X, self.labels_.transform(y))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the label of each row, (rows,)."""
        numbers = np.ravel(self.estimator_.predict(X))
        return self.labels_.inverse_transform(numbers.astype(int))

    @available_if(_answers_odds)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (rows, classes), in the order of `classes_`."""
        return self.estimator_.predict_proba(X)


def learns_words(model: Any) -> bool:
    """Whether a classifier is made of scikit-learn's own parts, which all take labels in words."""
    parts = [model, *model.get_params().values()]
    estimators = [part for part in parts if hasattr(part, "fit")]
    return all(type(part).__module__.startswith("sklearn.") for part in estimators)


@contextmanager
def faults_told(doing: str) -> Iterator[None]:
    """Tell any error of the model or its features as one sentence that begins with `doing`.

    Raises UserError. A UserError passes as it is, and so do OSError and MemoryError: a full disk is
    no fault of the model.
    """
    try:
        yield
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:  # a model may raise anything
        raise UserError(f"{doing}: {said(error)}.") from None


def arose_in_pipeline(error: Exception) -> bool:
    """Whether an error arose in the model or its features, and not in the settings around them."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(frame.filename == pipeline.__file__ for frame in frames)


def said(error: Exception) -> str:
    """What an error says, on one line, and where in the project's own code it arose."""
    words = f"{type(error).__name__}: {one_line(error)}"
    place = _own_line(error)
    return f"{words} ({place})" if place else words


def _own_line(error: Exception) -> str:
    """Return the last line under src/ that the error passed through, or nothing."""
    sources = Path.cwd() / "src"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(sources) and "stages" not in path.parts:
            return f"{path.relative_to(Path.cwd()).as_posix()}, line {frame.lineno}"
    return ""
