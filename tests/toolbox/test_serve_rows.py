"""A request's rows become the table that the line would read of the same cells, or are refused."""

import json
from typing import Any

import msgspec
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esteira.line import table
from esteira.line.schema import Schema
from esteira.line.validate import check
from esteira.serve.rows import RefusedError, Rows, problem_of, type_of

SCHEMA = Schema.model_validate(
    {
        "task": "classification",
        "file": {"delimiter": ";", "decimal": ",", "missing": ["", "NA", "-999"]},
        "columns": {
            "id": {"type": "integer", "role": "identifier"},
            "size of it": {"type": "number", "min": 0, "max": 100},
            "weight": {"type": "number"},
            "rooms": {"type": "integer", "missing": True, "min": -1000},
            "price": {"type": "number", "unit": "R$", "missing": True},
            "plan": {"type": "category", "allowed": ["basic", "gold"]},
            "sex": {"type": "category", "allowed": ["1", "2"]},
            "city": {"type": "category", "missing": True},
            "smokes": {"type": "boolean"},
            "since": {"type": "datetime", "format": "%d/%m/%Y"},
            "opens": {"type": "number", "format": "%H:%M", "missing": True},
            "seen": {"type": "datetime", "role": "time"},
            "note": {"type": "text", "role": "ignored"},
            "left": {"type": "category", "role": "target", "allowed": ["yes", "no"]},
        },
    }
)
ROW: dict[str, Any] = {
    "id": 7, "size of it": 12.5, "weight": 70, "rooms": 3, "price": 1234.5, "plan": "gold",
    "sex": 1, "city": "São Paulo", "smokes": True, "since": "26/11/2026", "opens": "09:30",
    "seen": "2026-11-26T10:00:00-03:00", "note": "x",
}  # fmt: skip
READER = Rows(SCHEMA)

words = st.sampled_from(["São Paulo", "Rio", "a;b", "1", "NA", " Rio "])
rows = st.fixed_dictionaries(
    {
        "size of it": st.floats(0, 100, width=32).map(lambda x: float(f"{x:.6g}")),
        "weight": st.floats(0, 200, width=32).map(lambda x: float(f"{x:.6g}")),
        "plan": st.sampled_from(["basic", "gold"]),
        "sex": st.sampled_from(["1", "2", 1, 2]),
        "smokes": st.sampled_from([True, False, "yes", "No", "TRUE", 1, 0]),
        "since": st.dates(min_value=pd.Timestamp("1990-01-01").date()).map(
            lambda day: day.strftime("%d/%m/%Y")
        ),
        "seen": st.datetimes(pd.Timestamp("1990-01-01"), pd.Timestamp("2200-01-01")).map(
            lambda moment: moment.isoformat(timespec="seconds")
        ),
    },
    optional={
        "rooms": st.one_of(st.none(), st.integers(-1000, 10**6), st.just(-999)),
        "price": st.one_of(st.none(), st.floats(-1e6, 1e6).map(lambda x: round(x, 2))),
        "city": st.one_of(st.none(), words),
        "opens": st.one_of(st.none(), st.sampled_from(["00:00", "23:59", "09:30"])),
    },
)


def as_in_a_file(cell: Any, name: str) -> str:
    """Write a cell as the squad's file has it."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if name == "price":
        return f"R$ {cell:.2f}".replace(".", ",")
    if isinstance(cell, float):
        return repr(cell).replace(".", ",")
    return f'"{cell}"' if isinstance(cell, str) else str(cell)


@settings(deadline=None)
@given(st.lists(rows, min_size=1, max_size=5))
def test_the_model_is_asked_with_what_the_line_would_read(
    tmp_path_factory: pytest.TempPathFactory, given_rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    names = [name for name in SCHEMA.columns if name not in ("id", "note", "left")]
    lines = [";".join(as_in_a_file(row.get(name), name) for name in names) for row in given_rows]
    path.write_text("\n".join([";".join(names), *lines]) + "\n", encoding="utf-8")
    typed, faults = check(table.read_raw(path, SCHEMA.file), SCHEMA)
    assert faults[faults["column"] != "left"].query("column not in ['id', 'note']").empty
    found = READER.frame(READER.read(json.dumps(given_rows).encode()))
    pd.testing.assert_frame_equal(found, typed[SCHEMA.inputs], check_exact=True)


def refusal(given_rows: list[dict[str, Any]]) -> RefusedError:
    """Return what is told of rows that have faults."""
    with pytest.raises(RefusedError) as refused:
        READER.read(json.dumps(given_rows).encode())
    return refused.value


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        ({"size of it": "12"}, "size of it", '"12" is no number'),
        ({"size of it": 101}, "size of it", "101 is above 100"),
        ({"size of it": -0.5}, "size of it", "-0.5 is below 0"),
        ({"size of it": True}, "size of it", "true is no number"),
        ({"size of it": None}, "size of it", "is null, and may not be missing"),
        ({"rooms": 2.5}, "rooms", "2.5 is no whole number"),
        ({"rooms": [1]}, "rooms", "[1] is no number"),
        ({"plan": "silver"}, "plan", '"silver" is none of basic, gold'),
        ({"plan": 1}, "plan", "1 is none of basic, gold"),
        ({"sex": 3}, "sex", "3 is none of 1, 2"),
        ({"city": {"a": 1}}, "city", '{"a": 1} is no text'),
        ({"city": "x" * 200_000}, "city", "a text of 200000 characters is too long"),
        ({"smokes": "maybe"}, "smokes", '"maybe" is no boolean'),
        ({"since": "2026-11-26"}, "since", "'2026-11-26' is no date as %d/%m/%Y"),
        ({"since": 3}, "since", "3 is no date as %d/%m/%Y"),
        ({"seen": "yesterday"}, "seen", "'yesterday' is no date"),
        ({"since": "1" * 101}, "since", "a text of 101 characters is too long"),
        ({"opens": "25:00"}, "opens", "'25:00' is no time of day as %H:%M"),
        ({"plan": "NA"}, "plan", '"NA" is none of basic, gold'),
        ({"since": "NA"}, "since", "is 'NA', which is missing, and may not be"),
        ({"weight": -999}, "weight", "is -999, which is missing, and may not be"),
        ({"left": "yes"}, "left", "is what is asked for"),
        ({"colour": 1}, "colour", "is not known"),
        ({"": 1}, "", "is not known"),
    ],
)
def test_each_fault_has_its_sentence(change: dict[str, Any], field: str, problem: str) -> None:
    refused = refusal([ROW | change])
    assert refused.status == 422
    assert [(fault.field, fault.problem) for fault in refused.faults] == [(field, problem)]
    assert field in str(refused)


def test_faults_of_shape_and_of_dates_are_told_together_by_row() -> None:
    bad_date = ROW | {"since": "soon"}
    both = ROW | {"plan": "silver", "opens": "late"}
    told = refusal([ROW, bad_date, both, ROW, bad_date]).faults
    assert [(fault.row, fault.field) for fault in told] == [
        (2, "since"), (3, "plan"), (3, "opens"), (5, "since"),
    ]  # fmt: skip


def test_a_date_is_read_the_same_beside_others_that_are_written_otherwise() -> None:
    rows = [ROW | {"seen": "2026-11-26T10:00:00-03:00"}, ROW | {"seen": "2026-11-26"}]
    frame = READER.frame(READER.read(json.dumps(rows).encode()))
    expected = [pd.Timestamp("2026-11-26 13:00"), pd.Timestamp("2026-11-26")]
    assert frame["seen"].tolist() == expected


def test_one_fault_among_many_rows_is_told_and_the_sound_ones_are_not_gone_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone_through: list[int] = []
    known = Rows._faults_of

    def noted(self: Rows, number: int, row: Any) -> Any:
        gone_through.append(number)
        return known(self, number, row)

    monkeypatch.setattr(Rows, "_faults_of", noted)
    rows = [ROW] * 9_999 + [ROW | {"colour": 1}]
    with pytest.raises(RefusedError, match="Row 10000: colour is not known"):
        READER.read(json.dumps(rows).encode())
    assert gone_through == [10_000], "other clients wait meanwhile"
    with pytest.raises(RefusedError, match="send at most"):
        READER.read(json.dumps([*rows, ROW]).encode())


def test_a_good_row_is_read_and_logged_as_it_was_given() -> None:
    (row,) = READER.read(json.dumps(ROW).encode())
    assert READER.as_given(row) == ROW
    changed = READER.replaced(row, "plan", "basic")
    assert READER.as_given(changed) == ROW | {"plan": "basic"}


cells = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=8),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["gold", "1", "yes", "true", "26/11/2026", "09:30"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)  # fmt: skip


@given(st.sampled_from(sorted(SCHEMA.columns)), cells)
def test_what_the_fast_reader_refuses_is_told_and_nothing_else(name: str, cell: Any) -> None:
    column = SCHEMA.columns[name]
    if cell is None:
        return
    try:
        msgspec.json.decode(msgspec.json.encode(cell), type=type_of(column))
        refused = False
    except msgspec.ValidationError:
        refused = True
    assert bool(problem_of(cell, column, type_of(column))) == refused


def test_the_schema_of_a_row_is_told_for_openapi() -> None:
    told = READER.json_schema()
    assert told["properties"]["size of it"] == {"type": "number", "minimum": 0, "maximum": 100}
    assert "left" not in told["properties"]
    assert set(told["required"]) >= {"size of it", "plan", "seen"}
