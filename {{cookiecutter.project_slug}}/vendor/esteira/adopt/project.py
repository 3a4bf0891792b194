"""The project that adopts a table: its settings, and its own model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sklearn.pipeline import Pipeline

from esteira.line.errors import UserError
from esteira.line.files import read_yaml
from esteira.repository import own_code

ALL = "all"  # rows that a batch must look like, until one is absorbed
USUAL_SHARE = 0.15  # of the newest rows; what `absorb` sets is the share of its batch
SAMPLE = "sample-"  # what the source of a project is called that has adopted no table yet


@dataclass(frozen=True)
class Settings:
    """The settings of params.yaml that adopting starts from."""

    source: str  # of the table that the line runs on
    current: float  # share of the newest rows that play the new batch
    holdout: float  # share of the rest that evaluates the model
    seed: int  # of the split
    task: str
    algorithm: str
    hyperparameters: dict[str, Any]
    model_seed: int


@dataclass(frozen=True)
class OwnModel:
    """What the project's model.py offers for a task."""

    algorithms: tuple[str, ...]  # in its order, the simplest first
    build: Callable[[str], Pipeline]  # an unfitted pipeline by the name of its algorithm


def settings(force: bool) -> Settings:
    """Read the settings of a project that may adopt a table. Raises UserError for any other."""
    params = read_yaml("params.yaml")
    line = read_yaml("dvc.yaml")
    gates = read_yaml("gates.yaml")
    schema = read_yaml("schema.yaml")
    try:
        source = str(params["ingest"]["source"])
        split, train = params["split"], params["train"]
        absorbed = params["evaluate"].get("reference", ALL) != ALL
        found = Settings(
            source=source,
            current=USUAL_SHARE if absorbed else split["current"],
            holdout=split["holdout"],
            seed=split["seed"],
            task=str(schema.get("task")),
            algorithm=train["algorithm"],
            hyperparameters=dict(train.get("hyperparameters") or {}),
            model_seed=train["seed"],
        )
        for place in (params["evaluate"], params["drift_check"], train["search"]):
            place.keys()
        line["stages"]["ingest"]["deps"].copy()
        gates["rules"].copy()
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"params.yaml, dvc.yaml or gates.yaml has lost {error}, which adopting edits: put it"
            " back."
        ) from None
    if not force and not source.startswith(SAMPLE):
        raise UserError(
            f"this project runs on {source} already: say --force to replace its schema.yaml, floors"
            " and settings, and see what changes."
        )
    return found


def own_model(task: str, seed: int) -> OwnModel:
    """Load the project's model.py, by the package that pyproject.toml names.

    Raises UserError where it is absent, cannot be imported, or has no algorithm for `task`.
    """
    module = own_code.module("model")
    try:
        algorithms = tuple(module.ALGORITHMS[task])
        build = module.build
    except (AttributeError, KeyError) as error:
        raise UserError(
            f"model.py has lost {error}: it needs ALGORITHMS with `{task}`, and a function `build`."
        ) from None

    def build_one(algorithm: str) -> Pipeline:
        return build(task, algorithm, seed)

    return OwnModel(algorithms, build_one)
