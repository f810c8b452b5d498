"""Categories: one of the classes that a model knows, by its name or its number."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerazoo.codecs import text
from kerazoo.contract import Port
from kerazoo.errors import InputError

SUFFIXES: tuple[str, ...] = ()
MIME = "text/plain"

UNSAID = b""
"""The category of an item that has none: the model's choice."""

plain = text.plain
distance = text.distance


def read(item: Any, port: Port) -> bytes:
    """A name, or a number, to the bytes of what is written.

    Raises:
        InputError: It is neither.
    """
    if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
        return str(int(item)).encode()
    if not isinstance(item, (str, bytes)):
        raise InputError(f"{port.name} takes the name of a class, or its number; this is {type(item).__name__}.")
    return text.read(item, port)


def example(port: Port, rng: np.random.Generator) -> bytes:
    return b"0"  # Whatever its classes are called, a model has a first one.
