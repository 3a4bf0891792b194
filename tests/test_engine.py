"""Their table is worked on by an engine that they have already: the same bytes come out."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import actions
import pytest
from dask_cluster import cluster
from helpers import ROOT, TEMPLATE, run

STAGES = ["ingest", "validate", "split", "train", "evaluate", "predict"]
# Stages over parts of 37 rows, so that a small table has many; in one process, for speed.
SMALL_PARTS = """
import runpy, sys

if __name__ == "__main__":
    import esteira.line.parts as parts
    parts.ROWS = 37
    for stage in sys.argv[1:]:
        runpy.run_module(f"churn_radar.stages.{stage}", run_name="__main__", alter_sys=True)
"""
# Ends the process in the middle of its work, the first time.
DEADLY = """    import os, signal
    from pathlib import Path
    mark = Path(os.environ.get("ESTEIRA_TEST_MARK", "none")).absolute()
    if mark.name != "none" and len(table) == 37 and not mark.exists():
        mark.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    table = table.copy()
"""


@pytest.fixture
def small(adopted: Path, tmp_path: Path) -> Path:
    """Return a project with a raw table, and a program that runs its stages over small parts."""
    project = tmp_path / adopted.name
    shutil.copytree(adopted, project, symlinks=True)
    (tmp_path / "small_parts.py").write_text(SMALL_PARTS)
    return project


def stages(
    project: Path, *names: str, engine: str, check: bool = True, **more: str
) -> subprocess.CompletedProcess[str]:
    program = str(project.parent / "small_parts.py")
    env = {"ESTEIRA_ENGINE": engine, **more}
    return run(project, "python", program, *names, env=env, check=check)


def is_as_it_was(project: Path) -> bool:
    clean = run(project, "git", "status", "--porcelain").stdout == ""
    return clean and "up to date" in run(project, "dvc", "status").stdout


def test_processes_of_this_machine_write_the_same_bytes(small: Path) -> None:
    stages(small, *STAGES, engine="loky")
    assert is_as_it_was(small)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much a process holds")
def test_a_worker_gives_back_what_it_no_longer_needs(tmp_path: Path) -> None:
    code = """
from pathlib import Path
from esteira.line import engine
def held(): return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
def work(number):
    cells = [bytes(1_000) for _ in range(300_000)]
    kept.extend(cells[::10_000])  # between them, the memory is free and still the process's
    return number
kept = []
before = held()
assert work(1) == 1
taken = held() - before
assert engine._worked(work, 2) == 2
print(taken > 200_000_000, held() - before < 100_000_000)
"""
    done = run(tmp_path, "python", "-c", code, env={"PYTHONPATH": str(TEMPLATE / "vendor")})
    assert done.stdout == "True True\n"


def test_dask_without_an_address_is_started_and_ended_here(small: Path) -> None:
    for name in ("validate", "evaluate"):
        done = stages(small, name, engine="dask")
        assert "done again here" not in done.stderr
    assert is_as_it_was(small)


def test_a_cluster_of_dask_writes_the_same_bytes_with_the_code_of_this_folder(
    small: Path, tmp_path: Path
) -> None:
    package = small / "src/churn_radar/features.py"
    mark = tmp_path / "who"
    counting = f"    import os\n    open({str(mark)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
    with cluster(tmp_path, workers=2) as dask:
        done = stages(small, *STAGES, engine="dask", **dask.env)
        assert "done again here" not in done.stderr
        assert is_as_it_was(small)
        copying = "    table = table.copy()\n"
        package.write_text(package.read_text("utf-8").replace(copying, copying + counting), "utf-8")
        stages(small, "evaluate", engine="dask", **dask.env)
        pids = {process.pid for process in dask.processes[1:]}
        assert pids <= set(map(int, mark.read_text().split())), "both workers asked the model"
    actions.git(small, "checkout", "--", "src")
    assert is_as_it_was(small)


def test_a_search_runs_on_the_cluster_and_finds_the_same(small: Path, tmp_path: Path) -> None:
    actions.edit(small, "params.yaml", "candidates: 0", "candidates: 3")
    run(small, "python", "-m", "esteira.line", "train")
    model, tried = small / "models/model.skops", small / "reports/train/search.csv"
    before = (model.read_bytes(), tried.read_bytes())
    with cluster(tmp_path, workers=2) as dask:
        stages(small, "train", engine="dask", **dask.env)
    assert (model.read_bytes(), tried.read_bytes()) == before


def test_a_worker_that_is_killed_in_mid_run_changes_nothing(small: Path, tmp_path: Path) -> None:
    mark = tmp_path / "killed"
    copying = "    table = table.copy()\n"
    actions.edit(small, "src/churn_radar/features.py", copying, DEADLY)
    with cluster(tmp_path, workers=2) as dask:
        for worker in range(2):
            dask.worker(f"mortal-{worker}", env={"ESTEIRA_TEST_MARK": str(mark)})
        stages(small, "evaluate", engine="dask", **dask.env)
        killed = int(mark.read_text())
        (process,) = [process for process in dask.processes if process.pid == killed]
        assert process.wait() == -signal.SIGKILL
    actions.git(small, "checkout", "--", "src")
    assert is_as_it_was(small)


def test_what_is_wrong_with_an_engine_is_told_in_seconds(small: Path, tmp_path: Path) -> None:
    def refused(engine: str, **more: str) -> str:
        done = stages(small, "validate", engine=engine, check=False, **more)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr.strip().splitlines()[-1]

    assert re.match(r"validate: ESTEIRA_ENGINE is 'spark', which is no engine: choose one of "
                    r"local, dask, ray, loky", refused("spark"))  # fmt: skip
    assert "ESTEIRA_ENGINE=ray needs Ray: `uv run --with ray dvc repro`" in refused("ray")
    nobody = refused("dask", DASK_SCHEDULER_ADDRESS="tcp://127.0.0.1:9")
    assert "no scheduler of Dask answers at tcp://127.0.0.1:9 (DASK_SCHEDULER_ADDRESS)" in nobody
    strange = refused("dask", DASK_SCHEDULER_ADDRESS="here")
    assert "no scheduler of Dask answers at here" in strange
    with cluster(tmp_path, workers=0) as dask:
        assert "scheduler has no workers" in refused("dask", **dask.env)
        shadow = tmp_path / "shadow"
        (shadow / "pandas-0.0.dist-info").mkdir(parents=True)
        about = "Metadata-Version: 2.1\nName: pandas\nVersion: 0.0\n"
        (shadow / "pandas-0.0.dist-info/METADATA").write_text(about)
        dask.worker("other", env={"PYTHONPATH": str(shadow)})
        assert "has pandas 0.0, which is not what is here" in refused("dask", **dask.env)
    assert is_as_it_was(small)


def test_workers_without_the_packages_are_told_of(small: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    uv = str(ROOT / ".cache/bootstrap/bin/uv")
    pins = str(ROOT / "constraints-dev.txt")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(bare)], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", str(bare), "-c", pins]
    subprocess.run([*install, "distributed", "numpy"], check=True, env=dict(os.environ))
    with cluster(tmp_path, workers=0) as dask:
        dask.start("Registered to", "worker", dask.address, "--host", "127.0.0.1", "--nworkers",
                   "1", "--no-nanny", "--no-dashboard", bin=bare / "bin")  # fmt: skip
        done = stages(small, "validate", engine="dask", check=False, **dask.env)
    assert done.returncode == 1
    assert "Dask's workers cannot run the line" in done.stderr
    assert "`uv sync`" in done.stderr
