"""A squad has Airflow: its DAG, read as Airflow reads it, and run by the real one."""

import json
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import actions
import helpers
import pytest
from actions import commit, edit, git
from helpers import slow
from test_clusters import change_every_stage, in_one_folder, tell
from test_exports import AFTER, LINE

VERSION = "apache-airflow==3.3.2"


class Task:
    """What stands for an operator: it notes its settings, and what comes before it."""

    def __init__(self, **given: Any) -> None:
        self.given, self.after = given, set[str]()

    def __rshift__(self, later: "Task") -> None:
        later.after.add(self.given["task_id"])

    def __rrshift__(self, earlier: "list[Task]") -> None:
        for each in earlier:
            each >> self


class Dag:
    """What stands for a DAG."""

    def __init__(self, **given: Any) -> None:
        self.given = given

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def read(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Dag, dict[str, Task]]:
    """Run a file as Airflow does, with stand-ins for what it imports."""
    dags: list[Dag] = []
    tasks: dict[str, Task] = {}

    def dag(**given: Any) -> Dag:
        dags.append(Dag(**given))
        return dags[-1]

    def operator(**given: Any) -> Task:
        return tasks.setdefault(given["task_id"], Task(**given))

    def param(value: str, **_: str) -> SimpleNamespace:
        return SimpleNamespace(value=value)

    bash, sdk = ModuleType("bash"), ModuleType("sdk")
    bash.__dict__["BashOperator"] = operator
    sdk.__dict__.update(DAG=dag, Param=param)
    packages = ("airflow", "airflow.providers", "airflow.providers.standard")
    for name in (*packages, "airflow.providers.standard.operators"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "airflow.providers.standard.operators.bash", bash)
    monkeypatch.setitem(sys.modules, "airflow.sdk", sdk)
    exec(compile(path.read_text("utf-8"), path, "exec"), {"__name__": "dag"})  # noqa: S102
    (only,) = dags
    return only, tasks


def test_the_dag_has_the_order_of_dvc_yaml_and_is_told_to_be_out_of_date(
    author: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(author, schedule="0 6 * * 1", revision="release")
    said = helpers.run(author, "esteira", "export", "airflow").stdout
    assert said == "Wrote dags/churn_radar.py.\n"
    helpers.run(author, "ruff", "check", "dags")
    helpers.run(author, "ruff", "format", "--check", "dags")
    path = author / "dags" / "churn_radar.py"
    dag, tasks = read(path, monkeypatch)
    after = {name: set(before) for name, before in AFTER.items()}
    assert {name: task.after for name, task in tasks.items()} == after | {"collect": set(LINE)}
    assert dag.given["dag_id"] == "churn-radar"
    assert dag.given["schedule"] == "0 6 * * 1"
    default = {name: param.value for name, param in dag.given["params"].items()}
    github = "https://github.com/our-organisation/churn-radar.git"
    assert default == {"repository": github, "revision": "release"}
    last = {name: task.given["bash_command"].splitlines()[-1] for name, task in tasks.items()}
    uv = "uv run --locked --no-dev esteira stage"
    assert last == {name: f"{uv} run {name}" for name in LINE} | {"collect": f"{uv} collect"}
    for task in tasks.values():
        helpers.run(author, "bash", "-n", "-c", task.given["bash_command"])
        assert task.given["append_env"] is True  # uv is on the worker's PATH
    helpers.run(author, "esteira", "export", "airflow", "--check")
    edit(author, "dvc.yaml", "  predict:\n", "  answer:\n")
    old = helpers.run(author, "esteira", "export", "airflow", "--check", check=False)
    assert old.returncode == 1
    assert "churn_radar.py is not what dvc.yaml says now: write it again by" in old.stderr


def test_a_stage_may_be_called_as_the_task_that_collects(
    author: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (author / "dvc.yaml").write_text("stages:\n  collect:\n    cmd: echo\n", "utf-8")
    helpers.run(author, "esteira", "export", "airflow")
    helpers.run(author, "ruff", "format", "--check", "dags")
    _, tasks = read(author / "dags" / "churn_radar.py", monkeypatch)
    assert {name: task.after for name, task in tasks.items()} == {
        "collect-2": set(),
        "collect": {"collect-2"},
    }
    assert "stage run collect" in tasks["collect-2"].given["bash_command"]


def test_a_remote_that_workers_do_not_share_is_refused(project: Path) -> None:
    done = helpers.run(project, "esteira", "export", "airflow", check=False)
    assert done.returncode == 2
    assert "which Airflow's workers do not share: name a bucket" in done.stderr
    assert not (project / "dags").exists()


@slow
def test_airflow_runs_each_stage_once_and_the_lock_is_that_of_one_folder(
    author: Path, tmp_path: Path
) -> None:
    tell(author, repository=str(author))
    helpers.run(author, "esteira", "export", "airflow")
    commit(author, "Export the DAG")
    change_every_stage(author)
    expected = in_one_folder(author)
    airflow = str(helpers.environment_of("airflow", VERSION) / "bin" / "airflow")
    env = actions.KEYS | {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(author / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": "src:vendor",  # of the clone, as its environment is the tests'
    }
    helpers.run(tmp_path, airflow, "db", "migrate", env=env)
    conf = json.dumps({"revision": "change"})
    path = author / "dags" / "churn_radar.py"
    command = (airflow, "dags", "test", "churn-radar", "-f", str(path), "-c", conf)
    done = helpers.run(tmp_path, *command, env=env)
    said = done.stdout + done.stderr
    assert "state=success" in said
    assert Counter(re.findall(r"Running stage '(\w+)'", said)) == Counter(LINE)
    assert "dvc.lock: no stage had to run; taken over from other clones: ingest" in said
    home = helpers.run(author, "esteira", "stage", "collect", env=actions.KEYS)
    assert "dvc.lock: no stage had to run; taken over from other clones: ingest" in home.stdout
    assert (author / "dvc.lock").read_text("utf-8") == expected
    assert git(author, "diff", "--name-only", "--", "params.yaml") == ""
