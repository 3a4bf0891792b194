"""Rows told apart, drawn, put in order and looked at part by part: as of the whole table."""

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esteira.adopt import spread, typed
from esteira.adopt.sniff import sniff
from esteira.line import holdout, parts, repeated, sampled, schema, table
from esteira.line.schema import FileFormat
from esteira.line.validate import Checking

CELLS = st.sampled_from([0.0, -0.0, 1.5, None])
WORDS = st.sampled_from(["a", "b", "", None])
SCHEMA = schema.Schema.model_validate(
    {
        "task": "classification",
        "columns": {
            "when": {"type": "datetime", "role": "time"},
            "x": {"type": "number", "min": 0},
            "town": {"type": "category", "allowed": ["Rome", "Oslo"]},
            "left": {"type": "category", "role": "target"},
        },
    }
)


def rows(count: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    days = pd.date_range("2026-01-01", periods=count, freq="h", unit="us")
    return pd.DataFrame(
        {
            "when": days[random.permutation(count)],
            "x": random.normal(size=count),
            "town": pd.Series(random.choice(["Rome", "Oslo", "Évora"], count), dtype="str"),
            "left": pd.Series(random.choice(["yes", "no"], count), dtype="str"),
        }
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(CELLS, WORDS), max_size=40), st.integers(1, 9))
def test_rows_that_came_before_are_those_that_pandas_finds(
    cells: list[tuple[float | None, str | None]], size: int
) -> None:
    whole = pd.DataFrame(cells, columns=["x", "word"]).astype({"x": "float64", "word": "str"})
    seen = repeated.Seen()
    starts = range(0, len(whole), size)
    new = [seen.are_new(whole.iloc[start : start + size]) for start in starts]
    expected = (~whole.duplicated()).to_numpy()
    assert np.concatenate([np.array([], bool), *new]).tolist() == expected.tolist()


def test_rows_that_came_before_are_found_in_many_parts() -> None:
    whole = pd.DataFrame({"x": np.random.default_rng(0).integers(0, 60_000, 100_000)})
    seen = repeated.Seen()
    starts = range(0, len(whole), 700)
    new = [seen.are_new(whole.iloc[start : start + 700]) for start in starts]
    assert np.concatenate(new).tolist() == (~whole.duplicated()).tolist()


def test_a_table_is_put_in_order_in_files_of_a_few_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ROWS_SORTED", 40)
    monkeypatch.setattr(parts, "ROWS", 33)
    whole = rows(250)
    table.write(whole, tmp_path / "t.parquet")
    order = np.argsort(whole["when"].to_numpy(), kind="stable")
    found = list(parts.in_order(tmp_path / "t.parquet", order))
    assert max(map(len, found)) <= 40
    expected = whole.sort_values("when", ignore_index=True)
    pd.testing.assert_frame_equal(pd.concat(found, ignore_index=True), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"], "no file is left"


def test_rows_are_taken_in_any_order_and_more_than_once(tmp_path: Path) -> None:
    whole = rows(100)
    table.write(whole, tmp_path / "t.parquet")
    places = np.array([70, 3, 3, 99, 0])
    found = parts.take(tmp_path / "t.parquet", places, ["x"])
    assert found["x"].tolist() == whole["x"].iloc[places].tolist()
    assert parts.count(tmp_path / "t.parquet") == 100
    assert parts.take(tmp_path / "t.parquet", np.array([], int)).empty


def test_a_number_that_means_missing_far_below_makes_all_parts_alike(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [30] * 20 + [-999], "n": range(21)})
    frame.to_parquet(tmp_path / "t.parquet")
    form = FileFormat(missing=("", "-999"))
    whole = table.read_raw(tmp_path / "t.parquet", form)
    found = list(parts.read_raw(tmp_path / "t.parquet", form, 5))
    assert {str(part["age"].dtype) for part in found} == {"float64"}
    pd.testing.assert_frame_equal(pd.concat(found, ignore_index=True), whole)


def test_a_wide_table_is_read_and_written_in_fewer_rows_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "CELLS", 1000)
    monkeypatch.setattr(parts, "ROW_GROUP_CELLS", 4000)
    wide = pd.DataFrame(np.zeros((100, 100)), columns=[f"x{i}" for i in range(100)])
    parts.write([wide], tmp_path / "wide.parquet")
    assert pq.ParquetFile(tmp_path / "wide.parquet").num_row_groups == 3
    assert [len(part) for part in parts.read(tmp_path / "wide.parquet")][:2] == [10, 10]


@pytest.mark.parametrize("settings_of", [{}, {"shuffle": False}, {"group": "town", "seed": 1}])
def test_where_a_row_goes_does_not_depend_on_the_parts(settings_of: dict[str, object]) -> None:
    chosen = holdout.Settings.model_validate(
        {"current": 0.2, "order": "rows", "holdout": 0.25, "shuffle": True, "seed": 42}
        | settings_of
    )
    whole = rows(300)
    once = holdout.split(whole, SCHEMA, chosen)
    pieces = [whole.iloc[start : start + 37] for start in range(0, 300, 37)]
    sides = holdout.decide(holdout.look(pieces, SCHEMA, chosen.group), SCHEMA, chosen)
    assert sides.keys.tolist() == once.keys.tolist()
    assert [holdout.NAMES[place] for place in sides.parts] == once.parts.tolist()
    assert sides.remarks == once.remarks
    pd.testing.assert_frame_equal(whole.iloc[sides.order].reset_index(drop=True), once.rows)


def test_to_decide_where_rows_go_takes_some_numbers_for_each_and_no_more() -> None:
    """Ten million rows must pass in 1.5 GiB, beside what is read and written meanwhile."""
    count = 200_000
    code = schema.Column(type="number", role="identifier")
    what = SCHEMA.model_copy(update={"columns": SCHEMA.columns | {"code": code}})
    chosen = holdout.Settings(current=0.15, order="rows", holdout=0.25, shuffle=True, seed=1)
    whole = rows(count).assign(code=np.random.default_rng(1).integers(0, count, count))
    looked = holdout.look([whole], what)
    tracemalloc.start()
    sides = holdout.decide(looked, what, chosen)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(np.unique(sides.keys)) == count
    assert peak / count < 75  # bytes


@pytest.mark.parametrize("count", [1, 25, 200])
def test_the_newest_rows_are_found_in_both_tables(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = holdout.Settings(current=0.2, order="rows", holdout=0.25, shuffle=True, seed=42)
    whole = rows(200)
    sides = holdout.decide(holdout.look([whole], SCHEMA), SCHEMA, chosen)
    holdout.write(sides)
    ordered = whole.iloc[sides.order].reset_index(drop=True)
    for name in ("train", "holdout"):
        table.write(ordered[sides.are(name)], f"{name}.parquet")
    found = holdout.latest("train.parquet", "holdout.parquet", count)
    known = ordered[~sides.are("current")].tail(count).reset_index(drop=True)
    pd.testing.assert_frame_equal(found, known)


def test_a_sample_is_of_so_many_rows_in_their_order_and_hardly_moves(tmp_path: Path) -> None:
    whole = rows(1000).sort_values("when", ignore_index=True)
    table.write(whole, tmp_path / "t.parquet")
    found = sampled.read(tmp_path / "t.parquet", 200, 42)
    assert len(found) == 200
    assert found["when"].is_monotonic_increasing
    assert len(sampled.read(tmp_path / "t.parquet", "all", 42)) == 1000
    assert len(sampled.read(tmp_path / "t.parquet", 5000, 42)) == 1000
    other = sampled.read(tmp_path / "t.parquet", 200, 43)
    assert len(set(other["x"]) & set(found["x"])) < 80
    more = pd.concat([whole, rows(100, seed=5)], ignore_index=True)
    table.write(more, tmp_path / "more.parquet")
    later = sampled.read(tmp_path / "more.parquet", 200, 42)
    assert len(set(later["x"]) & set(found["x"])) > 160


@pytest.mark.parametrize("size", [1, 7, 50])
def test_violations_are_those_of_the_whole_table(size: int) -> None:
    raw = rows(50).assign(extra="?")
    raw.loc[[3, 40], "left"] = None
    whole = Checking(SCHEMA, 2)
    typed_whole = whole.check(raw)
    by_part = Checking(SCHEMA, 2)
    starts = range(0, 50, size)
    typed_parts = [by_part.check(raw.iloc[start : start + size]) for start in starts]
    pd.testing.assert_frame_equal(pd.concat(typed_parts, ignore_index=True), typed_whole)
    pd.testing.assert_frame_equal(by_part.violations(), whole.violations())
    assert by_part.rows == whole.rows == 50
    assert by_part.rows_in_violation == whole.rows_in_violation > 10
    found = {(v.column, v.rule): v.row_numbers for v in whole.violations().itertuples()}
    assert found["left", "missing value"] == "4 41"
    assert found["x", "min 0"].endswith("…")
    assert found["extra", "unknown column"] == ""


def test_a_large_table_is_looked_at_here_and_there_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "CELLS", 400)
    monkeypatch.setattr(parts, "ROWS", 100)
    whole = rows(1000).assign(number=range(1000))
    whole.to_csv(tmp_path / "t.csv", index=False)
    form = sniff(tmp_path / "t.csv").form
    found = spread.read(tmp_path / "t.csv", form)
    assert (found.there, found.step) == (1000, 8)
    numbers = found.rows["number"].astype(int).tolist()
    assert set(range(0, 1000, 8)) <= set(numbers)
    assert numbers == sorted(numbers)
    assert numbers[-20:] == list(range(980, 1000)), "the last rows may be notes"
    (said,) = found.decisions()
    assert said.warning
    assert "every 8th, 143 of 1,000" in said.evidence


@pytest.mark.parametrize(("step", "said"), [(2, "2nd"), (4, "4th"), (32, "32nd"), (512, "512th")])
def test_how_many_rows_are_looked_at_is_said_in_words(step: int, said: str) -> None:
    (told,) = spread.Spread(rows(10), 10 * step, step).decisions()
    assert told.evidence.startswith(f"every {said}, 10 of ")


def test_a_table_of_a_few_rows_is_looked_at_whole(tmp_path: Path) -> None:
    rows(300).to_csv(tmp_path / "t.csv", index=False)
    form = sniff(tmp_path / "t.csv").form
    found = spread.read(tmp_path / "t.csv", form)
    assert found.decisions() == []
    pd.testing.assert_frame_equal(found.rows, table.read_raw(tmp_path / "t.csv", form))


def test_a_large_table_that_is_compared_is_typed_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rows(1000)
    whole.loc[700, "x"] = None
    text = whole.to_csv(index=False).replace("Oslo", "Oslo, N")
    (tmp_path / "t.csv").write_text(text.replace(", N", ""), encoding="utf-8")
    wanted = {"town": {"type": "number"}}
    small, said_small = typed.read(tmp_path / "t.csv", wanted)
    monkeypatch.setattr(spread, "CELLS", 400)
    monkeypatch.setattr(parts, "ROWS", 90)
    large, said_large = typed.read(tmp_path / "t.csv", wanted)
    assert isinstance(small, pd.DataFrame)
    assert isinstance(large, Path)
    assert said_large == said_small == ["1000 cells of `town` cannot be read as its type."]
    pd.testing.assert_frame_equal(pd.read_parquet(large), small)


def test_the_hash_of_a_row_is_of_its_cells_alone() -> None:
    frame = pd.DataFrame({"x": [1.0, 1.0], "word": ["a", "a"]}, index=[5, 9])
    seen = repeated.Seen()
    assert seen.are_new(frame).tolist() == [True, False]
    assert seen.are_new(frame.iloc[:0]).tolist() == []
    chunked = pa.table({"x": [1.0], "word": ["a"]}).to_pandas()
    assert seen.are_new(chunked).tolist() == [False]
