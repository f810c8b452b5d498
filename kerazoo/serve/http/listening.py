"""HTTP by uvicorn: the socket, its connections, and the thread that answers them."""

from __future__ import annotations

import math
import socket
import threading
import time
import weakref
from collections.abc import Collection, MutableMapping
from dataclasses import dataclass
from typing import Any

from kerazoo.serve.http.app import App
from kerazoo.serve.wire.status import Status


def listen(port: int, host: str | None = None) -> socket.socket:
    """A listening socket: by default on all interfaces, both kinds of addresses where the machine has both.

    Raises:
        Status: The port is taken or not ours to take.
    """
    for family, address in ((socket.AF_INET6, host or "::"), (socket.AF_INET, host or "0.0.0.0")):  # noqa: S104
        try:
            made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # Named, or asyncio leaves Nagle on.
        except OSError:
            continue
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            made.bind((address, port))
            made.listen(1024)
            return made
        except OSError as failure:
            made.close()
            why = failure
    raise Status("UNAVAILABLE", f"REST cannot listen on port {port}: {why.strerror or why}")


@dataclass(frozen=True)
class RestPort:
    """A REST server that answers, in a thread of its own."""

    server: Any
    thread: threading.Thread
    app: App
    port: int

    def stop(self, seconds: float) -> None:
        """Takes no more requests, and gives those that run so many seconds."""
        self.server.config.timeout_graceful_shutdown = seconds
        self.server.should_exit = True
        self.thread.join(seconds + 5)
        self.app.pool.shutdown(wait=False, cancel_futures=True)


def start(app: App, listening: socket.socket) -> RestPort:
    """Answers REST on a listening socket."""
    import uvicorn

    idle = app.options.limits.idle
    waiting: weakref.WeakKeyDictionary[Any, tuple[Any, float]] = weakref.WeakKeyDictionary()

    class Server(uvicorn.Server):
        async def on_tick(self, counter: int) -> bool:
            if counter % 10 == 0:  # Once a second.
                _hang_up(self.server_state.connections, waiting, idle)
            return await super().on_tick(counter)

    config = uvicorn.Config(
        app, http="httptools", log_config=None, log_level="critical", access_log=False, lifespan="off",
        server_header=False, date_header=False, ws="none", timeout_keep_alive=math.ceil(idle), backlog=1024,
    )  # fmt: skip
    server = Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="rest", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    return RestPort(server, thread, app, listening.getsockname()[1])


def _hang_up(connections: Collection[Any], waiting: MutableMapping[Any, tuple[Any, float]], idle: float) -> None:
    """Closes the connections that have been between two requests for too long.

    uvicorn closes those that were silent since their last answer, but neither those that never began nor those that
    send the head of a request drop by drop.

    Args:
        waiting: After which request (a weak reference), and since when each has been waiting; kept between two calls.
    """
    now = time.monotonic()
    for connection in list(connections):
        last = connection.cycle
        if last is not None and not last.response_complete:
            continue
        after, since = waiting.get(connection, (None, now))
        if connection not in waiting or (after() if after is not None else None) is not last:
            waiting[connection] = (weakref.ref(last) if last is not None else None, now)
        elif now - since > idle:
            connection.transport.close()
