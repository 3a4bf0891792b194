"""The log of answers: nothing answered is lost, nothing private is kept, labels find their rows."""

import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock
from helpers import TEMPLATE, run, run_here, surroundings

from esteira.line import logged
from esteira.line.errors import UserError
from esteira.line.schema import Schema
from esteira.log import answered, compact, labels
from esteira.log.records import Kept, lock_of
from esteira.log.writer import Answered, Log

SCHEMA = """
task: classification
positive: yes
columns:
  id: {type: integer, role: identifier}
  cpf: {type: text, role: ignored, log: hash}
  age: {type: number}
  plan: {type: category, allowed: [basic, gold]}
  salary: {type: number, log: no}
  left: {type: category, role: target, allowed: [yes, no]}
"""
SECRET = "a secret of the squad's own"  # noqa: S105 - of this test


@pytest.fixture
def what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Schema:
    """Stand in a folder with a schema that keeps a salary out of the log, and hashes a number."""
    from esteira.line import schema

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESTEIRA_LOG_KEY", SECRET)
    Path("schema.yaml").write_text(SCHEMA, encoding="utf-8")
    return schema.load()


def record(number: int, **cells: object) -> Answered:
    return Answered(
        time=datetime(2026, 11, 1, 12, 0, number % 60, tzinfo=UTC),
        request=f"r{number}",
        row={"id": number, "cpf": f"111.{number}", "age": 30.5, "plan": "gold", "salary": 9.5}
        | cells,
        prediction="yes",
        probabilities={"yes": 0.75, "no": 0.25},
        reasons="",
        model="model@v1.0.0",
        data="d41d8",
    )


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "segments").glob("*.jsonl"))


def test_a_closed_segment_becomes_parquet_and_is_removed(what: Schema, tmp_path: Path) -> None:
    with Log("logs", what) as log:
        log.append([record(1), record(2, age=None)])
        log.append([record(3)])
    assert len(segments(tmp_path / "logs")) == 1
    done = compact.compact("logs")
    assert (done.rows, done.closed, done.open, done.faults) == (3, 1, 0, ())
    assert segments(tmp_path / "logs") == []
    rows = answered.read_answers(Path("logs"))
    assert rows["id"].tolist() == [1, 2, 3]
    assert rows["age"].isna().tolist() == [False, True, False]
    assert rows["log.probability of yes"].tolist() == [0.75] * 3
    assert rows["log.request"].tolist() == ["r1", "r2", "r3"]
    assert compact.compact("logs").rows == 0, "a second time there is nothing to do"
    assert len(answered.read_answers(Path("logs"))) == 3


def test_an_open_segment_is_copied_as_far_as_it_goes_and_no_row_comes_twice(what: Schema) -> None:
    with Log("logs", what) as log:
        log.append([record(1)])
        first = compact.compact("logs")
        assert (first.rows, first.closed, first.open) == (1, 0, 1)
        log.append([record(2)])
    assert compact.compact("logs").closed == 1
    assert answered.read_answers(Path("logs"))["id"].tolist() == [1, 2]


def test_a_segment_ends_by_size_and_by_age(what: Schema) -> None:
    with Log("logs", what, most_bytes=1) as log:
        log.append([record(1)])
        log.append([record(2)])
    with Log("logs", what, most_seconds=0) as log:
        log.append([record(3)])
    assert len(segments(Path("logs"))) == 3
    compact.compact("logs")
    assert sorted(answered.read_answers(Path("logs"))["id"]) == [1, 2, 3]


def test_where_no_new_segment_can_begin_nothing_is_lost_and_later_it_goes_on(
    what: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> int:
        raise OSError(24, "Too many open files")

    with Log("logs", what, most_bytes=1) as log:
        log.append([record(1)])
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", none_left)
            for number in (2, 3):
                with pytest.raises(OSError, match="Too many open files"):
                    log.append([record(number)])
        log.append([record(4)])
    compact.compact("logs")
    assert sorted(answered.read_answers(Path("logs"))["id"]) == [1, 4]


def test_what_is_private_is_left_out_or_hashed_with_the_squads_key(
    what: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Log("logs", what) as log:
        log.append([record(1), record(2), record(3, cpf=" 111.1 "), record(4, cpf=None)])
    (file,) = segments(Path("logs"))
    text = file.read_text(encoding="utf-8")
    assert "salary" not in text
    assert "111." not in text
    hashed = [json.loads(line)["row"]["cpf"] for line in text.splitlines()]
    assert hashed[0] == hashed[2] != hashed[1]
    assert hashed[3] is None
    assert re.fullmatch("[0-9a-f]{32}", hashed[0])
    monkeypatch.setenv("ESTEIRA_LOG_KEY", SECRET + "!")
    assert Kept(what).hash("111.1") != hashed[0], "another key gives other hashes"
    monkeypatch.setenv("ESTEIRA_LOG_KEY", "short")
    with pytest.raises(UserError, match="ESTEIRA_LOG_KEY holds no secret of at least 16"):
        Log("logs", what)


WRITER = """
import sys
from datetime import datetime, timezone
from esteira.line import schema
from esteira.log.writer import Answered, Log

ROW = {"cpf": "1", "age": 1.5, "plan": "gold", "salary": 2.0}
log = Log("logs", schema.load(), most_bytes=200_000)
worker, number = sys.argv[1], 0
while True:
    rows = [
        Answered(
            datetime.now(timezone.utc), f"{worker}-{number + i}", "m", "d",
            ROW | {"id": number + i}, "yes", {"yes": 0.5, "no": 0.5}, "",
        )
        for i in range(3)
    ]
    log.append(rows)
    number += 3
    print(f"{worker} {number}", flush=True)  # the answer: only after it is logged
"""


def test_killed_at_any_instant_no_answered_row_is_missing(what: Schema) -> None:
    Path("writer.py").write_text(WRITER, encoding="utf-8")
    answers: dict[str, int] = {}
    heard: dict[str, list[str]] = {}
    for turn in range(4):
        names = [f"t{turn}w{worker}" for worker in range(3)]
        workers = [
            subprocess.Popen(
                [sys.executable, "writer.py", name],
                stdout=subprocess.PIPE,
                text=True,
                env=surroundings(TEMPLATE, ESTEIRA_LOG_KEY=SECRET),
            )
            for name in names
        ]
        for worker in workers:  # each dies after so many answers, and some more
            assert worker.stdout is not None
            heard[names[workers.index(worker)]] = [
                worker.stdout.readline() for _ in range(1 + 40 * turn)
            ]
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
        for name, worker in zip(names, workers, strict=True):
            told = [*map(str.rstrip, heard[name]), *worker.communicate()[0].splitlines()]
            given = [line.split()[1] for line in told if re.fullmatch(r"\S+ \d+", line)]
            answers[name] = int(given[-1]) if given else 0
        compact.compact("logs")
    assert sum(answers.values()) > 500
    found = answered.read_answers(Path("logs"))["log.request"]
    assert found.is_unique
    kept = found.str.rpartition("-")[0].value_counts()
    for name, rows in answers.items():
        assert rows <= kept.get(name, 0) <= rows + 3, "one group may be logged and not yet given"
    assert segments(Path("logs")) == []


def test_a_torn_tail_is_counted_and_named_and_a_broken_line_keeps_its_file(what: Schema) -> None:
    for _ in range(2):
        with Log("logs", what) as log:
            log.append([record(1), record(2)])
    torn, broken = segments(Path("logs"))
    with torn.open("ab") as file:
        file.write(b'{"time": "2026')
    broken.write_bytes(broken.read_bytes() + b"{}\n")
    done = compact.compact("logs")
    told = {fault.segment: fault.problem for fault in done.faults}
    assert told[torn.name].startswith("a torn tail of 14 bytes")
    assert told[broken.name].startswith("1 lines are no records")
    assert torn.name in done.says()
    assert segments(Path("logs")) == [broken]
    assert len(answered.read_answers(Path("logs"))) == 4


def test_a_full_disk_leaves_no_half_line(what: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log("logs", what)
    log.append([record(1)])
    write, calls = os.write, iter([10])

    def full(file: int, content: bytes) -> int:
        part = next(calls, None)
        if part is None:
            raise OSError(28, "No space left on device")
        return write(file, content[:part])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            log.append([record(2)])
    log.append([record(3)])
    log.close()
    assert [json.loads(line)["request"] for line in segments(Path("logs"))[0].open()] == [
        "r1",
        "r3",
    ]


def test_labels_find_their_rows_by_identifier_and_the_batch_has_them(what: Schema) -> None:
    with Log("logs", what) as log:
        log.append([record(number) for number in range(1, 6)])
    compact.compact("logs")
    Path("first.csv").write_text("id,left\n1,yes\n2,no\n99,no\n", encoding="utf-8")
    assert labels.label("first.csv", "logs") == labels.Labelled(3, 3, 0, 1)
    Path("later.csv").write_text("id,left\n2,yes\n3,no\n4,\n", encoding="utf-8")
    told = labels.label("later.csv", "logs")
    assert (told.labels, told.new, told.changed, told.strangers) == (2, 1, 1, 0)
    made = answered.make_batch("week.parquet", "logs", answered.Window(), answers=False)
    assert (made.rows, made.labelled) == (5, 3)
    batch = pd.read_parquet("week.parquet")
    assert batch["left"].tolist()[:3] == ["yes", "yes", "no"]
    assert batch["left"].isna().tolist()[3:] == [True, True]
    assert "salary" not in batch
    assert logged.note_of("week.parquet").not_logged == ("salary",)
    assert "Not checked: `salary`" in made.says()


def test_labels_find_hashed_identifiers(what: Schema) -> None:
    text = SCHEMA.replace("id: {type: integer, role: identifier}", "id: {type: integer}").replace(
        "role: ignored, log: hash", "role: identifier, log: hash"
    )
    Path("schema.yaml").write_text(text, encoding="utf-8")
    from esteira.line import schema

    with Log("logs", schema.load()) as log:
        log.append([record(1), record(2)])
    compact.compact("logs")
    Path("labels.csv").write_text("cpf,left\n111.2,no\n", encoding="utf-8")
    assert labels.label("labels.csv", "logs").strangers == 0
    made = answered.make_batch("week.parquet", "logs", answered.Window(), answers=False)
    assert made.labelled == 1
    assert "111.2" not in Path("logs/labels.parquet").read_bytes().decode("latin-1")


def test_a_window_takes_rows_by_time_and_number(what: Schema) -> None:
    with Log("logs", what) as log:
        log.append([record(number) for number in range(10)])
    compact.compact("logs")
    since, until = datetime(2026, 11, 1, 12, 0, 3), datetime(2026, 11, 1, 12, 0, 8)
    made = answered.make_batch("a.parquet", "logs", answered.Window(since, until, 2), answers=True)
    assert (made.rows, made.first.second, made.last.second) == (2, 6, 7)
    assert pd.read_parquet("a.parquet")["log.model"].tolist() == ["model@v1.0.0"] * 2
    empty = answered.Window(until=datetime(2020, 1, 1))
    with pytest.raises(UserError, match="no row in that window"):
        answered.make_batch("b.parquet", "logs", empty, answers=False)
    assert not Path("b.parquet").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("left\nyes\n", "names no rows: it needs `id`, or `request`"),
        ("id,age\n1,2\n", "has no column `left`"),
        ("id,left\n1,perhaps\n", "has a label 'perhaps', which schema.yaml does not allow"),
        ("id,left\n1,yes\n1,no\n", "gives row 1 two labels"),
        ("id,left\n,yes\n", "has labels in rows without id"),
    ],
)
def test_bad_labels_are_told_and_change_nothing(what: Schema, text: str, said: str) -> None:
    with Log("logs", what) as log:
        log.append([record(1)])
    compact.compact("logs")
    Path("labels.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as told:
        labels.label("labels.csv", "logs")
    assert said in str(told.value)
    assert not Path("logs/labels.parquet").exists()


def test_two_compactions_do_not_meet_and_a_folder_without_a_log_is_told(what: Schema) -> None:
    with pytest.raises(UserError, match="nowhere holds no log"):
        compact.compact("nowhere")
    log = Log("logs", what)
    log.append([record(1)])
    (open_one,) = segments(Path("logs"))
    assert lock_of(open_one).exists()
    Path("logs/answers").mkdir()
    with FileLock("logs/.compacting"), pytest.raises(UserError, match="being compacted by another"):
        compact.compact("logs")
    with pytest.raises(UserError, match="no compacted rows"):
        answered.read_answers(Path("logs"))
    log.close()


def test_the_drift_check_reads_a_batch_of_the_log(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unlabelled, then labelled, then with an input that the log does not keep."""
    from esteira.line import schema

    monkeypatch.chdir(project)
    rows = pd.read_parquet("data/current.parquet")
    truth = rows.pop("diagnosis")

    def answer(folder: str) -> None:
        model = "m"
        with Log(folder, schema.load()) as log:
            said = pd.read_parquet("data/answers.parquet")
            for number, row in enumerate(rows.to_dict("records")):
                told = said.iloc[number]
                odds = {
                    name: float(told[f"probability of {name}"]) for name in ("benign", "malignant")
                }
                moment = datetime(2026, 11, 1, tzinfo=UTC)
                log.append(
                    [Answered(moment, f"r{number}", model, "d", row, told["prediction"], odds, "")]
                )

    def drift(folder: str) -> subprocess.CompletedProcess[str]:
        run_here(project, "esteira", "log", "compact", "--log", folder)
        run_here(project, "esteira", "log", "batch", "week.parquet", "--log", folder)
        params = Path("params.yaml")
        text = params.read_text(encoding="utf-8")
        text = re.sub(r"(?m)^(drift_check:.*\n  current: )\S+", r"\1week.parquet", text)
        params.write_text(text, encoding="utf-8")
        return run(project, "python", "-m", "esteira.line", "drift_check")

    answer("logs")
    unlabelled = drift("logs").stdout
    assert "unusable" not in unlabelled
    assert "log." not in unlabelled, "what is the log's own is no new column"
    outcomes = pd.DataFrame({"request": [f"r{n}" for n in range(len(truth))], "diagnosis": truth})
    outcomes.to_csv("outcomes.csv", index=False)
    told = run(project, "esteira", "log", "label", "outcomes.csv").stdout
    assert told.startswith(f"{len(truth)} labels: {len(truth)} are new")
    drift("logs")
    measured = json.loads(Path("reports/drift_check/metrics.json").read_text())
    assert measured["concept_assessable"] == 1, measured
    told = run(project, "esteira", "log", "batch", "with.parquet", "--answers").stdout
    assert "with a label" in told
    column = "log.probability of malignant"
    words = ("drift", "models/reference.json", "with.parquet", "--predictions", column)
    assert "Model error (Brier score): 0." in run(project, "esteira", *words).stdout
    text = Path("schema.yaml").read_text(encoding="utf-8")
    hidden = text.replace("mean radius: {", "mean radius: {log: no, ")
    Path("schema.yaml").write_text(hidden, encoding="utf-8")
    answer("private")
    run_here(project, "esteira", "log", "compact", "--log", "private")
    run_here(project, "esteira", "log", "label", "outcomes.csv", "--log", "private")
    private = drift("private").stdout
    assert "Not checked: `mean radius`, which the log does not keep" in private
    again = json.loads(Path("reports/drift_check/metrics.json").read_text())
    assert again["concept_assessable"] == 1
    assert again["columns_checked"] == measured["columns_checked"] - 1
