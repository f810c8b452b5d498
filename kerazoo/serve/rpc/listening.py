"""The gRPC server: its addresses, its event loop, and which requests go to a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from kerazoo.serve.rpc import health, methods
from kerazoo.serve.rpc.methods import Answering
from kerazoo.serve.service import SHORT, Service
from kerazoo.serve.threads import Elastic, new_event_loop
from kerazoo.serve.wire.status import Status

LARGEST = (1 << 31) - 1
"""TF Serving takes messages of up to 2 GiB; gRPC's own limit of 4 MiB would refuse a photograph or two."""


@dataclass
class _Queue:
    """How many requests there are, and how many there may be; of the event loop alone."""

    most: int
    now: int = 0


def _handler(answering: Answering, pool: Executor, queue: _Queue) -> Any:
    """gRPC's handler of one method.

    A model that answers faster than a thread wakes up is asked on the event loop itself: handing its request over and
    back would cost several times what the answer costs.
    """
    paces, counted = answering.service.paces, answering.counted

    async def handle(request: bytes, context: Any) -> bytes:
        left = None if counted else context.time_remaining()
        deadline = None if left is None else time.monotonic() + left
        queue.now += 1
        try:
            if queue.now > queue.most:
                raise Status("RESOURCE_EXHAUSTED", f"{queue.most} requests are waiting already. Come back in a moment.")
            if len(request) > SHORT:
                return await asyncio.get_running_loop().run_in_executor(pool, answering, request, deadline)
            parsed = answering.parse(request)
            if counted and paces.quick(parsed.model_spec.name, len(request)):
                return answering.answer(parsed)
            return await asyncio.get_running_loop().run_in_executor(pool, answering.answer, parsed, deadline)
        except Status as status:
            failed = status
        finally:
            queue.now -= 1
        await context.abort(getattr(grpc.StatusCode, failed.code), methods.cut(failed.message))
        raise failed  # Never reached: `abort` raises.

    return grpc.unary_unary_rpc_method_handler(handle)


@dataclass(frozen=True)
class GrpcPort:
    """A gRPC server that answers, in a thread of its own.

    Attributes:
        ports: The port of each address; 0 for a UNIX socket.
    """

    server: Any
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    ports: tuple[int, ...]

    def stop(self, seconds: float) -> None:
        """Takes no more requests, and gives those that run so many seconds."""
        asyncio.run_coroutine_threadsafe(self.server.stop(seconds), self.loop)
        self.thread.join()


def start(
    service: Service,
    addresses: Sequence[str],
    threads: int,
    options: Sequence[tuple[str, Any]] = (),
    credentials: Any = None,
    with_health: bool = False,
    waiting: int = 1000,
) -> GrpcPort:
    """Answers gRPC.

    Args:
        addresses: `host:port`, where port 0 takes a free one, or `unix:path`.
        credentials: Of `grpc.ssl_server_credentials`; `None` for plain connections.
        with_health: Whether grpc.health.v1 is answered too.
        waiting: Most requests that may wait or run; more are told to come back.

    Raises:
        Status: An address cannot be listened on.
    """
    limits = [("grpc.max_receive_message_length", LARGEST), ("grpc.max_send_message_length", LARGEST)]
    started: Future[tuple[Any, Any, tuple[int, ...]]] = Future()

    async def serve() -> None:
        pool = Elastic(threads, "grpc")
        try:
            server = grpc.aio.server(options=[*limits, *options])
            server.add_generic_rpc_handlers(_handlers(service, pool, _Queue(waiting)))
            if with_health:
                await health.add_to(server)
            ports = tuple(_listen(server, address, credentials) for address in addresses)
            await server.start()
            started.set_result((server, asyncio.get_running_loop(), ports))
            await server.wait_for_termination()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def run() -> None:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name="grpc", daemon=True)
    thread.start()
    server, loop, ports = started.result()
    return GrpcPort(server, loop, thread, ports)


def _handlers(service: Service, pool: Executor, queue: _Queue) -> list[Any]:
    return [
        grpc.method_handlers_generic_handler(
            name, {method: _handler(found, pool, queue) for method, found in answering.items()}
        )
        for name, answering in methods.answering(service).items()
    ]


def _listen(server: Any, address: str, credentials: Any) -> int:
    try:
        if credentials is None or address.startswith("unix:"):
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise Status("UNAVAILABLE", f"gRPC cannot listen on {address}: {error}") from None
