"""Connections of the service: clients that send or take nothing are let go, whatever they do."""

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from esteira.serve import run

LARGE = b"x" * 20_000_000  # more than a connection holds that nobody reads from
LONG_HEAD = b"GET /small HTTP/1.1\r\nHost: " + b"x" * 400
REQUEST = b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def large(_: Request) -> Response:
    return Response(LARGE)


async def small(_: Request) -> Response:
    return Response(b"small")


@contextmanager
def serving(**options: Any) -> Iterator[tuple[uvicorn.Server, int]]:
    """Serve two routes by the service's own protocol; give the server and its port."""
    app = Starlette(routes=[Route("/large", large), Route("/small", small)])
    config = uvicorn.Config(app, http=run.PatientProtocol, log_level="error", **options)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield server, port
        finally:
            server.should_exit = True
            thread.join(20)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def ask(port: int) -> bytes:
    with connect(port) as connection:
        connection.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        found = b""
        while part := connection.recv(10_000):
            found += part
        return found


def ask_or_nothing(port: int) -> bytes:
    try:
        return ask(port)
    except ConnectionError:
        return b""


def wait_until_alone(server: uvicorn.Server, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while server.server_state.connections:
        assert time.monotonic() < ends, "a connection is still held"
        time.sleep(0.02)


@pytest.mark.parametrize("requests", [1, 3])
def test_a_client_that_takes_no_answer_is_let_go(
    requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "READ_SECONDS", 0.5)
    with serving() as (server, port), connect(port) as silent:
        silent.sendall(REQUEST * requests)
        while not server.server_state.total_requests:
            time.sleep(0.01)
        assert ask(port).endswith(b"small"), "nobody waits for it"
        wait_until_alone(server, 10)


def test_a_client_that_takes_its_answer_slowly_has_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "HEADER_SECONDS", 0.2)
    with serving() as (server, port), connect(port) as slow:
        slow.sendall(REQUEST)
        found = 0
        while found < len(LARGE):
            part = slow.recv(2**20)
            assert part, "cut off"
            found += len(part)
            time.sleep(0.02)
        wait_until_alone(server, 10)


def test_a_client_that_sends_a_head_byte_by_byte_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "HEADER_SECONDS", 0.5)
    with serving() as (server, port), connect(port) as slow:
        sent = 0
        with contextlib.suppress(ConnectionError):
            for byte in LONG_HEAD:
                slow.send(bytes([byte]))
                sent += 1
                time.sleep(0.05)  # a byte now and then keeps others' patience awake
        assert sent < len(LONG_HEAD), "the rest of it was not sent"
        wait_until_alone(server, 10)


def test_connections_beyond_all_bounds_are_refused_and_the_service_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "OTHER_FILES", 10)
    with serving(limit_concurrency=20) as (server, port):
        idle = [connect(port) for _ in range(25)]
        assert b" 503 " in ask(port)
        idle += [connect(port) for _ in range(50)]
        assert ask_or_nothing(port) == b""
        assert len(server.server_state.connections) <= 31
        for connection in idle:
            connection.close()
        wait_until_alone(server, 10)
        assert ask(port).endswith(b"small")


def test_there_are_fewer_connections_than_files_that_may_be_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: told.append(limits))
    assert run._most_connections() == 1024 - 2 * run.OTHER_FILES
    assert told == [(1024, 1024)]
