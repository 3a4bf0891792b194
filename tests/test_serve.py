"""The service: one model over HTTP, asked by real clients, good ones and bad ones."""

import asyncio
import base64
import concurrent.futures
import json
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import helpers
import pages
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from esteira.serve.batching import Batcher, FullError

TOKEN = "a token of this test"  # noqa: S105 - of this test
SLOW = """
import time
def engineer(raw):
    if len(raw) and (raw["mean radius"] == 13.13).any():
        raise ValueError("no such tumour")
    time.sleep(float(__import__("os").environ.get("SLOW", "0")))
    return raw
"""


class Client:
    """Asks one service."""

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url, self.process = url, process
        self.port = int(url.rpartition(":")[2])

    def ask(
        self, path: str, body: Any = None, headers: dict[str, str] | None = None, method: str = ""
    ) -> tuple[int, Any]:
        """Return the status and the body of an answer."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if body is not None else {}
        request = urllib.request.Request(  # noqa: S310 - loopback
            self.url + path, content, kind | (headers or {}), method=method or None
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback
                self.headers, text = answer.headers, answer.read()
                status = answer.status
        except urllib.error.HTTPError as error:
            self.headers, text, status = error.headers, error.read(), error.code
        is_json = "json" in self.headers.get("Content-Type", "")
        return status, json.loads(text) if is_json else text.decode()


@contextmanager
def serving(project: Path, *options: str, **environment: str) -> Iterator[Client]:
    """Serve a project on a free port of loopback, and end it."""
    command = ["esteira", "serve", "--port", "0", *options]
    process = subprocess.Popen(
        command,
        cwd=project,
        env=helpers.surroundings(project, PYTHONUNBUFFERED="1", **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"Serving on (http://\S+)", line):
            break
    else:
        raise AssertionError("".join(said))
    try:
        client = Client(found[1], process)
        wait_until_ready(client)
        yield client
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()
            process.stdout.close()


def wait_until_ready(client: Client) -> None:
    for _ in range(600):
        try:
            if client.ask("/ready")[0] == 200:
                return
        except OSError:
            pass
        if client.process.poll() is not None:
            raise AssertionError(client.process.stdout.read() if client.process.stdout else "")
        time.sleep(0.05)
    raise AssertionError("the service is not ready")


@pytest.fixture(scope="module")
def squad(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project whose service nobody changes."""
    folder = tmp_path_factory.mktemp("serve")
    shutil.copytree(reproduced.parent, folder / "squad", symlinks=True)
    return folder / "squad" / reproduced.name


@pytest.fixture(scope="module")
def service(squad: Path) -> Iterator[Client]:
    """Serve the project, with a log."""
    with serving(squad, "--log", "logs") as client:
        yield client


@pytest.fixture(scope="module")
def rows(squad: Path) -> list[dict[str, Any]]:
    """Return rows that are answered."""
    frame = pd.read_parquet(squad / "data" / "current.parquet").drop(columns="diagnosis")
    return frame.to_dict("records")


# ---- what it answers


def test_rows_are_answered_as_predict_answers_them_and_logged_before(
    service: Client, squad: Path, rows: list[dict[str, Any]]
) -> None:
    expected = pd.read_parquet(squad / "data" / "answers.parquet")
    status, said = service.ask("/predict", rows, {"X-Request-ID": "all-of-them"})
    assert status == 200
    assert service.headers["X-Request-ID"] == said["request"] == "all-of-them"
    assert {said["model"]} == set(expected["model"])
    assert {said["data"]} == set(expected["data"])
    assert [each["prediction"] for each in said["answers"]] == expected["prediction"].tolist()
    odds = [each["probabilities"]["malignant"] for each in said["answers"]]
    assert odds == expected["probability of malignant"].tolist()
    single = service.ask("/predict", rows[3], {"X-Request-ID": "one"})[1]
    assert single["answers"] == [said["answers"][3]], "a row says the same alone"
    (segment,) = (squad / "logs" / "segments").glob("*.jsonl")
    logged = [json.loads(line) for line in segment.read_text(encoding="utf-8").splitlines()]
    mine = {each["request"]: each for each in logged}
    assert mine["one"]["row"] == rows[3]
    assert mine["one"]["probabilities"] == said["answers"][3]["probabilities"]
    assert f"all-of-them/{len(rows)}" in mine


def test_health_readiness_model_and_description(service: Client, squad: Path) -> None:
    assert service.ask("/health") == (200, {"status": "alive"})
    assert service.ask("/ready")[1]["status"] == "ready"
    told = service.ask("/model")[1]
    measured = json.loads((squad / "reports/evaluate/metrics.json").read_text())
    assert {each["name"]: each["value"] for each in told["metrics"]} == measured
    assert told["target"] == "diagnosis"
    assert told["schema"]["columns"]["mean radius"] == {"type": "number", "min": 0.0}
    described = service.ask("/openapi.json")[1]
    row = described["components"]["schemas"]["Row"]
    assert row["properties"]["mean radius"]["minimum"] == 0
    assert row["additionalProperties"] is False
    assert set(described["paths"]) >= {"/predict", "/explain", "/health", "/metrics", "/model"}


def test_what_moved_an_answer_is_told_and_not_logged(
    service: Client, squad: Path, rows: list[dict[str, Any]]
) -> None:
    (segment,) = (squad / "logs" / "segments").glob("*.jsonl")
    before = segment.stat().st_size
    status, told = service.ask("/explain", rows[0])
    assert status == 200
    assert told["of"] == "the probability of malignant"
    sizes = [abs(each["difference"]) for each in told["moved"]]
    assert sizes == sorted(sizes, reverse=True)
    first = told["moved"][0]
    changed = rows[0] | {first["input"]: first["usual"]}
    assert segment.stat().st_size == before
    other = service.ask("/predict", changed)[1]["answers"][0]["probabilities"]["malignant"]
    difference = told["answer"]["probabilities"]["malignant"] - other
    assert first["difference"] == pytest.approx(difference, abs=1e-5)


# ---- bad input


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "no JSON"),
        (b"", 400, "no JSON"),
        (b"\xff", 400, "no JSON"),
        (b'{"mean radius": NaN}', 400, "no JSON"),
        (b"[" * 100_000, 400, "nested too deeply"),
        (b"[]", 422, "The list is empty"),
        (b"3", 422, "a row must be an object"),
        (b"[[1]]", 422, "a row must be an object"),
        (b" " * (17 * 2**20), 413, "larger than 16 MB"),
    ],
)
def test_a_body_that_is_no_request_is_told(
    service: Client, body: bytes, status: int, said: str
) -> None:
    found, told = service.ask("/predict", body)
    assert found == status
    assert said in json.dumps(told)


def test_every_fault_of_a_request_is_told_by_row_and_field(
    service: Client, rows: list[dict[str, Any]]
) -> None:
    first = rows[0] | {"mean radius": "wide", "mean area": -1, "colour": "red", "diagnosis": "b"}
    second = {name: cell for name, cell in rows[1].items() if name != "worst area"}
    second["mean texture"] = None
    second["mean symmetry"] = True
    status, told = service.ask("/predict", [first, second])
    assert status == 422
    assert [(each["row"], each["field"], each["problem"]) for each in told["faults"]] == [
        (1, "mean radius", '"wide" is no number'),
        (1, "mean area", "-1 is below 0"),
        (1, "colour", "is not known"),
        (1, "diagnosis", "is what is asked for"),
        (2, "mean texture", "is null, and may not be missing"),
        (2, "mean symmetry", "true is no number"),
        (2, "worst area", "is missing"),
    ]


def test_other_kinds_methods_and_paths_have_their_own_answer(
    service: Client, rows: list[dict[str, Any]]
) -> None:
    assert (
        service.ask("/predict", rows[0], {"Content-Type": "text/csv", "X-Request-ID": "me"})[0]
        == 415
    )
    assert service.headers["X-Request-ID"] == "me", "a refusal can be found again too"
    assert service.ask("/predict", rows[0], {"Content-Encoding": "gzip"})[0] == 415
    assert service.ask("/predict")[0] == 405
    assert service.headers["Allow"] == "POST"
    assert service.ask("/nothing")[0] == 404
    assert service.ask("/predict", [rows[0]] * 10_001)[0] == 413
    status, told = service.ask("/health", headers={"Host": "evil.example"})
    assert (status, told["status"]) == (200, "alive")
    status, told = service.ask("/model", headers={"Host": "evil.example"})
    assert status == 403, "a page elsewhere whose name points here is not let in"
    assert service.ask("/predict", rows[0])[0] == 200


def test_a_client_that_never_ends_its_request_is_let_go_and_holds_nobody_up(
    service: Client, rows: list[dict[str, Any]]
) -> None:
    head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    starts = [b"", b"GET /hea", f"{head}Content-Length: 500\r\n\r\n{{".encode()]
    slow = []
    for start in starts:
        connection = socket.create_connection(("127.0.0.1", service.port))
        connection.sendall(start)
        slow.append(connection)
    assert service.ask("/predict", rows[0])[0] == 200
    for connection in slow:
        connection.settimeout(30)
        try:
            ending = connection.recv(10_000)
        except ConnectionResetError:
            ending = b""
        assert ending == b"" or b" 408 " in ending
        connection.close()
    assert service.ask("/predict", rows[0])[0] == 200


# ---- the page


def test_a_person_fills_in_a_row_and_sees_the_answer_and_what_moved_it(
    service: Client, page: Page
) -> None:
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(service.url)
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".said")).to_have_text("benign")
    expect(page.locator("#answer")).to_contain_text("Every input has its usual value")
    page.get_by_label("worst area").fill("2600")
    page.get_by_label("worst area").press("Enter")
    expect(page.locator("#answer table").last).to_contain_text("worst area")
    pages.look(page, service.url)
    page.get_by_label("mean radius", exact=True).fill("-1")
    page.get_by_role("button", name="Predict").click()
    field = page.get_by_label("mean radius", exact=True)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    expect(page.get_by_text("-1 is below 0").first).to_be_visible()
    assert all(url.startswith(service.url) for url in asked), asked
    assert [text for text in problems if "422" not in text] == []


# ---- who may ask, how it begins, and how it ends


def test_a_token_guards_all_but_health(squad: Path, rows: list[dict[str, Any]]) -> None:
    with serving(squad, ESTEIRA_TOKEN=TOKEN) as client:
        for path in ("/", "/model", "/metrics", "/openapi.json"):
            assert client.ask(path)[0] == 401
            assert client.ask(path, headers={"Authorization": "Bearer wrong"})[0] == 401
            assert client.ask(path, headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
        assert client.ask("/predict", rows[0])[0] == 401
        password = base64.b64encode(f"me:{TOKEN}".encode()).decode()
        assert client.ask("/", headers={"Authorization": f"Basic {password}"})[0] == 200
        assert client.ask("/", headers={"Authorization": "Basic %%%"})[0] == 401
        assert client.ask("/health")[0] == client.ask("/ready")[0] == 200


@pytest.mark.parametrize(
    ("options", "environment", "said"),
    [
        (["--host", "0.0.0.0"], {}, "0.0.0.0 can be reached by others: set a token"),  # noqa: S104
        ([], {"ESTEIRA_TOKEN": "short"}, "is shorter than 16 characters"),
        (["--model", "nowhere"], {}, "nowhere is no folder"),
        (["--model", "data"], {}, "data holds no model.skops"),
        (["--host", "192.0.2.1"], {"ESTEIRA_TOKEN": TOKEN}, "is taken, or not this machine's"),
        (["--log", "dvc.yaml"], {}, "the log dvc.yaml cannot be written"),
    ],
)
def test_what_cannot_be_served_is_told(
    squad: Path, options: list[str], environment: dict[str, str], said: str
) -> None:
    done = helpers.run(
        squad, "esteira", "serve", "--port", "0", *options, check=False, env=environment
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_released_folder_is_served_and_one_that_does_not_belong_together_is_not(
    project: Path, rows: list[dict[str, Any]]
) -> None:
    helpers.run(project, "git", "tag", "-a", "model@v1.0.0", "-m", "First")
    helpers.run(project, "esteira", "model", "get", "v1.0.0", "--out", "served")
    with serving(project, "--model", "served") as client:
        assert client.ask("/predict", rows[0])[1]["model"] == "model@v1.0.0"
        told = client.ask("/model")[1]
        assert told["version"] == "v1.0.0"
        measured = {each["name"]: each for each in told["metrics"]}
        assert measured["roc_auc"]["low"] < measured["roc_auc"]["value"]
    note = project / "served" / "release.json"
    kept = note.read_text(encoding="utf-8")
    for content, said in (
        (kept.replace('"metrics": [', '"metrics": [7, '), "release.json cannot be read"),
        (kept.replace('"model": "', '"model": "0'), "release.json is of another model"),
    ):
        note.write_text(content, encoding="utf-8")
        done = helpers.run(project, "esteira", "serve", "--model", "served", check=False)
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    note.write_text(kept, encoding="utf-8")
    schema = project / "served" / "schema.yaml"
    schema.write_text(schema.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    done = helpers.run(project, "esteira", "serve", "--model", "served", check=False)
    assert done.returncode == 2
    assert "is not the one that served/model.skops was trained by" in done.stderr


@pytest.fixture
def slow(project: Path) -> Path:
    """Return a project whose features take as long as SLOW says, and fail on one row."""
    features = project / "src" / "churn_radar" / "features.py"
    features.write_text(f'"""Slow."""\n{SLOW}', encoding="utf-8")
    return project


def test_overload_is_refused_at_once_and_a_failing_row_fails_alone(
    slow: Path, rows: list[dict[str, Any]]
) -> None:
    with serving(slow, "--log", "logs", SLOW="0.5") as client:
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            big = [rows[0]] * 9000
            asked = [pool.submit(Client(client.url, client.process).ask, "/predict", big)
                     for _ in range(6)]  # fmt: skip
            statuses = sorted(each.result()[0] for each in asked)
        assert statuses.count(503) >= 1, statuses
        assert set(statuses) == {200, 503}
        poison = rows[1] | {"mean radius": 13.13}
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(Client(client.url, client.process).ask, "/predict", row)
                     for row in (rows[0], poison, rows[2], rows[3])]  # fmt: skip
            answers = [each.result() for each in asked]
        assert [status for status, _ in answers] == [200, 500, 200, 200]
        assert "ValueError: no such tumour" in answers[1][1]["error"]
        assert client.ask("/predict", rows[0])[0] == 200


def test_it_ends_only_when_what_it_took_is_answered(slow: Path, rows: list[dict[str, Any]]) -> None:
    with serving(slow, "--log", "logs", SLOW="1.0") as client:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(client.ask, "/predict", rows[0])
            other = Client(client.url, client.process)
            for _ in range(200):
                if re.search(r"esteira_rows_waiting 1", other.ask("/metrics")[1]):
                    break
            client.process.send_signal(signal.SIGTERM)
            assert asked.result()[0] == 200
        assert client.process.wait(30) in (0, -signal.SIGTERM), "ended by the signal itself"
    helpers.run(slow, "esteira", "log", "compact")
    assert not list((slow / "logs" / "segments").glob("*.jsonl"))


def test_several_workers_answer_log_and_count_together_and_survive_a_kill(
    squad: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    log, shared = tmp_path / "logs", tmp_path / "shared"
    shared.mkdir()
    options = ("--workers", "2", "--log", str(log))
    with serving(squad, *options, TMPDIR=str(shared)) as client:

        def many(number: int) -> list[str]:
            mine, answered = Client(client.url, client.process), []
            for turn in range(20):
                name = f"c{number}-{turn}"
                try:
                    status, _ = mine.ask("/predict", rows[turn % 50], {"X-Request-ID": name})
                except OSError:  # its worker was killed
                    continue
                if status == 200:
                    answered.append(name)
            return answered

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(many, number) for number in range(8)]
            while not list((log / "segments").glob("*.jsonl")):
                time.sleep(0.01)
            victim = next((log / "segments").glob("*.jsonl")).name.split("-")[1]
            subprocess.run(["kill", "-9", victim], check=True)
            answered = [name for each in clients for name in each.result()]
        assert len(answered) > 80
        wait_until_ready(client)
        assert client.ask("/predict", rows[0])[0] == 200
        counted = re.search(r'esteira_requests_total\{path="/predict",status="200"\} (\d+)',
                            client.ask("/metrics")[1])  # fmt: skip
        assert counted
        assert int(counted[1]) >= len(answered)
    assert list(shared.iterdir()) == [], "nothing is left behind"
    helpers.run(squad, "esteira", "log", "compact", "--log", str(log))
    kept = pd.concat(pd.read_parquet(file) for file in (log / "answers").glob("*.parquet"))
    assert set(answered) <= set(kept["log.request"])
    assert kept["log.request"].is_unique


# ---- Prometheus


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs prometheus")
def test_the_alert_rules_are_valid_and_fire_when_they_should(squad: Path) -> None:
    rules = squad / "deploy" / "alerts.yml"
    helpers.run(squad, "promtool", "check", "rules", str(rules))
    helpers.run(squad, "promtool", "test", "rules", str(squad / "deploy" / "alerts.test.yml"))


@pytest.mark.skipif(not shutil.which("prometheus"), reason="needs prometheus")
def test_a_real_prometheus_scrapes_it(
    service: Client, squad: Path, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    service.ask("/predict", rows[0])
    text = (squad / "deploy" / "prometheus.yml").read_text(encoding="utf-8")
    config = tmp_path / "prometheus.yml"
    text = text.replace("localhost:8000", f"127.0.0.1:{service.port}").replace("15s", "1s")
    config.write_text(text.replace("alerts.yml", str(squad / "deploy" / "alerts.yml")))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
         f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"],
    )  # fmt: skip
    try:
        query = f"http://127.0.0.1:{port}/api/v1/query?query=esteira_rows_total"
        for _ in range(600):
            try:
                with urllib.request.urlopen(query, timeout=5) as answer:
                    found = json.load(answer)["data"]["result"]
            except OSError:
                found = []
            if found:
                break
            time.sleep(0.05)
        assert float(found[0]["value"][1]) >= 1
    finally:
        process.terminate()
        process.wait(30)


# ---- batching, by itself


class Rows:
    def __init__(self, count: int) -> None:
        self.rows = [0] * count


def test_what_waits_is_answered_together_and_beyond_the_bound_refused() -> None:
    calls: list[int] = []

    def work(requests: Any) -> list[int]:
        calls.append(len(requests))
        time.sleep(0.05)  # the model at work
        return [len(request.rows) for request in requests]

    async def day() -> None:
        batcher: Batcher[Rows, int] = Batcher(work, most_waiting=10)
        first = asyncio.create_task(batcher.ask(Rows(1)))
        await asyncio.sleep(0.01)  # the model has the first alone
        others = [asyncio.create_task(batcher.ask(Rows(2))) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(FullError):
            await batcher.ask(Rows(3))
        assert await first == 1
        assert await asyncio.gather(*others) == [2, 2, 2, 2]
        assert calls == [1, 4]
        gone = asyncio.create_task(batcher.ask(Rows(1)))
        waiting = asyncio.create_task(batcher.ask(Rows(5)))
        await asyncio.sleep(0)
        gone.cancel()
        assert await waiting == 5
        await batcher.close()
        assert batcher.waiting == 0

    asyncio.run(day())
