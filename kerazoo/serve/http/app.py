"""The ASGI application: limits, and who may ask; answers that take their time are made by threads."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kerazoo.serve.http import rest
from kerazoo.serve.http.rest import Request, Response
from kerazoo.serve.limits import Limits
from kerazoo.serve.service import Service
from kerazoo.serve.threads import Elastic
from kerazoo.serve.wire.status import Status

log = logging.getLogger("kerazoo.serve")
access = logging.getLogger("kerazoo.serve.access")

METRICS = "/monitoring/prometheus/metrics"
LINGER = 3.0
"""Seconds in which a client that was refused may notice it."""

NOT_FOUND = b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": "Content-Type",
}

Page = Callable[[Request], Response]


@dataclass(frozen=True)
class RestOptions:
    """How the REST port answers.

    Attributes:
        threads: How many requests are worked on at once.
        cors: Whether pages from elsewhere may ask.
        token: What `Authorization: Bearer` must hold; `None` lets everyone ask.
        pages: Paths outside `/v1/`, and what answers them.
        open: Those of the pages that need no token.
    """

    threads: int = 4 * (os.cpu_count() or 1)
    cors: bool = False
    token: str | None = None
    limits: Limits = Limits()
    pages: Mapping[str, Page] = field(default_factory=dict)
    open: Sequence[str] = ("/healthz", "/readyz")


class _Refused(Exception):
    """A request that is answered without being read to its end; the connection is closed after it."""

    def __init__(self, status: int, message: str) -> None:
        self.response = Response(status, json.dumps({"error": message}).encode())


@dataclass
class App:
    """The ASGI application."""

    service: Service
    options: RestOptions = RestOptions()
    waiting: int = 0
    buffered: int = 0
    pool: Elastic = field(init=False)

    def __post_init__(self) -> None:
        self.pool = Elastic(self.options.threads, "rest")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        start = time.perf_counter()
        query = scope["query_string"]
        path = scope["raw_path"].decode("latin-1") + (f"?{query.decode('latin-1')}" if query else "")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        closing = False
        size = 0
        try:
            self._admit(path, headers)
            self.waiting += 1
            try:
                body = await self._body(receive, headers)
                size = len(body)
                response = await self._work(Request(scope["method"], path, headers, body))
            finally:
                self.waiting -= 1
                self.buffered -= size
        except _Refused as refused:
            response, closing = refused.response, True
        except ConnectionError:
            return  # The client has gone; there is nobody to answer.
        await self._send(send, response, path, receive if closing else None)
        if access.isEnabledFor(logging.INFO):
            self._note(scope, path, response, size, start)

    def _admit(self, path: str, headers: Mapping[str, str]) -> None:
        """Refuses what need not be read at all."""
        options = self.options
        if options.token is not None and path not in options.open:
            given = headers.get("authorization", "").removeprefix("Bearer ").encode("latin-1")
            if not hmac.compare_digest(given, options.token.encode()):
                raise _Refused(401, "The header 'Authorization: Bearer <token>' is missing or wrong.")
        if path in options.open:
            return
        if self.waiting >= options.limits.waiting:
            raise _Refused(429, f"{self.waiting} requests are waiting already. Come back in a moment.")
        declared = headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > options.limits.body:
            raise _Refused(413, f"The body has {declared} bytes; at most {options.limits.body} are taken.")

    async def _body(self, receive: Any, headers: Mapping[str, str]) -> bytes:
        limits = self.options.limits
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(limits.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionResetError
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    self.buffered += len(chunk)
                    if size > limits.body:
                        raise _Refused(413, f"The body is longer than {limits.body} bytes.")
                    if self.buffered > limits.buffered:
                        raise _Refused(503, "Too many long bodies at once. Come back in a moment.")
                    chunks.append(chunk)
                    if not message.get("more_body"):
                        return b"".join(chunks)
        except TimeoutError:
            self.buffered -= size
            raise _Refused(408, f"The body did not arrive within {limits.seconds:g} seconds.") from None
        except BaseException:
            self.buffered -= size
            raise

    async def _work(self, request: Request) -> Response:
        plain = "content-encoding" not in request.headers  # A short body may inflate to a long one.
        if plain and self.service.paces.quick(rest.model_of(request.path), len(request.body)):
            return self.answer(request)
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self.pool, self.answer, request)
        try:
            return await asyncio.wait_for(asyncio.shield(running), self.options.limits.seconds)
        except TimeoutError:
            running.add_done_callback(lambda done: done.exception())
            return rest.error(Status("DEADLINE_EXCEEDED", "Timed out waiting for the answer"))

    def answer(self, request: Request) -> Response:
        """Answers one request; never raises."""
        try:
            if request.path.startswith("/v1/"):
                return rest.answer(self.service, request)
            page = self.options.pages.get(request.path.partition("?")[0])
            return page(request) if page is not None else Response(404, NOT_FOUND, "text/html")
        except Exception:
            log.exception("%s %s failed", request.method, request.path[:200])
            return rest.error(Status("INTERNAL", "The server failed; its log says why."))

    async def _send(self, send: Any, response: Response, path: str, unread: Any) -> None:
        """Answers; where the body was not read (`unread` receives it), the connection is closed after that."""
        headers = {"content-type": response.kind, "content-length": str(len(response.body)), **response.headers}
        if self.options.cors and path.startswith("/v1/"):
            headers |= CORS
        if unread is not None:
            headers["connection"] = "close"
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        with contextlib.suppress(OSError):
            await send({"type": "http.response.start", "status": response.status, "headers": raw})
            await send({"type": "http.response.body", "body": response.body, "more_body": unread is not None})
            if unread is not None:
                await _discard(unread)
                await send({"type": "http.response.body", "body": b""})

    def _note(self, scope: Any, path: str, response: Response, size: int, start: float) -> None:
        row = {
            "client": (scope.get("client") or ("", 0))[0],
            "method": scope["method"],
            "path": path[:500],
            "status": response.status,
            "in": size,
            "out": len(response.body),
            "ms": round((time.perf_counter() - start) * 1e3, 2),
        }
        access.info(json.dumps(row))


async def _discard(receive: Any) -> None:
    """Reads what a client goes on sending for a while: closing on it would reset the connection, the answer unread."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while (await receive()).get("more_body"):
                pass
