"""Throughput and tail of the service beside a bare FastAPI service and `mlflow models serve`.

    python benchmarks/serve.py [--rounds 5] [--seconds 3] [--write]

The same fitted pipeline behind each, on the sample and on a mixed table (20 numbers, 5 categories,
a date), each server a process with one worker, ours with validation and log on. Servers take turns
within a round; the table shows medians of the rounds, as ratios to the bare service of the same
round. Load: clients with a connection of their own, in one other process, as fast as they are
answered. The peers run in environments of their own, made here with uv.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "{{cookiecutter.project_slug}}"
sys.path[:0] = [str(ROOT / "tests"), str(PROJECT / "vendor")]

from helpers import bake, run, surroundings  # noqa: E402

CACHE = ROOT / ".cache" / "serve"
RESULT = ROOT / "benchmarks" / "results" / "serve.md"
FASTAPI, MLFLOW = "fastapi", "mlflow==3.17.0"
BARE = """import joblib
import pandas as pd
from fastapi import FastAPI

app, model = FastAPI(), joblib.load("model.joblib")

@app.post("/predict")
def predict(rows: list[dict]):
    frame = pd.DataFrame(rows){dates}
    return {{"predictions": model.predict_proba(frame).tolist()}}
"""
KEEP = """
import joblib, mlflow.sklearn, pandas
from churn_radar.model import load
from esteira.line import schema
model, rows = load(), pandas.read_parquet("data/holdout.parquet")[schema.load().inputs]
joblib.dump(model, "model.joblib")
told = {"signature": mlflow.models.infer_signature(rows)} if "day" in rows else {}
mlflow.sklearn.save_model(model, "mlflow", serialization_format="cloudpickle", **told)
"""
WHERE = """
import json, sys, timeit
from pathlib import Path
from esteira.serve import service as services
from esteira.serve.service import Asked
service = services.load(None, Path("logs"))
services.settle()
body = Path("body.json").read_bytes()
rows = service.rows.read(body)
frame = service.rows.frame(rows)
ask = getattr(service.model, "predict_proba", service.model.predict)
works = {
    "decoding and checking": lambda: service.rows.read(body),
    "the table for the model": lambda: service.rows.frame(rows),
    "the model itself": lambda: ask(frame),
    "all, with rounding and log": lambda: service.answer([Asked(service.rows.read(body), "r")]),
}
calls = 200 if len(rows) == 1 else 20
spent = {n: min(timeit.repeat(w, number=calls, repeat=5)) / calls * 1e3 for n, w in works.items()}
json.dump(spent, sys.stdout)
"""
LOADS = {"1 row, 1 client": (1, 1), "1 row, 16 clients": (1, 16), "1,000 rows, 1 client": (1000, 1)}
OURS, BARELY, PEER = "esteira", "bare FastAPI + joblib", "mlflow models serve"


@dataclass(frozen=True)
class Measured:
    """One server under one load in one round."""

    per_second: float  # requests
    p99: float  # seconds
    cpu: float  # seconds of the server for a request


@dataclass
class Server:
    """A running server."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    path: str
    wrap: str  # "" or the key of MLflow's protocol


def mixed(rows: int = 4000) -> pd.DataFrame:
    """Make a table of 20 numbers, 5 categories and a date, and what follows from them."""
    draw = np.random.default_rng(0)
    table = pd.DataFrame({f"x{i}": draw.normal(size=rows).round(4) for i in range(20)})
    for i in range(5):
        table[f"c{i}"] = draw.choice(list("abcdefgh"), rows)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows), unit="h")
    table["day"] = days.strftime("%Y-%m-%d %H:%M")
    score = table["x0"] + (table["c0"] == "a") + draw.normal(size=rows)
    return table.assign(left=np.where(score > 0.5, "yes", "no"))


def make_project(name: str) -> Path:
    """Make a reproduced project once; return its folder."""
    project = CACHE / name / "churn-radar"
    if (project / "models" / "model.skops").exists():
        return project
    bake(CACHE / name)
    env = {"PATH": f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}"}
    if name == "mixed":
        table = CACHE / name / "mixed.csv"
        mixed().to_csv(table, index=False)
        script = "from esteira.cli import main; main()"
        words = ("adopt", str(table), "--target", "left", "--time", "day")
        run(project, sys.executable, "-c", script, *words, env=env)
    run(project, "dvc", "repro", env=env)
    return project


def rows_of(project: Path, count: int) -> list[dict[str, Any]]:
    """Return rows to ask about, as JSON has them."""
    from esteira.line import schema

    what = schema.load(project / "schema.yaml")
    frame = pd.read_parquet(project / "data" / "holdout.parquet")[what.inputs]
    for name in frame:
        if pd.api.types.is_datetime64_any_dtype(frame[name]):
            frame[name] = frame[name].dt.strftime("%Y-%m-%d %H:%M")
    found = frame.to_dict("records")
    return [found[i % len(found)] for i in range(count)]


def make_environment(name: str, package: str) -> Path:
    """Make a peer's environment once, with the project's versions; return its Python."""
    python = CACHE / name / "bin" / "python"
    if not (CACHE / name / "ready").exists():
        pins = PROJECT / "constraints.txt"
        subprocess.run(
            ["uv", "venv", "-q", "--clear", "-p", sys.executable, CACHE / name], check=True
        )
        wanted = [package, "uvicorn", "joblib", "-r", str(pins)]
        if name == "mlflow":  # which has bounds of its own
            names = ("scikit-learn", "pandas", "skops", "pydantic", "ruamel.yaml", "pandera")
            wanted = [package, *names]
        install = ["uv", "pip", "install", "-q", "--compile-bytecode", "--python", python]
        subprocess.run([*install, *wanted], check=True)
        (CACHE / name / "ready").touch()
    return python


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def servers(project: Path) -> Iterator[list[Server]]:
    """Start all three; end them."""
    bare, mlflow = make_environment("bare", FASTAPI), make_environment("mlflow", MLFLOW)
    env = surroundings(project) | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
    # The project was made once, and its copy of the toolbox may be an older one.
    env["PYTHONPATH"] = os.pathsep.join((str(project / "src"), str(PROJECT / "vendor")))
    if not (project / "mlflow").exists():
        subprocess.run([mlflow, "-c", KEEP], cwd=project, env=env, check=True)
    day = "day" in (project / "schema.yaml").read_text(encoding="utf-8")
    dates = '.assign(day=lambda f: pd.to_datetime(f["day"]))' if day else ""
    (project / "bare.py").write_text(BARE.format(dates=dates), encoding="utf-8")
    ports = [free_port() for _ in range(3)]
    serve = "from esteira.cli import main; main()"
    commands: list[list[Any]] = [
        [sys.executable, "-c", serve, "serve", "--port", str(ports[0]), "--log", "logs"],
        [bare, "-m", "uvicorn", "bare:app", "--port", str(ports[1]), "--log-level", "warning"],
        [mlflow, "-m", "mlflow", "models", "serve", "-m", "mlflow", "--env-manager", "local",
         "-h", "127.0.0.1", "-p", str(ports[2]), "-w", "1"],
    ]  # fmt: skip
    env["PATH"] = f"{mlflow.parent}{os.pathsep}{env['PATH']}"
    log = (project / "servers.log").open("wb")
    names = (OURS, BARELY, PEER)
    paths, wraps = ("/predict", "/predict", "/invocations"), ("", "", "dataframe_records")
    started = []
    for name, command, port, path, wrap in zip(names, commands, ports, paths, wraps, strict=True):
        process = subprocess.Popen(
            command, cwd=project, env=env, stdout=log, stderr=log, start_new_session=True
        )
        started.append(Server(name, process, port, path, wrap))
    try:
        yield started
    finally:
        for server in started:
            os.killpg(server.process.pid, 15)
            server.process.wait(30)
        log.close()


def wait(server: Server, body: bytes) -> None:
    """Wait until a server answers."""
    for _ in range(1200):
        try:
            if ask(http.client.HTTPConnection("127.0.0.1", server.port), server, body) == 200:
                return
        except OSError:
            pass
        if server.process.poll() is not None:
            raise SystemExit(f"{server.name} ended: see servers.log in the project")
        time.sleep(0.1)
    raise SystemExit(f"{server.name} does not answer")


def ask(connection: http.client.HTTPConnection, server: Server, body: bytes) -> int:
    """Ask once; return the status."""
    connection.request("POST", server.path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def body_of(server: Server, rows: list[dict[str, Any]]) -> bytes:
    """Return a request's body as a server wants it."""
    if server.name == OURS and len(rows) == 1:
        return json.dumps(rows[0]).encode()
    return json.dumps({server.wrap: rows} if server.wrap else rows).encode()


def load(server: Server, body: bytes, clients: int, seconds: float, told: Any) -> None:
    """Ask as fast as there are answers; put the seconds of each request into `told`."""
    ends = time.perf_counter() + seconds
    taken: list[float] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        while (begun := time.perf_counter()) < ends:
            status = ask(connection, server, body)
            taken.append(time.perf_counter() - begun)
            if status != 200:
                raise SystemExit(f"{server.name} answers {status}")

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told.put(taken)


def cpu_of(server: Server) -> float:
    """Return the CPU seconds that a server and its children have used."""
    import psutil

    process = psutil.Process(server.process.pid)
    family = [process, *process.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in family)


def measure(server: Server, body: bytes, clients: int, seconds: float) -> Measured:
    """Load one server from a process of its own."""
    told: Any = multiprocessing.Queue()
    plain = Server(server.name, None, server.port, server.path, server.wrap)  # type: ignore[arg-type]
    process = multiprocessing.Process(target=load, args=(plain, body, clients, seconds, told))
    before = cpu_of(server)
    begun = time.perf_counter()
    process.start()
    taken = told.get(timeout=seconds + 120)
    process.join()
    lasted = time.perf_counter() - begun
    cpu = cpu_of(server) - before
    ordered = sorted(taken)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return Measured(len(taken) / lasted, p99, cpu / len(taken))


Found = dict[tuple[str, str], list[Measured]]


def measure_project(project: Path, rounds: int, seconds: float) -> Found:
    """Measure all servers of one project under all loads, in turns."""
    found: Found = {}
    with servers(project) as running:
        for server in running:
            wait(server, body_of(server, rows_of(project, 1)))
        for number in range(rounds):
            for load_name, (rows, clients) in LOADS.items():
                for server in running[number % 3 :] + running[: number % 3]:
                    body = body_of(server, rows_of(project, rows))
                    measured = measure(server, body, clients, seconds)
                    found.setdefault((load_name, server.name), []).append(measured)
                    print(project.parent.name, load_name, server.name, measured, file=sys.stderr)
    return found


def where(project: Path) -> list[str]:
    """Return a table of the milliseconds that each part of an answer takes in our process."""
    columns: dict[str, dict[str, float]] = {}
    env = surroundings(project)
    env["PYTHONPATH"] = os.pathsep.join((str(project / "src"), str(PROJECT / "vendor")))
    for name, count in (("1 row", 1), ("1,000 rows", 1000)):
        (project / "body.json").write_text(json.dumps(rows_of(project, count)), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", WHERE], cwd=project, env=env, capture_output=True, check=True
        )
        columns[name] = json.loads(done.stdout)
    lines = [f"| ms of one answer | {' | '.join(columns)} |", "| --- | ---: | ---: |"]
    for part in columns["1 row"]:
        cells = " | ".join(f"{spent[part]:.2f}" for spent in columns.values())
        lines.append(f"| {part} | {cells} |")
    return ["Where the time of ours goes, without HTTP:", "", *lines, ""]


def ratio(found: Found, load_name: str, name: str, of: str, field: str) -> float:
    """Return the median over the rounds of one server's figure as a multiple of another's."""
    pairs = zip(found[load_name, name], found[load_name, of], strict=True)
    return statistics.median(
        getattr(mine, field) / getattr(theirs, field) for mine, theirs in pairs
    )


def table(name: str, found: Found) -> list[str]:
    """Return one project's table."""
    lines = [
        f"## {name}",
        "",
        "| requests per second, as a multiple of the bare service's | "
        + " | ".join(LOADS) + " | p99, 16 clients | CPU ms a request, 16 clients |",
        "| --- " + "| ---: " * (len(LOADS) + 2) + "|",
    ]  # fmt: skip
    many = list(LOADS)[1]
    for server in (OURS, BARELY, PEER):
        cells = [
            f"{ratio(found, load_name, server, BARELY, 'per_second'):.2f}" for load_name in LOADS
        ]
        p99 = ratio(found, many, server, BARELY, "p99")
        cpu = statistics.median(measured.cpu for measured in found[many, server]) * 1000
        lines.append(f"| {server} | {' | '.join(cells)} | {p99:.2f} | {cpu:.1f} |")
    times = ratio(found, many, OURS, PEER, "per_second")
    return [*lines, "", f"`esteira` answers {times:.1f} times what MLflow does, at 16 clients.", ""]


def main() -> None:
    """Measure; print and write the tables."""
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("--rounds", type=int, default=5)
    parse.add_argument("--seconds", type=float, default=3.0)
    parse.add_argument("--projects", nargs="+", default=["sample", "mixed"])
    parse.add_argument("--write", action="store_true")
    given = parse.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    lines = [
        "# The service beside two others",
        "",
        "The same fitted pipeline behind each, one worker, 2 cores shared with the clients; ours"
        " with validation and log on. `python benchmarks/serve.py --write` makes this page: servers"
        f" take turns in {given.rounds} rounds of {given.seconds:g} s a load, and the ratios are"
        " medians of those within a round.",
        "",
        f"Peers: ten lines of {FASTAPI} with joblib, the model pickled; `{MLFLOW}`.",
        "",
    ]
    for name in given.projects:
        project = make_project(name)
        lines += table(name, measure_project(project, given.rounds, given.seconds))
        lines += where(project)
    text = "\n".join(lines)
    print(text)
    if given.write:
        RESULT.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
