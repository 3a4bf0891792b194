"""The model card: numbers with their intervals, what the squad says, and nothing made up."""

import re
from pathlib import Path

import numpy as np
import pages
import pandas as pd
import pytest
from helpers import run
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page
from scipy.stats import binomtest

from esteira.card.measure import calibration, interval, segments, wilson
from esteira.line.predictions import Answers
from esteira.line.schema import Schema

WHAT = Schema.model_validate(
    {
        "task": "classification",
        "positive": "yes",
        "columns": {
            "size": {"type": "number"},
            "plan": {"type": "category"},
            "visits": {"type": "integer"},
            "left": {"type": "category", "role": "target"},
        },
    }
)


def answers(rows: int, seed: int = 0) -> Answers:
    draw = np.random.default_rng(seed)
    odds = draw.random(rows)
    actual = np.where(draw.random(rows) < odds, "yes", "no").astype(object)
    said = np.column_stack([1 - odds, odds])
    return Answers(np.arange(rows, dtype=np.uint64), actual, ("no", "yes"), said)


@settings(deadline=None)
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_shares_have_wilsons_interval(counts: tuple[int, int]) -> None:
    hits, rows = counts
    found = wilson(hits, rows)
    known = binomtest(hits, rows).proportion_ci(0.95, method="wilson")
    assert found.low == pytest.approx(known.low, abs=1e-6)
    assert found.high == pytest.approx(known.high, abs=1e-6)


def test_intervals_hold_the_true_value_as_often_as_they_say() -> None:
    true = interval("log_loss", answers(200_000, seed=99), "yes").value
    hits = 0
    for seed in range(300):
        found = interval("log_loss", answers(150, seed), "yes")
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= true <= found.high
    assert 0.91 < hits / 300 < 0.98


def test_segments_are_the_rows_they_say_and_few_rows_are_said_to_be_few() -> None:
    known = answers(100)
    plan = pd.Series(["basic"] * 85 + ["gold"] * 10 + [None] * 5, name="plan")
    found = list(segments(plan, WHAT, known, "accuracy", 20))
    assert [(s.rows_with, s.rows, s.interval is None) for s in found] == [
        ("basic", 85, False), ("gold", 10, True), ("missing", 5, True),
    ]  # fmt: skip
    right = (known.said[:85].argmax(axis=1) == (known.actual[:85] == "yes")).mean()
    assert found[0].interval is not None
    assert found[0].interval.value == pytest.approx(right)
    size = pd.Series(np.arange(100.0), name="size")
    quarters = list(segments(size, WHAT, known, "log_loss", 20))
    assert [s.rows for s in quarters] == [25, 25, 25, 25]
    assert sum(s.rows for s in segments(size * 0, WHAT, known, "log_loss", 20)) == 100


def test_rarer_categories_are_one_segment_together() -> None:
    names = [f"plan {number}" for number in range(20)]
    rows_of_each = [40 - number for number in range(20)]
    plan = pd.Series(np.repeat(names, rows_of_each), name="plan")
    found = list(segments(plan, WHAT, answers(len(plan)), "accuracy", 20))
    *own, others = found[:-1] if found[-1].rows_with == "missing" else found
    assert [segment.rows_with for segment in own] == names[: len(own)]
    assert others.rows_with == f"{20 - len(own)} others"
    assert sum(segment.rows for segment in (*own, others)) == len(plan)


def test_segments_of_whole_numbers_meet_and_do_not_overlap() -> None:
    visits = pd.Series(np.arange(100) % 13, name="visits")
    found = list(segments(visits, WHAT, answers(100), "accuracy", 20))
    named = {segment.rows_with: segment.rows for segment in found}
    expected = {
        "up to 3": visits <= 3,
        "4 to 6": visits.between(4, 6),
        "7 to 9": visits.between(7, 9),
        "above 9": visits > 9,
    }
    assert named == {words: int(inside.sum()) for words, inside in expected.items()}


def test_calibration_counts_every_row_once() -> None:
    bins = list(calibration(answers(1000), "yes"))
    assert sum(each.rows for each in bins) == 1000
    inside = [
        each.observed.low <= each.predicted <= each.observed.high
        for each in bins
        if each.observed.low is not None and each.observed.high is not None
    ]
    assert np.mean(inside) >= 0.7, "these probabilities are true"
    assert list(calibration(answers(10), None)) == []


@pytest.fixture
def carded(project: Path) -> Path:
    """Return a project whose squad says what its model is for, in words that could break a page."""
    (project / "card.yaml").write_text(
        "owner: '<b>Ana</b> & |co'\nintended_use: Call *back*\nlimits: [Few rows, Old machines]\n",
        encoding="utf-8",
    )
    run(project, "dvc", "repro", "card")
    return project


def test_the_line_writes_what_it_measured_and_what_the_squad_says(carded: Path) -> None:
    text = (carded / "reports" / "card.md").read_text(encoding="utf-8")
    assert "| Owner | \\<b\\>Ana\\</b\\> & \\|co |" in text
    assert "| Known limits | Few rows Old machines |" in text
    assert "| Not for | not said yet |" in text
    assert re.search(r"\| roc\\_auc \| 0\.994 \\\[0\.9\d+, 1\\\] \| higher \|", text)
    assert "(LogisticRegression)" in text
    assert "too few rows" not in text
    page = (carded / "reports" / "card.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;Ana&lt;/b&gt; &amp; |co" in page
    assert "http" not in page
    assert page.count("<circle") == text.split("true?")[1].split("##")[0].count("\n| ") - 2


def test_a_broken_card_is_told(carded: Path) -> None:
    (carded / "card.yaml").write_text("owners: me\n", encoding="utf-8")
    done = run(carded, "dvc", "repro", "card", check=False)
    assert done.returncode != 0
    assert "card: card.yaml: owners:" in done.stdout + done.stderr


def test_a_browser_shows_the_card(carded: Path, page: Page) -> None:
    pages.look(page, carded / "reports" / "card.html")
    assert page.locator("h1").inner_text() == "Model card: diagnosis"
    assert page.locator("svg circle").first.is_visible()
