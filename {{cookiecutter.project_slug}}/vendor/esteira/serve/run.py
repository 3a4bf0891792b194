"""Run the service: one worker or several, on loopback unless told otherwise."""

import asyncio
import ipaddress
import os
import socket
import tempfile
from asyncio import Transport
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from esteira.line.errors import UserError
from esteira.serve import service as services
from esteira.serve.app import App
from esteira.serve.metrics import SHARED
from esteira.serve.service import Service

TOKEN = "ESTEIRA_TOKEN"  # noqa: S105 - the variable's name
LEAST_TOKEN = 16  # characters
MODEL, LOG = "ESTEIRA_SERVE_MODEL", "ESTEIRA_SERVE_LOG"  # for the workers, which import this anew
HEADER_SECONDS = 10.0  # in which a connection must have sent a request's head
READ_SECONDS = 30.0  # in which a client must take what its connection can hold of an answer
GRACE_SECONDS = 30  # for requests that are under way when the service ends
MOST_CONNECTIONS = 2000  # of one worker
OTHER_FILES = 100  # that a worker may need open beside its connections: the log's, say


@dataclass(frozen=True)
class Settings:
    """How the service runs."""

    host: str
    port: int
    workers: int
    model: Path | None  # a folder of `esteira model get`; None: the project's own model
    log: Path | None


class PatientProtocol(H11Protocol):
    """HTTP, for clients that send a request's head and take the answer in time.

    Others are let go. (How long a request's body may take, the route says.)
    """

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait; end at once what is beyond all bounds."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._let_go)
        self._taken: asyncio.TimerHandle | None = None
        if len(self.connections) > (self.limit_concurrency or 0) + OTHER_FILES:
            transport.abort()

    def pause_writing(self) -> None:
        """Wait for a client that does not take its answer."""
        super().pause_writing()
        self._taken = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop waiting: it took most of it."""
        super().resume_writing()
        if self._taken is not None:
            self._taken.cancel()
        self._deadline.cancel()
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._let_go)

    def _let_go(self) -> None:
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and not self.flow.write_paused:
            self.transport.abort()

    def handle_events(self) -> None:
        """Stop waiting once a head is here; begin again when the next one must come."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._deadline.cancel()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request of this connection."""
        super().on_response_complete()
        self._deadline.cancel()
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._let_go)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._deadline.cancel()
        if self._taken is not None:
            self._taken.cancel()
        super().connection_lost(exc)


def application() -> Starlette:
    """Return one worker's application; what it is told comes from the environment."""
    folder, log = os.environ.get(MODEL), os.environ.get(LOG)
    return _answering(services.load(Path(folder) if folder else None, Path(log) if log else None))


def _answering(service: Service) -> Starlette:
    """Return the application that answers by a loaded model."""
    app = App(service, os.environ.get(TOKEN, "")).asgi()
    services.settle()
    return app


def run(settings: Settings) -> None:
    """Serve until a signal ends it. Raises UserError for what cannot be served."""
    _require_guarded(settings.host)
    # With several workers it is loaded here too, so that what is wrong is said at once, and once.
    service = services.load(settings.model, settings.log)
    try:
        listener = _listen(settings.host, settings.port)
    except UserError:
        services.close(service)
        raise
    address = listener.getsockname()
    print(f"Serving on http://{address[0]}:{address[1]}", flush=True)
    if settings.workers == 1:
        uvicorn.Server(_config(settings, _answering(service))).run(sockets=[listener])
        return
    from uvicorn.supervisors import Multiprocess

    services.close(service)
    _pass_on(settings)
    with tempfile.TemporaryDirectory(prefix="esteira-serve-") as shared:
        os.environ[SHARED] = shared
        config = _config(settings, "esteira.serve.run:application")
        Multiprocess(config, sockets=[listener]).run()


def _config(settings: Settings, app: Starlette | str) -> uvicorn.Config:
    """Return how uvicorn runs an application, or the workers that import it."""
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_most_connections(),
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _most_connections() -> int:
    """Return how many connections a worker may have: each is an open file, of which few may be."""
    try:
        import resource
    except ModuleNotFoundError:  # on Windows, which has no such limit
        return MOST_CONNECTIONS
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + 2 * OTHER_FILES
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        allowed = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
        return max(allowed - 2 * OTHER_FILES, 1)
    return MOST_CONNECTIONS


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises UserError where it cannot.

    It names its protocol, without which asyncio does not switch off Nagle's algorithm: answers of
    one row would then take 40 ms more.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        raise UserError(
            f"{host}:{port} is taken, or not this machine's: choose another with --port or --host."
        ) from None
    listener.set_inheritable(True)
    return listener


def _require_guarded(host: str) -> None:
    """Raise UserError where others could ask, and no token keeps them out."""
    token = os.environ.get(TOKEN, "")
    if token and len(token) < LEAST_TOKEN:
        raise UserError(f"the token in {TOKEN} is shorter than {LEAST_TOKEN} characters.")
    if not token and not _is_loopback(host):
        raise UserError(
            f"{host} can be reached by others: set a token of at least {LEAST_TOKEN} characters in"
            f" {TOKEN}, or leave --host out."
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _pass_on(settings: Settings) -> None:
    """Tell the workers, which are processes of their own."""
    for name, path in ((MODEL, settings.model), (LOG, settings.log)):
        os.environ.pop(name, None)
        if path is not None:
            os.environ[name] = str(path.absolute())
