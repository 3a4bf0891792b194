"""Tables part by part: what comes of them is what comes of the whole, whatever the parts."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from esteira.line import answers, parts, table
from esteira.line.errors import UserError
from esteira.line.schema import Column, FileFormat, Schema
from esteira.line.validate import check

ROWS = 60
PARTS = [7, 25, 1000]
COLUMNS = {
    "id": Column(type="category", role="identifier"),
    "age": Column(type="integer", missing=True, min=0, max=90),
    "fee": Column(type="number", missing=True),
    "member": Column(type="category", missing=True),
    "since": Column(type="datetime", role="time", missing=True),
    "left": Column(type="category", role="target", allowed=("yes", "no")),
}
SCHEMA = Schema(task="classification", positive="yes", columns=COLUMNS)


@pytest.fixture
def rows() -> pd.DataFrame:
    """Return a table with gaps, rules that are broken, and codes that are numbers."""
    random = np.random.default_rng(0)
    days = pd.date_range("2026-01-13", periods=ROWS, freq="36h")
    frame = pd.DataFrame(
        {
            "id": random.permutation(ROWS) + 1000,
            "age": random.integers(18, 95, ROWS).astype(float),
            "fee": random.normal(50, 10, ROWS).round(2),
            "member": random.integers(0, 2, ROWS).astype(bool).astype(object),
            "since": days.strftime("%Y-%m-%d %H:%M"),
            "left": np.where(random.random(ROWS) < 0.4, "yes", "no"),
        }
    )
    frame.loc[40:44, ["age", "member", "since"]] = None
    return frame


def as_csv(rows: pd.DataFrame, path: Path) -> Path:
    rows.to_csv(path / "rows.csv", index=False)
    return path / "rows.csv"


def with_notes(rows: pd.DataFrame, path: Path) -> Path:
    text = "A title\n" + rows.to_csv(index=False) + "Total,,,,,\nSource: the till,,,,,\n"
    (path / "notes.csv").write_text(text, encoding="utf-8")
    return path / "notes.csv"


def as_parquet(rows: pd.DataFrame, path: Path) -> Path:
    rows.set_index("id").to_parquet(path / "rows.parquet")
    return path / "rows.parquet"


def with_integers_and_gaps(rows: pd.DataFrame, path: Path) -> Path:
    rows.astype({"age": "Int64", "member": "boolean"}).to_parquet(path / "gaps.parquet")
    return path / "gaps.parquet"


def as_json_lines(rows: pd.DataFrame, path: Path) -> Path:
    rows.to_json(path / "rows.jsonl", orient="records", lines=True)
    return path / "rows.jsonl"


WRITERS = [as_csv, with_notes, as_parquet, with_integers_and_gaps, as_json_lines]


@pytest.mark.parametrize("write", WRITERS)
def test_rows_read_part_by_part_are_those_of_the_whole(
    write: Callable[[pd.DataFrame, Path], Path], rows: pd.DataFrame, tmp_path: Path
) -> None:
    path = write(rows, tmp_path)
    skip = 1 if write is with_notes else 0
    what = SCHEMA.model_copy(update={"file": FileFormat(skip=skip, footer=5 * skip)})
    whole, faults = check(table.read_batch(path, what), what)
    told = answers.reasons(faults, len(whole), what)
    assert len(whole) == ROWS
    assert any(told), "some rows break a rule"
    for size in PARTS:
        found = list(answers.read(path, what, size))
        assert max(len(part.typed) for part in found) <= size + table.MOST_NOTES
        typed = pd.concat([part.typed for part in found], ignore_index=True)
        pd.testing.assert_frame_equal(typed, whole)
        assert np.concatenate([part.reasons for part in found]).tolist() == told.tolist()


def test_objects_in_cells_become_columns_whatever_the_part(tmp_path: Path) -> None:
    account = [None, {"fee": 1, "since": {"year": 2020}}, None, {"fee": 3, "since": None}]
    frame = pd.DataFrame({"id": range(4), "account": account})
    path = tmp_path / "objects.parquet"
    frame.to_parquet(path)
    whole = table.read_raw(path, FileFormat())
    assert list(whole) == ["id", "account.fee", "account.since.year"]
    for size in (1, 3):
        found = pd.concat(parts.read_raw(path, FileFormat(), size), ignore_index=True)
        pd.testing.assert_frame_equal(found, whole)


def test_a_fault_far_below_is_told_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text("a,b\n" + "1,2\n" * 30 + "1,2,3\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 32 has 3 cells where 2 were expected"):
        list(parts.read_raw(path, FileFormat(), 5))


def test_a_table_without_rows_is_one_part(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.array([], float), "b": np.array([], str)})
    table.write(frame, tmp_path / "none.parquet")
    assert [list(part) for part in parts.read(tmp_path / "none.parquet")] == [["a", "b"]]
    frame.to_csv(tmp_path / "none.csv", index=False)
    assert [len(part) for part in parts.read_raw(tmp_path / "none.csv", FileFormat())] == [0]


@pytest.mark.parametrize("name", ["out.parquet", "out.csv"])
def test_what_is_written_is_the_same_bytes_whatever_the_part(
    name: str, rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ROW_GROUP", 16)
    written = set()
    for size in (1, 7, 16, 100):
        pieces = [rows.iloc[start : start + size] for start in range(0, ROWS, size)]
        parts.write(pieces, tmp_path / name)
        written.add((tmp_path / name).read_bytes())
    assert len(written) == 1
    read = pd.read_parquet if name.endswith("parquet") else pd.read_csv
    pd.testing.assert_frame_equal(read(tmp_path / name)[["id", "fee"]], rows[["id", "fee"]])


def test_a_small_table_is_written_as_the_lines_other_tables(
    rows: pd.DataFrame, tmp_path: Path
) -> None:
    parts.write([rows.head(30), rows.tail(30)], tmp_path / "parts.parquet")
    table.write(rows, tmp_path / "whole.parquet")
    assert (tmp_path / "parts.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_writer_that_fails_leaves_nothing(rows: pd.DataFrame, tmp_path: Path) -> None:
    def failing() -> object:
        yield rows
        raise UserError("the second part cannot be had.")

    with pytest.raises(UserError, match="second part"):
        parts.write(failing(), tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_code_is_read_alike_beside_any_other(tmp_path: Path) -> None:
    path = tmp_path / "codes.jsonl"
    lines = [{"member": 1.0, "age": 3}, {"member": 1.5, "age": 4}, {"member": None, "age": 5}]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    raw = table.read_raw(path, FileFormat())
    cells = table.cast(raw["member"], COLUMNS["member"], FileFormat())
    assert cells.fillna("").tolist() == ["1", "1.5", ""]
