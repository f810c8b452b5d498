"""What clients may ask of a server, whichever wire they use: one table, which docs/serving.md shows."""

from __future__ import annotations

import resource
from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """How much of the machine requests may take; both wires spend from the same.

    Attributes:
        body: Most bytes of one request, as it is sent.
        inflated: Most bytes of a body that came compressed, inflated.
        memory: Bytes of all requests together: bodies, what is read from them, tensors, answers in JSON.
        pictures: Bytes of all pictures together while they are decoded; who comes when they are taken waits.
        waiting: Most requests that wait or run.
        share: The part of `memory` and `waiting` that one client (one address) may have.
        rows: Most entries along a tensor's first axis.
        filled: Most bytes of the values that a tensor declares and does not send.
        fields: Most fields of a gRPC message, those of the messages within it included.
        seconds: Longest time for a body to arrive, and for an answer over REST to be made.
        idle: Longest time, in seconds, that a connection may wait for the head of its next request.
        head: Most bytes of a request's line and headers.
        url: Most bytes of a request's address.
        headers: Most headers.
        connections: Most open connections to the REST port; the one that has been idle longest makes room for a new
            one. Never more than what leaves a reserve of file descriptors.
        strangers: Most refused requests whose clients are given time to notice.
        slow: Most gRPC messages that may be on their way for longer than a moment.
        reloads: Most configurations over gRPC that wait for their models.
        reload_seconds: Longest time that one of these may wait.
    """

    body: int = 128 * MIB
    inflated: int = 100 * MIB
    memory: int = 1024 * MIB
    pictures: int = 512 * MIB
    waiting: int = 1000
    share: float = 0.75
    rows: int = 1 << 16
    filled: int = 64 * MIB
    fields: int = 1_000_000
    seconds: float = 30.0
    idle: float = 75.0
    head: int = 64 << 10
    url: int = 16 << 10
    headers: int = 100
    connections: int = 4096
    strangers: int = 64
    slow: int = 4
    reloads: int = 4
    reload_seconds: float = 3600.0


DEFAULTS = Limits()

RESERVE = 128
"""File descriptors that connections leave to everything else: models, folders, logs, and gRPC."""


def descriptors() -> int:
    """How many files this process may have open; raised to what the system lets it have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else max(soft, 1 << 16)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return soft
    return wanted


def connections(limits: Limits) -> int:
    """How many connections the REST port may have: half of what is there beside the reserve at most."""
    return max(min(limits.connections, (descriptors() - RESERVE) // 2), 1)
