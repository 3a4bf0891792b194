"""The loop closes: a batch that drifted is learnt, and told no longer; others still are."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from dvc.repo import Repo
from helpers import reproduce, run
from ruamel.yaml import YAML
from sklearn.metrics import log_loss, mean_absolute_error

from esteira import absorb as room
from esteira import gate
from esteira.drift import verdicts
from esteira.line import holdout, schema, table
from esteira.line.errors import UserError
from esteira.repository import dvc

REAL = Path(__file__).parents[3] / "shared" / "data"
PARAMS = """\
# The settings.
ingest:
  source: data/raw/{name} # the table
  drop_duplicates: true
split: {{current: 0.15, order: rows, holdout: 0.25, shuffle: {shuffle}, group: null, seed: 1}}
evaluate:
  seed: 42
  reference: all # what a batch must look like
drift_check:
  current: data/current.parquet
"""
LINE = """\
stages:
  ingest:
    cmd: x
    deps:
      - data/raw/{name}
    outs: [data/x.parquet]
"""
COLUMNS = {
    "code": {"type": "text", "role": "identifier"},
    "day": {"type": "datetime", "format": "%d/%m/%Y", "role": "ignored", "missing": True},
    "price": {"type": "number", "missing": True},
    "town": {"type": "category", "allowed": ["Évora", "Rome; Italy"]},
    "left": {"type": "category", "role": "target", "allowed": ["no", "yes"]},
}
FORMS = {
    "t.csv": {"missing": ["", "?"]},
    "t.csv.gz": {"delimiter": ";", "decimal": ",", "encoding": "latin-1", "missing": ["?"]},
    "t.csv.zip": {"delimiter": "|", "thousands": "."} | {"decimal": ","},
    "t.tsv.xz": {"delimiter": "\t", "quote": "'"},
    "t.csv.zst": {},
    "t.csv.bz2": {},
    "t.jsonl": {},
    "t.json": {},
    "t.parquet": {},
}


def rows(count: int, start: int, form: dict, textual: bool) -> pd.DataFrame:
    random = np.random.default_rng(start)
    price: object = (
        pd.Series(random.normal(10, 3, count)).round(3).where(random.random(count) > 0.1)
    )
    day: object = pd.date_range("2024-01-01", periods=count, freq="D", unit="us")
    if textual:
        decimal = form.get("decimal", ".")
        price = price.map(lambda x: str(x).replace(".", decimal), na_action="ignore")
        day = day.strftime("%d/%m/%Y")
    return pd.DataFrame(
        {
            "code": [f"c{start + i}" for i in range(count)],
            "day": day,
            "price": price,
            "town": random.choice(["Évora", "Rome; Italy"], count),
            "left": random.choice(["no", "yes"], count),
        }
    )


def write(frame: pd.DataFrame, path: Path, form: dict) -> None:
    kind = table.kind(path)
    if kind == "parquet":
        frame.to_parquet(path, index=False)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=path.suffix == ".jsonl", force_ascii=False)
    else:
        written = path.with_suffix(".plain") if path.suffix == ".zst" else path
        frame.to_csv(
            written,
            index=False,
            sep=form.get("delimiter", ","),
            encoding=form.get("encoding", "utf-8"),
            quotechar=form.get("quote", '"'),
            na_rep=form.get("missing", [""])[-1],
        )
        if written != path:  # pandas would need one package more
            path.write_bytes(pa.compress(written.read_bytes(), codec="zstd", asbytes=True))
            written.unlink()


def project_of(name: str, folder: Path, shuffle: bool = True) -> dict:
    """Make a small project around a raw table of 300 rows; return how its file is written."""
    form = FORMS[name]
    (folder / "data" / "raw").mkdir(parents=True)
    (folder / "params.yaml").write_text(PARAMS.format(name=name, shuffle=str(shuffle).lower()))
    (folder / "dvc.yaml").write_text(LINE.format(name=name))
    what = {"task": "classification", "positive": "yes", "file": form, "columns": COLUMNS}
    (folder / "schema.yaml").write_text(json.dumps(what))
    write(rows(300, 0, form, name != "t.parquet"), folder / "data" / "raw" / name, form)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    Repo.init(str(folder)).close()
    dvc.add([Path("data/raw") / name])
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    return form


def every_file() -> dict[str, bytes]:
    files = [p for p in Path().rglob("*") if p.is_file() and p.parts[0] not in (".git", ".dvc")]
    return {path.as_posix(): path.read_bytes() for path in files}


def params() -> dict:
    return YAML(typ="safe", pure=True).load(Path("params.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", list(FORMS))
@pytest.mark.parametrize("same_kind", [True, False], ids=["as the table", "of another kind"])
def test_rows_are_appended_and_replaced_in_the_tables_own_form(
    name: str, same_kind: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    form = project_of(name, tmp_path)
    typed = name == "t.parquet"
    batch = Path(name.replace("t.", "august.", 1))
    if not same_kind:
        batch, typed = Path("august.csv" if typed else "august.parquet"), not typed
    new = rows(100, 250, form, textual=not typed)
    write(new, batch, form)

    done = room.absorb(batch)
    assert (done.appended, done.replaced, done.rows) == (100, 50, 350)
    what = schema.load()
    raw = table.read_raw(Path("data/raw") / name, what.file)
    assert list(raw) == list(COLUMNS)
    columns = list(COLUMNS)
    found, rejects = table.parse(raw, what)
    assert rejects.empty
    old, expected = (
        table.parse(rows(*r, {}, textual=False), what)[0] for r in ((300, 0), (100, 250))
    )
    keys = holdout.keys(found, columns)
    assert (keys == holdout.keys(pd.concat([old.head(250), expected]), columns)).all()
    pointer = YAML(typ="safe").load(Path(f"data/raw/{name}.dvc").read_text())
    assert dvc.is_whole(Path("data/raw") / name, pointer["outs"][0]["md5"])
    assert Path(f"data/raw/{batch.name}.dvc").is_file()


def test_the_settings_follow_and_comments_stay(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    form = project_of("t.csv", tmp_path)
    write(rows(100, 500, form, textual=True), Path("august.csv"), form)
    said = room.absorb("august.csv").says()
    found = params()
    assert found["split"]["current"] == 0
    assert found["split"]["holdout"] == 0.25
    assert found["evaluate"]["reference"] == 100
    assert found["drift_check"]["current"] == "data/raw/august.csv"
    assert "# what a batch must look like" in Path("params.yaml").read_text()
    assert "100 rows of august.csv were taken into data/raw/t.csv, in place of 0 with" in said
    assert "400 rows now." in said
    made = "git clean -f -- data/raw/august.csv.dvc && uv run dvc checkout"
    assert f"Undo: git checkout -- params.yaml dvc.yaml data/raw/t.csv.dvc && {made}" in said


def test_a_batch_whose_concept_drifted_is_taken_and_told(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    form = project_of("t.csv", tmp_path)
    write(rows(100, 500, form, textual=True), Path("august.csv"), form)
    settings = Path("params.yaml").read_text().replace("data/current.parquet", "august.csv")
    Path("params.yaml").write_text(settings)
    Path(gate.DRIFT_FILE).parent.mkdir(parents=True)
    Path(gate.DRIFT_FILE).write_text(json.dumps({gate.DRIFT_METRIC: verdicts.REWORK.code}))
    said = room.absorb("august.csv").says()
    assert "The drift check said `rework` of this batch. Rework features, target, model" in said


def test_where_the_newest_are_held_out_the_most_of_a_batch_is_learnt(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    form = project_of("t.csv", tmp_path, shuffle=False)
    for start, total in ((500, 400), (700, 500)):
        write(rows(100, start, form, textual=True), Path(f"from{start}.csv"), form)
        room.absorb(f"from{start}.csv")
        assert params()["split"]["holdout"] == pytest.approx(25 / total, rel=0.01)


def spoil(form: dict, **cells: object) -> pd.DataFrame:
    return rows(100, 500, form, textual=True).assign(**cells)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda f: spoil(f, town="Oslo"),
            "breaks rules of schema.yaml: `town`: allowed values (100",
        ),
        (lambda f: spoil(f, price="x"), "`price`: type number (100 rows). Correct the batch"),
        (lambda f: spoil(f, more=1), "`more`: unknown column"),
        (lambda f: spoil(f).drop(columns="left"), "has no column `left`: without labels"),
        (lambda f: spoil(f).head(79), "has 79 rows; the drift check needs 80"),
        (
            lambda f: rows(300, 0, f, True).head(100),
            "every row of august.csv is in the table already",
        ),
        (lambda f: spoil(f, code="a"), "has 'a' more than once in `code`, which names one row"),
        (lambda f: spoil(f).drop(columns=list(COLUMNS)).assign(z=1), "is not written as `file:`"),
    ],
)
def test_what_cannot_be_taken_in_is_told_and_nothing_changes(
    make, said: str, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    form = project_of("t.csv", tmp_path)
    write(make(form), Path("august.csv"), form)
    before = every_file()
    with pytest.raises(UserError) as told:
        room.absorb("august.csv")
    assert said in str(told.value)
    assert every_file() == before


def test_a_table_that_dvc_does_not_keep_as_it_is_is_left_alone(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    form = project_of("t.csv", tmp_path)
    write(rows(100, 500, form, textual=True), Path("august.csv"), form)
    raw = Path("data/raw/t.csv")
    other = Path("data/raw/august.csv")
    other.write_text("another file\n")
    with pytest.raises(UserError, match=r"is another file than august.csv: rename the batch"):
        room.absorb("august.csv")
    other.unlink()
    kept = raw.read_text()
    raw.write_text(kept + kept.splitlines()[-1].replace("c299", "c300") + "\n")
    with pytest.raises(UserError, match=r"t.csv is not what data/raw/t.csv.dvc names"):
        room.absorb("august.csv")
    Path("data/raw/t.csv.dvc").unlink()
    with pytest.raises(UserError, match=r"DVC does not keep data/raw/t.csv"):
        room.absorb("august.csv")
    with pytest.raises(UserError, match=r"nowhere.csv does not exist"):
        room.absorb("nowhere.csv")


def test_all_or_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    form = project_of("t.csv", tmp_path)
    write(rows(100, 500, form, textual=True), Path("august.csv"), form)
    before = every_file()

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dvc, "add", full)
    with pytest.raises(OSError, match="No space left"):
        room.absorb("august.csv")
    assert every_file() == before


# ---- the whole day ----


# Checks batches as the line's stage does, and asks the model about them, all in one process.
LOOK = """
import json, sys
from pathlib import Path
import pandas as pd
from {package}.model import load
from {package}.stages.drift_check import Settings, load_model
from esteira.drift import of_line, profile_file
from esteira.line import params, schema, table

what, reference = schema.load(), profile_file.read("models/reference.json")
settings, model = params.read("drift_check", Settings), load()
ask = model.predict_proba if what.task == "classification" else model.predict
metrics = dict()
for path in map(Path, sys.argv[1:]):
    with of_line.reading(str(path), what) as batch:
        found = of_line.check_batch(batch, what, reference, settings, load_model)
    metrics[path.stem] = found.metrics.known()
    rows = table.parse(pd.read_parquet(path), what)[0]
    pd.DataFrame(ask(rows[what.inputs])).to_csv(path.with_suffix(".csv"), index=False)
print(json.dumps(metrics))
"""


@dataclass(frozen=True)
class Seen:
    """What the line says of a batch: the drift check's metrics, and the model's loss on it."""

    metrics: dict[str, float]
    loss: float


def look(project: Path, batches: dict[str, pd.DataFrame]) -> dict[str, Seen]:
    """Show batches to the line as it now stands; nothing of it changes."""
    folder = project / "data" / "shown"
    folder.mkdir(exist_ok=True)
    for name, batch in batches.items():
        batch.to_parquet(folder / f"{name}.parquet", index=False)
    paths = [f"data/shown/{name}.parquet" for name in batches]
    said = run(project, "python", "-c", LOOK.format(package="churn_radar"), *paths).stdout
    metrics = json.loads(said.splitlines()[-1])
    what = schema.load(project / "schema.yaml")
    seen = {}
    for name, batch in batches.items():
        answers = pd.read_csv(folder / f"{name}.csv").to_numpy()
        seen[name] = Seen(metrics[name], loss(what, batch, answers))
    shutil.rmtree(folder)
    return seen


def loss(what: schema.Schema, batch: pd.DataFrame, answers: np.ndarray) -> float:
    """Return what a model's answers to a batch are worth."""
    actual = batch[what.target]
    if what.task == "regression":
        return float(mean_absolute_error(actual, answers[:, 0]))
    return float(log_loss(actual, answers))


def close_the_loop(
    project: Path, batch: pd.DataFrame, fresh: dict[str, pd.DataFrame], third: pd.DataFrame
) -> None:
    """Alarm, absorb, reproduce; `fresh` are rows of the old and the new kind that nobody learns."""
    before = look(project, {"august": batch, **fresh})
    assert before["august"].metrics["data_drift"] == 1
    raw = project / "data" / "raw"
    raw.mkdir(exist_ok=True)
    batch.to_parquet(raw / "august.parquet", index=False)
    run(project, "git", "add", "--all")
    empty = "--allow-empty"  # the sample is as it was committed
    run(project, "git", "commit", "--quiet", "--no-verify", empty, "-m", "Before the batch")

    said = run(project, "esteira", "absorb", "data/raw/august.parquet").stdout
    assert "Next: uv run dvc repro" in said
    reproduce(project)
    found = json.loads((project / "reports/drift_check/metrics.json").read_text(encoding="utf-8"))
    assert found["rows_current"] == len(batch)
    assert found["action"] == 0, "the batch is learnt"
    after = look(project, {**fresh, "third": third})
    assert after["new"].metrics["action"] == 0, "so are others like it"
    assert after["old"].metrics["data_drift"] == 1, "an old kind is told"
    assert after["third"].metrics["data_drift"] == 1, "and so is a third"
    assert after["new"].loss <= before["new"].loss * 1.02
    assert after["old"].loss <= before["old"].loss * 1.1 + 0.01

    for command in said.split("Undo: ")[1].strip().split(" && "):
        run(project, *command.removeprefix("uv run ").split())
    run(project, "dvc", "repro")
    changed = run(project, "git", "status", "--porcelain", "--untracked-files=no").stdout
    assert changed == "", "Git and DVC undo it"


def test_the_day_of_a_drifted_batch_on_the_sample(project: Path) -> None:
    known = [pd.read_parquet(project / f"data/{part}.parquet") for part in ("train", "current")]
    learnt = pd.concat(known, ignore_index=True)
    held = pd.read_parquet(project / "data" / "holdout.parquet")  # whose rows stay there
    random = np.random.default_rng(5)

    def moved(rows: pd.DataFrame, name: str, factor: float) -> pd.DataFrame:
        """Another instrument: one input reads higher, with noise that makes each row its own."""
        rows = rows.copy()
        rows[name] = rows[name] * factor * random.normal(1, 0.01, len(rows))
        return rows

    batch = moved(learnt.sample(250, random_state=8), "mean texture", 1.6)
    third = moved(learnt.sample(140, random_state=9), "mean smoothness", 1.8)
    fresh = {"old": held, "new": moved(held, "mean texture", 1.6)}
    close_the_loop(project, batch, fresh, third)


def test_the_day_of_a_season_on_the_bike_table(project: Path) -> None:
    path = REAL / "hour.csv"
    if not path.is_file():
        pytest.skip(f"{path} is absent: this test needs the real table hour.csv")
    run(project, "esteira", "adopt", str(path), "--target", "cnt", "--time", "dteday")
    hours = pd.read_csv(path)
    hours = hours[hours["yr"] == 0]
    days = pd.to_datetime(hours["dteday"], format="%m/%d/%Y")
    kept_back = days.dt.day % 5 == 0
    season = {number: hours[(hours["season"] == number) & ~kept_back] for number in (1, 3, 4)}
    fresh = {
        kind: hours[(hours["season"] == n) & kept_back] for kind, n in (("old", 1), ("new", 3))
    }
    season[1].to_csv(project / "data" / "raw" / "hour.csv", index=False)
    run(project, "dvc", "add", "data/raw/hour.csv")
    reproduce(project)
    close_the_loop(project, season[3], fresh, season[4])
