"""The routes of the service, over ASGI (https://asgi.readthedocs.io/)."""

import asyncio
import base64
import binascii
import hmac
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from esteira.line.errors import UserError, one_line
from esteira.serve import metrics as figures
from esteira.serve import openapi, page
from esteira.serve.batching import Batcher, FullError
from esteira.serve.rows import RefusedError
from esteira.serve.service import Asked, LogError, Said, Service, close

MOST_BYTES = 16 * 2**20  # of a request's body
MOST_DRAINED = 4 * MOST_BYTES  # read and dropped, so that a client hears why before it is cut off
BODY_SECONDS = 10.0  # in which a request's body must come
RETRY_AFTER = "1"  # seconds
OPEN_PATHS = ("/health", "/ready")
LOOPBACK = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?")
REQUEST_ID = re.compile(r"[\w.:-]{1,100}")
ENCODER = msgspec.json.Encoder()

Handler = Callable[[Request], Awaitable[Response]]


class Answers(msgspec.Struct):
    """The body of an answer."""

    model: str
    data: str
    request: str
    answers: list[Said]


def refusal(status: int, sentence: str, **more: Any) -> Response:
    """Return what is said of a request that is not answered."""
    headers = {"Retry-After": RETRY_AFTER} if status == 503 else {}
    return JSONResponse({"error": sentence, **more}, status, headers)


class App:
    """One worker's routes, with the model that it loaded."""

    def __init__(self, service: Service, token: str = "") -> None:
        self.service = service
        self.metrics = figures.make(service.origin.version, service.origin.data)
        self.batcher: Batcher[Asked, list[Said]] = Batcher(service.answer)
        self._token = token.encode()
        self._page = page.render(service)
        self._openapi = openapi.describe(service)

    def asgi(self) -> Starlette:
        """Return the application."""
        routes = [
            Route("/", self._guarded(self.index), methods=["GET"]),
            Route("/predict", self._guarded(self.predict), methods=["POST"]),
            Route("/explain", self._guarded(self.explain), methods=["POST"]),
            Route("/health", self._guarded(self.health), methods=["GET"]),
            Route("/ready", self._guarded(self.ready), methods=["GET"]),
            Route("/model", self._guarded(self.model), methods=["GET"]),
            Route("/metrics", self._guarded(self.scrape), methods=["GET"]),
            Route("/openapi.json", self._guarded(self.describe), methods=["GET"]),
        ]
        handlers: Any = {HTTPException: self._not_routed, Exception: self._failed}
        return Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Answer what was taken before the worker ends."""
        yield
        await self.batcher.close()
        close(self.service)

    # ---- who may ask, and what becomes of what fails

    def _guarded(self, handler: Handler) -> Handler:
        """Return a handler that lets in who may, counts, and answers every failure."""

        async def answer(request: Request) -> Response:
            path = request.url.path
            request.state.name = _identifier(request)
            try:
                refused = self._refused(request)
                response = refused or await handler(request)
            except RefusedError as error:
                faults = [asdict(fault) for fault in error.faults]
                response = refusal(error.status, str(error), faults=faults)
            except FullError:
                response = refusal(503, "Too many rows wait already: try again.")
            except LogError as error:
                self.metrics.log_failures.inc()
                response = refusal(
                    503, f"The log cannot be written ({error}): nothing is answered."
                )
            except ClientDisconnect:
                response = refusal(400, "The request ended before its body.")
            self.metrics.requests.labels(path, response.status_code).inc()
            response.headers["X-Request-ID"] = request.state.name
            return response

        return answer

    def _refused(self, request: Request) -> Response | None:
        """Return why this caller is not let in; None where it is."""
        if request.url.path in OPEN_PATHS:
            return None
        if not self._token:
            # A page elsewhere may have its name point here: then the browser sends that name.
            host = request.headers.get("host", "")
            named_here = not host or LOOPBACK.fullmatch(host)
            return None if named_here else refusal(403, f"This service is not {host[:100]!r}.")
        given = _credential(request.headers.get("authorization", ""))
        if hmac.compare_digest(given, self._token):
            return None
        response = refusal(401, "Send the token: `Authorization: Bearer …`.")
        response.headers["WWW-Authenticate"] = 'Bearer, Basic realm="esteira"'
        return response

    async def _not_routed(self, request: Request, error: Exception) -> Response:
        """Answer where no route is, or not for this method."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        if status == 405:
            response = refusal(405, f"{request.method} is not for {request.url.path}.")
            response.headers.update(getattr(error, "headers", None) or {})
            return response
        return refusal(status, f"There is nothing at {request.url.path[:200]}.")

    async def _failed(self, request: Request, error: Exception) -> Response:
        """Answer where the model fails. The service goes on."""
        return refusal(500, _failure(error))

    # ---- what is asked

    async def predict(self, request: Request) -> Response:
        """Answer one row, or several."""
        body = await _body(request)
        started = time.perf_counter()
        rows = self.service.rows.read(body)
        name = request.state.name
        said = await self._ask(Asked(rows, name))
        self.metrics.seconds.observe(time.perf_counter() - started)
        self.metrics.rows.inc(len(rows))
        self.metrics.request_rows.observe(len(rows))
        origin = self.service.origin
        content = ENCODER.encode(Answers(origin.version, origin.data, name, said))
        return Response(content, media_type="application/json")

    async def explain(self, request: Request) -> Response:
        """Say what moved the answer to one row: each input put to its usual value, in turn."""
        rows = self.service.rows.read(await _body(request))
        if len(rows) != 1:
            raise RefusedError(422, "Send one row: an answer is explained by itself.")
        variants = page.variants(self.service, rows[0])
        asked = [rows[0], *(variant.row for variant in variants)]
        said = await self._ask(Asked(asked, request.state.name, logged=False))
        return Response(
            ENCODER.encode(page.explained(self.service, said, variants)),
            media_type="application/json",
        )

    async def _ask(self, asked: Asked) -> list[Said]:
        waiting = self.metrics.waiting
        waiting.inc(len(asked.rows))
        try:
            return await self.batcher.ask(asked)
        except (FullError, LogError):
            raise
        except UserError as error:
            raise RefusedError(500, str(error)) from None
        except Exception as error:
            raise RefusedError(500, _failure(error)) from None
        finally:
            waiting.dec(len(asked.rows))

    async def health(self, _: Request) -> Response:
        """Say that the worker is alive."""
        return JSONResponse({"status": "alive"})

    async def ready(self, _: Request) -> Response:
        """Say whether requests can be answered."""
        if self.service.log_fails:
            return refusal(503, f"The log cannot be written: {self.service.log_fails}.")
        return JSONResponse({"status": "ready", "model": self.service.origin.version})

    async def model(self, _: Request) -> Response:
        """Say what the model is."""
        return Response(ENCODER.encode(self.service.facts), media_type="application/json")

    async def scrape(self, _: Request) -> Response:
        """Give Prometheus its figures."""
        return Response(self.metrics.text(), media_type=figures.CONTENT_TYPE)

    async def describe(self, _: Request) -> Response:
        """Give the description of this interface."""
        return JSONResponse(self._openapi)

    async def index(self, _: Request) -> Response:
        """Show the page where a person asks."""
        return HTMLResponse(self._page.html, headers=self._page.headers)


async def _body(request: Request) -> bytes:
    """Return the body of a request. Raises RefusedError for one of another kind or size."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedError(415, "Send `Content-Type: application/json`.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(415, "Send the body as it is, not compressed.")
    too_large = RefusedError(413, f"The body is larger than {MOST_BYTES // 2**20} MB.")
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > MOST_DRAINED:
                    raise too_large
                if size <= MOST_BYTES:
                    parts.append(part)
    except TimeoutError:
        raise RefusedError(
            408, f"The body did not come within {BODY_SECONDS:.0f} seconds."
        ) from None
    if size > MOST_BYTES:
        raise too_large
    return b"".join(parts)


def _failure(error: Exception) -> str:
    reason = f"{type(error).__name__}: {one_line(error)}"
    return f"The model failed on this request: {reason[:300]}."


def _identifier(request: Request) -> str:
    """Return the request's own identifier, or make one."""
    given = request.headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _credential(header: str) -> bytes:
    """Return the token that a caller sends: as bearer, or as a password, which browsers ask for."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""
