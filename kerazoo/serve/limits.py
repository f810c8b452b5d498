"""What clients may ask of a server, whichever wire they use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one client may ask of the server.

    Attributes:
        body: Most bytes of a body.
        waiting: Most requests that may wait or run; more are told to come back.
        seconds: Longest time for a body to arrive, and for an answer to be made.
        idle: Longest time, in seconds, that a connection may wait for the head of its next request.
        buffered: Most bytes of all bodies together.
    """

    body: int = 128 << 20
    waiting: int = 1000
    seconds: float = 30.0
    idle: float = 75.0
    buffered: int = 512 << 20
