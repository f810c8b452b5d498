"""The float constants of a LiteRT (`.tflite`) file, by tensor name.

Format: TensorFlow's `schema.fbs`, a FlatBuffer: tables that point to their fields by offsets. Only the few fields that
hold constants are followed, and no interpreter is started, so that nothing else in a file can matter.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.errors import WeightsDamaged

ABOUT = "LiteRT .tflite with float weights"

# Positions of fields in their tables, from the schema.
MODEL_SUBGRAPHS, MODEL_BUFFERS = 2, 4
SUBGRAPH_TENSORS = 0
TENSOR_SHAPE, TENSOR_TYPE, TENSOR_BUFFER, TENSOR_NAME = 0, 1, 2, 3
BUFFER_DATA = 0
LONGEST_NAME = 1024
TYPES: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 1: np.dtype("<f2")}


def recognises(path: Path, head: bytes) -> bool:
    return head[4:8] == b"TFL3"


class _Flat:
    """Reads tables and vectors; positions outside the file raise `struct.error`."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def number(self, kind: str, at: int) -> int:
        if at < 0:
            raise struct.error("an offset points before the file")
        return struct.unpack_from("<" + kind, self.data, at)[0]

    def follow(self, at: int) -> int:
        return at + self.number("I", at)

    def field(self, table: int, index: int) -> int | None:
        """Where a field of a table lies; `None` where it has its default."""
        directory = table - self.number("i", table)
        if 4 + 2 * index >= self.number("H", directory):
            return None
        offset = self.number("H", directory + 4 + 2 * index)
        return table + offset if offset else None

    def vector(self, at: int | None, size: int) -> tuple[int, int]:
        """Position of the first element and their number; elements of `size` bytes must lie inside the file."""
        if at is None:
            return 0, 0
        start = self.follow(at)
        count = self.number("I", start)
        if start + 4 + count * size > len(self.data):
            raise struct.error("a vector is longer than the file")
        return start + 4, count

    def tables(self, at: int | None) -> list[int]:
        start, count = self.vector(at, 4)
        return [self.follow(start + 4 * index) for index in range(count)]


def read(path: Path) -> dict[str, np.ndarray]:
    flat = _Flat(path.read_bytes())
    model = flat.follow(0)
    buffers = flat.tables(flat.field(model, MODEL_BUFFERS))
    tensors: dict[str, np.ndarray] = {}
    # The first graph is the network; others are bodies of loops and branches.
    for graph in flat.tables(flat.field(model, MODEL_SUBGRAPHS))[:1]:
        for tensor in flat.tables(flat.field(graph, SUBGRAPH_TENSORS)):
            at = flat.field(tensor, TENSOR_BUFFER)
            # Buffer 0 is the empty one of everything that is computed.
            if at is None or not (index := flat.number("I", at)):
                continue
            start, length = flat.vector(flat.field(buffers[index], BUFFER_DATA), 1)
            at = flat.field(tensor, TENSOR_TYPE)
            dtype = TYPES.get(flat.number("b", at) if at is not None else 0)
            if not length or dtype is None:
                continue
            first, rank = flat.vector(flat.field(tensor, TENSOR_SHAPE), 4)
            shape = struct.unpack_from(f"<{rank}i", flat.data, first) if rank else ()
            text, letters = flat.vector(flat.field(tensor, TENSOR_NAME), 1)
            name = flat.data[text : text + min(letters, LONGEST_NAME)].decode()
            if min(shape, default=1) < 1 or math.prod(shape) * dtype.itemsize != length or name in tensors:
                raise WeightsDamaged(f"constant {name!r} of shape {shape} has {length} bytes, or stands twice.")
            tensors[name] = np.frombuffer(flat.data, dtype, math.prod(shape), start).reshape(shape)
    return tensors
