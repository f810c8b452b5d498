"""HTTP by uvicorn: the socket, its connections, and the thread that answers them."""

from __future__ import annotations

import math
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

from kerazoo.serve import limits as limits_
from kerazoo.serve.http import connections
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

    limits = app.service.budget.limits
    protocol = connections.limited(limits, limits_.connections(limits))

    class Server(uvicorn.Server):
        async def on_tick(self, counter: int) -> bool:
            if counter % 10 == 0:  # Once a second.
                connections.hang_up(self.server_state.connections, limits.idle)
            return await super().on_tick(counter)

    config = uvicorn.Config(
        app, http=protocol, log_config=None, log_level="critical", access_log=False, lifespan="off",
        server_header=False, date_header=False, ws="none", timeout_keep_alive=math.ceil(limits.idle), backlog=1024,
    )  # fmt: skip
    server = Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="rest", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    return RestPort(server, thread, app, listening.getsockname()[1])
