"""Train: fit the pipeline of model.py, or search its hyperparameters first."""

import re
from typing import Annotated, Any, Literal

from esteira.line import parts, sampled, schema, searched
from esteira.line.errors import UserError, one_line
from esteira.line.files import md5_of, write_metrics
from esteira.line.model_file import MadeFrom
from esteira.line.nearest import closest
from esteira.line.params import Section, run
from esteira.line.pipeline_parts import arose_in_pipeline, said
from pandas import DataFrame, Series
from pydantic import Field
from sklearn.base import is_classifier
from sklearn.metrics import get_scorer_names
from sklearn.model_selection import KFold, RandomizedSearchCV, StratifiedKFold, TimeSeriesSplit
from sklearn.pipeline import Pipeline

from ..model import ALGORITHMS, SEARCH_SPACE, build, save


class Search(Section):
    """Random search with cross-validation (https://jmlr.org/papers/v13/bergstra12a.html)."""

    candidates: int = Field(ge=0)  # 0 fits the hyperparameters as they are
    folds: int = Field(ge=2)
    scoring: str


class Settings(Section):
    """Section `train:` of params.yaml."""

    algorithm: str
    hyperparameters: dict[str, Any]
    search: Search
    seed: int
    sample: Literal["all"] | Annotated[int, Field(ge=50)] = "all"  # rows: see params.yaml


def search(
    pipeline: Pipeline, settings: Settings, inputs: DataFrame, target: Series, by_time: bool
) -> RandomizedSearchCV:
    """Return a fitted search over the algorithm's space in model.py, its best pipeline refitted."""
    kind = "classification" if is_classifier(pipeline) else "regression"
    space = SEARCH_SPACE[kind][settings.algorithm]
    folds: Any = settings.search.folds
    if by_time:
        folds = TimeSeriesSplit(folds)
    elif kind == "classification":
        folds = StratifiedKFold(folds, shuffle=True, random_state=settings.seed)
    else:
        folds = KFold(folds, shuffle=True, random_state=settings.seed)
    return RandomizedSearchCV(
        pipeline,
        {f"model__{name}": values for name, values in space.items()},
        n_iter=settings.search.candidates,
        scoring=settings.search.scoring,
        cv=folds,
        random_state=settings.seed,
        error_score="raise",
        verbose=1,
    ).fit(inputs, target)


def blame(error: Exception, settings: Settings, target: str) -> str:
    """Say whether a setting or the model is at fault for an error of the training, and why."""
    reason = one_line(error)
    named = [n for n in settings.hyperparameters if re.search(rf"\b{re.escape(n)}\b", reason)]
    if named or not arose_in_pipeline(error):
        return f"section `train:` of params.yaml cannot be used: {reason}"
    return f"`{settings.algorithm}` of model.py cannot learn `{target}`: {said(error)}."


def main(settings: Settings) -> str:
    """Write models/model.skops, and reports/train/: its metrics, and what a search tried."""
    what = schema.load()
    rows = sampled.read("data/train.parquet", settings.sample, settings.seed)
    if settings.algorithm not in ALGORITHMS[what.task]:
        near = closest(settings.algorithm, ALGORITHMS[what.task])
        raise UserError(f"`train.algorithm` is {settings.algorithm!r}, not in model.py: {near}")
    if settings.search.scoring not in get_scorer_names():
        near = closest(settings.search.scoring, get_scorer_names())
        raise UserError(
            f"`train.search.scoring` is {settings.search.scoring!r}, which scikit-learn does not"
            f" know: {near}"
        )
    model = build(what.task, settings.algorithm, settings.seed)
    metrics: dict[str, float] = {"rows": len(rows), "inputs": len(what.inputs)}
    tried = None
    try:
        model.named_steps["model"].set_params(**settings.hyperparameters)
        if settings.search.candidates:
            found = search(model, settings, rows[what.inputs], rows[what.target], bool(what.time))
            model, tried = found.best_estimator_, found.cv_results_
            metrics["search_score"] = found.best_score_
            metrics["search_score_std"] = found.cv_results_["std_test_score"][found.best_index_]
            chosen = {name.removeprefix("model__"): v for name, v in found.best_params_.items()}
            metrics |= {name: v for name, v in chosen.items() if isinstance(v, int | float)}
        else:
            model.fit(rows[what.inputs], rows[what.target])
    except (UserError, OSError, MemoryError):  # OSError: a full disk
        raise
    except Exception as error:  # a model may raise anything
        raise UserError(blame(error, settings, what.target)) from None
    if what.task == "classification" and not hasattr(model, "predict_proba"):
        raise UserError(
            f"`{settings.algorithm}` of model.py gives no probabilities, which `evaluate` needs:"
            " put it into a `sklearn.calibration.CalibratedClassifierCV` there."
        )
    made_from = MadeFrom(data=md5_of("data/train.parquet"), schema=md5_of("schema.yaml"))
    save(model, origin=made_from)
    searched.write(tried)
    write_metrics("reports/train/metrics.json", metrics)
    best = f", {settings.search.scoring} {metrics['search_score']:.3g}" if tried else ""
    there = parts.count("data/train.parquet")
    learnt = f"{len(rows)} rows" if len(rows) == there else f"{len(rows)} of {there} rows"
    return f"{settings.algorithm} on {learnt} and {len(what.inputs)} inputs{best}"


if __name__ == "__main__":
    run("train", main, Settings)
