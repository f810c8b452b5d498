"""Statuses, as TF Serving gives them: a code, a message, and the HTTP status that stands for the code."""

from __future__ import annotations

from kerazoo.errors import KerazooError

CODES = {
    "OK": (0, 200),
    "CANCELLED": (1, 499),
    "UNKNOWN": (2, 500),
    "INVALID_ARGUMENT": (3, 400),
    "DEADLINE_EXCEEDED": (4, 504),
    "NOT_FOUND": (5, 404),
    "ALREADY_EXISTS": (6, 409),
    "PERMISSION_DENIED": (7, 403),
    "RESOURCE_EXHAUSTED": (8, 429),
    "FAILED_PRECONDITION": (9, 400),
    "ABORTED": (10, 409),
    "OUT_OF_RANGE": (11, 400),
    "UNIMPLEMENTED": (12, 501),
    "INTERNAL": (13, 500),
    "UNAVAILABLE": (14, 503),
    "DATA_LOSS": (15, 500),
    "UNAUTHENTICATED": (16, 401),
}
"""Name -> number in gRPC, status in HTTP. TF Serving's HTTP statuses are not gRPC's usual ones."""


class Status(Exception):
    """Why a request or a load failed, in the words that the client gets.

    Attributes:
        code: A key of `CODES`, never `OK`.
        message: The text alone, without the code.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def number(self) -> int:
        return CODES[self.code][0]

    @property
    def http(self) -> int:
        return CODES[self.code][1]


def invalid(message: str) -> Status:
    """`INVALID_ARGUMENT`, the commonest."""
    return Status("INVALID_ARGUMENT", message)


def of(error: BaseException) -> Status:
    """The status that an error means to a client; what was not raised on purpose is `INTERNAL`."""
    if isinstance(error, Status):
        return error
    if isinstance(error, KerazooError):
        made = Status(error.grpc_code, str(error))
        made.__cause__ = error
        return made
    if isinstance(error, MemoryError):
        return Status("RESOURCE_EXHAUSTED", "Out of memory.")
    return Status("INTERNAL", f"{type(error).__name__}: {error}")
