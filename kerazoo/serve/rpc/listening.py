"""The gRPC server: its addresses, its event loop, and which requests go to a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio

from kerazoo.serve.budget import Ticket
from kerazoo.serve.rpc import health, methods
from kerazoo.serve.rpc.methods import Answering
from kerazoo.serve.service import SHORT, Service
from kerazoo.serve.threads import Elastic, new_event_loop
from kerazoo.serve.wire.status import Status

LARGEST = (1 << 31) - 1
"""Longest answer; gRPC's own limit of 4 MiB would refuse a photograph or two."""

STREAMS = 4096
"""Most calls of one connection; far more than may wait, so that who asks too much is told so."""

MOMENT = 0.25
"""Seconds in which a message of usual length has arrived."""


@dataclass
class _Answers:
    """What a port's methods share.

    Attributes:
        pool: For everything but reloading, which may wait for long and has threads of its own.
        slow: How many messages have been on their way for longer than a moment; of the event loop alone.
    """

    service: Service
    pool: Elastic
    reloading: Elastic
    slow: int = 0
    reloads: int = 0

    def handler(self, answering: Answering) -> Any:
        """gRPC's handler of one method.

        For gRPC every method takes a stream, of which one message is read: so whoever may not ask is refused before
        anything is read for him.
        """

        async def handle(_: Any, context: Any) -> bytes:
            ticket = None
            try:
                self.service.access.check(dict(context.invocation_metadata() or ()).get("authorization", ""))
                if answering.reloads:
                    self.service.access.check_reload()
                left = context.time_remaining()
                deadline = None if left is None else time.monotonic() + left
                ticket = self.service.budget.admit(client(context.peer()), deadline)
                request = await self._read(context)
                ticket.spend(len(request))
                return await self._answer(answering, request, ticket)
            except Status as status:
                failed = status
            except asyncio.CancelledError:
                if ticket is not None:
                    ticket.end(Status("CANCELLED", "The client has gone"))
                raise
            finally:
                if ticket is not None and not ticket.busy:
                    ticket.close()
            await context.abort(getattr(grpc.StatusCode, failed.code), methods.cut(failed.message))
            raise failed  # Never reached: `abort` raises.

        return grpc.stream_unary_rpc_method_handler(handle)

    async def _read(self, context: Any) -> bytes:
        """The request's message; how long it is becomes known only when all of it is there."""
        # Timers on the call's own task: a task of its own for each message would cost more than a quick answer.
        arrival = _Arrival(self, asyncio.get_running_loop(), asyncio.current_task())
        try:
            request = await context.read()
        except asyncio.CancelledError:
            if arrival.failed is None:
                raise
            arrival.task.uncancel()
            raise arrival.failed from None
        finally:
            arrival.end()
        if not isinstance(request, bytes):
            raise Status("INTERNAL", "Failed to parse the request: there is none.")
        return request

    async def _answer(self, answering: Answering, request: bytes, ticket: Ticket) -> bytes:
        """A model that answers faster than a thread wakes up is asked on the event loop itself: handing its request
        over and back would cost several times what the answer costs."""
        if answering.reloads:
            return await self._reload(answering, request, ticket)
        if len(request) > SHORT:
            return await self._in_thread(self.pool, ticket, answering, request, ticket.deadline)
        with ticket.working():
            parsed = answering.parse(request)
            if answering.counted and self.service.paces.quick(parsed.model_spec.name, len(request)):
                return answering.answer(parsed)
        return await self._in_thread(self.pool, ticket, answering.answer, parsed, ticket.deadline)

    async def _reload(self, answering: Answering, request: bytes, ticket: Ticket) -> bytes:
        limits = self.service.budget.limits
        if self.reloads >= limits.reloads:
            raise Status("RESOURCE_EXHAUSTED", f"{self.reloads} configurations are being brought about already.")
        latest = time.monotonic() + limits.reload_seconds
        ticket.deadline = latest if ticket.deadline is None else min(ticket.deadline, latest)
        self.reloads += 1
        try:
            return await self._in_thread(self.reloading, ticket, answering, request, ticket.deadline)
        finally:
            self.reloads -= 1

    async def _in_thread(self, pool: Elastic, ticket: Ticket, work: Any, *arguments: Any) -> bytes:
        def run() -> bytes:
            with ticket.working():
                return work(*arguments)

        ticket.busy = True
        running = pool.submit(run)
        running.add_done_callback(lambda _: ticket.close())
        return await asyncio.wrap_future(running)


class _Arrival:
    """Watches over a message on its way: only few may take longer than a moment, and none for ever."""

    def __init__(self, answers: _Answers, loop: asyncio.AbstractEventLoop, task: Any) -> None:
        self.answers, self.loop, self.task = answers, loop, task
        self.failed: Status | None = None
        self.slow = False
        self.timer = loop.call_later(MOMENT, self._late)

    def _late(self) -> None:
        limits = self.answers.service.budget.limits
        if self.answers.slow >= limits.slow:
            self._fail("RESOURCE_EXHAUSTED", f"{self.answers.slow} long messages are on their way already.")
            return
        self.answers.slow += 1
        self.slow = True
        late = f"The message did not arrive within {limits.seconds:g} seconds."
        self.timer = self.loop.call_later(limits.seconds, self._fail, "DEADLINE_EXCEEDED", late)

    def _fail(self, code: str, message: str) -> None:
        self.failed = Status(code, message)
        self.task.cancel()

    def end(self) -> None:
        """It is there, or nobody waits for it any more."""
        self.timer.cancel()
        self.answers.slow -= self.slow


def client(peer: str) -> str:
    """The address, without the port, of a peer as gRPC names it: `ipv4:127.0.0.1:5000`, `ipv6:%5B::1%5D:5000`."""
    kind, _, rest = peer.partition(":")
    return unquote(rest.rpartition(":")[0]).strip("[]").removeprefix("::ffff:") if kind in ("ipv4", "ipv6") else peer


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
) -> GrpcPort:
    """Answers gRPC.

    Args:
        addresses: `host:port`, where port 0 takes a free one, or `unix:path`.
        credentials: Of `grpc.ssl_server_credentials`; `None` for plain connections.
        with_health: Whether grpc.health.v1 is answered too.

    Raises:
        Status: An address cannot be listened on.
    """
    limits = [
        ("grpc.max_receive_message_length", service.budget.limits.body),
        ("grpc.max_send_message_length", LARGEST),
        ("grpc.max_concurrent_streams", STREAMS),
        ("grpc.max_connection_idle_ms", int(service.budget.limits.idle * 1000)),
    ]
    started: Future[tuple[Any, Any, tuple[int, ...]]] = Future()

    async def serve() -> None:
        answers = _Answers(service, Elastic(threads, "grpc"), Elastic(service.budget.limits.reloads, "reload"))
        try:
            server = grpc.aio.server(options=[*limits, *options])
            server.add_generic_rpc_handlers(_handlers(answers))
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
            for pool in (answers.pool, answers.reloading):
                pool.shutdown(wait=False, cancel_futures=True)

    def run() -> None:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name="grpc", daemon=True)
    thread.start()
    server, loop, ports = started.result()
    return GrpcPort(server, loop, thread, ports)


def _handlers(answers: _Answers) -> list[Any]:
    return [
        grpc.method_handlers_generic_handler(
            name, {method: answers.handler(answering) for method, answering in found.items()}
        )
        for name, found in methods.answering(answers.service).items()
    ]


def _listen(server: Any, address: str, credentials: Any) -> int:
    try:
        if credentials is None or address.startswith("unix:"):
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise Status("UNAVAILABLE", f"gRPC cannot listen on {address}: {error}") from None
