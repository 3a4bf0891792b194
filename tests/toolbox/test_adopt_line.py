"""From a file to a green line, with no manual edit."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import reproduce, run, run_here, run_stages

from esteira.line import schema

PARTS = ("train", "holdout")
REAL = Path(__file__).parents[3] / "shared" / "data"


def given(name):
    path = REAL / name
    if not path.is_file():
        pytest.skip(f"{path} is absent: this test needs the real table {name}")
    return path


def go(project, *arguments):
    """Adopt, reproduce, judge; return what adopt said and the model's metrics."""
    said = run(project, "esteira", "adopt", *map(str, arguments)).stdout
    reproduce(project)
    run_here(project, "esteira", "gate")
    metrics = json.loads((project / "reports/evaluate/metrics.json").read_text())
    report = json.loads((project / "reports/validate/metrics.json").read_text())
    assert report["rules_broken"] == 0
    return said, metrics


def test_telco(project):
    said, metrics = go(project, given("Telco-Customer-Churn.csv"), "--target", "Churn")
    what = schema.load(project / "schema.yaml")
    assert what.columns["customerID"].role == "identifier"
    assert what.columns["TotalCharges"].type == "number"
    assert "`TotalCharges`: number: 7032 of 7043 cells; 11 missing" in said
    assert what.positive == "Yes"
    assert metrics["roc_auc"] >= 0.83


def test_bike_hours(project):
    said, metrics = go(project, given("hour.csv"), "--target", "cnt", "--time", "dteday")
    what = schema.load(project / "schema.yaml")
    assert what.columns["instant"].role == "identifier"
    assert {n for n in ("casual", "registered") if what.columns[n].role == "ignored"} == {
        "casual",
        "registered",
    }
    assert said.count("LEAK") == 2
    assert metrics["r2"] > 0.6, "a linear model reaches 0.29 on the same rows"


def test_a_class_that_was_only_held_out_is_told_in_a_sentence(project):
    held = project / "data/holdout.parquet"
    rows = pd.read_parquet(held)
    rows.loc[rows.index[:3], "diagnosis"] = "unheard of"
    held.unlink()
    rows.to_parquet(held)
    done = run(project, "python", "-m", "churn_radar.stages.evaluate", check=False)
    assert done.returncode == 1
    assert "class 'unheard of' is in 3 held-out rows and in none" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_table_sorted_by_its_classes(project, tmp_path):
    random = np.random.default_rng(3)
    x, town = random.normal(size=600), random.choice(["Rome", "Oslo", "Bonn"], 600)
    y = np.digitize(x + random.normal(0, 0.5, 600), [-0.5, 0.5])
    rows = pd.DataFrame({"x": x.round(3), "town": town, "y": np.array(["a", "b", "c"])[y]})
    rows.sort_values("y").to_csv(tmp_path / "sorted.csv", index=False)
    said, metrics = go(project, tmp_path / "sorted.csv", "--target", "y")
    assert "order of the rows is random" in said
    assert metrics["roc_auc"] > 0.8


def test_a_messy_table(project, tmp_path):
    """Latin-1, semicolons, decimal commas, blank rows at the end, a sentinel, dates."""
    random = np.random.default_rng(0)
    when = pd.date_range("2004-03-10", periods=700, freq="h")
    x = random.normal(10, 3, 700).round(2)
    rows = pd.DataFrame(
        {
            "Datum": when.strftime("%d/%m/%Y"),
            "Zeit": when.strftime("%H.%M.%S"),
            "Größe": [str(v).replace(".", ",") for v in x],
            "Sonde": random.choice(["-200", "1", "2", "3", "4", "5", "6"], 700),
            "Wert": [f"{v:.1f}".replace(".", ",") for v in 5 * x + random.normal(0, 2, 700)],
            "": "",
        }
    )
    path = tmp_path / "Messung.csv"
    text = rows.to_csv(sep=";", index=False, lineterminator="\r\n") + ";;;;;\r\n" * 30
    path.write_bytes(text.encode("latin-1"))
    said, metrics = go(project, path, "--target", "Wert")
    assert "30 empty rows are dropped" in said
    assert "add '-200' to file.missing" in said
    assert metrics["r2"] > 0.9


def test_newest_rows_that_really_differ_are_explained_by_the_first_gate(project, tmp_path):
    """What the inputs say of the target turns round in the newest seventh of the rows."""
    random = np.random.default_rng(0)
    x, z = random.normal(size=(2, 1400))
    turned = np.where(np.arange(1400) < 1180, 1, -1)
    rows = pd.DataFrame(
        {
            "day": pd.date_range("2022-01-01", periods=1400).strftime("%Y-%m-%d"),
            "x": x.round(3),
            "z": z.round(3),
            "price": (100 + turned * 20 * x + 3 * random.normal(size=1400)).round(2),
        }
    )
    rows.to_csv(tmp_path / "turned.csv", index=False)
    said, metrics = go(project, tmp_path / "turned.csv", "--target", "price")
    assert "! the newest 15% of the rows differ from those before" in said
    assert "the drift check will say `rework`" in said
    assert metrics["r2"] > 0.9
    judged = run(project, "esteira", "gate").stdout
    assert "gates.yaml accepts it: the newest 15% of the rows differ" in " ".join(judged.split())
    blocked = (project / "gates.yaml").read_text().replace("drift: []", "drift: [rework]")
    (project / "gates.yaml").write_text(blocked)
    assert run(project, "esteira", "gate", check=False).returncode == 1


def test_groups_are_held_out_whole(project, tmp_path):
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"patient": np.repeat(np.arange(200), 3)})
    rows["x"] = (np.repeat(random.normal(size=200), 3) + random.normal(0, 0.1, 600)).round(3)
    rows["sick"] = np.repeat(random.choice(["yes", "no"], 200), 3)
    rows.to_csv(tmp_path / "groups.csv", index=False)
    run(project, "esteira", "adopt", str(tmp_path / "groups.csv"), "--target", "sick")
    run_stages(project, "ingest", "validate", "split")
    train, held = (
        pd.read_parquet(project / f"data/{part}.parquet") for part in ("train", "holdout")
    )
    assert len(held) > 50
    assert not set(train["patient"]) & set(held["patient"])


def test_titles_currencies_and_seconds_are_read_by_the_whole_line(project, tmp_path):
    random = np.random.default_rng(0)
    area = random.integers(40, 400, 500)
    price = (5000 * area + random.normal(0, 60_000, 500)).clip(10_000).astype(int)
    towns = random.choice(["Recife", "Natal"], 500)
    prices = [f"R$ {value:,}".replace(",", ".") for value in price]
    lines = [
        f"{town};{a};{a % 15},{a % 10}%;{1_735_689_600 - 3_600 * sold};{text},45"
        for sold, (town, a, text) in enumerate(zip(towns, area, prices, strict=True))
    ]
    titles = "Relatório de vendas - 2024\n;;;;\nMunicípio;Área m²;Taxa;vendido_em;Valor\n"
    text = titles + "\n".join(lines)
    path = tmp_path / "regiões de venda.csv"
    path.write_bytes(text.encode("latin-1"))
    said, metrics = go(project, path, "--target", "Valor")
    assert "lines 1–2 are a title above the header" in said
    assert (
        "its dates fall in 100% of the steps from row to row, the newest first; 2024-12-11" in said
    )
    card = (project / "reports/card.md").read_text("utf-8")
    assert "from 1733893200 to 1735419600." in card
    assert metrics["r2"] > 0.9
