"""Somebody watches all pipelines: each stage tells when it began, ended or failed."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import actions
import pytest
from helpers import run

NEEDED = {"eventType", "eventTime", "producer", "schemaURL", "run", "job", "inputs", "outputs"}


class Listener:
    """An address that events are posted to, on loopback."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        self.silent = threading.Event()  # set: never answers
        self.ended = threading.Event()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if listener.silent.is_set():
                    listener.ended.wait()
                    return
                length = int(self.headers["Content-Length"])
                listener.events.append(json.loads(self.rfile.read(length)))
                listener.tokens.add(self.headers.get("Authorization", ""))
                self.send_response(201)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/api/v1/lineage"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.close()


def stage(project: Path, name: str, where: str, check: bool = True, **more: str):
    env = {"ESTEIRA_EVENTS": where, **more}
    return run(project, "python", "-m", "esteira.line", name, env=env, check=check)


def test_a_file_has_a_line_for_each_stage_that_began_and_ended(
    project: Path, tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    for name in ("validate", "drift_check"):
        stage(project, name, str(events))
    told = [json.loads(line) for line in events.read_text("utf-8").splitlines()]
    assert [(t["job"]["name"], t["eventType"]) for t in told] == [
        ("validate", "START"),
        ("validate", "COMPLETE"),
        ("drift_check", "START"),
        ("drift_check", "COMPLETE"),
    ]
    assert all(set(event) == NEEDED for event in told)
    assert told[0]["run"]["runId"] == told[1]["run"]["runId"] != told[2]["run"]["runId"]
    ended = told[1]
    assert {"name": "data/ingested.parquet", "namespace": "churn-radar"} in ended["inputs"]
    (table,) = [out for out in ended["outputs"] if out["name"] == "data/validated.parquet"]
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 569
    facet = ended["run"]["facets"]["esteira"]
    assert facet["seconds"] > 0
    assert facet["measured"]["rules_broken"] == 0
    assert told[3]["run"]["facets"]["esteira"]["says"].startswith("keep, 85 rows")
    assert "up to date" in run(project, "dvc", "status").stdout, "no output is another"


def test_an_address_gets_them_and_a_stage_that_fails_says_why(
    project: Path, listener: Listener
) -> None:
    stage(project, "split", listener.url, **{"ESTEIRA_EVENTS_TOKEN": "known"})
    assert [event["eventType"] for event in listener.events] == ["START", "COMPLETE"]
    assert listener.tokens == {"Bearer known"}
    actions.edit(project, "params.yaml", "holdout: 0.25", "holdout: 0.0001")
    failed = stage(project, "split", listener.url, check=False)
    assert failed.returncode == 1
    last = listener.events[-1]
    assert last["eventType"] == "FAIL"
    assert "rows are too few" in last["run"]["facets"]["errorMessage"]["message"]


def test_a_watcher_that_is_down_or_never_answers_stops_no_stage(
    project: Path, listener: Listener, tmp_path: Path
) -> None:
    listener.silent.set()
    for where in ("http://127.0.0.1:9/", listener.url, str(tmp_path / "none" / "events.jsonl")):
        done = stage(project, "split", where)
        assert "split: the event was not told to ESTEIRA_EVENTS" in done.stderr
        assert "371 rows to train on" in done.stdout
    assert "up to date" in run(project, "dvc", "status").stdout
