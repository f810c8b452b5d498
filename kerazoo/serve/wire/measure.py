"""What a serialized message needs in memory, known before it is parsed: an empty field of two bytes becomes fifty."""

from __future__ import annotations

import functools
from typing import Any

from kerazoo.serve.wire.status import Status

MESSAGE, TEXT, NUMBER = 64, 24, 8
"""Bytes of a field that is a message, of one that is a text beside its length, and of a number."""

SHORT = 1 << 12
WORST = 32
"""Messages of less than `SHORT` bytes are not looked into; they grow by no more than this."""

_FIXED = {1: 8, 5: 4}
"""Wire type -> its bytes."""


def needed(data: bytes, message_class: Any, most: int) -> int:
    """Bytes that the parsed message takes, about.

    What is no message is not refused here: the parser says so.

    Args:
        most: Most fields that it may have, those of the messages within it included.

    Raises:
        Status: It has more.
    """
    if len(data) < SHORT:
        return WORST * len(data)
    total, count, stack = 0, 0, [(0, len(data), _fields(message_class.DESCRIPTOR))]
    try:
        while stack:
            at, end, fields = stack.pop()
            while at < end:
                count += 1
                if count > most:
                    raise Status("RESOURCE_EXHAUSTED", f"The message has too many fields; at most {most} go.")
                key, at = _varint(data, at)
                kind = key & 7
                if kind == 0:
                    _, at = _varint(data, at)
                    total += NUMBER
                elif kind in _FIXED:
                    at += _FIXED[kind]
                    total += NUMBER
                elif kind == 2:
                    length, at = _varint(data, at)
                    if length > end - at:
                        return total
                    grows, inner = fields.get(key >> 3, (1, None))
                    if inner is not None:
                        total += MESSAGE
                        stack += [(at + length, end, fields), (at, at + length, inner())]
                        break
                    total += TEXT + length * grows
                    at += length
                else:  # Groups, which nobody sends.
                    return total + WORST * (end - at)
    except IndexError:
        pass
    return total


def _varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    value, shift = byte & 127, 7
    while byte >= 128 and shift < 70:
        at += 1
        byte = data[at]
        value |= (byte & 127) << shift
        shift += 7
    return value, at + 1


@functools.cache
def _fields(descriptor: Any) -> dict[int, tuple[int, Any]]:
    """Number of a field -> how much its bytes grow, and what gives the fields within it where it is a message."""
    found: dict[int, tuple[int, Any]] = {}
    for field in descriptor.fields:
        if field.message_type is not None:
            found[field.number] = (1, functools.partial(_fields, field.message_type))
        elif field.cpp_type in (field.CPPTYPE_STRING, field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
            found[field.number] = (1, None)
        else:
            found[field.number] = (NUMBER, None)  # One byte may be a number.
    return found
