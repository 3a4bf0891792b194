"""Predict: every row is answered, in order, with what is wrong with it beside the answer."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import run
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from sklearn.linear_model import LinearRegression

from esteira import predict as room
from esteira.line import answers
from esteira.line.errors import UserError
from esteira.repository import model_here

CLASSES = ["probability of benign", "probability of malignant"]


@pytest.fixture
def squad(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in the reproduced project, with a table of newer rows that nobody has labelled."""
    monkeypatch.chdir(project)
    newer = pd.read_parquet("data/current.parquet").drop(columns=["diagnosis"])
    newer.to_csv("newer.csv", index=False)
    return project


def locked(path: str) -> str:
    lock = YAML(typ="safe").load(Path("dvc.lock").read_text(encoding="utf-8"))
    outs = [out for stage in lock["stages"].values() for out in stage["outs"]]
    return next(out["md5"] for out in outs if out["path"] == path)


def spoil(path: str, cell: Callable[[pd.DataFrame], None]) -> None:
    rows = pd.read_csv(path, dtype=str)
    cell(rows)
    rows.to_csv(path, index=False)


def test_every_row_is_answered_in_order_and_a_broken_one_is_told_why(squad: Path) -> None:
    clean = run(squad, "esteira", "predict", "newer.csv", "clean.parquet").stdout
    assert "rows are answered in clean.parquet, by" in clean
    assert "break rules" not in clean

    def break_two(rows: pd.DataFrame) -> None:
        rows.loc[1, "mean radius"] = "wide"
        rows.loc[4, ["mean radius", "mean area"]] = "-7"

    spoil("newer.csv", break_two)
    said = run(squad, "esteira", "predict", "newer.csv", "broken.parquet").stdout
    assert "2 of them break rules of schema.yaml: see column `reasons`." in said
    before, after = pd.read_parquet("clean.parquet"), pd.read_parquet("broken.parquet")
    assert list(after) == ["row", "prediction", *CLASSES, "reasons", "model", "data"]
    assert after["row"].tolist() == list(range(1, len(before) + 1))
    told = after.loc[after["reasons"] != "", ["row", "reasons"]]
    assert dict(told.itertuples(index=False)) == {
        2: "mean radius: type number (got wide)",
        5: "mean radius: min 0 (got -7.0); mean area: min 0 (got -7.0)",
    }
    kept = after["reasons"] == ""
    pd.testing.assert_frame_equal(before[kept], after[kept])
    assert after[CLASSES].notna().all(axis=None), "what is broken is answered too"
    assert np.allclose(after[CLASSES].sum(axis=1), 1)
    assert set(after["model"]) == {locked("models/model.skops")}
    assert set(after["data"]) == {locked("data/train.parquet")}


def test_the_answers_are_those_of_the_line_whatever_the_part_and_the_file(squad: Path) -> None:
    held = pd.read_parquet("data/holdout.parquet")
    held.to_parquet("held.parquet", index=False)
    room.predict("held.parquet", "whole.parquet")
    room.predict("held.parquet", "parts.parquet", part=7)
    room.predict("held.parquet", "parts.csv", part=7)
    assert Path("whole.parquet").read_bytes() == Path("parts.parquet").read_bytes()
    whole = pd.read_parquet("whole.parquet")
    text = pd.read_csv("parts.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(whole, text, check_dtype=False, check_exact=True)
    line = pd.read_parquet("data/predictions.parquet")
    assert np.allclose(line[CLASSES], whole[CLASSES], rtol=1e-11, atol=0)


def test_a_released_model_is_named_by_its_release(squad: Path) -> None:
    for name in ("model@v1.0.0", "model@v1.1.0", "other@v9.0.0"):
        run(squad, "git", "tag", "--annotate", name, "--message", "A release")
    run(squad, "git", "commit", "--quiet", "--allow-empty", "--no-verify", "-m", "Later")
    assert model_here.origin_of_model().version == "model@v1.1.0"


def test_numbers_are_answered_with_twelve_digits() -> None:
    rows = pd.DataFrame({"x": [1.0, 2.0, 4.0]})
    model = LinearRegression().fit(rows, rows["x"] / 3)
    found = answers.ask(model, rows)
    assert list(found) == ["prediction"]
    assert found["prediction"].tolist() == [0.333333333333, 0.666666666667, 1.33333333333]


@given(
    st.lists(
        st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.floats(1e-13, 1.0)),
        min_size=1,
    )
)
def test_rounding_gives_what_the_text_would_be_read_as(numbers: list[float]) -> None:
    rounded = answers._rounded(np.array(numbers))
    assert np.isfinite(rounded).all()
    for number, found in zip(numbers, rounded.tolist(), strict=True):
        assert found == float(f"{found:.12g}"), "it has at most twelve digits"
        assert found == pytest.approx(number, rel=5.1e-12, abs=0)


@pytest.mark.parametrize(
    ("source", "out", "said"),
    [
        ("newer.csv", "answers.txt", "answers.txt is neither .parquet nor .csv"),
        ("newer.csv", "newer.csv", "newer.csv is the table to be answered"),
        ("newer.csv", "data", "data is a folder: name a file, such as"),
        ("newer.csv", "nowhere/answers.csv", "the folder nowhere does not exist"),
        ("absent.csv", "answers.csv", "absent.csv does not exist"),
        ("other.csv", "answers.csv", "none of the schema's columns is in it"),
        ("narrow.csv", "answers.csv", "narrow.csv lacks `mean texture`, `mean perimeter`"),
        ("hollow.csv", "answers.csv", "hollow.csv has no rows"),
    ],
)
def test_what_cannot_be_answered_is_told_and_nothing_is_written(
    squad: Path, source: str, out: str, said: str
) -> None:
    Path("other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    rows = pd.read_csv("newer.csv")
    rows[["mean radius"]].to_csv("narrow.csv", index=False)
    rows.head(0).to_csv("hollow.csv", index=False)
    before = sorted(Path().iterdir())
    given = Path("newer.csv").read_bytes()
    with pytest.raises(UserError) as told:
        room.predict(source, out)
    assert said in str(told.value)
    assert sorted(Path().iterdir()) == before
    assert Path("newer.csv").read_bytes() == given


def test_a_model_that_is_not_the_locks_or_of_another_schema_answers_nothing(squad: Path) -> None:
    def refused() -> str:
        done = run(squad, "esteira", "predict", "newer.csv", "answers.csv", check=False)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert not Path("answers.csv").exists()
        return done.stderr

    schema, model = Path("schema.yaml"), Path("models/model.skops")
    kept = schema.read_bytes()
    schema.write_bytes(kept + b"# edited\n")
    assert "schema.yaml is not the one that models/model.skops was trained by" in refused()
    schema.write_bytes(kept)
    content = model.read_bytes()
    model.unlink()
    assert "models/model.skops is not here" in refused()
    model.write_bytes(content + b"\n")
    assert "models/model.skops is not the one that dvc.lock names" in refused()
    Path("dvc.lock").unlink()
    assert "dvc.lock names no models/model.skops" in refused()
