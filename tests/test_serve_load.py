"""The service under load for a while: no error, no memory lost, every answer in the log.

Ten seconds in `make test`; `make soak` takes sixty times as long.
"""

import concurrent.futures
import http.client
import json
import os
import shutil
import time
from pathlib import Path

import helpers
import pandas as pd
import psutil
from test_serve import serving

SECONDS = 10.0 * (60 if os.environ.get("ESTEIRA_SOAK") else 1)
CLIENTS = 8
GROWTH = 1.15  # of memory, from a fifth of the time on


def test_load_loses_no_answer_and_no_memory(reproduced: Path, tmp_path: Path) -> None:
    shutil.copytree(reproduced.parent, tmp_path / "squad", symlinks=True)
    project = tmp_path / "squad" / reproduced.name
    rows = pd.read_parquet(project / "data" / "current.parquet").drop(columns="diagnosis")
    bodies = [json.dumps(row) for row in rows.to_dict("records")]
    with serving(project, "--log", "logs") as service:
        process = psutil.Process(service.process.pid)
        ends = time.monotonic() + SECONDS

        def client(number: int) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
            asked = 0
            while time.monotonic() < ends:
                headers = {
                    "Content-Type": "application/json",
                    "X-Request-ID": f"c{number}-{asked}",
                }
                connection.request("POST", "/predict", bodies[asked % len(bodies)], headers)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200
                asked += 1
            return asked

        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(client, number) for number in range(CLIENTS)]
            concurrent.futures.wait(clients, SECONDS / 5)
            warm = process.memory_info().rss
            answered = sum(each.result() for each in clients)
        assert process.memory_info().rss < warm * GROWTH
    helpers.run(project, "esteira", "log", "compact")
    kept = pd.concat(pd.read_parquet(f) for f in (project / "logs" / "answers").glob("*.parquet"))
    assert len(kept) == answered > 50 * SECONDS / 10
    assert kept["log.request"].is_unique
