"""One connection to the REST port: how long a request's head may be, and who makes room when there are too many."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kerazoo.serve.limits import Limits


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, which by itself takes heads of any length, and any number of connections.

    Attributes:
        limits, most: Set by `limited`; `most` is how many connections there may be.
        since: When it began to wait for what it waits for now (`time.monotonic`): a head, or a body.
        in_head: Whether the head of a request is what comes next.
    """

    limits: Limits
    most: int

    def connection_made(self, transport: Any) -> None:
        self.since, self.in_head, self.head, self.refused = time.monotonic(), True, 0, 0
        if len(self.connections) >= self.most and not _make_room(self.connections):
            transport.abort()
        super().connection_made(transport)

    @property
    def working(self) -> bool:
        """Whether it waits for an answer, not for its client."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def data_received(self, data: bytes) -> None:
        while data and self.parser is not None and not self.transport.is_closing():
            if not self.in_head:
                super().data_received(data)
                return
            # The parser gathers what is not complete; it is not given more than there may be.
            size = self.limits.head + 1 - self.head
            piece, data = data[:size], data[size:]
            self.head += len(piece)
            super().data_received(piece)
            if self.in_head and self.head > self.limits.head:
                self.refused = self.refused or HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            if self.refused:
                self._refuse()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.in_head = True

    def on_url(self, url: bytes) -> None:
        if len(self.url) + len(url) > self.limits.url:
            self.refused = HTTPStatus.REQUEST_URI_TOO_LONG
        else:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= self.limits.headers:
            self.refused = self.refused or HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        else:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.in_head, self.head, self.since = False, 0, time.monotonic()
        if not self.refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self.refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self.in_head, self.since = True, time.monotonic()
        if not self.refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self.since = time.monotonic()
        super().on_response_complete()

    def _refuse(self) -> None:
        if self.transport.is_closing() or self.working:
            return
        status = HTTPStatus(self.refused)
        text = f"The head of the request is too long: at most {self.limits.url} bytes of address, "
        text += f"{self.limits.headers} headers and {self.limits.head} bytes of all."
        body = json.dumps({"error": text}).encode()
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()


def _make_room(connections: Collection[Any]) -> bool:
    """Closes the connection that has kept the server waiting longest; whether there was one."""
    waiting = [one for one in connections if not one.working]
    if not waiting:
        return False
    oldest = min(waiting, key=lambda one: one.since)
    oldest.transport.abort()
    connections.discard(oldest)  # type: ignore[attr-defined]
    return True


def hang_up(connections: Collection[Any], idle: float) -> None:
    """Closes the connections that have been between two requests for too long.

    uvicorn closes those that were silent since their last answer, but neither those that never began nor those that
    send the head of a request drop by drop.
    """
    now = time.monotonic()
    for connection in list(connections):
        between = connection.cycle is None or connection.cycle.response_complete
        if between and now - connection.since > idle:
            connection.transport.close()


def limited(limits: Limits, most: int) -> type[Connection]:
    """The protocol of one port."""
    return type("Limited", (Connection,), {"limits": limits, "most": most})
