"""adopt changes a project whole or not at all, where a person would change it."""

import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dvc.repo import Repo
from helpers import bake, run, tracked
from ruamel.yaml import YAML

from esteira import cli
from esteira.adopt.adopt import carry_out, plan
from esteira.adopt.detect import Asked
from esteira.line import files, schema
from esteira.line.errors import UserError

COMMAND = (sys.executable, "-c", "from esteira.cli import main; main()", "adopt")
OWN = ("schema.yaml", "params.yaml", "dvc.yaml", "gates.yaml")


@pytest.fixture(scope="module")
def baked(tmp_path_factory):
    """A fresh project for each task, never reproduced."""
    folder = tmp_path_factory.mktemp("baked")
    kinds = ("classification", "regression")
    return {kind: bake(folder / kind, dataset=f"sample-{kind}") for kind in kinds}


@pytest.fixture
def fresh(baked, tmp_path, monkeypatch):
    """A fresh project for classification, in which the test stands."""
    shutil.copytree(baked["classification"], tmp_path / "project", symlinks=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def messy(tmp_path):
    """A Latin-1 table with semicolons and decimal commas, sorted by its target."""
    random = np.random.default_rng(0)
    x = random.normal(size=300)
    rows = pd.DataFrame(
        {
            "Größe": [f"{v:.2f}".replace(".", ",") for v in x],
            "Stadt": random.choice(["Köln", "Bonn", "?"], 300),
            "Preis": [f"{v:.1f}".replace(".", ",") for v in 3 * x + random.normal(size=300)],
            "gekauft": np.where(x + random.normal(size=300) > 0.5, "ja", "nein"),
        }
    )
    path = tmp_path / "meine Tabelle.csv"
    rows.sort_values("gekauft").to_csv(path, sep=";", index=False, encoding="latin-1")
    return path


def forget(package):
    """Let the project's modules be imported anew, as by a new process."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def yaml(path):
    return YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))


def texts(folder):
    """Every file that Git or DVC would see, save their own folders."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    hidden = {".git", ".dvc", "__pycache__"}
    seen = [p.relative_to(folder) for p in files]
    return {p: (folder / p).read_bytes() for p in seen if not hidden & set(p.parts)}


def limits(changes):
    gates = YAML(typ="safe", pure=True).load(changes.texts["gates.yaml"])
    return {rule["metric"]: rule["limit"] for rule in gates["rules"]}


def planned(path, target, current=None, force=False, **said):
    return plan(path, Asked(target, **said), current=current, force=force)


def adopt(*arguments, **options):
    changes = planned(*arguments, **options)
    carry_out(changes)
    return changes


def test_the_decisions_stand_where_they_are_overruled(fresh, messy):
    adopt(messy, "gekauft")
    what = schema.load()
    assert what.file.delimiter == ";"
    assert what.file.decimal == ","
    assert what.file.missing == ("", "?")
    assert what.positive == "ja"
    params = yaml("params.yaml")
    assert params["ingest"]["source"] == "data/raw/meine_Tabelle.csv"
    assert params["split"]["shuffle"] is True
    assert params["split"]["current"] == 0.18, "a small table gives the drift check 50 rows"
    assert yaml("dvc.yaml")["stages"]["ingest"]["deps"][0] == "data/raw/meine_Tabelle.csv"
    floors = {rule["metric"]: rule for rule in yaml("gates.yaml")["rules"]}
    assert set(floors) == {"roc_auc", "log_loss", "rules_broken"}
    assert 0.5 < floors["roc_auc"]["limit"] < 0.8


def test_the_raw_file_is_tracked_by_dvc_and_not_by_git(fresh, messy):
    adopt(messy, "gekauft")
    run(fresh, "git", "add", "--all")
    assert "data/raw/meine_Tabelle.csv.dvc" in tracked(fresh)
    assert "data/raw/meine_Tabelle.csv" not in tracked(fresh)
    assert Path("data/raw/meine_Tabelle.csv").read_bytes() == messy.read_bytes()


def test_comments_and_other_settings_survive(fresh, messy):
    params = Path("params.yaml")
    changed = params.read_text().replace("folds: 5", "folds: 7 # ours")
    params.write_text(changed)
    before = {name: Path(name).read_text().splitlines() for name in OWN[1:]}
    adopt(messy, "gekauft")
    for name, lines in before.items():
        after = Path(name).read_text().splitlines()
        lost = [line for line in lines if line not in after]
        allowed = {"params.yaml": 7, "dvc.yaml": 0, "gates.yaml": 3}
        assert len(lost) <= allowed[name], lost
        comments = [line.partition(" # ")[2] for line in lines if " # " in line]
        assert all(comment in "\n".join(after) for comment in comments)


def test_the_plots_follow_the_task(fresh, baked, messy):
    adopt(messy, "Preis")
    assert yaml("dvc.yaml")["plots"] == yaml(baked["regression"] / "dvc.yaml")["plots"]
    adopt(messy, "gekauft", force=True)
    assert yaml("dvc.yaml")["plots"] == yaml(baked["classification"] / "dvc.yaml")["plots"]
    assert yaml("params.yaml")["train"]["search"]["scoring"] == "neg_log_loss"


def test_a_time_column_holds_out_the_newest_rows(fresh, messy):
    raw = pd.read_csv(messy, sep=";", encoding="latin-1", dtype=str)
    raw["Datum"] = pd.date_range("2020-01-01", periods=len(raw)).strftime("%d.%m.%Y")
    raw.to_csv(messy, sep=";", index=False, encoding="latin-1")
    adopt(messy, "gekauft")
    assert schema.load().time == "Datum"
    assert yaml("params.yaml")["split"]["shuffle"] is False


def test_dates_that_rise_but_for_neighbours_are_the_time_and_two_of_them_are_asked_about(
    fresh, messy
):
    raw = pd.read_csv(messy, sep=";", encoding="latin-1", dtype=str)
    late = pd.to_timedelta(np.random.default_rng(1).integers(0, 4, len(raw)), "D")
    days = pd.date_range("2020-01-01", periods=len(raw)) + late
    raw["Verkauf am"] = days.strftime("%d.%m.%Y")
    raw.to_csv(messy, sep=";", index=False, encoding="latin-1")
    changes = planned(messy, "gekauft")
    assert "role: time" in changes.texts["schema.yaml"]
    assert any("rise with the rows, but for neighbours" in d.evidence for d in changes.decisions)
    raw["bezahlt am"] = (days + pd.Timedelta(days=9)).strftime("%d.%m.%Y")
    raw.to_csv(messy, sep=";", index=False, encoding="latin-1")
    (said,) = [d for d in planned(messy, "gekauft").decisions if d.what == "no time column"]
    assert said.warning
    assert said.evidence.endswith("name one with --time 'Verkauf am'")


def test_cells_that_are_not_of_their_type_loosen_the_gate_in_plain_sight(fresh, messy):
    raw = pd.read_csv(messy, sep=";", encoding="latin-1", dtype=str)
    raw.loc[[3, 70, 200], "Größe"] = "groß"
    raw.to_csv(messy, sep=";", index=False, encoding="latin-1")
    changes = planned(messy, "gekauft")
    (said,) = [d for d in changes.decisions if "the gate lets" in d.what]
    assert said.what == "the gate lets 1 broken rule pass"
    assert said.warning
    assert "`Größe`" in said.evidence
    raw["Größe"] = "1,5"
    raw.to_csv(messy, sep=";", index=False, encoding="latin-1")
    assert not [d for d in planned(messy, "gekauft").decisions if "the gate lets" in d.what]


def order_of(changes):
    split = YAML(typ="safe", pure=True).load(changes.texts["params.yaml"])["split"]["order"]
    (said,) = [d for d in changes.decisions if d.what.startswith("order of the rows")]
    return split, said.evidence


def test_the_order_of_the_rows_is_time_unless_a_column_sorts_them(fresh, messy):
    rows = pd.read_csv(messy, sep=";", encoding="latin-1", dtype=str)

    def written(rows, target):
        rows.to_csv(messy, sep=";", index=False, encoding="latin-1")
        return order_of(planned(messy, target))

    order, why = written(rows, "gekauft")
    assert order == "random"
    assert "class ja is in none of the last" in why
    order, _ = written(rows.sample(frac=1, random_state=1), "gekauft")
    assert order == "rows"
    by_size = rows.sort_values("Größe", key=lambda v: v.str.replace(",", ".").astype(float))
    order, why = written(by_size, "gekauft")
    assert order == "random"
    assert "sorted by `Größe`" in why
    order, why = written(by_size, "Preis")
    assert order == "random"


def test_a_current_batch_comes_along(fresh, messy, tmp_path):
    batch = tmp_path / "new.csv"
    batch.write_bytes(messy.read_bytes())
    adopt(messy, "gekauft", current=batch)
    assert yaml("params.yaml")["drift_check"]["current"] == "data/raw/new.csv"
    assert Path("data/raw/new.csv.dvc").is_file()


def test_a_file_without_header_is_known_by_its_targets_name(fresh, tmp_path):
    path = tmp_path / "codes.data"
    random = np.random.default_rng(0)
    a, n = random.choice(["A11", "A12"], 200), random.integers(1, 99, 200)
    y = np.where(n + random.normal(0, 20, 200) > 50, 2, 1)
    path.write_text("".join(f"{p} {q} {r}\n" for p, q, r in zip(a, n, y, strict=True)))
    adopt(path, "column_3")
    assert schema.load().file.header is False
    assert list(schema.load().columns) == ["column_1", "column_2", "column_3"]


def test_repeated_rows_are_kept_unless_an_identifier_tells_that_they_are_copies(fresh, messy):
    raw = pd.read_csv(messy, sep=";", encoding="latin-1", dtype=str)
    twice = pd.concat([raw, raw.head(9)])
    twice.to_csv(messy, sep=";", index=False, encoding="latin-1")
    changes = planned(messy, "gekauft")
    assert "drop_duplicates: false" in changes.texts["params.yaml"]
    assert any(d.warning and "repeated rows are kept" in d.what for d in changes.decisions)
    numbered = raw.assign(Nr=range(len(raw)))
    twice = pd.concat([numbered, numbered.head(9)])
    twice.to_csv(messy, sep=";", index=False, encoding="latin-1")
    assert "drop_duplicates: true" in planned(messy, "gekauft").texts["params.yaml"]


# --- nothing by halves


def test_a_plan_changes_nothing(fresh, messy):
    before = texts(fresh)
    changes = planned(messy, "gekauft")
    assert "+  source: data/raw/meine_Tabelle.csv" in changes.diff()
    assert texts(fresh) == before


@pytest.mark.parametrize(
    ("target", "options", "sentence"),
    [
        ("gekaufft", {}, "did you mean `gekauft`"),
        ("gekauft", {"current": "no.csv"}, "does not exist"),
        ("gekauft", {"time": "Stadt"}, "cannot order the rows"),
    ],
)
def test_a_refusal_changes_nothing(fresh, messy, target, options, sentence):
    before = texts(fresh)
    with pytest.raises(UserError, match=sentence):
        adopt(messy, target, **options)
    assert texts(fresh) == before


def test_a_project_that_lost_a_section_is_refused(fresh, messy):
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("drift_check:", "drift:"))
    with pytest.raises(UserError, match="has lost 'drift_check'"):
        planned(messy, "gekauft")


def test_a_batch_that_lacks_a_column_is_refused(fresh, messy, tmp_path):
    batch = tmp_path / "new.csv"
    batch.write_bytes("Grösse;Stadt;Preis\n1;Bonn;2\n".encode("latin-1"))
    with pytest.raises(UserError, match="no column `Größe`"):
        planned(messy, "gekauft", current=batch)


def test_where_dvc_is_busy_everything_is_put_back(fresh, messy):
    changes = planned(messy, "gekauft")
    before = texts(fresh)
    with Repo() as other, other.lock, pytest.raises(UserError, match="all is as it was"):
        carry_out(changes)
    assert texts(fresh) == before
    carry_out(changes)
    assert schema.load().target == "gekauft"


def test_where_a_file_cannot_be_written_everything_is_put_back(fresh, messy):
    adopt(messy, "gekauft")
    messy.write_text(messy.read_text(encoding="latin-1") + "0,5;Bonn;1,0;ja\n", encoding="latin-1")
    changes = planned(messy, "Preis", force=True)
    before = texts(fresh)
    wrong = type(changes)(changes.decisions, changes.copies, {**changes.texts, "schema.yaml/x": ""})
    with pytest.raises(UserError, match="all is as it was"):
        carry_out(wrong)
    assert texts(fresh) == before


# --- the project's own model


def test_the_floors_are_those_of_the_projects_own_model(fresh, messy):
    """A model that sees nothing of the features earns no floor beyond luck."""
    before = planned(messy, "gekauft")
    features = Path("src/churn_radar/features.py")
    blind = features.read_text().replace("return table", "return table[[]].assign(nothing=0.0)")
    features.write_text(blind)
    forget("churn_radar")
    after = planned(messy, "gekauft")
    floors, blind_floors = limits(before), limits(after)
    assert blind_floors.get("log_loss", np.inf) > floors["log_loss"]
    assert blind_floors["roc_auc"] < floors["roc_auc"]


def test_an_algorithm_that_the_model_has_not_is_not_tried(fresh, messy):
    model = Path("src/churn_radar/model.py")
    model.write_text(model.read_text() + '\ndel ALGORITHMS["classification"]["boosting"]\n')
    forget("churn_radar")
    (said,) = [d for d in planned(messy, "gekauft").decisions if d.what.startswith("algorithm")]
    assert said.what == "algorithm linear"
    assert "boosting" not in said.evidence


@pytest.mark.parametrize(
    ("path", "old", "new", "sentence"),
    [
        ("pyproject.toml", "[tool.esteira]", "[tool.other]", "names no package"),
        ("pyproject.toml", "[tool.esteira]", "[tool.esteira", "not valid TOML"),
        ("pyproject.toml", 'package = "churn_radar"', 'package = "churn"', "does not exist"),
        ("src/churn_radar/model.py", "import Any", "import Anything", "cannot be imported"),
        ("src/churn_radar/model.py", "def build", "def construct", "has lost .*build"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_told(fresh, messy, path, old, new, sentence):
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))
    forget("churn_radar")
    before = texts(fresh)
    with pytest.raises(UserError, match=sentence):
        adopt(messy, "gekauft")
    assert texts(fresh) == before


# --- a kill, names, noise


KILL = """
import os, signal, sys
from esteira.adopt import adopt
from esteira.adopt.detect import Asked

write = adopt.write_text

def kill_at(path, text):
    if path == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, text)

adopt.write_text = kill_at
adopt.carry_out(adopt.plan(sys.argv[1], Asked("gekauft")))
"""


@pytest.mark.parametrize("victim", ["schema.yaml", "gates.yaml"])
def test_a_kill_between_two_files_is_undone_by_the_next_command(fresh, messy, victim):
    before = texts(fresh)
    done = run(fresh, sys.executable, "-c", KILL, str(messy), victim, check=False)
    assert done.returncode == -signal.SIGKILL
    assert texts(fresh) != before
    assert files.interrupted() == ["adopt"]
    files.recover()
    assert texts(fresh) == before
    adopt(messy, "gekauft")
    assert schema.load().target == "gekauft"


def test_after_a_kill_adopting_again_needs_no_force(fresh, messy):
    run(fresh, sys.executable, "-c", KILL, str(messy), "gates.yaml", check=False)
    assert yaml("params.yaml")["ingest"]["source"].startswith("data/raw/")
    run(fresh, *COMMAND, str(messy), "--target", "gekauft")
    assert yaml("gates.yaml")["rules"][0]["metric"] == "roc_auc"
    assert not files.interrupted()


@pytest.mark.parametrize("name", ["regiões de venda.csv", 'it\'s "new".csv', "a\nb.csv", "数.csv"])
def test_a_file_of_any_name_can_be_adopted(fresh, messy, name):
    path = messy.with_name(name)
    messy.rename(path)
    adopt(path, "gekauft")
    raw = yaml("params.yaml")["ingest"]["source"]
    assert Path(raw).read_bytes() == path.read_bytes()
    run(fresh, "git", "add", "--all")
    assert f"{raw}.dvc" in tracked(fresh)
    assert raw not in tracked(fresh)


def test_warnings_of_libraries_never_reach_the_screen(fresh, messy):
    features = Path("src/churn_radar/features.py")
    noisy = features.read_text().replace(
        "    table = table.copy()",
        "    import warnings\n    warnings.warn('noise')\n    table = table.copy()",
    )
    assert "noise" in noisy
    features.write_text(noisy)
    done = run(fresh, *COMMAND, str(messy), "--target", "gekauft")
    assert done.stderr == ""


def test_the_guess_that_the_order_is_time_stands_out(fresh, messy):
    rows = pd.read_csv(messy, sep=";", encoding="latin-1", dtype=str)
    rows.sample(frac=1, random_state=1).to_csv(messy, sep=";", index=False, encoding="latin-1")
    (said,) = [d for d in planned(messy, "gekauft").decisions if "order of the rows" in d.what]
    assert said.warning
    assert said.evidence.startswith("a guess")


def test_groups_and_title_lines_are_written_where_they_are_overruled(fresh, tmp_path):
    rows = pd.DataFrame({"patient": np.repeat(np.arange(140), 3)})
    random = np.random.default_rng(0)
    rows["x"] = random.normal(size=len(rows)).round(3)
    rows["sick"] = np.repeat(random.choice(["yes", "no"], 140), 3)
    path = tmp_path / "t.csv"
    path.write_text("Clinic 7\n" + rows.to_csv(index=False))
    changes = planned(path, "sick")
    assert "group: patient" in changes.texts["params.yaml"]
    assert "skip: 1" in changes.texts["schema.yaml"]
    assert "role: ignored" in changes.texts["schema.yaml"].split("patient:")[1].splitlines()[0]
    other = tmp_path / "other.csv"
    other.write_text(rows.drop(columns="patient").to_csv(index=False))
    assert "group: null" in planned(other, "sick").texts["params.yaml"]
    assert "skip" not in planned(other, "sick").texts["schema.yaml"]


def test_boosting_is_not_tried_where_it_would_take_minutes(fresh, tmp_path):
    """858 columns and nine classes took a minute, half of it for one trial."""
    random = np.random.default_rng(0)
    cells = random.integers(0, 3, (300, 150))
    rows = pd.DataFrame(cells, columns=[f"w{i}" for i in range(150)])
    rows["y"] = np.array(list("abcdefghi"))[(3 * cells[:, 0] + cells[:, 1])]
    rows.to_csv(tmp_path / "t.csv", index=False)
    (said,) = [d for d in planned(tmp_path / "t.csv", "y").decisions if "algorithm" in d.what]
    assert said.what == "algorithm linear"
    assert "boosting is not tried on so many columns and classes" in said.evidence


# --- again


def test_adopting_again_needs_force_and_shows_what_changes(fresh, messy, monkeypatch, capsys):
    command = ["esteira", "adopt", str(messy), "--target"]
    monkeypatch.setattr(sys, "argv", [*command, "gekauft"])
    cli.app(standalone_mode=False)
    assert "positive class ja" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*command, "Preis"])
    before = texts(fresh)
    with pytest.raises(SystemExit) as status:
        cli.main()
    assert status.value.code == 2
    assert "--force" in capsys.readouterr().err
    assert texts(fresh) == before
    monkeypatch.setattr(sys, "argv", [*command, "Preis", "--force"])
    cli.app(standalone_mode=False)
    shown = capsys.readouterr().out
    assert "-task: classification" in shown
    assert "+task: regression" in shown


def test_what_was_set_for_another_model_or_batch_starts_anew_and_is_told(fresh, messy):
    params = Path("params.yaml")
    text = params.read_text("utf-8").replace("hyperparameters: {}", "hyperparameters: {C: 0.5}")
    text = text.replace("reference: all", "reference: 300").replace("current: 0.15", "current: 0.4")
    params.write_text(text, "utf-8")
    changes = adopt(messy, "Preis")
    assert yaml("params.yaml")["train"]["hyperparameters"] == {}
    assert yaml("params.yaml")["evaluate"]["reference"] == "all"
    assert yaml("params.yaml")["split"]["current"] < 0.4
    (said,) = [d for d in changes.decisions if d.what == "hyperparameters start anew"]
    assert said.warning
    assert said.evidence == "C: 0.5 was of linear for classification"
    text = params.read_text("utf-8").replace("hyperparameters: {}", "hyperparameters: {alpha: 2}")
    params.write_text(text, "utf-8")
    adopt(messy, "Preis", force=True)
    assert yaml("params.yaml")["train"]["hyperparameters"] == {"alpha": 2}, "the same model"


def test_another_table_replaces_the_former_one(fresh, messy, tmp_path):
    adopt(messy, "gekauft")
    other = tmp_path / "other.csv"
    other.write_bytes(messy.read_bytes())
    changes = adopt(other, "gekauft", force=True)
    deps = yaml("dvc.yaml")["stages"]["ingest"]["deps"]
    assert [d for d in deps if d.startswith("data/raw/")] == ["data/raw/other.csv"]
    kept = [d.what for d in changes.decisions if d.warning and "stay" in d.what]
    assert kept == ["data/raw/meine_Tabelle.csv and its .dvc file stay"]
