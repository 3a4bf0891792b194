"""Tell whoever watches pipelines that a stage began, ended or failed: OpenLineage's run events.

`ESTEIRA_EVENTS` names a file, to which a line of JSON is added for each event, or an address that
they are posted to. It is off unless named; it changes no output, and cannot make a stage fail.
The form is https://openlineage.io/spec/2-0-2/OpenLineage.json.
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

EVENTS = "ESTEIRA_EVENTS"
PRODUCER = "urn:esteira"
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACET = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunFacet"
STATISTICS = (
    "https://openlineage.io/spec/facets/1-0-2/OutputStatisticsOutputDatasetFacet.json"
    "#/$defs/OutputStatisticsOutputDatasetFacet"
)
ERROR = (
    "https://openlineage.io/spec/facets/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet"
)
PATIENCE = 3  # seconds for an address to answer

Kind = Literal["START", "COMPLETE", "FAIL", "ABORT"]


@dataclass
class Running:
    """A stage that runs, and what it says that it did."""

    stage: str
    says: str = ""
    run: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: float = field(default_factory=time.perf_counter)


@contextmanager
def told(stage: str) -> Iterator[Running]:
    """Tell that a stage begins, and how it ends."""
    running = Running(stage)
    if not os.environ.get(EVENTS):
        yield running
        return
    _tell(running, "START")
    try:
        yield running
    except KeyboardInterrupt:
        _tell(running, "ABORT")
        raise
    except BaseException as error:
        _tell(running, "FAIL", str(error))
        raise
    _tell(running, "COMPLETE")


def _tell(running: Running, kind: Kind, error: str = "") -> None:
    """Add an event to the file, or post it; what goes wrong is said on standard error alone."""
    where = os.environ[EVENTS]
    try:
        text = json.dumps(_event(running, kind, error), ensure_ascii=False, default=str)
        if where.startswith(("http://", "https://")):
            _post(where, text)
        else:
            with Path(where).open("a", encoding="utf-8") as file:
                file.write(text + "\n")
    except Exception as fault:  # an observer must not stop what it observes
        told = " ".join(str(fault).split())[:200]
        print(f"{running.stage}: the event was not told to {EVENTS}: {told}", file=sys.stderr)


def _post(address: str, text: str) -> None:
    from urllib.request import Request, urlopen

    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("ESTEIRA_EVENTS_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    request = Request(address, text.encode(), headers, method="POST")  # noqa: S310 - see _tell
    with urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
        answer.read()


def _event(running: Running, kind: Kind, error: str) -> dict[str, Any]:
    from esteira.line.files import listed_in

    stage = _stage(running.stage)
    namespace = Path.cwd().name
    done: dict[str, Any] = {"_producer": PRODUCER, "_schemaURL": FACET}
    if kind != "START":
        done["seconds"] = round(time.perf_counter() - running.started, 3)
        done["says"] = running.says
        done |= _measured(running.stage) if kind == "COMPLETE" else {}
    facets: dict[str, Any] = {"esteira": done}
    if error:
        facets["errorMessage"] = {
            "_producer": PRODUCER,
            "_schemaURL": ERROR,
            "message": error,
            "programmingLanguage": "python",
        }
    outs = listed_in(stage, "outs", "metrics", "plots")
    return {
        "eventType": kind,
        "eventTime": datetime.now(UTC).isoformat(),
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
        "run": {"runId": running.run, "facets": facets},
        "job": {"namespace": namespace, "name": running.stage},
        "inputs": [{"namespace": namespace, "name": path} for path in listed_in(stage, "deps")],
        "outputs": [_output(namespace, path, kind) for path in outs],
    }


def _stage(name: str) -> dict[str, Any]:
    """Return the stage's entry in dvc.yaml; empty where it cannot be read."""
    from esteira.line.files import read_yaml

    stages = read_yaml("dvc.yaml").get("stages")
    found = stages.get(name) if isinstance(stages, dict) else None
    return found if isinstance(found, dict) else {}


def _output(namespace: str, path: str, kind: Kind) -> dict[str, Any]:
    """Describe an output, with its rows and bytes where it is there."""
    found: dict[str, Any] = {"namespace": namespace, "name": path}
    there = Path(path)
    if kind != "COMPLETE" or not there.is_file():
        return found
    statistics = {"_producer": PRODUCER, "_schemaURL": STATISTICS, "size": there.stat().st_size}
    if there.suffix == ".parquet":
        from esteira.line import parts

        statistics["rowCount"] = parts.count(there)
    return found | {"outputFacets": {"outputStatistics": statistics}}


def _measured(stage: str) -> dict[str, Any]:
    """Return what the stage measured: rows, broken rules, what the drift check found."""
    path = Path("reports") / stage / "metrics.json"
    if not path.is_file():
        return {}
    return {"measured": json.loads(path.read_text(encoding="utf-8"))}
