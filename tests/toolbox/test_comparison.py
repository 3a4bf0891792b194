"""Two models are compared on the rows that both have answered, with an interval, or not at all."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import imported, reproduce, run
from sklearn import metrics as peers

from esteira import comparison, gate
from esteira.line import predictions
from esteira.line.errors import UserError
from esteira.line.influence import CLASSIFICATION, REGRESSION, Undefined
from esteira.line.predictions import Answers

ROWS = 300
GATES = ["roc_auc", "log_loss"]


def binary(seed: int = 0, noise: float = 0.2, rows: int = ROWS) -> Answers:
    """Answers about one truth, the worse the more noise; scores have ties."""
    truth = np.random.default_rng(99).random(rows) < 0.3
    random = np.random.default_rng(seed)
    score = np.clip(0.2 + 0.4 * truth + random.normal(0, noise, rows), 0.01, 0.99).round(2)
    actual = np.where(truth, "yes", "no").astype(object)
    said = np.column_stack([1 - score, score])
    return Answers(np.arange(rows, dtype=np.uint64), actual, ("no", "yes"), said)


def many(seed: int = 0) -> Answers:
    random = np.random.default_rng(seed)
    places = random.integers(0, 3, ROWS)
    said = random.dirichlet([1, 1, 1], ROWS) + np.eye(3)[places]
    actual = np.array(["a", "b", "c"], dtype=object)[places]
    return Answers(np.arange(ROWS, dtype=np.uint64), actual, ("a", "b", "c"), said / 2)


def numbers(seed: int = 0, noise: float = 0.5) -> Answers:
    truth = np.random.default_rng(99).normal(10, 3, ROWS)
    said = truth + np.random.default_rng(seed).normal(0, noise, ROWS)
    return Answers(np.arange(ROWS, dtype=np.uint64), truth, (), said)


def by_peer(name: str, answers: Answers) -> float:
    """The same metric by scikit-learn."""
    actual, said = answers.actual, answers.said
    if not answers.classes:
        known = {
            "r2": peers.r2_score,
            "mae": peers.mean_absolute_error,
            "rmse": peers.root_mean_squared_error,
        }
        return known[name](actual, said)
    chosen = np.take(answers.classes, said.argmax(1))
    if name == "accuracy":
        return peers.accuracy_score(actual, chosen)
    if name == "log_loss":
        return peers.log_loss(actual, said, labels=list(answers.classes))
    if name == "f1_macro":
        return peers.f1_score(actual, chosen, average="macro")
    if len(answers.classes) > 2:
        return peers.roc_auc_score(actual, said, multi_class="ovr")
    truth, score = actual == "yes", said[:, 1]
    known = {
        "roc_auc": lambda: peers.roc_auc_score(truth, score),
        "average_precision": lambda: peers.average_precision_score(truth, score),
        "f1": lambda: peers.f1_score(truth, chosen == "yes"),
        "brier": lambda: peers.brier_score_loss(truth, score),
    }
    return known[name]()


CASES = [
    *[(CLASSIFICATION, name, binary, "yes") for name in CLASSIFICATION],
    *[(CLASSIFICATION, n, many, None) for n in ("accuracy", "log_loss", "roc_auc", "f1_macro")],
    *[(REGRESSION, name, numbers, None) for name in REGRESSION],
]


class TestInfluence:
    @pytest.mark.parametrize(("known", "name", "make", "positive"), CASES)
    def test_values_are_scikit_learns_and_influences_the_jackknifes(
        self, known, name, make, positive
    ) -> None:
        answers = make()
        found = known[name].measure(answers, positive)
        assert found.value == pytest.approx(by_peer(name, answers), rel=1e-12)
        assert found.influence.mean() == pytest.approx(0, abs=1e-9)
        some = range(0, ROWS, 15)
        rest = [answers.take(np.delete(np.arange(ROWS), row)) for row in some]
        left_out = np.array([known[name].measure(a, positive).value for a in rest])
        jackknife = (ROWS - 1) * (found.value - left_out)
        spread = found.influence.std()
        assert found.influence[list(some)] == pytest.approx(jackknife, abs=0.2 * spread)

    def test_delongs_variance_of_the_area(self) -> None:
        """By its definition: each pair of a positive and a negative row, won, lost or drawn."""
        answers = binary()
        truth, score = answers.actual == "yes", answers.said[:, 1]
        wins = score[truth][:, None] - score[~truth][None, :]
        psi = (wins > 0) + 0.5 * (wins == 0)
        variance = psi.mean(1).var(ddof=1) / truth.sum() + psi.mean(0).var(ddof=1) / (~truth).sum()
        found = CLASSIFICATION["roc_auc"].measure(answers, "yes")
        assert found.influence.var() / ROWS == pytest.approx(variance, rel=0.02)

    @pytest.mark.parametrize("name", ["roc_auc", "average_precision", "f1"])
    def test_what_rows_do_not_define(self, name: str) -> None:
        answers = binary()
        only_no = answers.take(
            np.flatnonzero((answers.actual == "no") & (answers.said[:, 1] < 0.5))
        )
        with pytest.raises(Undefined):
            CLASSIFICATION[name].measure(only_no, "yes")


class TestDifference:
    @pytest.mark.parametrize(("name", "better"), [("roc_auc", 1), ("log_loss", -1), ("brier", -1)])
    def test_better_worse_and_chance(self, name: str, better: int) -> None:
        good, bad, like_bad = binary(1, 0.1), binary(2, 0.5), binary(3, 0.5)
        metric = CLASSIFICATION[name]
        found = comparison.difference(metric, bad, good, "yes")
        assert (found.verdict, np.sign(found.difference)) == ("better", better)
        assert found.low < found.difference < found.high
        assert comparison.difference(metric, good, bad, "yes").verdict == "worse"
        assert comparison.difference(metric, bad, like_bad, "yes").verdict == "within noise"
        same = comparison.difference(metric, bad, bad, "yes")
        assert (same.difference, same.low, same.high, same.verdict) == (0, 0, 0, "within noise")

    def test_a_mean_has_the_interval_of_the_paired_t_test(self) -> None:
        from scipy import stats

        base, now = numbers(1, 1.0), numbers(2, 0.8)
        found = comparison.difference(REGRESSION["mae"], base, now, None)
        misses = [np.abs(side.actual - side.said) for side in (now, base)]
        interval = stats.ttest_rel(*misses).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-4)

    def test_words(self) -> None:
        told = comparison.Comparison("log_loss", 0.3, 0.2, -0.1, -0.15, -0.05, 121, "better", "")
        assert comparison.says(told) == "better, -0.1 [-0.15, -0.05] on 121 rows (lower is better)"
        told = comparison.Comparison("roc_auc", 0.9, 0.8, -0.1, -0.15, -0.05, 121, "worse", "")
        assert comparison.says(told) == "worse, -0.1 [-0.15, -0.05] on 121 rows (higher is better)"
        told = comparison.Comparison("roc_auc", 0.9, 0.9, 0.0, -0.1, 0.1, 50, "within noise", "")
        said = "within noise, 0 [-0.1, +0.1] on 50 rows (higher is better)"
        assert comparison.says(told) == said


class TestPredictions:
    @pytest.mark.parametrize("make", [binary, many, numbers])
    def test_come_back_whole_from_the_same_bytes(self, make, tmp_path: Path) -> None:
        path = tmp_path / "p.parquet"
        predictions.write(make(), path)
        first = path.read_bytes()
        predictions.write(make(), path)
        assert path.read_bytes() == first
        back = predictions.read(path)
        assert back.classes == make().classes
        for name in ("keys", "actual", "said"):
            assert (getattr(back, name) == getattr(make(), name)).all()

    @pytest.mark.parametrize(
        ("frame", "said"),
        [
            ({"a": [1]}, "holds no predictions of this line"),
            ({"row": [1], "actual": [1.0], "predicted": [1.0]}, "holds no predictions"),
            ({"row": np.uint64([1]), "actual": [1.0], "predicted": [np.inf]}, "not finite"),
            ({"row": np.uint64([1]), "actual": [None], "predicted": [1.0]}, "not finite"),
            ({"row": np.uint64([1]), "actual": [1.0], "predicted": ["x"]}, "not numbers"),
        ],
    )
    def test_of_another_form_are_refused(self, frame: dict, said: str, tmp_path: Path) -> None:
        path = tmp_path / "p.parquet"
        pd.DataFrame(frame).to_parquet(path)
        with pytest.raises(UserError, match=said):
            predictions.read(path)
        path.write_bytes(b"PAR1 and nothing")
        with pytest.raises(UserError, match="cannot be read as predictions"):
            predictions.read(path)

    def test_are_compared_without_pandas_which_takes_long_to_import(self, tmp_path: Path) -> None:
        predictions.write(binary(), tmp_path / "then.parquet")
        predictions.write(binary(seed=1), tmp_path / "now.parquet")
        code = """
from esteira import comparison
from esteira.line import predictions
then, now = map(predictions.read, ("then.parquet", "now.parquet"))
comparison.difference(comparison.METRICS["roc_auc"], then, now, "yes")
"""
        modules = imported(tmp_path, code)
        assert "esteira.comparison" in modules
        assert not modules & {"pandas", "scipy.stats", "sklearn"}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_loss_that_its_rule_refuses_and_that_may_be_noise_says_so() -> None:
    found = comparison.Comparison(
        "roc_auc", 0.99, 0.97, -0.02, -0.05, 0.01, 121, "within noise", ""
    )
    refused = "roc_auc went from 0.99 to 0.97, lower by 0.02, where 0.01 is allowed."
    said = gate._as_noise(refused, gate.Before(0.99, comparison=found))
    assert said.startswith(f"{refused.removesuffix('.')}: on 121 rows it may be noise")
    sure = gate.Before(0.99, comparison=replace(found, verdict="worse"))
    assert gate._as_noise(refused, sure) == refused


def asked(project: Path, base: str = "HEAD", *names: str) -> dict[str, comparison.Comparison]:
    before = Path.cwd()
    os.chdir(project)
    try:
        return {found.metric: found for found in comparison.compare(base, list(names or GATES))}
    finally:
        os.chdir(before)


def measured(project: Path) -> dict[str, float]:
    return json.loads((project / "reports/evaluate/metrics.json").read_text(encoding="utf-8"))


def forget(project: Path) -> None:
    """Lose the base's outputs: the cache keeps what the working tree has, the remote nothing."""
    for place in (project / ".dvc/cache", project.parent / f"{project.name}-dvc-remote"):
        shutil.rmtree(place)
        place.mkdir()
    run(project, "dvc", "commit", "--force", "--quiet")


def test_one_model_is_no_better_than_itself(project: Path) -> None:
    kept = measured(project)
    found = asked(project, "HEAD", *GATES, "rules_broken")
    for name in GATES:
        same = found[name]
        assert (same.base, same.now, same.difference) == (kept[name], kept[name], 0)
        assert (same.verdict, same.rows) == ("within noise", kept["rows"])
    assert found["rules_broken"].verdict == "not comparable"
    answers = predictions.read(project / predictions.PATH)
    for name in CLASSIFICATION.keys() & kept.keys():
        value = CLASSIFICATION[name].measure(answers, "malignant").value
        assert value == pytest.approx(kept[name], rel=1e-5), name


def test_a_model_that_got_worse_is_told_and_one_whose_base_is_lost_is_not_compared(
    reproduced: Path, worse: Path
) -> None:
    project = worse
    kept = measured(reproduced)
    found = asked(project)["log_loss"]
    assert (found.verdict, found.rows) == ("worse", kept["rows"])
    assert found.base == pytest.approx(kept["log_loss"], rel=1e-5)
    assert found.now == pytest.approx(measured(project)["log_loss"], rel=1e-5)
    assert found.low > 0
    assert "rows were held out at the base and now" in found.reason
    assert run(project, "git", "status", "--porcelain", "--", "data", ".dvc").stdout == ""

    shutil.rmtree(project / ".dvc" / "cache")
    assert asked(project)["log_loss"] == found, "the remote has the base's answers, and is asked"
    forget(project)
    lost = asked(project)["log_loss"]
    assert (lost.verdict, lost.difference) == ("not comparable", None)
    assert "data/predictions.parquet of the base is not in the remote" in lost.reason
    shutil.rmtree(project.parent / f"{project.name}-dvc-remote")
    assert "which is not on this machine" in asked(project)["log_loss"].reason
    assert "is no commit here" in asked(project, "nowhere")["log_loss"].reason


def test_where_rows_are_not_shared_the_bases_model_is_asked(project: Path) -> None:
    rows = pd.read_parquet(project / "data" / "ingested.parquet")
    new = rows.copy()
    new["mean radius"] += 0.001  # the same law, and no row that the base knows
    (project / "data" / "raw").mkdir()
    new.to_csv(project / "data" / "raw" / "new.csv", index=False)
    edit(project / "params.yaml", "source: sample-classification", "source: data/raw/new.csv")
    edit(project / "params.yaml", "hyperparameters: {}", "hyperparameters: {C: 0.001}")
    reproduce(project, "ingest", "validate", "split", "train", "evaluate")
    found = asked(project)["log_loss"]
    assert found.verdict == "worse"
    assert found.rows == measured(project)["rows"]
    assert found.reason == f"The base's model was asked {found.rows} rows of today."
    assert found.now == pytest.approx(measured(project)["log_loss"], rel=1e-5)
    model = run(project, "git", "show", "HEAD:dvc.lock").stdout
    assert "models/model.skops" in model

    edit(project / "schema.yaml", "  mean texture: {type: number, min: 0}\n", "")
    told = asked(project)["log_loss"]
    assert told.verdict == "not comparable"
    assert "the columns by which a row is known changed" in told.reason
    edit(project / "schema.yaml", "role: target", "role: ignored")
    edit(
        project / "schema.yaml", "columns:\n", "columns:\n  other: {type: category, role: target}\n"
    )
    told = asked(project)["log_loss"]
    assert "another target: the base predicts `diagnosis` (classification)" in told.reason


def test_rows_that_the_base_has_learnt_are_no_test_of_it(project: Path) -> None:
    edit(project / "params.yaml", "  seed: 42\n\ntrain", "  seed: 43\n\ntrain")
    reproduce(project, "split", "train", "evaluate")
    found = asked(project)["roc_auc"]
    assert found.rows < measured(project)["rows"] / 2
    if found.verdict == "not comparable":
        assert "it has learnt all but" in found.reason
    else:
        assert found.reason.endswith("rows were held out at the base and now.")
