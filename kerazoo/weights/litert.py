"""The float constants of a LiteRT (`.tflite`) file, by tensor name.

Format: TensorFlow's `schema.fbs`, a FlatBuffer: tables that point to their fields by offsets. Only the few fields that
hold constants are followed, and no interpreter is started, so that nothing else in a file can matter.

Bounds: those of `_arrays` for shapes, names and the number of tensors, checked at each: tables may be pointed to many
times over; constants may be, too, as equal ones are stored once: to `SHARED` times the file in all.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.errors import WeightsDamaged
from kerazoo.weights._arrays import HIGHEST_RANK, LONGEST_NAME, MOST, SHARED, Arrays, count

ABOUT = "LiteRT .tflite with float weights"

# Positions of fields in their tables, from the schema.
MODEL_SUBGRAPHS, MODEL_BUFFERS = 2, 4
SUBGRAPH_TENSORS = 0
TENSOR_SHAPE, TENSOR_TYPE, TENSOR_BUFFER, TENSOR_NAME = 0, 1, 2, 3
BUFFER_DATA = 0
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
        if count > MOST:
            raise WeightsDamaged(f"it has {count} tensors or buffers, more than {MOST}")
        return [self.follow(start + 4 * index) for index in range(count)]


def read(path: Path) -> dict[str, np.ndarray]:
    flat = _Flat(path.read_bytes())
    model = flat.follow(0)
    buffers = flat.tables(flat.field(model, MODEL_BUFFERS))
    arrays, left = Arrays(), SHARED * len(flat.data)
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
            if rank > HIGHEST_RANK:
                raise WeightsDamaged(f"a constant has a shape of rank {rank}")
            shape = struct.unpack_from(f"<{rank}i", flat.data, first)
            text, letters = flat.vector(flat.field(tensor, TENSOR_NAME), 1)
            # One more than a name may have, so that it is refused.
            name = flat.data[text : text + min(letters, LONGEST_NAME + 1)].decode()
            size, left = count(name, shape), left - length
            if size * dtype.itemsize != length or left < 0:
                raise WeightsDamaged(f"{name[:80]} of shape {shape} has {length} bytes, or it is there too often")
            arrays.add(name, np.frombuffer(flat.data, dtype, size, start).reshape(shape))
    return arrays
