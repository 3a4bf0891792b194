"""What Prometheus scrapes: https://prometheus.io/docs/practices/instrumentation/."""

import os
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # the folder that several workers count in
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096)


@dataclass(frozen=True)
class Metrics:
    """The service's own figures."""

    registry: CollectorRegistry
    requests: Counter
    seconds: Histogram
    rows: Counter
    request_rows: Histogram
    waiting: Gauge
    log_failures: Counter

    def text(self) -> bytes:
        """Return all of them as Prometheus reads them, over all workers."""
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        whole = CollectorRegistry()
        multiprocess.MultiProcessCollector(whole)
        return generate_latest(whole)


def make(version: str, data: str) -> Metrics:
    """Return figures that begin at nothing, for the model that is served."""
    registry = CollectorRegistry()
    info = Gauge(
        "esteira_model",
        "The model that is served; always 1.",
        ["version", "data"],
        registry=registry,
        multiprocess_mode="max",
    )
    info.labels(version, data).set(1)
    return Metrics(
        registry=registry,
        requests=Counter(
            "esteira_requests",
            "Requests answered, by path and status.",
            ["path", "status"],
            registry=registry,
        ),
        seconds=Histogram(
            "esteira_predict_seconds",
            "Seconds from a request's last byte to its answer.",
            buckets=SECONDS,
            registry=registry,
        ),
        rows=Counter("esteira_rows", "Rows answered.", registry=registry),
        request_rows=Histogram(
            "esteira_request_rows", "Rows of a request.", buckets=ROWS, registry=registry
        ),
        waiting=Gauge(
            "esteira_rows_waiting",
            "Rows that wait for the model.",
            registry=registry,
            multiprocess_mode="livesum",
        ),
        log_failures=Counter(
            "esteira_log_failures",
            "Requests that were refused, as their answer could not be logged.",
            registry=registry,
        ),
    )
