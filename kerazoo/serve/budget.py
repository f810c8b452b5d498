"""What requests hold, counted over both wires: spent before work is done, given back when the work has ended.

`Budget.admit` lets a request in as a `Ticket`; the thread that works on it does so within `Ticket.working`. What is
read, inflated or built for it is spent with `spend`, and `check` ends the work of a request whose client has gone or
whose time is over. Outside a request both do nothing, so that models can be warmed up by the same functions.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from kerazoo.ops.pictures import SERVED, Decoding, Memory, decoding
from kerazoo.serve import limits as limits_
from kerazoo.serve import memory
from kerazoo.serve.limits import Limits
from kerazoo.serve.wire.status import Status

LARGE = 64 << 20
"""Bytes; after a request that took more, memory is given back to the system."""

_current: ContextVar[Ticket | None] = ContextVar("ticket", default=None)


@dataclass
class _Held:
    requests: int = 0
    memory: int = 0


@dataclass
class Budget:
    """What all requests of a server hold together, and each client by itself."""

    limits: Limits = limits_.DEFAULTS
    total: _Held = field(default_factory=_Held)
    clients: dict[str, _Held] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.decoding = Decoding(SERVED, Memory(self.limits.pictures), check, (Status,))

    def admit(self, client: str, deadline: float | None = None) -> Ticket:
        """Lets a request in that is there to be answered.

        Args:
            client: Its address, without the port.
            deadline: `time.monotonic()` at which nobody waits for the answer any more.

        Raises:
            Status: Too many are waiting.
        """
        ticket = self.arriving(client, deadline)
        try:
            ticket.enter()
        except Status:
            ticket.close()
            raise
        return ticket

    def arriving(self, client: str, deadline: float | None = None) -> Ticket:
        """A request whose body is still on its way: it may spend, and does not count as waiting before `enter`."""
        with self.lock:
            self.clients.setdefault(client, _Held())
        return Ticket(self, client, deadline)

    def take(self, client: str, requests: int, memory: int, held: int = 0) -> None:
        """Takes requests and bytes, or gives them back where they are negative.

        Args:
            held: Bytes that the request has already.

        Raises:
            Status: That is too much; nothing was taken.
        """
        limits = self.limits
        with self.lock:
            own = self.clients.setdefault(client, _Held())
            for most, now in ((limits.waiting, self.total), (_part(limits.waiting, limits.share), own)):
                if requests > 0 and now.requests + requests > most:
                    raise Status(
                        "RESOURCE_EXHAUSTED", f"{now.requests} requests are waiting already. Come back in a moment."
                    )
            share = _part(limits.memory, limits.share)
            if memory > 0 and held + memory > share:
                raise Status(
                    "RESOURCE_EXHAUSTED",
                    f"The request needs {held + memory >> 20} MiB; one client may have {share >> 20} MiB.",
                )
            for most, now in ((limits.memory, self.total), (share, own)):
                if memory > 0 and now.memory + memory > most:
                    raise Status("UNAVAILABLE", "Too many long requests at once. Come back in a moment.")
            for now in (self.total, own):
                now.requests += requests
                now.memory += memory
            if not own.requests and not own.memory:
                self.clients.pop(client, None)

    def trim(self, size: int) -> None:
        """Gives memory back to the system after a request that took much of it, for itself or for its pictures."""
        pictures = self.decoding.memory
        if max(size, pictures.highest) > LARGE:
            pictures.highest = 0
            memory.give_back_soon()


def _part(whole: int, share: float) -> int:
    return max(-int(-whole * share // 1), 1)


@dataclass(eq=False)
class Ticket:
    """One request that was let in.

    Attributes:
        deadline: `time.monotonic()` at which it ends; `None` for never.
        ended: Why nobody wants its answer any more.
        busy: Whether a thread works on it, which closes it.
    """

    budget: Budget
    client: str
    deadline: float | None = None
    ended: Status | None = None
    memory: int = 0
    entered: int = 0
    watchers: list[Callable[[], object]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    busy: bool = False
    closed: bool = False

    def enter(self) -> None:
        """Counts as waiting from now on. Raises `Status` where too many do."""
        self.budget.take(self.client, 1, 0)
        self.entered = 1

    def spend(self, size: int) -> None:
        """Takes bytes, until `close`. Raises `Status` where there are not as many."""
        with self.lock:
            if self.closed:
                return
            self.budget.take(self.client, 0, size, self.memory)
            self.memory += size

    def close(self) -> None:
        """Gives back everything; the work has ended."""
        with self.lock:
            if not self.closed:
                self.closed = True
                self.budget.take(self.client, -self.entered, -self.memory)
                self.budget.trim(self.memory)

    def end(self, why: Status) -> None:
        """Says that nobody waits for the answer any more; whoever works on it notices at the next `check`."""
        with self.lock:
            if self.ended is not None:
                return
            self.ended = why
            watchers = list(self.watchers)
        for watcher in watchers:
            watcher()

    def check(self) -> None:
        """Raises `Status` where nobody waits for the answer any more."""
        if self.ended is None and self.deadline is not None and time.monotonic() > self.deadline:
            self.end(Status("DEADLINE_EXCEEDED", "Deadline Exceeded"))
        if self.ended is not None:
            raise self.ended

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """What runs meanwhile on this thread is done for this request. Raises `Status` where it has ended."""
        self.check()
        before, decoded = _current.set(self), decoding.set(self.budget.decoding)
        try:
            yield
        finally:
            _current.reset(before)
            decoding.reset(decoded)

    def wait(self, done: threading.Event) -> None:
        """Waits for an event, or until nobody waits for the answer any more. Raises `Status` then."""
        with self.lock:
            self.watchers.append(done.set)
        try:
            self.check()
            done.wait(None if self.deadline is None else max(self.deadline - time.monotonic(), 0) + 0.001)
        finally:
            with self.lock:
                self.watchers.remove(done.set)
        if not done.is_set() or self.ended is not None:
            self.check()


def current() -> Ticket | None:
    """The request that this thread works for."""
    return _current.get()


def limits() -> Limits:
    """Those of the server that this thread works for."""
    ticket = _current.get()
    return limits_.DEFAULTS if ticket is None else ticket.budget.limits


def spend(size: int) -> None:
    """Takes bytes for the request that this thread works for. Raises `Status` where there are not as many."""
    ticket = _current.get()
    if ticket is not None:
        ticket.spend(size)


def check() -> None:
    """Raises `Status` where nobody waits any more for the answer that this thread works for."""
    ticket = _current.get()
    if ticket is not None:
        ticket.check()


def wait(done: threading.Event) -> None:
    """Waits for an event as long as somebody waits for the answer. Raises `Status` when nobody does."""
    ticket = _current.get()
    if ticket is None:
        done.wait()
    else:
        ticket.wait(done)
