"""The ASGI application: limits, and who may ask; answers that take their time are made by threads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kerazoo.serve.budget import Ticket
from kerazoo.serve.http import rest
from kerazoo.serve.http.rest import Request, Response
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
        pages: Paths outside `/v1/`, and what answers them.
        open: Those of the pages that need no token, and that answer however busy the server is.
    """

    threads: int = 4 * (os.cpu_count() or 1)
    cors: bool = False
    pages: Mapping[str, Page] = field(default_factory=dict)
    open: Sequence[str] = ("/healthz", "/readyz")


class _Refused(Exception):
    """A request that is answered without being read to its end; the connection is closed after it."""

    def __init__(self, status: int, message: str) -> None:
        self.response = Response(status, json.dumps({"error": message}).encode())


@dataclass
class App:
    """The ASGI application.

    Attributes:
        strangers: How many refused requests have their clients waited for.
    """

    service: Service
    options: RestOptions = RestOptions()
    strangers: int = 0
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
        request = Request(scope["method"], path, headers)
        client = (scope.get("client") or ("", 0))[0].removeprefix("::ffff:")
        closing = False
        try:
            if path in self.options.open:  # Nobody's body is read for these.
                closing = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
                response = self.answer(request)
            else:
                self._admit(headers)
                request, response = await self._asked(request, client, receive)
        except _Refused as refused:
            response, closing = refused.response, True
        except ConnectionError:
            return  # The client has gone; there is nobody to answer.
        await self._send(send, response, path, receive if closing else None)
        if access.isEnabledFor(logging.INFO):
            self._note(client, request, response, start)

    def _admit(self, headers: Mapping[str, str]) -> None:
        """Refuses what need not be read at all."""
        limits = self.service.budget.limits
        try:
            self.service.access.check(headers.get("authorization", ""))
        except Status as refused:
            raise _Refused(refused.http, refused.message) from None
        declared = headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > limits.body:
            raise _Refused(413, f"The body has {declared} bytes; at most {limits.body} are taken.")

    async def _asked(self, request: Request, client: str, receive: Any) -> tuple[Request, Response]:
        """The whole request, and its answer. What it takes is given back when the work on it has ended."""
        ticket = self.service.budget.arriving(client)
        try:
            body = await self._body(receive, ticket)
            ticket.enter()
        except Status as refused:
            ticket.close()
            raise _Refused(refused.http, refused.message) from None
        except BaseException:
            ticket.close()
            raise
        request = replace(request, body=body)
        return request, await self._work(request, ticket, receive)

    async def _body(self, receive: Any, ticket: Ticket) -> bytes:
        limits = self.service.budget.limits
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
                    if size > limits.body:
                        raise _Refused(413, f"The body is longer than {limits.body} bytes.")
                    ticket.spend(len(chunk) * 2)  # Once more as the whole.
                    chunks.append(chunk)
                    if not message.get("more_body"):
                        return b"".join(chunks)
        except TimeoutError:
            raise _Refused(408, f"The body did not arrive within {limits.seconds:g} seconds.") from None

    async def _work(self, request: Request, ticket: Ticket, receive: Any) -> Response:
        plain = "content-encoding" not in request.headers  # A short body may inflate to a long one.
        if plain and self.service.paces.quick(rest.model_of(request.path), len(request.body)):
            try:
                return self._answer_for(ticket, request)
            finally:
                ticket.close()
        seconds = self.service.budget.limits.seconds
        ticket.deadline = time.monotonic() + seconds
        running = self.pool.submit(self._answer_for, ticket, request)
        running.add_done_callback(lambda _: ticket.close())
        answered = asyncio.wrap_future(running)
        left = asyncio.ensure_future(_left(receive))
        await asyncio.wait((answered, left), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        gone = left.done() and not answered.done()
        left.cancel()
        if answered.done():
            return answered.result()
        answered.cancel()  # And with it the work, unless it has begun.
        if gone:
            ticket.end(Status("CANCELLED", "The client has gone"))
            raise ConnectionResetError
        late = Status("DEADLINE_EXCEEDED", "Timed out waiting for the answer")
        ticket.end(late)
        return rest.error(late)

    def _answer_for(self, ticket: Ticket, request: Request) -> Response:
        try:
            with ticket.working():
                return self.answer(request)
        except Status as ended:
            return rest.error(ended)

    def answer(self, request: Request) -> Response:
        """Answers one request; never raises."""
        try:
            if rest.is_api(request.path):
                return rest.answer(self.service, request)
            page = self.options.pages.get(request.path.partition("?")[0])
            return page(request) if page is not None else Response(404, NOT_FOUND, "text/html")
        except Exception:
            log.exception("%s %s failed", request.method, request.path[:200])
            return rest.error(Status("INTERNAL", "The server failed; its log says why."))

    async def _send(self, send: Any, response: Response, path: str, unread: Any) -> None:
        """Answers; where the body was not read (`unread` receives it), the connection is closed after that."""
        headers = {"content-type": response.kind, "content-length": str(len(response.body)), **response.headers}
        if self.options.cors and rest.is_api(path):
            headers |= CORS
        if unread is not None:
            headers["connection"] = "close"
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        with contextlib.suppress(OSError):
            await send({"type": "http.response.start", "status": response.status, "headers": raw})
            lingers = unread is not None and self.strangers < self.service.budget.limits.strangers
            await send({"type": "http.response.body", "body": response.body, "more_body": lingers})
            if lingers:
                self.strangers += 1
                try:
                    await _discard(unread)
                finally:
                    self.strangers -= 1
                await send({"type": "http.response.body", "body": b""})

    def _note(self, client: str, request: Request, response: Response, start: float) -> None:
        row = {
            "client": client,
            "method": request.method,
            "path": request.path[:500],
            "status": response.status,
            "in": len(request.body),
            "out": len(response.body),
            "ms": round((time.perf_counter() - start) * 1e3, 2),
        }
        access.info(json.dumps(row))


async def _left(receive: Any) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _discard(receive: Any) -> None:
    """Reads what a client goes on sending for a while: closing on it would reset the connection, the answer unread."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while (await receive()).get("more_body"):
                pass
