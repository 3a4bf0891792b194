"""The fire drill: each kind raises its alarm, and undo leaves no trace."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import run

from esteira import drill
from esteira.line.errors import UserError
from esteira.line.schema import Column, Schema

WHAT = Schema(
    task="classification",
    columns={
        "x": Column(type="number"),
        "town": Column(type="category"),
        "flag": Column(type="boolean"),
        "y": Column(type="category", role="target"),
    },
)
WITHOUT_CATEGORY = Schema(
    task="regression",
    columns={"x": Column(type="number"), "y": Column(type="number", role="target")},
)


def rows(n=1000):
    random = np.random.default_rng(1)
    x = random.normal(size=n)
    return pd.DataFrame(
        {
            "x": x,
            "town": random.choice(["a", "b"], n),
            "flag": random.choice(["true", "false"], n),
            "y": np.where(x > 0, "no", "yes"),
        }
    )


def drilled(kind, strength=1.0, what=WHAT, table=None):
    table = rows() if table is None else table
    return drill.KINDS[kind](table, what, strength, np.random.default_rng(0))[0]


def test_data_moves_the_inputs_and_not_what_they_say():
    moved = drilled("data")
    assert 0.8 < moved["x"].mean() - rows()["x"].mean() < 1.2
    assert (moved["y"] == np.where(moved["x"] > 0, "no", "yes")).all()
    assert drilled("data", 0.2)["x"].mean() < moved["x"].mean()


def test_concept_changes_the_target_and_no_input():
    changed = drilled("concept")
    pd.testing.assert_frame_equal(changed.drop(columns="y"), rows().drop(columns="y"))
    assert 0.4 < (changed["y"] != rows()["y"]).mean() < 0.6
    numbers = rows()[["x"]].assign(y=rows()["x"] * 2)
    turned = drilled("concept", 2.0, WITHOUT_CATEGORY, numbers)
    assert np.corrcoef(turned["x"], turned["y"])[0, 1] < -0.99


def test_missing_blanks_a_share_of_the_cells():
    assert 0.25 < drilled("missing")["x"].isna().mean() < 0.35
    assert drilled("missing", 9.0)["x"].isna().all()


def test_category_brings_a_new_one():
    new = set(drilled("category")["town"]) - {"a", "b"}
    assert len(new) == 1
    with pytest.raises(UserError, match="no feature is a category"):
        drilled("category", what=WITHOUT_CATEGORY)


def test_schema_leaves_columns_out():
    assert list(drilled("schema")) == ["town", "flag", "y"]
    assert list(drilled("schema", 2.0)) == ["flag", "y"]


@pytest.mark.parametrize(
    ("kind", "strength", "sentence"),
    [("flood", 1, "choose one of data, concept"), ("data", 0, "above 0"), ("data", -1, "above 0")],
)
def test_what_cannot_be_rehearsed_is_refused(kind, strength, sentence):
    with pytest.raises(UserError, match=sentence):
        drill.rehearse(kind, strength)


def test_there_must_be_something_to_undo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for action in (drill.undo, lambda: drill.rehearse("data")):
        with pytest.raises(UserError, match="run this in the project's folder"):
            action()
    Path("params.yaml").write_text("drift_check: {}\n")
    with pytest.raises(UserError, match="no drill to undo"):
        drill.undo()


# Makes batches as a drill does, and checks them as the line's stage does, in one process.
DRILLED = """
import json, sys
import numpy as np
from churn_radar.stages.drift_check import Settings, load_model
from esteira import drill
from esteira.drift import of_line, profile_file
from esteira.line import params, schema, table

what, rows = schema.load(), table.read(drill.SOURCE).reset_index(drop=True)
reference = profile_file.read("models/reference.json")
settings, metrics = params.read("drift_check", Settings), dict()
for kind in sys.argv[1:]:
    batch, _ = drill.KINDS[kind](rows, what, 1.0, np.random.default_rng(0))
    path = f"{drill.FOLDER}/{kind}.parquet"
    table.write(batch, path)
    with of_line.reading(path, what) as read:
        found = of_line.check_batch(read, what, reference, settings, load_model)
    metrics[kind] = found.metrics.known()
print(json.dumps(metrics))
"""


def test_each_kind_raises_its_alarm_and_undo_leaves_no_trace(project):
    def alarm(*options):
        said = run(project, "esteira", "drill", *options).stdout
        return said, json.loads((project / "reports/drift_check/metrics.json").read_text())

    said, found = alarm("--kind", "data")
    assert found["data_drift"] == 1
    assert "says `keep`" not in said
    status = run(project, "esteira", "status").stdout
    assert status.startswith("Drill  ")
    assert re.search("^! Drill .*is made up", status, re.MULTILINE), status
    assert status.strip().splitlines()[-1].startswith("Next: Read what the drift check says")
    checked = run(project, "python", "-c", DRILLED, "concept", "missing").stdout
    found = json.loads(checked.splitlines()[-1])
    assert found["concept"]["concept_drift"] == 1
    assert found["missing"]["data_drift"] == 1
    said, found = alarm("--kind", "schema")
    assert found["schema_faults"] >= 1
    assert "data drift: not tested\nconcept drift: not tested" in said
    assert "says `keep`" not in said
    refused = run(project, "esteira", "drill", "--kind", "category", check=False)
    assert "no feature is a category" in refused.stderr
    said, found = alarm("--undo")
    assert "says `keep`" in said
    assert run(project, "git", "status", "--porcelain").stdout == ""
    assert not (project / "data" / "drill").exists()
