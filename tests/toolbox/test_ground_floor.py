"""errors, files, params, schema, table: what every stage stands on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from pydantic import Field

from esteira.line import files, params, schema, table
from esteira.line.errors import UserError

# Thirty lines that stand for a thousand million values, by aliases and by merged mappings.
BOMB = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))
MERGES = "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 30))
SCHEMA = schema.Schema.model_validate(
    {
        "task": "classification",
        "positive": "yes",
        "file": {"decimal": ",", "thousands": ".", "missing": ["", "?"]},
        "columns": {
            "id": {"type": "text", "role": "identifier"},
            "when": {"type": "datetime", "role": "time", "format": "%d/%m/%Y"},
            "price": {"type": "number"},
            "rooms": {"type": "integer", "missing": True},
            "new": {"type": "boolean"},
            "kind": {"type": "category", "allowed": ["a", "b"]},
            "sold": {"type": "category", "role": "target"},
        },
    }
)


class TestFiles:
    def test_a_failed_write_leaves_the_old_file_and_no_other(self, tmp_path: Path) -> None:
        target = tmp_path / "sub" / "x.txt"
        files.write_text(target, "old")

        def write_half() -> None:
            with files.replacing(target) as temporary:
                temporary.write_text("half")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            write_half()
        assert target.read_text() == "old"
        assert list(target.parent.iterdir()) == [target]

    def test_metrics_are_rounded_and_finite(self, tmp_path: Path) -> None:
        path = tmp_path / "m.json"
        files.write_metrics(path, {"a": 0.123456789, "b": 123456789, "c": np.float64(1e-9)})
        assert json.loads(path.read_text()) == {"a": 0.123457, "b": 123456789, "c": 1e-9}
        with pytest.raises(UserError, match="not finite numbers: b"):
            files.write_metrics(path, {"a": 1, "b": float("nan")})

    def test_yes_and_no_are_words(self, tmp_path: Path) -> None:
        (tmp_path / "x.yaml").write_text("a: [yes, no, on, 010]")
        assert files.read_yaml(tmp_path / "x.yaml") == {"a": ["yes", "no", "on", 10]}

    @pytest.mark.parametrize(
        ("text", "said"),
        [("a: [", "is not valid YAML"), ("- a", "must hold a mapping"), (None, "does not exist")],
    )
    def test_bad_yaml_is_a_users_error(self, tmp_path: Path, text: str | None, said: str) -> None:
        path = tmp_path / "x.yaml"
        if text is not None:
            path.write_text(text)
        with pytest.raises(UserError, match=said):
            files.read_yaml(path)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("a0: &a0 [1, 2]\n" + BOMB, "stands for more than 1000000 values"),
            ("a0: &a0 {x: 1, y: 2}\n" + MERGES, "stands for more than 1000000 values"),
            ("a: &a [*a]", "the alias \\*a stands for nothing, or for itself"),
            ("a: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
            ("a: " + "{b: " * 150 + "1" + "}" * 150, "nested too deeply"),
            ("a: " + "x" * 4_000_001, "larger than 4 MB"),
        ],
        ids=["aliases", "merges", "itself", "deep", "rather deep", "large"],
    )
    def test_hostile_yaml_is_refused_at_once(self, tmp_path: Path, text: str, said: str) -> None:
        path = tmp_path / "x.yaml"
        path.write_text(text)
        with pytest.raises(UserError, match=said):
            files.read_yaml(path)

    def test_a_few_aliases_are_what_yaml_is_for(self, tmp_path: Path) -> None:
        path = tmp_path / "x.yaml"
        path.write_text("a: &a {x: [1, 2]}\nb: {<<: *a, y: 3}\nc: [*a, *a]\n")
        same = {"x": [1, 2]}
        assert files.read_yaml(path) == {"a": same, "b": {**same, "y": 3}, "c": [same, same]}

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("[" * 5000 + "]" * 5000, "nested too deeply"),
            ("[" * 101 + "]" * 101, "nested too deeply"),
            ("{", "is not valid JSON"),
            ("\xff", "is not valid JSON"),
            (None, "does not exist"),
        ],
    )
    def test_bad_json_is_a_users_error(self, tmp_path: Path, text: str | None, said: str) -> None:
        path = tmp_path / "x.json"
        if text is not None:
            path.write_bytes(text.encode("latin-1"))
        with pytest.raises(UserError, match=said):
            files.read_json(path)

    def test_json_of_a_hundred_levels_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "x.json"
        path.write_text("[" * 100 + "]" * 100)
        assert isinstance(files.read_json(path), list)
        path.write_text("3")
        assert files.read_json(path) == 3


CHANGE = """
import os, signal, sys
from pathlib import Path
from typing import ClassVar
from esteira.line.files import transaction

with transaction(["old.txt", "new.txt", "gone.txt"], "adopt"):
    Path("old.txt").write_text("changed")
    Path("new.txt").write_text("made")
    Path("gone.txt").unlink()
    if sys.argv[1] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[1] == "wait":
        print("changing", flush=True)
        sys.stdin.read()
    if sys.argv[1] == "fail":
        raise OSError
"""


class TestTransaction:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        (tmp_path / "old.txt").write_text("old")
        (tmp_path / "gone.txt").write_text("gone")
        monkeypatch.chdir(tmp_path)
        return tmp_path

    def start(self, end: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", CHANGE, end],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def content(self, folder: Path) -> dict[str, str]:
        return {path.name: path.read_text() for path in folder.glob("*.txt")}

    BEFORE: ClassVar = {"old.txt": "old", "gone.txt": "gone"}

    def test_it_changes_all_and_leaves_nothing_behind(self, folder: Path) -> None:
        assert self.start("end").wait() == 0
        assert self.content(folder) == {"old.txt": "changed", "new.txt": "made"}
        assert list((folder / "data").iterdir()) == []

    def test_a_failure_puts_all_back(self, folder: Path) -> None:
        assert self.start("fail").wait() == 1
        assert self.content(folder) == self.BEFORE
        assert list((folder / "data").iterdir()) == []

    def test_a_kill_is_undone_by_whoever_comes_next(self, folder: Path) -> None:
        assert self.start("kill").wait() == -signal.SIGKILL
        assert self.content(folder) == {"old.txt": "changed", "new.txt": "made"}
        assert files.interrupted() == ["adopt"]
        assert files.recover() == ["adopt"]
        assert self.content(folder) == self.BEFORE
        assert files.recover() == []
        assert list((folder / "data").iterdir()) == []

    def test_one_that_was_killed_before_its_journal_changed_nothing(self, folder: Path) -> None:
        left = folder / "data" / ".before-adopt.tmp"
        left.mkdir(parents=True)
        (left / "0").write_text("a copy, perhaps half of one")
        assert files.recover() == ["adopt"]
        assert self.content(folder) == self.BEFORE
        assert not left.exists()

    def test_one_at_work_is_left_alone(self, folder: Path) -> None:
        with self.start("wait") as other:
            assert other.stdout.readline() == b"changing\n"
            assert files.interrupted() == []
            with (
                pytest.raises(UserError, match="`esteira adopt` is at work here"),
                files.transaction(["old.txt"], "adopt"),
            ):
                pass
            other.communicate()
        assert self.content(folder) == {"old.txt": "changed", "new.txt": "made"}

    @pytest.mark.parametrize(
        "change", [("old.txt", "../old.txt"), ('"paths"', '"other"'), ("{", "")]
    )
    def test_a_journal_that_cannot_be_believed_changes_nothing(
        self, folder: Path, change: tuple[str, str]
    ) -> None:
        self.start("kill").wait()
        journal = folder / "data" / ".before-adopt.tmp" / "journal.json"
        journal.write_text(journal.read_text().replace(*change, 1))
        before = self.content(folder)
        with pytest.raises(UserError, match="cannot be believed"):
            files.recover()
        assert self.content(folder) == before
        assert journal.exists()


class Deep(params.Section):
    count: int = Field(ge=1)


class Settings(params.Section):
    share: float
    deep: Deep


class TestParams:
    def read(self, folder: Path, text: str) -> Settings:
        (folder / "params.yaml").write_text(text)
        return params.read("stage", Settings, folder / "params.yaml")

    def test_a_section_is_typed(self, tmp_path: Path) -> None:
        assert self.read(tmp_path, "stage: {share: 1, deep: {count: 2}}").deep.count == 2

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("other: {}", "has no section `stage:`"),
            ("stage: {share: 1}", "deep: field required"),
            ("stage: {share: '1', deep: {count: 2}}", "share: input should be a valid number"),
            ("stage: {share: 1, deep: {count: 0}}", r"deep.count: .*equal to 1 \(got 0\)"),
            ("stage: {share: 1, deep: {count: 1}, more: 1}", "more: no such name"),
            ("stage: {share: x, deep: {count: x}}", "share: .*; deep.count: "),
            ("stage:", "the value: input should be a valid dict"),
        ],
    )
    def test_every_fault_is_named(self, tmp_path: Path, text: str, said: str) -> None:
        with pytest.raises(UserError, match=said):
            self.read(tmp_path, text)


class TestSchema:
    def test_roles(self) -> None:
        assert (SCHEMA.target, SCHEMA.time) == ("sold", "when")
        assert SCHEMA.features == ["price", "rooms", "new", "kind"]
        assert SCHEMA.inputs == ["when", "price", "rooms", "new", "kind"]

    @pytest.mark.parametrize(
        ("columns", "task", "said"),
        [
            ({"a": {"type": "number"}}, "regression", "found 0"),
            ({"a": {"type": "number", "role": "target"}}, "regression", "no column has"),
            (
                {"a": {"type": "number", "role": "target"}, "b": {"type": "number"}},
                "classification",
                "needs a category as target",
            ),
            (
                {"a": {"type": "text", "role": "target"}, "b": {"type": "number"}},
                "regression",
                "needs a number as target",
            ),
        ],
    )
    def test_what_cannot_be(self, columns: dict, task: str, said: str) -> None:
        with pytest.raises(UserError, match=said):
            params.parse({"task": task, "columns": columns}, schema.Schema, "schema.yaml")


class TestTable:
    RAW = (
        "id,when,price,rooms,new,kind,sold\n"
        '1,31/12/2024," 1.234,5 ",3,TRUE,a,yes\n'
        '2,01/01/2025,?,,no,b,no\n3,2025-02-30,"7,25",x,maybe,c,\n'
    )

    def test_a_table_gets_the_schemas_types(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text(self.RAW)
        raw = table.read_raw(tmp_path / "t.csv", SCHEMA.file)
        typed, rejects = table.parse(raw, SCHEMA)
        assert typed["price"].tolist()[::2] == [1234.5, 7.25]
        assert typed["price"].isna().tolist() == [False, True, False]
        assert typed["when"].dtype == "datetime64[us]"
        assert typed["new"].tolist()[:2] == ["true", "false"]
        assert typed["sold"].isna().tolist() == [False, False, True]
        told = rejects[["column", "row", "value"]].astype("str").to_numpy().tolist()
        assert told == [
            ["when", "3", "2025-02-30"],
            ["rooms", "3", "x"],
            ["new", "3", "maybe"],
        ]

    def test_an_absent_column_is_wholly_missing(self) -> None:
        typed, rejects = table.parse(pd.DataFrame({"id": ["1"], "more": ["x"]}), SCHEMA)
        assert list(typed) == list(SCHEMA.columns)
        assert typed.drop(columns="id").isna().all(axis=None)
        assert rejects.empty

    def test_whole_floats_are_codes_without_a_point(self) -> None:
        column = schema.Column(type="category")
        cast = table.cast(pd.Series([1.0, None, 2.0]), column, SCHEMA.file)
        assert cast.tolist()[::2] == ["1", "2"]
        assert cast.isna()[1]

    def test_whole_floats_in_a_text_table_are_the_codes_that_the_schema_knows(self) -> None:
        column = schema.Column(type="category", allowed=("0", "1", "2.0"))
        cast = table.cast(pd.Series(["1.0", "0", "2.0", "3.0", None]), column, SCHEMA.file)
        assert cast.tolist()[:4] == ["1", "0", "2.0", "3.0"]
        assert cast.isna()[4]

    def test_the_same_table_gives_the_same_bytes(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"a": [1.5, None], "b": ["x", "é"]})
        for name in ("one", "two"):
            table.write(frame, tmp_path / name)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
        pd.testing.assert_frame_equal(table.read(tmp_path / "one"), frame)
