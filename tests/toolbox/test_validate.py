"""validate: every violation at once, and a stop only where the line could not go on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from esteira import cli
from esteira.line import schema, table, validate
from esteira.line.errors import UserError

SOURCE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}" / "vendor"
STAGE = SOURCE.parent / "src" / "{{cookiecutter.package_name}}" / "stages" / "validate.py"

SCHEMA = """
task: classification
positive: 'yes'
columns:
  id: {type: text, role: identifier}
  age: {type: integer, min: 0, max: 120}
  pay: {type: number, missing: true}
  city: {type: category, allowed: [Rome, Oslo]}
  born: {type: datetime, role: time, format: '%Y-%m-%d'}
  note: {type: text, role: ignored, missing: true}
  y: {type: category, role: target, allowed: ['yes', 'no']}
"""


def good(rows: int = 6) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [f"k{i}" for i in range(rows)],
            "age": [str(30 + i) for i in range(rows)],
            "pay": ["1.5"] * rows,
            "city": ["Rome", "Oslo"] * (rows // 2),
            "born": [f"2020-01-{i + 1:02}" for i in range(rows)],
            "note": ["n"] * rows,
            "y": ["yes", "no"] * (rows // 2),
        },
        dtype="str",
    )


@pytest.fixture
def expected(tmp_path):
    path = tmp_path / "schema.yaml"
    path.write_text(SCHEMA)
    return schema.load(path)


def violations(raw, expected, **kwargs):
    checking = validate.Checking(expected, **kwargs)
    checking.check(raw)
    return checking.violations()


def table_of(raw, expected, **kwargs):
    found = violations(raw, expected, **kwargs)
    return {(r.column, r.rule): r for r in found.itertuples()}


def test_a_good_table_has_no_violation(expected):
    typed, faults = validate.check(good(), expected)
    assert len(faults) == 0
    assert violations(good(), expected).empty
    assert typed["age"].dtype == "float64"
    assert typed["born"].dtype == "datetime64[us]"


def test_all_violations_come_at_once(expected):
    raw = good()
    raw.loc[0, "age"] = "-3"
    raw.loc[1, "age"] = "200"
    raw.loc[2, "age"] = "31.5"
    raw.loc[3, "age"] = "old"
    raw.loc[4, "age"] = None
    raw.loc[[1, 5], "city"] = "Atlantis"
    raw.loc[2, "born"] = "yesterday"
    raw = raw.drop(columns="pay").assign(extra="?")
    found = table_of(raw, expected)
    assert {key: row.rows for key, row in found.items()} == {
        ("age", "min 0"): 1,
        ("age", "max 120"): 1,
        ("age", "whole number"): 1,
        ("age", "type integer"): 1,
        ("age", "missing value"): 1,
        ("pay", "absent column"): 0,
        ("city", "allowed values"): 2,
        ("born", "type datetime"): 1,
        ("extra", "unknown column"): 0,
    }
    assert found["city", "allowed values"].row_numbers == "2 6"
    assert found["city", "allowed values"].examples == "Atlantis"
    assert found["age", "type integer"].examples == "old"
    assert found["born", "type datetime"].row_numbers == "3"


def test_many_faults_are_counted_and_the_first_are_shown(expected):
    raw = good(20).assign(age=[f"{200 + i}" for i in range(20)])
    row = table_of(raw, expected, examples=3)["age", "max 120"]
    assert row.rows == 20
    assert row.row_numbers == "1 2 3 …"
    assert row.examples == "200.0 | 201.0 | 202.0"


def test_an_ignored_column_may_be_absent_and_infinity_is_no_number(expected):
    raw = good().drop(columns="note")
    raw.loc[0, "pay"] = "inf"
    found = table_of(raw, expected)
    assert list(found) == [("pay", "type number")]


def test_the_command_counts_what_is_broken_and_knows_another_file(
    tmp_path, monkeypatch, capsys, expected
):
    monkeypatch.chdir(tmp_path)
    raw = good()
    raw.loc[[0, 1], "city"] = "[Ur]"
    raw.to_csv("new.csv", index=False)
    with pytest.raises(SystemExit) as status:
        cli.validate("new.csv")
    assert status.value.code == 1
    said = capsys.readouterr().out
    assert "[Ur]" in said
    assert "new.csv breaks rules: 1, in 2 of 6 rows." in said
    good().to_csv("good.csv", index=False)
    with pytest.raises(SystemExit) as status:
        cli.validate("good.csv")
    assert status.value.code == 0
    assert "keeps every rule: 6 rows" in capsys.readouterr().out
    good().to_csv("other.csv", index=False, sep=";")
    with pytest.raises(UserError, match=r"not written as `file:` in schema\.yaml says"):
        cli.validate("other.csv")


def run_stage(folder: Path, raw: pd.DataFrame) -> subprocess.CompletedProcess:
    (folder / "schema.yaml").write_text(SCHEMA)
    (folder / "params.yaml").write_text("validate:\n  examples: 2\n")
    table.write(raw, folder / "data/ingested.parquet")
    stages = folder / "src" / "squad" / "stages"
    stages.mkdir(parents=True)
    shutil.copy(STAGE, stages)
    return subprocess.run(
        [sys.executable, "-m", "esteira.line", "validate"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_stage_reports_and_keeps_the_usable_rows(tmp_path):
    raw = good()
    raw.loc[0, "y"] = None
    raw.loc[1, "born"] = None
    raw.loc[2, "city"] = "Atlantis"
    done = run_stage(tmp_path, raw)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "reports/validate/metrics.json").read_text())
    assert metrics == {
        "rows": 6,
        "rows_kept": 4,
        "rows_without_target": 1,
        "rows_without_time": 1,
        "rows_in_violation": 3,
        "rules_broken": 3,
    }
    kept = pd.read_parquet(tmp_path / "data/validated.parquet")
    assert kept["id"].tolist() == ["k2", "k3", "k4", "k5"]
    listed = pd.read_csv(tmp_path / "reports/validate/violations.csv")
    assert listed["column"].tolist() == ["city", "born", "y"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda raw: raw.drop(columns=["age", "y"]), "lacks `age`, `y`"),
        (lambda raw: raw.assign(y=None), "fewer than two different values in the 0 usable rows"),
        (lambda raw: raw.assign(y="yes"), "fewer than two different values in the 6 usable rows"),
        (lambda raw: raw.head(0), "in the 0 usable rows of 0"),
    ],
)
def test_the_stage_stops_only_where_the_line_could_not_run(tmp_path, change, sentence):
    done = run_stage(tmp_path, change(good()))
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data/validated.parquet").exists()
