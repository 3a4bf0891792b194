"""adopt decides what each column is, and says on what evidence."""

import string

import numpy as np
import pandas as pd
import pytest
from helpers import own_model
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from esteira.adopt import baseline, column_types, leaks, relations, roles, rows
from esteira.adopt.detect import Asked, detect
from esteira.adopt.rules import Cells
from esteira.adopt.texts import schema_text
from esteira.line import holdout, table
from esteira.line.errors import UserError
from esteira.line.params import parse
from esteira.line.schema import FileFormat, Schema

ROWS = 400
SPLIT = holdout.Settings(current=0.15, order="random", holdout=0.25, shuffle=True, seed=0)
RULES = [*roles.RULES, *relations.RULES, *leaks.CERTAIN_RULES, *leaks.SUSPICIONS]
MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def frame(**columns):
    """A table of text cells with a noisy number `x` and a two-class target `y`."""
    random = np.random.default_rng(0)
    x = random.normal(size=ROWS).round(3)
    y = np.where(x + random.normal(size=ROWS) > 0.5, "yes", "no")
    raw = pd.DataFrame({"x": x.astype(str), **columns, "y": y}, dtype="str")
    return raw.mask(raw == "")  # as table.read_raw gives it


def find(raw, target="y", form=None, **options):
    return detect(raw, form or FileFormat(), Asked(target, **options))


def said(found, word):
    return [d for d in found.decisions if word in d.what or word in d.evidence]


def pick(values, seed=1):
    return np.random.default_rng(seed).choice(values, ROWS)


@pytest.mark.parametrize(
    ("cells", "kind", "form"),
    [
        (pick(["1.5", "-2", "3e4", ""]), "number", None),
        (pick(["7", "12", "901"]), "integer", None),
        (pick(["01", "02", "12"]), "integer", None),
        (pick(["00123", "00124", "90125"]), "category", None),
        (pick(["1234567890123456789", "9876543210987654321"]), "category", None),
        (pick(["yes", "no"], 2), "boolean", None),
        (pick(["0", "1"], 2), "boolean", None),
        (pick(["True", "FALSE"], 2), "boolean", None),
        (pick(["Y", "1"], 2), "category", None),
        (pick(["A11", "A12", "A13"]), "category", None),
        (pick([f"town {i}" for i in range(80)]), "text", None),
        (pick(["2020-01-31", "2021-12-01"]), "datetime", "ISO8601"),
        (pick(["2020-01-31T10:00:00Z", "2021-12-01T10:00:00+02:00"]), "datetime", "ISO8601"),
        (pick(["31/01/2020", "1/2/2020"]), "datetime", "%d/%m/%Y"),
        (pick(["1/31/2020", "1/2/2020"]), "datetime", "%m/%d/%Y"),
        (pick(["31.01.20", "01.02.20"]), "datetime", "%d.%m.%y"),
        (pick(["31 Jan 2020 18:30", "01 Feb 2020 02:10"]), "datetime", "%d %b %Y %H:%M"),
        (pick(["10.0.0.1", "10.0.0.2"]), "category", None),
        (pick(["18.00.00", "19.00.00"]), "number", "%H.%M.%S"),
        (pick(["1-2", "3-4"]), "category", None),
    ],
)
def test_types(cells, kind, form):
    column = find(frame(c=cells)).schema.columns["c"]
    assert (column.type, column.format) == (kind, form)


def test_month_or_day_first_is_settled_by_the_order_of_the_rows():
    days = pd.date_range("2020-01-01", periods=ROWS).repeat(2)[:ROWS]
    days = days[days.day <= 12]
    raw = frame().head(len(days)).assign(when=days.strftime("%m/%d/%Y"))
    found = find(raw)
    assert found.schema.columns["when"].format == "%m/%d/%Y"
    assert found.schema.time == "when"


@pytest.mark.parametrize("token", ["?", "NA", "NULL", "unknown", "N/A", "nan"])
def test_missing_tokens_are_found_and_said(token):
    found = find(frame(c=pick(["a", "b", token])))
    assert token in found.schema.file.missing
    assert found.schema.columns["c"].missing
    assert found.schema.columns["c"].allowed == ("a", "b")
    assert said(found, repr(token))


def test_a_dash_is_missing_among_numbers_but_a_word_among_words():
    assert "-" in find(frame(c=pick(["1.5", "2.25", "-"]))).schema.file.missing
    assert "-" not in find(frame(c=pick(["a", "b", "-"]))).schema.file.missing


def test_a_token_that_is_a_class_of_the_target_stays():
    raw = frame()
    raw["y"] = raw["y"].replace({"no": "unknown"})
    assert find(raw).schema.columns["y"].allowed == ("unknown", "yes")


def test_sentinel_numbers_are_suggested_and_not_assumed():
    found = find(frame(c=pick(["-999", *map(str, range(40))])))
    assert found.schema.file.missing == ("",)
    assert found.schema.columns["c"].type == "integer"
    assert "add '-999' to file.missing" in said(found, "-999")[0].evidence
    assert not said(find(frame(c=pick(list(map(str, range(40)))))), "kept as a number")


@pytest.mark.parametrize(
    ("cells", "delimiter", "marks", "value"),
    [
        (["1,5", "22,75", "0,125"], ";", (",", None), 22.75),
        (["1.234,5", "22,75", "7"], ";", (",", "."), 22.75),
        (["1,234.5", "22.75", "7"], ";", (".", ","), 22.75),
        (["1,234", "22,750", "7"], ",", (".", ","), 22750),
        (["1 234,5", "22,75", "7"], ";", (",", " "), 22.75),
        (["1\xa0234,5", "22,75", "7"], ";", (",", "\xa0"), 22.75),
        (["1'234.5", "22.75", "7"], ";", (".", "'"), 22.75),
    ],
)
def test_marks_in_numbers(cells, delimiter, marks, value):
    raw = frame(c=pick(cells)).drop(columns="x").assign(z=pick(list("abc"), 3))
    found = find(raw, form=FileFormat(delimiter=delimiter))
    assert (found.schema.file.decimal, found.schema.file.thousands) == marks
    typed, rejects = table.parse(raw, found.schema)
    assert len(rejects) == 0
    assert value in typed["c"].to_numpy()


def test_numbers_that_hide_in_text_lose_only_the_odd_cells():
    cells = pick(["1.5", "2.5", "3.5"])
    cells[7] = "abc"
    found = find(frame(c=cells))
    assert found.schema.columns["c"].type == "number"
    assert found.schema.columns["c"].missing
    assert any(d.warning and "abc" in d.evidence for d in found.decisions)


def test_a_lone_negative_number_is_suspicious_in_the_target_too():
    raw = number_table()
    raw.loc[:20, "total"] = "-200"
    assert said(find(raw, "total", task="regression"), "-200 is kept")


@pytest.mark.parametrize(
    ("unit", "cells"),
    [
        ("$", [f"${i},000" for i in range(ROWS)]),
        ("km", [f"{i}.5 km" for i in range(ROWS)]),
        ("%", [f"{i % 50}%" for i in range(ROWS)]),
    ],
)
def test_numbers_with_a_unit_are_told_apart_from_text(unit, cells):
    found = find(frame(c=cells))
    assert found.schema.columns["c"].numeric
    assert found.schema.columns["c"].unit == unit
    assert said(found, f"`c`: {found.schema.columns['c'].type} in {unit}")
    codes = find(frame(c=[f"{i % 60}{'ABC'[i % 3]}" for i in range(ROWS)]))
    assert codes.schema.columns["c"].unit is None
    assert codes.schema.columns["c"].role == "feature"


@pytest.mark.parametrize(
    ("name", "cells", "role"),
    [
        ("customerID", [f"{i:04}-X" for i in range(ROWS)], "identifier"),
        ("instant", [str(i + 1) for i in range(ROWS)], "identifier"),
        ("nearly", [f"k{min(i, 380)}" for i in range(ROWS)], "identifier"),
        ("account_id", [str(7 * i + i % 3) for i in range(ROWS)], "identifier"),
        ("paid", [str(7 * i + i % 3) for i in range(ROWS)], "feature"),
        ("note", [f"called again on day {i}" for i in range(ROWS)], "ignored"),
        ("country", ["DE"] * ROWS, "ignored"),
        ("nothing", [None] * ROWS, "ignored"),
    ],
)
def test_roles_of_what_cannot_be_learnt_from(name, cells, role):
    found = find(frame(**{name: cells}))
    assert found.schema.columns[name].role == role
    assert bool(said(found, name)[0].evidence)


def test_task_and_positive_class():
    raw = frame()
    assert find(raw).schema.task == "classification"
    assert find(raw).schema.positive == "yes"
    assert find(raw, positive="no").schema.positive == "no"
    coded = raw.assign(y=raw["y"].map({"no": "1", "yes": "2"}))
    assert find(coded).schema.positive == "2", "the rarer class of 1 and 2"
    assert find(raw.assign(y=raw["y"].map({"no": "0", "yes": "1"}))).schema.positive == "1"
    assert find(raw, target="x").schema.task == "regression"
    assert find(raw.assign(y=pick(list("123")))).schema.task == "classification"
    assert find(raw.assign(y=pick(list("123"))), task="regression").schema.task == "regression"
    assert find(raw.assign(y=pick(list("abc")))).schema.positive is None


def test_imbalance_and_rare_classes_are_said():
    raw = frame()
    raw["y"] = ["yes"] * 4 + ["no"] * (ROWS - 4)
    assert said(find(raw), "imbalanced")
    assert said(find(raw), "too rare")


def test_ranges_and_allowed_values():
    columns = find(frame(month=pick([str(i) for i in range(1, 13)]), c=pick(["b", "a"]))).schema
    assert (columns.columns["month"].min, columns.columns["month"].max) == (1, 12)
    assert columns.columns["c"].allowed == ("a", "b")
    x = frame()["x"].astype(float)
    assert columns.columns["x"].min < x.min() - 1
    assert columns.columns["x"].max > x.max() + 1


# --- time


def test_the_time_column_is_recognised_or_confirmed():
    days = pd.date_range("2020-01-01", periods=ROWS).strftime("%Y-%m-%d").to_numpy()
    assert find(frame(sold=days)).schema.time == "sold"
    assert find(frame(sold=days[::-1])).schema.time == "sold"
    assert said(
        find(frame(sold=days[::-1])),
        "its dates fall in 100% of the steps from row to row, the newest first",
    )
    assert find(frame(birth_date=days)).schema.time is None
    assert find(frame(sold=np.random.default_rng(0).permutation(days))).schema.time is None
    mostly_one = np.where(np.random.default_rng(0).random(ROWS) < 0.03, days, "2020-06-01")
    assert find(frame(sold=mostly_one)).schema.time is None
    assert find(frame(a=days, b=days), time="b").schema.time == "b"
    assert find(frame(a=days, b=days)).schema.time is None
    part = np.sort(np.random.default_rng(0).random(ROWS)).round(6).astype(str)
    assert find(frame(part=part), time="part").schema.time == "part"


def test_categories_that_differ_in_spelling_alone_are_told():
    found = find(
        frame(city=pick(["São Paulo", "SAO  PAULO", "Rio"]), grade=pick(["A+", "A-", "B"]))
    )
    [told] = said(found, "differ in spelling alone")
    assert told.warning
    assert "`city`" in told.what
    assert "`SAO  PAULO` and `São Paulo`: write them alike" in told.evidence


def test_a_header_that_is_not_the_first_line_is_pointed_at():
    raw = pd.DataFrame({"sizes": ["x", *["1", "2"] * 9], "kind": ["y", *["a", "b"] * 9]})
    with pytest.raises(UserError, match=r"no column `y`.* Line 2 names it: is the header there\?"):
        find(raw)


@pytest.mark.parametrize("per_second", [1, 1_000])
@pytest.mark.parametrize("name", ["ts", "created_at", "data", "dt_evento", "mês"])
def test_numbers_that_count_time_are_the_time_where_they_sort_the_rows(name, per_second):
    moments = (1_704_067_200 + 3_600 * np.arange(ROWS)) * per_second
    found = find(frame(**{name: moments.astype(str)}))
    assert found.schema.time == name
    assert said(found, "2024-01-01 00:00:00 to 2024-01-17 15:00:00")
    shuffled = np.random.default_rng(0).permutation(moments).astype(str)
    found = find(frame(**{name: shuffled}))
    assert found.schema.time is None
    assert found.schema.columns[name].role == "feature", "neither a code in no order"
    assert find(frame(revenue=moments.astype(str))).schema.time is None


def test_dates_with_gaps_are_no_time_unless_asked_for_but_put_the_rows_in_order():
    days = pd.date_range("2020-01-01", periods=ROWS).strftime("%Y-%m-%d").to_numpy()
    raw = frame(ended=np.where(np.arange(ROWS) % 7, "", days))
    found = find(raw)
    assert found.schema.time is None
    [told] = said(found, "no time column")
    assert told.warning
    assert "`ended` sorts the rows, but 86% of the rows lack it" in told.evidence
    [order] = rows.ordered(found.typed, found.schema, 0.15).decisions
    assert (order.what, order.warning) == ("order of the rows is time", False)
    assert "the dates of `ended` rise with them" in order.evidence
    asked = find(raw, time="ended")
    assert asked.schema.time == "ended"
    assert said(asked, "342 rows are left out")
    few = frame(ended=np.where(np.arange(ROWS) % 50, days, ""))
    assert find(few).schema.time == "ended"


def test_one_date_in_all_the_rows_that_have_a_target_orders_none():
    raw = frame(day=np.where(np.arange(ROWS) % 2, "2020-01-01", ""))
    assert find(raw).schema.time is None
    raw.loc[:9, "day"], raw.loc[:9, "y"] = "2019-01-01", None
    assert find(raw).schema.time is None


def test_rows_without_a_target_are_said():
    raw = frame()
    raw.loc[:4, "y"] = None
    assert said(find(raw), "5 rows are left out")


# --- leaks


def number_table(**more):
    random = np.random.default_rng(0)
    a, b, z = random.poisson(20, ROWS), random.poisson(50, ROWS), random.normal(size=ROWS).round(2)
    return pd.DataFrame({"a": a, "b": b, "z": z, **more, "total": a + b}).astype(str)


def test_columns_that_sum_to_the_target_are_set_aside_loudly():
    found = find(number_table(), target="total")
    assert [found.schema.columns[n].role for n in "abz"] == ["ignored", "ignored", "feature"]
    assert all(d.warning for d in said(found, "LEAK"))
    assert "total = a + b" in said(found, "LEAK")[0].evidence
    assert "LEAK" in schema_text(found)


def test_a_difference_counts_as_a_sum_and_chance_does_not():
    random = np.random.default_rng(0)
    total, c = random.poisson(200, ROWS), random.poisson(50, ROWS)
    raw = pd.DataFrame({"total": total, "c": c, "q": random.random(ROWS), "net": total - c})
    found = find(raw.astype(str), target="net")
    assert found.schema.features == ["q"]
    noisy = raw.assign(net=total - c + random.integers(0, 2, ROWS))
    assert "total" in find(noisy.astype(str), target="net").schema.features


def test_a_copy_of_the_target_is_set_aside():
    raw = frame()
    raw["copy"] = raw["y"].map({"yes": "left us", "no": "still here"})
    found = find(raw)
    assert found.schema.columns["copy"].role == "ignored"
    assert said(found, "`copy`")[0].warning


def test_a_gap_that_tells_the_target_is_a_leak():
    raw = frame()
    raw["end"] = np.where(raw["y"] == "yes", pick(["2020-01-01", "2020-02-01"]), None)
    assert find(raw).schema.columns["end"].role == "ignored"


def test_an_almost_perfect_column_is_kept_with_a_warning():
    raw = frame()
    flip = np.random.default_rng(5).random(ROWS) < 0.005
    raw["almost"] = np.where((raw["y"] == "yes") ^ flip, "p", "q")
    found = find(raw)
    assert found.schema.columns["almost"].role == "feature"
    assert said(found, "suspected leak: `almost`")[0].warning


def test_a_column_known_only_after_the_event_is_suspected():
    days = pd.date_range("2020-01-01", periods=ROWS)
    later = days + pd.to_timedelta(np.random.default_rng(0).integers(1, 30, ROWS), unit="D")
    raw = frame(opened=days.strftime("%Y-%m-%d"), shut=later.strftime("%Y-%m-%d"))
    assert said(find(raw, time="opened"), "later than `opened`")
    seconds = (1_577_836_800 + 86_400 * np.arange(ROWS)).astype(str)
    assert not said(find(raw.assign(ts=seconds), time="ts"), "later than"), "numbers are no dates"
    strong = frame()
    noise = np.random.default_rng(3).normal(size=ROWS)
    strong["call_duration"] = ((strong["y"] == "yes") * 1.5 + noise).round(2).astype(str)
    assert said(find(strong), "suspected leak: `call_duration`")
    assert not said(find(frame()), "leak")


# --- the tables of rules


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_says_what_it_looks_for(rule):
    assert rule.looks_for.endswith(".")
    assert len(rule.looks_for) < 100
    assert [other.name for other in RULES].count(rule.name) == 1


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("empty", [None] * ROWS),
        ("constant", ["DE"] * ROWS),
        ("row number", [str(i + 1) for i in range(ROWS)]),
        ("named number", [str(7 * i + i % 3) for i in range(ROWS)]),
        ("unordered code", np.random.default_rng(1).permutation(2 * ROWS)[:ROWS].astype(str)),
        ("nested", pick(['["a"]', '["a", "b"]'])),
        ("mixed units", [f"{'$€'[i % 2]}{i}" for i in range(ROWS)]),
        (
            "mixed dates",
            [f"{1 + i % 28:02}/03/{1900 + i}" if i % 2 else f"{1900 + i}-03-04" for i in range(99)],
        ),
        ("free text", [f"called again on day {i}" for i in range(ROWS)]),
        ("code", [f"{i:04}-X" for i in range(ROWS)]),
        ("high cardinality", pick([f"town {i}" for i in range(80)])),
    ],
)
def test_each_rule_of_one_column_finds_its_own(name, cells):
    values = pd.Series(cells, name="account_id", dtype="str")
    counted = Cells.of(values, FileFormat())
    rule, finding = roles.first_finding(counted.typed(column_types.of(counted)))
    assert rule.name == name
    assert finding.column == "account_id"


# --- refusals


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        (lambda raw: raw.rename(columns={"y": "Churn"}), {"target": "churn "}, "mean `Churn`"),
        (lambda raw: raw, {"time": "zzz"}, "no column `zzz`: it has `x`"),
        (lambda raw: raw, {"time": "y"}, "both target and time"),
        (lambda raw: raw.assign(y=None), {}, "missing in all 400 rows"),
        (lambda raw: raw.assign(y="NA"), {}, "there is nothing to learn"),
        (lambda raw: raw.assign(y="yes"), {}, "is always 'yes'"),
        (lambda raw: raw[["y"]], {}, "no column is left"),
        (lambda raw: raw.assign(x="1"), {}, "no column is left"),
        (lambda raw: raw.head(0), {}, "a header and no rows"),
        (lambda raw: raw.head(1), {}, "is always"),
        (lambda raw: raw, {"positive": "Yes"}, "mean `yes`"),
        (lambda raw: raw, {"task": "regression"}, "is not numeric"),
        (lambda raw: raw, {"task": "clustering"}, "must be classification or regression"),
        (lambda raw: raw.assign(y=pick(["a", "b", "c"])), {"positive": "a"}, "needs two classes"),
        (lambda raw: raw.assign(y=[f"c{i}" for i in range(ROWS)]), {}, "400 different values"),
        (lambda raw: raw.assign(c=pick(["a", "b"])), {"time": "c"}, "cannot order the rows"),
        (lambda raw: raw.assign(c="2026-01-31"), {"time": "c"}, "it is the same in all of them"),
        (
            lambda raw: raw.assign(c=pick(["2026-01-31", "13/01/2026"])),
            {"time": "c"},
            "it has dates in 2 formats, as `2026-01-31` and `13/01/2026`: write them in one",
        ),
    ],
)
def test_refusals_say_why(change, options, sentence):
    with pytest.raises(UserError, match=sentence):
        find(change(frame()), **options)


def test_a_first_line_of_data_is_noticed():
    raw = pd.DataFrame({"A11": ["A11", "A12"] * 50, "6": ["6", "48"] * 50, "1": ["1", "2"] * 50})
    assert said(find(raw, "A11"), "--no-header")
    with pytest.raises(UserError, match=r"no column `risk`: it has .* --no-header"):
        find(raw, "risk")


# --- hostile tables

CELL = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.sampled_from(["", "?", "NA", "1,5", "1.5", "0", "1", "yes", "-", "2020-01-01", "1/2/20"]),
    st.integers().map(str),
    st.floats().map(str),
)
NAME = st.text(string.printable + "éß\x85\u2028", max_size=10).map(str.strip).filter(bool)


@st.composite
def hostile(draw):
    names = draw(st.lists(NAME, min_size=1, max_size=5, unique=True))
    rows = draw(st.integers(0, 60))
    kinds = [draw(st.lists(CELL, min_size=1, max_size=6)) for _ in names]
    pattern = draw(st.integers(1, 7))
    columns = {
        name: [kind[(i * pattern + i // 3) % len(kind)] for i in range(rows)]
        for name, kind in zip(names, kinds, strict=True)
    }
    return pd.DataFrame(columns, dtype="str"), draw(st.sampled_from(names))


@MANY
@given(hostile())
@example((pd.DataFrame({"a": ["\ud7ff", "yes"] * 30, "no": ["1", "0", "1"] * 20}), "no"))
@example((pd.DataFrame({"a": ["1,2", "x"] * 30, "'": ["on", "off", "null"] * 20}), "'"))
@example((pd.DataFrame({"a": ["1e308", "-1e308", "7"] * 20, "b": ["x", "y"] * 30}), "b"))
@example((pd.DataFrame({"a": ["1e-320", "2e-320", "0"] * 20, "b": ["x", "y"] * 30}), "b"))
def test_any_table_is_decided_or_refused(case):
    """What is decided can be written, read back, and types the table without a stop."""
    raw, target = case
    try:
        found = find(raw, target)
    except UserError:
        return
    text = schema_text(found)
    again = parse(YAML(typ="safe", pure=True).load(text), Schema, "schema.yaml")
    assert again == found.schema
    typed, _ = table.parse(raw.mask(raw.isin(found.schema.file.missing)), found.schema)
    for name, column in found.schema.columns.items():
        allowed = column.allowed
        assert allowed is None or set(typed[name].dropna()) <= set(allowed)
        if column.min is not None and column.max is not None:
            assert typed[name].dropna().between(column.min, column.max).all()


@settings(MANY, max_examples=10)
@given(hostile())
def test_any_table_that_is_decided_gets_an_algorithm(case):
    raw, target = case
    try:
        found = find(raw, target)
    except UserError:
        return
    typed, _ = table.parse(raw.mask(raw.isin(found.schema.file.missing)), found.schema)
    proposal = baseline.propose(typed, found.schema, SPLIT, own_model(found.schema.task))
    assert proposal.algorithm in ("linear", "boosting")
    assert all(np.isfinite(rule.limit) for rule in proposal.rules)


def test_a_model_that_learns_nothing_would_not_pass_the_floors():
    found = find(frame())
    typed, _ = table.parse(frame(), found.schema)
    proposal = baseline.propose(typed, found.schema, SPLIT, own_model("classification"))
    limits = {rule.metric: rule.limit for rule in proposal.rules}
    assert 0.5 < limits["roc_auc"] < 0.8
    assert limits["log_loss"] < np.log(2)


def test_more_columns_than_python_lets_calls_nest():
    count = 1_100  # Python lets calls nest 1,000 deep
    random = np.random.default_rng(0)
    raw = pd.DataFrame(random.integers(0, 99, (60, count)), columns=[f"c{i}" for i in range(count)])
    raw = raw.astype("str").assign(y=["a", "b", "b"] * 20)
    assert len(find(raw).schema.columns) == count + 1
