"""A batch comes in: does it still look like the training data, and does the model still fit?"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pages
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import imported, run_here
from playwright.sync_api import Page as Browser
from scipy import signal, stats

from esteira.adopt import typed
from esteira.drift import (
    bars,
    columns,
    joint,
    profile,
    profile_file,
    report,
    say,
    series,
    shown,
    source,
    statistics,
    two_tables,
)
from esteira.drift.check import Checked, check
from esteira.drift.limits import Settings
from esteira.drift.records import JudgedColumn, Profile, Sizes, UsualChanges
from esteira.line import params
from esteira.line.errors import UserError

SOURCE = Path(columns.__file__).parents[2]


def squad_table(rows: int, seed: int, flip: bool = False) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({f"x{i}": draw.normal(size=rows) for i in range(4)})
    frame["plan"] = draw.choice(["gold", "silver", "tin"], rows, p=[0.5, 0.3, 0.2])
    sign = -1 if flip else 1
    chance = 1 / (1 + np.exp(-2 * sign * (frame["x0"] + frame["x1"])))
    frame["left"] = np.where(draw.random(rows) < chance, "yes", "no")
    return frame


def model(frame: pd.DataFrame) -> np.ndarray:
    return (1 / (1 + np.exp(-2 * (frame["x0"] + frame["x1"])))).to_numpy()


def build(
    train: object,
    target: str | None = None,
    holdout: object = None,
    predict: Callable | None = None,
    positive: str | None = None,
    ordered: bool = False,
) -> Profile:
    made = profile.build(train, target)
    if predict:
        made = profile.follow(made, holdout, predict, positive)
    if ordered:
        made = series.calibrate(made, train)
    return made


def reference(train: pd.DataFrame, holdout: pd.DataFrame) -> Profile:
    made = build(train, "left", holdout, lambda rows: model(holdout.iloc[rows]), "yes")
    return profile_file.from_json(profile_file.to_json(made))


@pytest.fixture(scope="module")
def known() -> Profile:
    return reference(squad_table(2000, 1), squad_table(1000, 2))


def judge(known: Profile, batch: pd.DataFrame, **settings: object) -> Checked:
    return check(known, batch, Settings(**settings), lambda rows: model(batch.iloc[rows]))


def column_of(found: Checked, name: str) -> JudgedColumn:
    told = [found.judged.prediction] if found.judged.prediction else []
    return next(x for x in (*found.judged.columns, *told) if x.measured.name == name)


def says(found: Checked, name: str) -> str:
    return say.remarks(column_of(found, name))


def drifted(found: Checked) -> set[str]:
    return {column.measured.name for column in found.judged.drifted}


# ---- the formulas, against scipy


def counts(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    return np.array([(values == cell).sum() for cell in cells])


def test_the_tails_of_the_distributions_are_scipys() -> None:
    for x in (0, 0.01, 0.7, 3, 20, 200):
        for freedom in (1, 2, 3, 9, 10, 57):
            want = stats.chi2.sf(x, freedom)
            assert statistics.chi2_upper(x, freedom) == pytest.approx(want, rel=1e-9, abs=1e-300)
        assert statistics.normal_upper(x) == pytest.approx(stats.norm.sf(x), rel=1e-12)
    for least, trials, rate in ((0, 5, 0.1), (5, 5, 0.1), (3, 40, 0.02), (900, 100_000, 0.008)):
        want = stats.binom.sf(least - 1, trials, rate)
        assert statistics.binomial_upper(least, trials, rate) == pytest.approx(want, rel=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_ks_and_chi_squared_are_scipys(seed: int) -> None:
    draw = np.random.default_rng(seed)
    x, y = draw.poisson(6, 300), draw.poisson(6.5, 200)
    cells = np.arange(30)
    a, b = counts(x, cells), counts(y, cells)
    distance = statistics.ks_distance(a, b)
    assert distance == pytest.approx(stats.ks_2samp(x, y).statistic)
    a, b = a[3:9], b[3:9]
    want = stats.chi2_contingency([a, b], correction=False).pvalue
    assert statistics.chi2_p(a, b) == pytest.approx(want)


@pytest.mark.parametrize("seed", range(5))
def test_the_rank_tests_are_van_der_waerdens_and_moods(seed: int) -> None:
    draw = np.random.default_rng(seed)
    x, y = draw.normal(size=150), draw.normal(0.2, 1.2, 100)
    cells = np.sort(np.concatenate([x, y]))
    scores = stats.norm.ppf(stats.rankdata(np.concatenate([x, y])) / 251)
    z = scores[150:].sum() / np.sqrt(150 * 100 / 250 * scores.var(ddof=1))
    want = [2 * stats.norm.sf(abs(z)), stats.mood(x, y).pvalue]
    shuffled = stats.permutation_test(
        (scores[:150], scores[150:]),
        lambda a, b: abs(b.sum()),
        n_resamples=5000,
        alternative="greater",
        rng=seed,
    )
    assert want[0] == pytest.approx(shuffled.pvalue, abs=0.03)
    found = statistics.location_scale_p(counts(x, cells), counts(y, cells))
    assert [found.location, found.scale] == pytest.approx(want)


def test_the_rank_tests_of_two_values_are_the_one_of_their_share() -> None:
    a, b = np.array([300, 200]), np.array([90, 110])
    chi2 = stats.chi2_contingency([a, b], correction=False).statistic
    want = stats.chi2.sf(chi2 * 699 / 700, 1)  # the permutation variance has N - 1 for N
    found = statistics.location_scale_p(a, b)
    assert [found.location, found.scale] == pytest.approx([want, want])
    one = statistics.location_scale_p(np.array([9]), np.array([5]))
    assert one == statistics.RankTests(1, 1)
    half = np.array([10**8, 10**8])  # Mood's scores are equal then, in exact arithmetic
    assert statistics.location_scale_p(half, half // 2).scale == 1
    level = statistics.location_scale_p(np.array([40, 60, 40]), np.array([90, 5, 90]))
    assert level.location == pytest.approx(1)
    assert level.scale < 1e-9


def test_the_cauchy_combination_is_scipys() -> None:
    p, weights = (0.001, 0.3, 0.9), (0.5, 0.2, 0.3)
    want = stats.cauchy.sf(np.dot(weights, stats.cauchy.isf(p)))
    assert statistics.cauchy_combination(p, weights) == pytest.approx(want)
    for same in (1e-200, 0.02, 0.6, 0.9):
        assert statistics.cauchy_combination([same] * 3, weights) == pytest.approx(same, abs=1e-12)
    assert statistics.cauchy_combination((0.0, 1.0, 1.0), weights) < 1e-10
    assert statistics.cauchy_combination((0.001, 1.0, 1.0), weights) < 0.003


def test_rates_unseen_and_false_discovery_are_scipys() -> None:
    z = (60 / 200 - 90 / 400) / np.sqrt(150 / 600 * 450 / 600 * (1 / 200 + 1 / 400))
    assert statistics.rate_p(60, 200, 90, 400) == pytest.approx(2 * stats.norm.sf(z))
    assert statistics.rate_p(0, 2000, 3, 200) == pytest.approx(2 * stats.binom.sf(2, 3, 1 / 11))
    want = stats.binom.sf(6, 10, 200 / 1200)  # 7 unseen of 200, 2 seen once in 1000
    assert statistics.unseen_p(np.array([998, 1, 1, 0]), [1] * 7, 200) == pytest.approx(want)
    want = stats.binom.sf(19, 23, 0.5)  # 30 unseen in clumps of more than 1.5 rows count as 20
    assert statistics.unseen_p(np.array([998, 1, 1, 0]), [10] * 3, 1000) == pytest.approx(want)
    complete = statistics.unseen_p(np.array([995, 5]), [3], 200)  # no rare category in 1000
    assert complete == pytest.approx(stats.binom.sf(2, 200, 1 / 1001))
    assert statistics.unseen_p(np.array([995, 5]), [30], 5000) > 0.01  # may have been missed
    p = np.random.default_rng(0).random(50) ** 3
    cut = statistics.benjamini_hochberg(p, 0.1)
    assert ((p <= cut) == (stats.false_discovery_control(p) <= 0.1)).all()
    assert (p <= cut).any()
    assert statistics.benjamini_hochberg(np.array([0.5, 0.9]), 0.1) == -1


def test_rank_correlations_are_scipys() -> None:
    draw = np.random.default_rng(3)
    codes = draw.integers(0, 200, (3, 500)).astype(np.uint8)
    want = stats.spearmanr(codes.T).statistic
    np.testing.assert_allclose(joint.rank_correlations(codes).rho, want, atol=1e-12)


def test_the_variance_of_a_rank_correlation_is_what_repetition_shows() -> None:
    def cyclic(seed: int) -> np.ndarray:
        month = np.random.default_rng(seed).integers(1, 13, 300)
        return np.stack([month, month % 12 // 3]).astype(np.uint8)  # December is winter too

    many = [joint.rank_correlations(cyclic(seed)) for seed in range(300)]
    seen = np.arctanh([found.rho[0, 1] for found in many]).var()
    assert np.mean([found.variance[0, 1] for found in many]) == pytest.approx(seen, rel=0.25)


def test_psi_is_nothing_on_average_without_drift_and_known_with_it() -> None:
    draw = np.random.default_rng(4)
    shares = np.full(10, 0.1)
    raw = [
        statistics.psi(draw.multinomial(20000, shares), draw.multinomial(20000, shares))
        for _ in range(50)
    ]
    assert np.mean(raw) < 0.0005
    p, q = np.array([0.5, 0.5]), np.array([0.7, 0.3])
    want = ((p - q) * np.log(p / q)).sum()
    assert statistics.psi(p * 1_000_000, q * 1_000_000) == pytest.approx(want, rel=1e-3)


# ---- what a squad sees


def test_a_batch_like_the_training_data_is_kept(known: Profile) -> None:
    found = judge(known, squad_table(1500, 3))
    assert found.verdict.action == "keep"
    assert found.metrics.action == 0
    assert found.metrics.concept_assessable == 1
    assert found.metrics.concept_support == 1
    assert abs(found.metrics.domain_auc - 0.5) < 0.05


def test_a_shifted_column_asks_for_retraining_and_is_named(known: Profile) -> None:
    batch = squad_table(1500, 4)
    batch["x2"] += 0.5
    found = judge(known, batch)
    assert found.verdict.action == "retrain"
    assert "`x2`" in found.told.reasons[0]
    assert found.metrics.columns_drifted == 1
    assert found.metrics.concept_drift == 0


def test_a_tenth_of_a_deviation_is_significant_but_no_alarm() -> None:
    known = reference(squad_table(20000, 5), squad_table(1000, 2))
    batch = squad_table(20000, 6)
    batch["x2"] += 0.1
    found = judge(known, batch)
    assert found.verdict.action == "keep"
    assert "significant but small" in says(found, "x2")


def test_the_opposite_relation_to_the_target_asks_for_rework(known: Profile) -> None:
    found = judge(known, squad_table(1500, 7, flip=True))
    assert found.verdict.action == "rework"
    assert found.metrics.loss_current > 2 * found.metrics.loss_current_expected
    assert found.judged.segments[0].rows_with.split()[0] in ("x0", "x1")


def test_correlation_with_equal_margins_is_seen(known: Profile) -> None:
    batch = squad_table(1500, 8)
    batch["x3"] = 0.7 * batch["x2"] + np.sqrt(1 - 0.49) * batch["x3"]
    found = judge(known, batch)
    assert found.verdict.action == "retrain"
    pair = found.judged.pairs[0]
    assert (pair.left, pair.right) == ("x2", "x3")
    assert found.metrics.columns_drifted == 0


def test_an_interaction_is_seen_by_the_classifier(known: Profile) -> None:
    batch = squad_table(2000, 9)
    batch["x3"] = np.abs(batch["x3"]) * np.sign(batch["x2"] * batch["x1"] * batch["x0"] + 1e-9)
    batch["x3"] = np.abs(batch["x3"]) * np.where(np.abs(batch["x2"]) > 0.67, 1, -1)
    found = judge(known, batch)
    assert any("A classifier can tell" in reason for reason in found.told.reasons)


def test_inputs_out_of_reach_leave_the_concept_unassessed(known: Profile) -> None:
    batch = squad_table(1500, 10)
    batch["x2"] += 8
    found = judge(known, batch)
    assert found.verdict.action == "retrain"
    assert found.metrics.concept_assessable == 0
    cannot = "Concept drift is not assessable: only 0% of the batch is like the holdout"
    assert f"{cannot}; retrain on it." in found.told.reasons


def test_drifted_inputs_alone_do_not_accuse_the_concept(known: Profile) -> None:
    batch = squad_table(3000, 11)
    batch = batch[np.random.default_rng(0).random(3000) < 1 / (1 + np.exp(-1.5 * batch["x0"]))]
    found = judge(known, batch)
    assert found.verdict.action == "retrain"
    assert found.metrics.concept_assessable == 1
    assert found.metrics.concept_drift == 0


def test_without_labels_it_says_so(known: Profile) -> None:
    batch = squad_table(1500, 12)
    more = pd.concat([batch, batch[batch["left"] == "yes"], batch[batch["left"] == "yes"]])
    cannot = "Concept drift cannot be told without labels."
    for bare in (more.drop(columns="left"), more.assign(left=None)):
        found = judge(known, bare)
        assert found.told.notes[0] == cannot
        assert found.told.notes[1].startswith("The predictions drifted: median")
        assert found.metrics.concept_assessable == 0
        assert found.metrics.target_psi is None
        assert column_of(found, "prediction").drifted


def test_a_model_of_many_classes_is_followed_by_the_classes_it_names() -> None:
    def table(seed: int, turn: int = 0) -> pd.DataFrame:
        draw = np.random.default_rng(seed)
        frame = pd.DataFrame(draw.normal(size=(1500, 3)), columns=list("abc"))
        best = (frame + draw.normal(0, 0.5, frame.shape)).to_numpy().argmax(axis=1)
        return frame.assign(y=np.array(["red", "green", "blue"])[(best + turn) % 3])

    def named(frame: pd.DataFrame) -> np.ndarray:
        return np.array(["red", "green", "blue"])[frame[list("abc")].to_numpy().argmax(axis=1)]

    hold = table(2)
    known = build(table(1), target="y", holdout=hold, predict=lambda at: named(hold.iloc[at]))
    for turn, action in ((0, "keep"), (1, "rework")):
        batch = table(3, turn)
        found = check(known, batch, Settings(), lambda at, b=batch: named(b.iloc[at]))
        assert found.verdict.action == action, found.told.reasons
    assert found.metrics.loss_current > 0.6


@pytest.mark.parametrize("unit", [1, 1e-20, 1e30])
def test_a_regression_model_is_followed_in_any_unit(unit: float) -> None:
    def table(seed: int, slope: float = 1) -> pd.DataFrame:
        draw = np.random.default_rng(seed)
        frame = pd.DataFrame(draw.normal(size=(1200, 3)), columns=list("abc")) * unit
        return frame.assign(y=slope * frame["a"] + draw.normal(0, 0.5 * unit, 1200))

    hold = table(2)
    known = build(table(1), target="y", holdout=hold, predict=lambda at: hold["a"].to_numpy()[at])
    for slope, action in ((1, "keep"), (0.2, "rework")):
        batch = table(3, slope)
        found = check(known, batch, Settings(), lambda at, batch=batch: batch["a"].to_numpy()[at])
        assert found.verdict.action == action
    assert found.metrics.loss_reference == pytest.approx(0.4 * unit, rel=0.1)
    assert found.metrics.concept_residual_gain == pytest.approx(0.69, abs=0.02)


def test_a_batch_smaller_than_the_blocks_of_a_series_may_differ_more(tmp_path: Path) -> None:
    noise = np.random.default_rng(4).normal(size=(3000, 3))
    level = signal.lfilter([1], [1, -0.95], noise, axis=0)[300:]
    series = pd.DataFrame(level, columns=list("abc"))
    known = build(series[:2000], ordered=True)
    assert known.usual.block_rows == 100
    actions = [
        check(known, series[first : first + 60], Settings(classifier=False)).verdict.action
        for first in range(2000, 2600, 60)
    ]
    assert actions.count("keep") >= 9
    moved = series[2000:2060] + 60
    assert check(known, moved, Settings(classifier=False)).verdict.action == "retrain"
    profile_file.write(tmp_path / "known.json", known)
    assert profile_file.read(tmp_path / "known.json") == known


def test_errors_as_large_as_numbers_go_have_a_finite_mean():
    residuals = np.array([1.7e308, -1.7e308, 1.0, np.nan])
    losses = statistics.losses(residuals, None)
    assert np.isnan(losses[3])
    assert np.isfinite(losses[:3].sum())
    assert np.isfinite(np.var(losses[:3]))


def test_labels_written_otherwise_are_no_error_of_the_model(known: Profile) -> None:
    batch = squad_table(1500, 12)
    batch["left"] = batch["left"].map({"yes": "1", "no": "0"})
    found = judge(known, batch)
    assert found.verdict.action == "unusable"
    assert found.told.reasons == ("Most labels are classes that `left` never had: 0, 1.",)


def test_a_concept_that_was_not_tested_is_not_called_sound(known: Profile) -> None:
    batch = squad_table(1500, 12)
    assert judge(known, batch).told.advice == "Nothing to do."
    found = judge(known, batch.drop(columns="left"))
    assert (
        found.told.advice
        == "Nothing to do for the data; the concept was not tested: it needs labels."
    )


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_labels_that_are_late_are_no_drift_of_the_target(known: Profile, share: float) -> None:
    batch = squad_table(1500, 12)
    batch.loc[np.random.default_rng(0).random(1500) < share, "left"] = None
    assert judge(known, batch).verdict.action == "keep"


def test_labels_that_are_all_nan_are_none(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(2, 500))
    known = build(pa.table({"x": x[0], "y": x[1]}), target="y")
    for name, batch in (("file", tmp_path / "b.parquet"), ("table", None)):
        table = pa.table({"x": x[1], "y": np.full(500, np.nan)})
        if name == "file":
            pq.write_table(table, batch)
        found = check(known, batch or table, Settings())
        assert found.verdict.action == "keep", found.told.reasons
        assert found.told.notes == ("Concept drift cannot be told without labels and predictions.",)


def test_a_model_that_answers_nothing_is_no_pass(known: Profile) -> None:
    batch = squad_table(1500, 12)
    found = check(known, batch, Settings(), lambda rows: np.full(len(rows), np.nan))
    assert found.verdict.action == "unusable"
    assert found.told.reasons == ("The predictions are wholly missing.",)
    with pytest.raises(UserError, match="no probabilities: give numbers from 0 to 1"):
        check(known, batch, Settings(), lambda rows: 100 * model(batch.iloc[rows]))


def test_an_infinite_value_is_a_missing_one_in_every_test() -> None:
    draw = np.random.default_rng(2)
    hit = draw.random((2, 2000)) < 0.3
    frames = [pd.DataFrame(draw.normal(size=(2000, 3)), columns=[*"abc"]) for _ in range(2)]
    frames[0].loc[hit[0], "a"], frames[1].loc[hit[1], "a"] = np.nan, np.inf
    found = check(build(frames[0]), frames[1], Settings())
    assert found.verdict.action == "keep", found.told.reasons


def test_a_handful_of_labels_is_too_few_to_judge_the_concept(known: Profile) -> None:
    batch = squad_table(1500, 12)
    batch.loc[9:, "left"] = None
    found = judge(known, batch)
    cannot = "Concept drift is not assessable: 9 rows have a label and a prediction, at least 50"
    assert f"{cannot} are needed." in found.told.reasons
    assert found.metrics.concept_assessable == found.metrics.concept_drift == 0


@pytest.mark.parametrize("gaps", [False, True])
def test_a_concept_drifts_where_no_segment_can_be_named(gaps: bool) -> None:
    def table(seed: int, size: float = 1) -> pd.DataFrame:
        draw = np.random.default_rng(seed)
        text = pd.Series([f"{x:.9f}" for x in draw.random(800)])
        rare = pd.Series(draw.zipf(1.5, 800).clip(max=300).astype(str))
        if gaps and size > 1:
            rare[::2] = None  # a segment that the holdout does not have
        return pd.DataFrame({"text": text, "rare": rare, "y": size * draw.normal(size=800)})

    known = build(table(1), "y", table(2), lambda at: np.zeros(len(at)))
    found = check(known, table(3, 9), Settings(), lambda at: np.zeros(len(at)))
    assert found.verdict.action == "rework"
    assert found.judged.segments == ()


# ---- bad batches: each has its sentence


def test_absent_changed_and_lost_columns_make_a_batch_unusable(known: Profile) -> None:
    batch = squad_table(500, 13).drop(columns="x0")
    batch["x1"] = batch["x1"].astype(str)
    batch["x2"] = np.nan
    batch["plan"] = pd.Series([None] * 500, dtype=object)
    found = judge(known, batch)
    assert found.verdict.action == "unusable"
    assert found.told.reasons == (
        "Column `x0` is absent.",
        "Column `x1` changed its type: number before, category now.",
        "Column `x2` is wholly missing.",
        "Column `plan` is wholly missing.",
    )
    assert found.metrics.schema_faults == 4


def test_a_model_is_not_asked_about_a_batch_that_lost_a_column(known: Profile) -> None:
    batch = squad_table(500, 13).assign(x2=np.nan)
    found = check(known, batch, Settings(), lambda rows: 1 / 0)
    assert found.told.reasons == ("Column `x2` is wholly missing.",)
    assert found.metrics.missing_max_increase == 1


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (0, "The batch has 0 rows: for a verdict it needs at least 50."),
        (5, "The batch has 5 rows: for a verdict it needs at least 50."),
    ],
)
def test_too_few_rows_give_no_verdict(known: Profile, rows: int, says: str, tmp_path: Path) -> None:
    found = judge(known, squad_table(rows, 14))
    assert found.told.reasons == (says,)
    assert found.verdict.action == "unusable"
    report.write(found, tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text())["action"] == 3
    assert says in (tmp_path / "report.html").read_text()


def test_new_categories_infinite_and_missing_values_are_told(known: Profile) -> None:
    batch = squad_table(800, 15)
    batch.loc[:30, "plan"] = "platinum"
    batch.loc[:40, "x1"] = np.inf
    batch.loc[:200, "x2"] = np.nan
    found = judge(known, batch)
    assert says(found, "plan").startswith("never seen before, in 3.9% of rows: platinum")
    assert "41 infinite values, taken as missing" in says(found, "x1")
    assert "missing 0.0% → 25.1%" in says(found, "x2")
    assert drifted(found) >= {"plan", "x1", "x2"}


def odd_table(rows: int, seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    words = ["".join(draw.choice(list("abcdefgh"), draw.integers(4, 30))) for _ in range(rows)]
    return pd.DataFrame(
        {
            "always": 7.0,
            "same": "one",
            "flag": draw.random(rows) < 0.3,
            "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows), "h"),
            "note": words,
            "nothing": np.nan,
            "blank": pd.Series([None] * rows, dtype=object),
            "whole": draw.integers(0, 5, rows),
            "nested": [[1, 2]] * rows,
            "rare": draw.choice([f"c{i}" for i in range(400)], rows),
        }
    )


def test_constants_dates_booleans_text_and_empty_columns_are_at_ease() -> None:
    known = build(odd_table(1000, 1))
    found = check(known, odd_table(800, 2), Settings())
    assert found.verdict.action == "keep", found.told.reasons
    assert says(found, "always") == says(found, "same") == "constant in the reference"
    assert says(found, "day") == "dates move on: compared by hour and weekday"
    assert says(found, "note") == "free text: only missing ones are tested"
    for empty in ("nothing", "blank"):
        assert says(found, empty) == "not compared: the reference has no values"
    assert says(found, "nested") == "not compared: neither numbers, words nor dates"

    batch = odd_table(800, 3)
    batch["always"], batch["same"], batch["flag"] = 8.0, "two", batch["flag"] | (batch["whole"] > 1)
    batch.loc[:300, "note"] = None
    batch["nothing"] = 1.0
    batch.loc[:300, "day"] = pd.NaT
    found = check(known, batch, Settings())
    assert found.verdict.action == "retrain"
    assert drifted(found) == {"always", "same", "flag", "note", "day", "nothing"}
    assert says(found, "always") == "constant in the reference; median 7 → above 7"


@pytest.mark.parametrize("rows", [150, 240, 2000])
def test_identifiers_and_long_lists_do_not_tell_two_samples_apart(rows: int) -> None:
    def table(seed: int) -> pd.DataFrame:
        draw = np.random.default_rng(seed)
        return pd.DataFrame(
            {
                "id": [f"{seed:02}-{i:04}" for i in range(rows)],
                "city": draw.zipf(1.5, rows).clip(max=300).astype(str),
                "street": draw.integers(0, 200, rows).astype(str),
                "flag": draw.random(rows) < 0.5,
            }
        )

    for seed in range(3):
        found = check(build(table(seed)), table(seed + 9), Settings())
        assert found.verdict.action == "keep", found.told.reasons
        assert found.metrics.domain_auc < 0.62


def test_tables_that_cannot_be_checked_are_told_in_a_sentence(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=400)
    twice = pa.Table.from_arrays([pa.array(x), pa.array(x)], ["a", "a"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    for table in (twice, tmp_path / "twice.parquet"):
        with pytest.raises(UserError, match="more than one column is called `a`"):
            source.Source(table)
    mixed = pd.DataFrame({"a": pd.Series([1, "b"], dtype=object)})
    with pytest.raises(UserError, match=r"the table cannot be read as a table: .*column a"):
        build(mixed)
    with pytest.raises(UserError, match="no column besides the target"):
        build(pd.DataFrame({"y": x}), target="y")


def test_what_the_reference_never_had_is_seen_and_what_cannot_be_compared_is_told(
    tmp_path: Path,
) -> None:
    x = np.random.default_rng(1).normal(size=400)
    gap = pd.to_timedelta(np.abs(x), unit="s")
    for empty in (np.nan, np.inf):
        known = build(pa.table({"a": np.full(400, empty), "x": x, "gap": pa.array(gap)}))
        batch = pa.table({"a": x, "x": x, "gap": pa.array(gap)})
        found = check(known, batch, Settings())
        assert column_of(found, "a").drifted
        assert says(found, "gap") == "not compared: neither numbers, words nor dates"
        days = pd.date_range("2026-01-01", periods=400)
        for other, drifted in ((days, 1), (x > 0, 1), ([[1]] * 400, 1), ([None] * 400, 0)):
            batch = batch.set_column(0, "a", pa.array(other))
            found = check(known, batch, Settings())
            assert column_of(found, "a").drifted == drifted
            report.write(found, tmp_path)
    far = pa.array([2**55] * 400, pa.timestamp("us"))
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 200), pa.array(["a", None]))
    days = pa.array(pd.date_range("2026-01-01", periods=400)).dictionary_encode()
    odd = pa.table({"far": far, "words": words, "days": days, "low": np.full(400, -1.7976e308)})
    known = profile_file.from_json(profile_file.to_json(build(odd)))
    assert check(known, odd, Settings()).verdict.action == "keep"


def test_a_class_that_only_the_batch_has_counts_as_an_error(known: Profile) -> None:
    batch = squad_table(1500, 23)
    batch.loc[batch["left"] == "no", "left"] = "moved"
    found = judge(known, batch)
    assert found.verdict.action == "rework"
    assert found.metrics.loss_current > 0.5


def test_a_missing_or_foreign_reference_is_an_error(tmp_path: Path) -> None:
    path, says = tmp_path / "reference.json", r"is absent or no profile of this version: `uv run"
    for text in (None, "{}", "[]", "not JSON"):
        if text:
            path.write_text(text)
        with pytest.raises(UserError, match=says):
            profile_file.read(path)
    small = build(squad_table(9, 1))
    found = check(small, squad_table(99, 2), Settings())
    says = "The reference has 9 rows: for a verdict it needs at least 50."
    assert found.told.reasons == (says,)
    with pytest.raises(UserError, match="the reference has no rows"):
        build(squad_table(0, 1))


# ---- a profile from a stranger


def followed_profile() -> Profile:
    train, holdout = squad_table(300, 1), squad_table(200, 2)
    train["day"], holdout["day"] = (
        pd.date_range("2026-01-01", periods=len(frame), freq="h") for frame in (train, holdout)
    )
    made = build(train, "left", holdout, lambda at: model(holdout.iloc[at]), "yes")
    return series.calibrate(made, train)


def column_in(text: dict, name: str) -> dict:
    return next(column for column in text["features"] if column["name"] == name)


HOSTILE: dict[str, Callable[[dict], object]] = {
    "no counts": lambda p: column_in(p, "x0")["counted"].update(counts=None),
    "counts are text": lambda p: column_in(p, "x0")["counted"].update(counts="many"),
    "counts are fractions": lambda p: column_in(p, "x0")["counted"].update(counts=[0.5] * 252),
    "all zero": lambda p: column_in(p, "x0")["counted"].update(
        counts=[0] * len(column_in(p, "x0")["counted"]["counts"])
    ),
    "zero and all missing": lambda p: column_in(p, "plan")["counted"].update(
        counts=[0, 0, 0], missing=300
    ),
    "negative": lambda p: column_in(p, "plan")["counted"].update(counts=[-1, 151, 150]),
    "counts that do not add up": lambda p: column_in(p, "plan")["counted"].update(counts=[1, 2, 3]),
    "too few counts": lambda p: column_in(p, "x0")["counted"]["counts"].pop(),
    "huge counts": lambda p: column_in(p, "plan")["counted"].update(counts=[10**300, 0, 0]),
    "edges not finite": lambda p: column_in(p, "x0")["cells"]["edges"].__setitem__(3, 1e999),
    "edges not a number": lambda p: column_in(p, "x0")["cells"]["edges"].__setitem__(
        3, float("nan")
    ),
    "edges that do not ascend": lambda p: column_in(p, "x0")["cells"]["edges"].reverse(),
    "no edges": lambda p: column_in(p, "x0")["cells"].update(edges=[]),
    "categories twice": lambda p: column_in(p, "plan")["cells"].update(
        categories=["gold", "gold", "tin"]
    ),
    "an unknown kind": lambda p: column_in(p, "x0")["cells"].update(kind="spell"),
    "a short sample": lambda p: column_in(p, "x0")["counted"].update(codes="AAAA"),
    "a sample that is no base64": lambda p: column_in(p, "x0")["counted"].update(codes="é"),
    "a short holdout": lambda p: column_in(p, "x0").update(holdout_codes="AAAA"),
    "two columns alike": lambda p: p["features"].append(p["features"][0]),
    "no features": lambda p: p.update(features=[]),
    "a feature that is a number": lambda p: p.update(features=[7]),
    "other rows": lambda p: p.update(rows=10**6),
    "infinite rows": lambda p: p.update(rows=float("inf")),
    "residuals beyond 1": lambda p: p["followed"]["residuals"].__setitem__(0, 40.0),
    "probabilities beyond 1": lambda p: p["followed"]["probabilities"].__setitem__(0, 40.0),
    "no probabilities": lambda p: p["followed"].update(probabilities=[]),
    "a model and no target": lambda p: p.pop("target"),
    "usual changes that are no numbers": lambda p: p["usual"].update(auc=None),
    "hours of another planet": lambda p: column_in(p, "day")["counted"]["calendar"].update(
        hour=[1] * 30
    ),
    "dates that end before they begin": lambda p: column_in(p, "day")["counted"]["calendar"].update(
        last=-1, first=10**9
    ),
    "dates beyond all years": lambda p: column_in(p, "day")["counted"]["calendar"].update(
        last=10**18
    ),
    "a field too many": lambda p: p.update(verdict="keep"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_profile_that_contradicts_itself_is_refused_in_one_sentence(
    what: str, tmp_path: Path
) -> None:
    honest = profile_file.to_json(followed_profile())
    path = tmp_path / "reference.json"
    path.write_text(honest)
    assert profile_file.read(path) == profile_file.from_json(honest)
    value = json.loads(honest)
    HOSTILE[what](value)
    path.write_text(json.dumps(value))
    with pytest.raises(
        UserError, match=r"cannot be believed \(.+\): `uv run dvc repro` makes"
    ) as told:
        profile_file.read(path)
    assert str(told.value).count("\n") == 0
    assert len(str(told.value)) < 400


@pytest.mark.parametrize(
    "text",
    ["[" * 5000, '{"a":' * 5000, '{"version": 7', "\x00\xff", '{"version": "7"}', '"profile"', "7"],
)
def test_a_file_that_is_no_profile_is_refused_in_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="is absent or no profile of this version"):
        profile_file.read(path)


def test_a_file_too_large_for_a_profile_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "reference.json"
    profile_file.write(path, followed_profile())
    monkeypatch.setattr(profile_file, "MOST_BYTES", 100)
    with pytest.raises(UserError, match="is too large to be a profile"):
        profile_file.read(path)


# ---- dates


def visits(rows: int, seed: int, days: int = 90) -> pd.DataFrame:
    """Shop visits: by day between 8 and 20 h, few at weekends."""
    draw = np.random.default_rng(seed)
    day = draw.choice(
        days,
        rows,
        p=np.tile([3, 3, 3, 3, 3, 1, 1], days)[:days]
        / np.sum(np.tile([3, 3, 3, 3, 3, 1, 1], days)[:days]),
    )
    hour = draw.normal(14, 2.5, rows).clip(8, 19.9)
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(day * 24 + hour, "h")
    return pd.DataFrame({"when": when.astype("datetime64[us]"), "x": draw.normal(size=rows)})


def test_hours_that_moved_are_named() -> None:
    known = build(visits(2000, 1))
    calm = check(known, visits(1000, 2), Settings())
    assert calm.verdict.action == "keep", calm.told.reasons
    assert says(calm, "when") == "dates move on: compared by hour and weekday"
    batch = visits(1000, 3)
    batch["when"] += pd.Timedelta("4h")
    found = check(known, batch, Settings())
    assert found.verdict.action == "retrain"
    assert found.told.reasons[0] == "1 of 2 features drifted: the hour of `when`."


def test_weekdays_and_months_that_moved_are_named() -> None:
    known = build(visits(4000, 1, 730))
    calm = check(known, visits(2000, 2, 730), Settings())
    assert calm.verdict.action == "keep", calm.told.reasons
    batch = visits(2000, 3, 730)
    sunday = batch["when"].dt.day_of_week == 6
    moved = batch.assign(when=batch["when"].where(sunday, batch["when"] + pd.Timedelta("2D")))
    found = check(known, moved, Settings())
    assert found.told.reasons[0] == "1 of 2 features drifted: the weekday of `when`."
    winter = batch[batch["when"].dt.month.isin([1, 2, 12]) | (batch.index % 4 == 0)]
    found = check(known, winter, Settings())
    assert found.told.reasons[0] == "1 of 2 features drifted: the month of `when`."


def test_a_batch_of_one_month_or_day_is_no_drift_of_months_or_weekdays() -> None:
    known = build(visits(6000, 1, 730))
    everything = visits(20000, 2, 730)
    july = everything[everything["when"].dt.strftime("%Y-%m") == "2025-07"]
    week = everything[everything["when"].dt.strftime("%Y-%W") == "2025-20"]
    for batch, compared in ((july, "hour and weekday"), (week, "hour")):
        found = check(known, batch, Settings())
        assert len(batch) >= 50
        assert found.verdict.action == "keep", found.told.reasons
        assert says(found, "when") == f"dates move on: compared by {compared}"


def test_dates_without_a_time_of_day_are_not_compared_by_hour() -> None:
    def days(seed: int) -> pd.DataFrame:
        return visits(800, seed).assign(when=lambda frame: frame["when"].dt.normalize())

    known = build(days(1))
    for batch in (days(2), visits(800, 2)):
        found = check(known, batch, Settings())
        assert found.verdict.action == "keep", found.told.reasons
        assert says(found, "when") == "dates move on: compared by weekday"


def test_dates_count_alike_in_every_unit_and_in_parts(tmp_path: Path) -> None:
    when = visits(500, 4)["when"]
    whole = source.Source(pa.table({"when": pa.array(when)}))
    want = columns.describe(whole, "when").counted.calendar
    assert want.hour[14] == (when.dt.hour == 14).sum()
    assert want.weekday[6] == (when.dt.day_of_week == 6).sum()
    assert want.month[1] == (when.dt.month == 2).sum()
    for unit in ("s", "ms", "ns"):
        other = pa.table({"when": pa.array(when.astype(f"datetime64[{unit}]"))})
        assert columns.describe(source.Source(other), "when").counted.calendar == want
    pq.write_table(pa.table({"when": pa.array(when)}), tmp_path / "a.parquet", row_group_size=37)
    parts = source.Source(tmp_path / "a.parquet")
    assert columns.describe(parts, "when").counted.calendar == want


# ---- what else is told


def test_features_target_and_prediction_are_told_apart(known: Profile, tmp_path: Path) -> None:
    batch = squad_table(1500, 12)
    batch = pd.concat([batch, batch[batch["left"] == "yes"], batch[batch["left"] == "yes"]])
    found = judge(known, batch)
    report.write(found, tmp_path)
    page = (tmp_path / "report.html").read_text()
    figures = json.loads((tmp_path / "metrics.json").read_text())
    drifted_features = [x for x in found.judged.drifted if x.measured.role == "feature"]
    assert figures["columns_drifted"] == len(drifted_features)
    assert figures["target_drifted"] == figures["prediction_drifted"] == 1
    features = f"{len(drifted_features)} of 5 features drifted"
    for text in (found.summary(), re.sub("</?code>", "`", page)):
        assert (features in text) == bool(drifted_features)
        assert "The target `left` drifted: " in text
        assert "The predictions drifted: " in text


@pytest.mark.parametrize("kind", ["spread", "tails", "heap", "long list"])
def test_what_is_said_of_a_drifted_column_moved(kind: str) -> None:
    def table(seed: int, moved: bool) -> pd.DataFrame:
        draw = np.random.default_rng(seed)
        x = draw.normal(size=4000).round(1)
        x = np.concatenate([x, -x])  # the median is 0
        words = draw.integers(0, 240, 8000)
        if moved and kind == "spread":
            x = x * 2
        if moved and kind == "tails":
            x = np.where(draw.random(8000) < 0.3, 9 * np.sign(x), x)
        if moved and kind == "heap":
            x = np.where(np.abs(x) < 0.6, 0, x)
        if moved and kind == "long list":
            words = np.where(draw.random(8000) < 0.5, words, words // 2)
        return pd.DataFrame({"x": x, "word": [f"w{word}" for word in words]})

    found = check(build(table(1, False)), table(2, True), Settings(classifier=False))
    name = "word" if kind == "long list" else "x"
    assert drifted(found) == {name}
    text = says(found, name)
    before, now = re.search(r"(\S+%) → (\S+%)", text).groups()
    assert before != now, text
    assert "stays" not in text


def test_extra_columns_and_repeated_rows_are_told(known: Profile) -> None:
    batch = squad_table(900, 21)
    assert not list(judge(known, batch).told.notes)
    found = judge(known, batch.assign(bonus=1.0, colour="red"))
    assert found.told.notes == (
        "Columns that the reference does not have, not checked: `bonus`, `colour`.",
    )
    assert found.metrics.columns_extra == 2
    found = judge(known, pd.concat([batch, batch[:100]]))
    assert found.told.notes == (
        "Rows that repeat an earlier one: 10.0% of the batch, 0.0% of the reference.",
    )
    assert found.metrics.rows_repeated_share == pytest.approx(0.1)


def test_rows_are_compared_in_every_kind_of_column_and_whole(tmp_path: Path) -> None:
    frame = odd_table(600, 1).drop(columns=["nested", "note"])
    frame["low"] = np.where(frame.index % 2, -0.0, 0.0)
    days = source.Source(frame)
    assert days.repeated(["day"]) == 0
    assert days.repeated(["always", "same", "low"]) == pytest.approx(599 / 600)
    assert days.repeated(["whole", "flag"]) == pytest.approx(
        frame.duplicated(["whole", "flag"]).mean()
    )
    some = ["whole", "rare", "flag", "nothing", "blank"]
    want = frame.duplicated(some).mean()
    assert 0 < want < 1
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=70)
    for table in (frame, tmp_path / "a.parquet"):
        assert source.Source(table).repeated(some) == pytest.approx(want)


def test_the_models_error_is_always_told_or_why_it_is_not(known: Profile, tmp_path: Path) -> None:
    batch = squad_table(1500, 12)
    cases = {
        "on the batch": judge(known, batch),
        "is not assessable, as 0%": judge(known, batch.assign(x2=lambda frame: frame["x2"] + 8)),
        "not assessable without labels": judge(known, batch.drop(columns="left")),
        "not assessable without predictions": check(known, batch, Settings()),
        "not assessable, as the batch cannot be used": judge(known, batch[:9]),
        "9 rows have an answer, 50 are needed": judge(
            known, batch.assign(left=batch["left"].where(batch.index < 9))
        ),
    }
    for what, found in cases.items():
        assert what in found.told.error
        assert found.told.error in found.summary()
        report.write(found, tmp_path)
        assert found.told.error in (tmp_path / "report.html").read_text()
        assert json.loads((tmp_path / "metrics.json").read_text())["loss_reference"] > 0
    assert f"{cases['on the batch'].metrics.loss_current_expected:.4g} expected" in (
        cases["on the batch"].told.error
    )


@pytest.mark.parametrize("wrong_by", [1.0, 2.5])
def test_without_labels_the_quality_is_expected_even_of_overconfident_models(
    wrong_by: float,
) -> None:
    def odds(frame: pd.DataFrame) -> np.ndarray:
        return 1 / (1 + np.exp(-2 * wrong_by * (frame["x0"] + frame["x1"]).to_numpy()))

    holdout = squad_table(2000, 2)
    known = build(squad_table(2000, 1), "left", holdout, lambda at: odds(holdout.iloc[at]), "yes")
    batch = squad_table(2000, 12)
    batch[["x0", "x1"]] *= 0.4  # harder rows: the model is right less often
    chance = 1 / (1 + np.exp(-2 * (batch["x0"] + batch["x1"])))
    batch["left"] = np.where(np.random.default_rng(3).random(2000) < chance, "yes", "no")
    found = check(known, batch.drop(columns="left"), Settings(), lambda at: odds(batch.iloc[at]))
    truth = batch["left"] == "yes"
    right = ((odds(batch) >= 0.5) == truth).mean()
    held = ((odds(holdout) >= 0.5) == (holdout["left"] == "yes")).mean()
    assert held - right > 0.08
    assert found.metrics.accuracy_expected == pytest.approx(right, abs=0.03)
    assert found.metrics.brier_expected == pytest.approx(
        np.mean((odds(batch) - truth) ** 2), abs=0.02
    )
    assert "an expectation, blind to concept drift" in found.told.error
    with_labels = check(known, batch, Settings(), lambda at: odds(batch.iloc[at]))
    assert with_labels.metrics.accuracy_expected is None


# ---- thresholds


def test_limits_can_be_overruled_for_one_column(known: Profile) -> None:
    batch = squad_table(1500, 16)
    batch["x2"] += 0.5
    lenient = {"x2": {"ks": 0.9, "psi": 9.0}}
    found = judge(known, batch, columns=lenient, classifier=False)
    assert found.verdict.action == "keep"
    assert column_of(found, "x2").significant == 1
    strict = judge(known, squad_table(1500, 3), alpha=1.0, columns={"x2": {"ks": 0.0}})
    assert column_of(strict, "x2").drifted
    with pytest.raises(UserError, match=r"columns\.x2\.kss: no such name; did you mean `ks`\?"):
        params.parse({"columns": {"x2": {"kss": 1.0}}}, Settings, "params.yaml")


def test_a_time_series_is_compared_with_what_its_blocks_do_anyway() -> None:
    actions: dict[str, list[str]] = {"blind": [], "calm": [], "moved": []}
    for seed in range(8):
        noise = np.random.default_rng(seed).normal(size=(3500, 3)) * np.sqrt(1 - 0.98**2)
        whole = pd.DataFrame(signal.lfilter([1], [1, -0.98], noise, axis=0)[300:], columns=[*"abc"])
        train, batch = whole[:3000], whole[3000:]
        known = build(train, ordered=True)
        for kind, found in (
            ("blind", check(build(train), batch, Settings())),
            ("calm", check(known, batch, Settings())),
            ("moved", check(known, batch + 4, Settings())),
        ):
            actions[kind].append(found.verdict.action)
    assert actions["blind"].count("retrain") >= 7
    assert actions["calm"].count("keep") >= 7
    assert actions["moved"] == ["retrain"] * 8


def test_columns_that_a_series_lacks_for_blocks_are_calibrated_too() -> None:
    noise = np.random.default_rng(1).normal(size=(3000, 3)) * np.sqrt(1 - 0.9**2)
    frame = pd.DataFrame(signal.lfilter([1], [1, -0.9], noise, axis=0), columns=[*"abc"])
    for start in range(0, 3000, 150):
        frame.iloc[start : start + 150, start // 150 % 3] = np.nan
    known = build(frame[:2700], ordered=True)
    found = check(known, frame[2700:], Settings())
    assert found.verdict.action == "keep", found.told.reasons
    assert known.usual.auc > 0
    assert known.usual.correlation > 0
    assert 0 < max(feature.usual.ks for feature in known.features) <= 1
    short = build(frame[:199], ordered=True)
    assert short.usual == UsualChanges()
    assert {feature.usual for feature in short.features} == {Sizes()}


def test_of_a_wide_series_the_classifier_tells_some_blocks_spread_over_all() -> None:
    draw = np.random.default_rng(0)
    blocks = [series.Block(start, start + 50) for start in range(0, 1000, 50)]
    for width, told in ((10, 20), (120, 8)):
        codes = draw.integers(0, 9, (width, 1000)).astype(np.uint8)
        assert len(series.told_apart(codes, blocks)) == told


def test_categories_of_one_block_alone_are_unseen_by_the_others() -> None:
    frame = pd.DataFrame({"plan": ["basic", "pro"] * 250, "x": np.arange(500) % 7})
    frame.loc[100:109, "plan"], frame.loc[300:304, "plan"] = "trial", "gift"
    known = build(frame, ordered=True)
    (plan,) = (feature for feature in known.features if feature.name == "plan")
    assert plan.usual.unseen > 0


def test_a_target_with_very_many_classes_is_followed() -> None:
    names = np.array([f"class {i}" for i in range(400)])
    x = np.arange(1200) % 400
    table = pd.DataFrame({"x": x, "y": names[x]})
    known = build(table, target="y", holdout=table, predict=lambda at: names[x[at]])
    assert set(known.followed.residuals) == {0.0}
    found = check(known, table, Settings(), lambda at: names[(x[at] + 1) % 400])
    assert found.verdict.action == "rework"


# ---- files


def test_reading_by_row_group_gives_the_same_answer(
    known: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = squad_table(3000, 17)
    batch.loc[::7, "x1"] = np.nan
    batch.loc[::50, "plan"] = "new"
    whole = judge(known, batch)
    pq.write_table(pa.Table.from_pandas(batch), tmp_path / "b.parquet", row_group_size=113)
    monkeypatch.setattr(source, "ROWS_AT_A_TIME", 100)
    file = source.Source(tmp_path / "b.parquet")
    assert len(list(file.pieces("x1"))) > 20
    parts = check(known, file, Settings(), lambda rows: model(batch.iloc[rows]))
    for name, found in (("whole", whole), ("parts", parts)):
        report.write(found, tmp_path / name)
    for file in ("metrics.json", "columns.csv", "histograms.csv", "report.html"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes()


def test_counts_of_parts_add_up_to_the_counts_of_the_whole(known: Profile) -> None:
    batch = pa.Table.from_pandas(squad_table(1000, 18))
    for feature in known.features:
        whole = columns.count(feature.cells, source.Source(batch), feature.name)
        slices = [source.Source(batch.slice(i, 250)) for i in range(0, 1000, 250)]
        parts = [columns.count(feature.cells, part, feature.name) for part in slices]
        summed = np.sum([part.counts for part in parts], axis=0)
        assert whole.counts == tuple(summed)


def test_files_of_every_kind_give_the_same_answer(tmp_path: Path) -> None:
    frame = odd_table(300, 4).drop(columns="nested")
    frame["fee"] = np.random.default_rng(5).gamma(2, 900, 300).round(2)
    frame["café"] = np.where(frame["flag"], "sim", "não")
    frame["code"] = (np.arange(300) % 3 == 0).astype(int)  # 0 and 1 are no and yes in a text table
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=70)
    frame.to_csv(tmp_path / "a.csv.gz", index=False)
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True, date_format="iso")
    written = frame.assign(day=frame["day"].dt.strftime("%d/%m/%Y %H:%M"), always="7,0")
    written["fee"] = [f"{fee:,.2f}".translate({44: ".", 46: ","}) for fee in frame["fee"]]
    written.to_csv(tmp_path / "brazil.csv", index=False, sep=";", encoding="latin-1")

    def compare(old: str, new: str) -> Checked:
        paths = str(tmp_path / old), str(tmp_path / new)
        return two_tables.compare_files(*paths, None, None, str(tmp_path / "out"), typed.read)

    for old, new in (("parquet", "csv.gz"), ("csv.gz", "parquet"), ("parquet", "jsonl")):
        found = compare(f"a.{old}", f"a.{new}")
        assert found.verdict.action == "keep", found.told.reasons
        assert found.metrics.max_ks == found.metrics.max_psi == 0
    files = (("a.parquet", "brazil.csv"), ("brazil.csv", "a.csv.gz"), ("brazil.csv", "a.parquet"))
    for old, new in files:
        found = compare(old, new)
        assert found.verdict.action == "keep", found.told.reasons
        kinds = {x.measured.name: x.measured.reference.kind for x in found.judged.columns}
        assert (kinds["fee"], kinds["day"], kinds["café"]) == ("number", "date", "category")
        assert found.metrics.max_ks == 0
    typed_else = frame.assign(day=frame["day"].astype(str), flag=frame["flag"].astype(int))
    typed_else.to_parquet(tmp_path / "else.parquet")
    found = compare("a.parquet", "else.parquet")
    assert found.verdict.action == "keep", found.told.reasons
    frame.assign(code=frame["code"].astype(float)).to_csv(tmp_path / "floats.csv", index=False)
    found = compare("a.csv.gz", "floats.csv")  # 1.0 for 1, as pandas writes integers with gaps
    assert found.verdict.action == "keep", found.told.reasons
    frame.assign(said=np.full(300, np.nan)).to_parquet(tmp_path / "said.parquet")
    paths = [str(tmp_path / name) for name in ("said.parquet", "a.parquet")]
    with pytest.raises(UserError, match="no column `said` like the predictions of"):
        two_tables.compare_files(*paths, "fee", "said", str(tmp_path / "out"), typed.read)
    (tmp_path / "few.csv").write_text("fee\n" + "1\n2\ndear\n" * 100)
    (tmp_path / "fees.csv").write_text("fee\n" + "1\n2\n1\n" * 100)
    found = compare("fees.csv", "few.csv")
    assert "100 cells of `fee` cannot be read as its type." in found.told.notes
    assert found.verdict.action == "retrain"


def test_drawings_show_each_of_few_values_and_a_heap_where_it_lies() -> None:
    def drawn(values: np.ndarray) -> dict[str, float]:
        table = pa.table({"x": values})
        found = check(build(table), table, Settings())
        (column,) = found.judged.columns
        drawn = bars.bars(column.measured.reference, column.measured.batch)
        return {bar.label: bar.reference for bar in drawn.bars}

    draw = np.random.default_rng(3)
    assert drawn(np.tile([1, 2, 3, 2], 50)) == {"1": 0.25, "2": 0.5, "3": 0.25}
    assert drawn(np.full(99, 7.0)) == {"7": 1}
    heap = np.where(draw.random(5000) < 0.9, 0, draw.gamma(2, 9, 5000))
    heap[:15] = -20
    shares = drawn(heap)
    assert shares.pop("below 0") < 0.005
    assert next(iter(shares.values())) > 0.9
    (known,) = build(pa.table({"x": draw.normal(size=99)})).features
    lost = columns.count(known.cells, source.Source(pa.table({"x": pa.nulls(99)})), "x")
    assert {bar.batch for bar in bars.bars(known, lost).bars} == {0}


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]


def test_the_report_is_one_small_file_that_needs_nothing_else(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    names = [f"column {i} <script>&" for i in range(50)]
    train = pd.DataFrame(draw.normal(size=(3000, 50)), columns=names)
    batch = pd.DataFrame(draw.normal(0.5, 1, (3000, 50)), columns=names)
    report.write(check(build(train), batch, Settings()), tmp_path)
    text = (tmp_path / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert len(text.encode()) < 500_000
    assert page.tags.count("script") == 1
    assert page.links == ["data:,"], "no icon is asked for"
    assert "http" not in text
    assert page.tags.count("svg") == page.tags.count("article") == 50
    assert text.index("The data drifted: retrain") < text.index("50 of 50 features drifted")
    assert "color-scheme: light dark" in text
    assert "@media print" in text
    assert re.search(r"<code>rows_reference</code></th><td class=.number.>3000<", text)


STATES = ["keep", "retrain", "rework", "unusable", "no labels"]


@pytest.mark.parametrize("state", STATES)
def test_a_browser_shows_every_state(
    state: str, known: Profile, tmp_path: Path, page: Browser
) -> None:
    """What is seen first, and that nothing is shown as known where it is not."""
    known = profile.weigh(known, {"x0": 0.2, "x1": 0.1, "x2": 0.001, "plan": -0.01})
    moved = squad_table(1500, 13)
    moved["x0"] += 1.0
    moved["x2"] += 3.0
    moved["plan"] = np.where(moved.index % 8 == 0, "platinum <b>", moved["plan"])
    batch = {
        "keep": squad_table(1500, 12),
        "retrain": moved.assign(left=squad_table(1500, 13)["left"]).drop(columns="left"),
        "rework": squad_table(1500, 19, flip=True),
        "unusable": moved[:9],
        "no labels": squad_table(1500, 12).drop(columns="left"),
    }[state]
    found = judge(known, batch)
    report.write(found, tmp_path, f"Drift check of {state}")
    pages.look(page, tmp_path / "report.html")
    verdict = found.verdict
    assert verdict.action == {"no labels": "keep"}.get(state, state)
    assert page.locator("h1").inner_text() == f"{verdict.headline}: {verdict.action}"
    tiles = dict(zip(page.locator(".name").all_inner_texts(),
                     page.locator(".value").all_inner_texts(), strict=True))  # fmt: skip
    assert list(tiles) == ["Rows", "Columns drifted", "Model error", "Concept"]
    if state == "unusable":
        assert {tiles["Columns drifted"], tiles["Model error"], tiles["Concept"]} == {"not known"}
    if state in ("keep", "rework"):
        assert tiles["Concept"] == {"keep": "holds", "rework": "drifted"}[state]
    if state == "retrain":
        titles = page.locator("article h3").all_inner_texts()
        assert titles[:3] == ["x0", "x2", "plan"], "by how much the model relies on them"
        card = page.locator("article", has_text="plan")
        assert "platinum <b>" in card.inner_text()
        assert "0 % → 13 %" in card.inner_text()
        assert "limit 0.005 (drift_check.unseen)" in card.inner_text()
    if state == "keep":
        found_column = page.locator("table.sortable tbody tr td:nth-child(3)")
        assert set(found_column.all_inner_texts()) == {"within chance"}
        assert "limit" not in page.locator("main").inner_text(), "no limit is near"
        page.get_by_role("button", name="Model relies on it").press("Enter")
        first = page.locator("table.sortable tbody tr").first
        assert first.locator("th").inner_text() == "x0"
    if state == "rework":
        assert page.get_by_role("heading", name="Where the model got worse").is_visible()


def test_what_a_page_shows_is_read_again_or_refused(known: Profile, tmp_path: Path) -> None:
    found = judge(known, squad_table(1500, 19, flip=True))
    report.write(found, tmp_path, "Drift check of a batch")
    again = shown.read(tmp_path / "shown.json")
    assert again == shown.shown(found, "Drift check of a batch")
    assert report.page(again) == (tmp_path / "report.html").read_text("utf-8")
    (tmp_path / "shown.json").write_text('{"title": "x"}')
    with pytest.raises(UserError, match="uv run dvc repro drift_check"):
        shown.read(tmp_path / "shown.json")


def drift(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(
        [sys.executable, "-c", "from esteira.cli import main; main()", "drift", *arguments],
        cwd=folder,
        env=env | {"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def drift_here(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Do what `drift` does, in this process, for speed."""
    return run_here(folder, "esteira", "drift", *arguments, check=False)


def test_the_command_tells_its_verdict_by_its_exit_status(known: Profile, tmp_path: Path) -> None:
    (tmp_path / "known.json").write_text(profile_file.to_json(known))
    tables = {"old": squad_table(1500, 20), "same": squad_table(900, 21)}
    tables["moved"] = tables["same"].assign(x2=tables["same"]["x2"] + 1)
    tables["turned"] = squad_table(900, 22, flip=True)
    for name, frame in tables.items():
        frame["score"] = model(frame)
        frame.to_csv(tmp_path / f"{name}.csv", index=False, sep=";")
    given = ("--target", "left", "--predictions", "score", "--out", "found")
    for batch, status, word in (
        ("same", 0, "keep"),
        ("moved", 10, "retrain"),
        ("turned", 11, "rework"),
    ):
        for old, command in (("old.csv", drift), ("known.json", drift_here)):
            done = command(old, f"{batch}.csv", *given, folder=tmp_path)
            assert (done.returncode, done.stdout.split(":")[0]) == (status, word), done.stderr
    names = ["columns.csv", "histograms.csv", "metrics.json", "report.html", "shown.json"]
    assert sorted(p.name for p in (tmp_path / "found").iterdir()) == names

    (tmp_path / "few.csv").write_text("x0;x1\n1;2\n")
    said = tables["old"].assign(said=tables["old"]["plan"])
    said.to_csv(tmp_path / "said.csv", index=False)
    said.assign(said=said["said"].replace("tin", "maybe")).to_csv(tmp_path / "strange.csv")
    said.assign(said=said["said"].replace("tin", None)).to_csv(tmp_path / "gaps.csv")
    guessed = ("--target", "plan", "--predictions", "said")
    done = drift_here("said.csv", "gaps.csv", *guessed, folder=tmp_path)
    assert "The predictions drifted: missing 0.0% → 20.8%" in done.stdout, done.stderr
    done = drift_here("said.csv", "strange.csv", *guessed, folder=tmp_path)
    assert done.returncode == 11, done.stdout  # a class that no prediction had is an error each
    assert "in 20.8% of rows: maybe" in (tmp_path / "drift" / "columns.csv").read_text()
    (tmp_path / "dates.csv").write_text("x0\n" + "2026-01-02\n2026-01-03\n" * 40)
    (tmp_path / "noise.parquet").write_bytes(b"not a table")
    hollow = json.loads(profile_file.to_json(known))
    hollow["features"][0]["counted"]["counts"] = None
    (tmp_path / "hollow.json").write_text(json.dumps(hollow))
    for arguments, says in (
        (("old.csv", "absent.csv"), "absent.csv does not exist"),
        (("old.csv", "few.csv"), "The batch has 1 rows"),
        (("old.csv", "same.csv", "--out", "few.csv"), "few.csv is a file, or lies"),
        (("old.csv", "same.csv", "--out", "few.csv/sub"), "few.csv/sub is a file, or lies in one"),
        (("old.csv", "noise.parquet"), "noise.parquet cannot be read as a table"),
        (("old.csv", "same.csv", "--target", "nosuch"), "no column `nosuch`"),
        (
            ("old.csv", "same.csv", "--target", "left", "--predictions", "x0"),
            "are no probabilities",
        ),
        (("old.csv", "same.csv", "--target", "plan", "--predictions", "score"), "cannot predict"),
        (("old.csv", "."), ". is a folder"),
        (("known.json", "same.csv", "--target", "plan"), "is not `plan`: leave --target out"),
        (("old.csv", "same.csv", "--predictions", "score"), "name it with --target"),
        (("said.csv", "same.csv", *guessed), "has no column `said` like the predictions of"),
        (("dates.csv", "same.csv", "--target", "x0"), "no column `x0` of numbers or classes"),
        (("old.csv", "same.csv", "--target", "x0", "--predictions", "plan"), "cannot predict `x0`"),
        (("known.json", "same.csv", "--predictions", "x1"), "no column `x1` like the predictions"),
        (("old.csv", "same.csv", "--target", "left", "--predictions", "left"), "another column"),
        (("old.csv", "few.csv", *given[:4]), "few.csv has no column `score`"),
        (("hollow.json", "same.csv"), "hollow.json cannot be believed (`features.0.counted.counts"),
    ):
        done = drift_here(*arguments, folder=tmp_path)
        assert done.returncode == 2
        assert says in done.stdout + done.stderr
    unreadable = drift("old.csv", "noise.parquet", folder=tmp_path)
    assert unreadable.returncode == 2
    assert "Traceback" not in unreadable.stderr


def test_the_fast_path_leaves_slow_imports_alone(tmp_path: Path) -> None:
    path, batch = tmp_path / "reference.json", tmp_path / "batch.parquet"
    profile_file.write(path, build(squad_table(500, 1)))
    squad_table(500, 2).to_parquet(batch)
    code = """
from esteira.drift import profile_file
from esteira.drift.check import check
from esteira.drift.limits import Settings
reference = profile_file.read("reference.json")
found = check(reference, "batch.parquet", Settings(classifier=False))
assert found.judged.columns
"""
    assert not imported(tmp_path, code) & {"sklearn", "pandas", "scipy"}
