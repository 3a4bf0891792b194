"""The squad has MLflow already: what the line measured is mirrored there."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import actions
import pytest
from filelock import FileLock
from helpers import ROOT, reproduce, run

OWN = ROOT / ".cache" / "mlflow-env"
PYTHON = OWN / "bin" / "python"
VERSION = "mlflow==3.17.2"
LOOK = """
import json, os
from mlflow.tracking import MlflowClient
client, name = MlflowClient(), "churn_radar"
place = client.get_experiment_by_name(name).experiment_id
runs = client.search_runs([place])
found = []
for run in runs:
    files = [f.path for top in client.list_artifacts(run.info.run_id)
             for f in client.list_artifacts(run.info.run_id, top.path)]
    found.append({"params": run.data.params, "metrics": run.data.metrics, "tags": run.data.tags,
                  "status": run.info.status, "files": sorted(files),
                  "datasets": {d.dataset.name: d.dataset.digest
                               for d in run.inputs.dataset_inputs}})
versions = {v.tags["gto.version"]: v.run_id for v in client.search_model_versions(f"name='{name}'")}
aliases = {}
if versions:
    model = client.get_registered_model(name)
    known = client.search_model_versions(f"name='{name}'")
    by_number = {str(v.version): v.tags["gto.version"] for v in known}
    aliases = {alias: by_number[str(number)] for alias, number in model.aliases.items()}
print(json.dumps({"runs": found, "versions": sorted(versions), "aliases": aliases}))
"""


@pytest.fixture(scope="module")
def with_mlflow() -> dict[str, str]:
    """Return variables that name an environment with MLflow, made once."""
    uv = str(ROOT / ".cache/bootstrap/bin/uv")
    ready = OWN / VERSION
    with FileLock(f"{OWN}.lock"):
        if not ready.exists():
            venv = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(OWN)]
            subprocess.run(venv, check=True)
            # Bytecode of all it has takes most of a minute; what is imported makes its own.
            install = [uv, "pip", "install", "--quiet", "--python", str(OWN)]
            subprocess.run([*install, VERSION], check=True)
            ready.touch()
    return {"ESTEIRA_MLFLOW_PYTHON": str(PYTHON)}


def look(address: str, folder: Path) -> dict:
    """Return what MLflow itself says that it has."""
    env = {"MLFLOW_TRACKING_URI": address, "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [str(PYTHON), "-c", LOOK], cwd=folder, env=env, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def mirror(project: Path, address: str, with_mlflow: dict[str, str], check: bool = True):
    env = with_mlflow | {"MLFLOW_TRACKING_URI": address}
    return run(project, "esteira", "mlflow", env=env, check=check)


def test_a_database_has_all_that_the_line_measured_once_and_the_registry_follows_the_tags(
    project: Path, tmp_path: Path, with_mlflow: dict[str, str]
) -> None:
    address = f"sqlite:///{tmp_path}/mlflow.db"
    said = mirror(project, address, with_mlflow).stdout
    head = actions.git(project, "rev-parse", "HEAD")
    assert re.match(
        rf"Mirrored {head[:10]} in MLflow, run \w+: \d+ parameters, \d+ metrics\.", said
    )
    assert "Registered" not in said
    assert actions.git(project, "status", "--porcelain") == "", "a mirror leaves nothing behind"

    actions.git(project, "tag", "-a", "model@v1.0.0", "-m", "First")
    said = mirror(project, address, with_mlflow).stdout
    assert said.startswith("Renewed")
    assert "Registered v1.0.0." in said
    there = look(address, project)
    assert there["aliases"] == {}
    (found,) = there["runs"]
    metrics = json.loads((project / "reports/evaluate/metrics.json").read_text())
    assert found["metrics"]["evaluate.roc_auc"] == metrics["roc_auc"]
    assert found["metrics"]["train.rows"] == 371
    assert found["params"]["train.algorithm"] == "linear"
    assert found["params"]["train.search.folds"] == "5"
    assert found["status"] == "FINISHED"
    assert found["tags"]["mlflow.source.git.commit"] == head
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["tags"]["dvc.version"])
    assert {"model/model.skops", "reports/card.html"} <= set(found["files"])
    lock = (project / "dvc.lock").read_text()
    assert found["datasets"]["data/train.parquet"] in lock
    assert found["tags"]["md5 models/model.skops"] in lock

    # Another commit with another model is another run; the version stays with its own.
    actions.git(project, "tag", "-a", "model#prod#1", "-m", "Into use")
    actions.edit(project, "params.yaml", "algorithm: linear", "algorithm: boosting")
    reproduce(project, "train")
    actions.commit(project)
    said = mirror(project, address, with_mlflow).stdout
    assert said.startswith("Mirrored")
    assert "Registered" not in said
    there = look(address, project)
    assert len(there["runs"]) == 2
    assert there["versions"] == ["v1.0.0"]
    assert there["aliases"] == {"prod": "v1.0.0"}


@pytest.fixture
def server(tmp_path: Path, with_mlflow: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen]]:
    """Start MLflow's own server on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "server"
    folder.mkdir()
    process = subprocess.Popen(
        [str(OWN / "bin/mlflow"), "server", "--host", "127.0.0.1", "--port", str(port),
         "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
         "--artifacts-destination", str(folder / "artifacts"), "--workers", "1"],
        cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        env={**os.environ, "PATH": f"{OWN}/bin:{os.environ['PATH']}"},
    )  # fmt: skip
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "startup complete" in line:
            break
    else:
        raise AssertionError("".join(said))
    yield f"http://127.0.0.1:{port}", process
    process.terminate()
    process.wait()
    process.stderr.close()


def test_a_server_gets_the_same_and_when_it_is_down_the_line_goes_on(
    project: Path, server: tuple[str, subprocess.Popen], with_mlflow: dict[str, str]
) -> None:
    address, process = server
    assert mirror(project, address, with_mlflow).stdout.startswith("Mirrored")
    (found,) = look(address, project)["runs"]
    assert "model/model.skops" in found["files"]
    process.terminate()
    process.wait()
    hidden = address.replace("://", "://ana:secret@")
    done = mirror(project, hidden, with_mlflow, check=False)
    assert done.returncode == 2
    assert f"MLflow at {address} was not reached, and the line is as it was" in done.stderr
    assert "Traceback" not in done.stderr
    assert "up to date" in run(project, "dvc", "status").stdout
    assert actions.git(project, "status", "--porcelain") == ""


def test_without_an_address_or_a_line_it_says_so(
    project: Path, with_mlflow: dict[str, str]
) -> None:
    nobody = run(project, "esteira", "mlflow", env={"MLFLOW_TRACKING_URI": ""}, check=False)
    assert nobody.returncode == 2
    assert "no MLflow is named: set MLFLOW_TRACKING_URI" in nobody.stderr
    (project / "models/model.skops").unlink()
    absent = mirror(project, "sqlite:///mlflow.db", with_mlflow, check=False)
    assert absent.returncode == 2
    assert "models/model.skops is not here: run `uv run dvc repro`" in absent.stderr


@pytest.mark.parametrize(("squads_own", "told"), [(None, "true"), ("false", "false")])
def test_mlflow_tells_its_makers_nothing_unless_the_squad_says_so(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    squads_own: str | None,
    told: str,
) -> None:
    looks, found = tmp_path / "python", tmp_path / "telemetry"
    answer = '{"run": "1", "new": true, "versions": []}'
    looks.write_text(f"#!/bin/sh\nprintf %s $MLFLOW_DISABLE_TELEMETRY > {found}\necho '{answer}'\n")
    looks.chmod(0o755)
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    own = {"MLFLOW_DISABLE_TELEMETRY": squads_own} if squads_own else {}
    mirror(project, "sqlite:///mlflow.db", {"ESTEIRA_MLFLOW_PYTHON": str(looks)} | own)
    assert found.read_text("utf-8") == told
