"""The float constants of a frozen TensorFlow graph (`GraphDef`), by the name of their node. Nothing of it is run.

Bounds: those of `protobuf` and `_arrays`; a constant must hold every one of its numbers (TensorFlow may write one for
all of them; trained weights are not like that).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerazoo.errors import WeightsDamaged
from kerazoo.protobuf import BYTES, VARINT, fields, opening
from kerazoo.weights._arrays import Arrays, count

ABOUT = "frozen TensorFlow graph .pb"

NODE_FIELDS = {1: BYTES, 2: BYTES, 3: BYTES, 4: BYTES, 5: BYTES}
"""Field -> kind in `NodeDef`: name, operation, inputs, device, attributes; from TensorFlow's `node_def.proto`."""

FLOAT = 1
"""`DT_FLOAT`; constants of other types are shapes and the like, and are left out."""


def recognises(path: Path, head: bytes) -> bool:
    """The format has no signature: it begins with a node, and that with its name and its operation."""
    with path.open("rb") as file:
        begin = memoryview(file.read(1 << 12))
    node = opening(begin, {1: BYTES}, {1})
    if node is None:
        return False
    name = opening(node[1], NODE_FIELDS, {1})
    operation = opening(node[1], NODE_FIELDS, {2})
    return name is not None and operation is not None and bytes(operation[1][:1]).isalpha()


def read(path: Path) -> dict[str, np.ndarray]:
    """Constants of type float as float32, in the order of the graph."""
    arrays = Arrays()
    for _, _, node in fields(memoryview(path.read_bytes()), {1: BYTES}):
        texts = {number: bytes(part).decode() for number, _, part in fields(node, {1: BYTES, 2: BYTES})}
        if texts.get(2) != "Const":
            continue
        for _, _, attribute in fields(node, {5: BYTES}):
            entry = {number: part for number, _, part in fields(attribute, {1: BYTES, 2: BYTES})}
            if bytes(entry.get(1, b"")) == b"value" and 2 in entry:
                for _, _, tensor in fields(entry[2], {8: BYTES}):
                    found = _array(texts.get(1, ""), tensor)
                    if found is not None:
                        arrays.add(texts.get(1, ""), found)
    return arrays.some()


def _array(name: str, tensor: memoryview) -> np.ndarray | None:
    shape: list[int] = []
    kind, content, numbers = 0, b"", b""
    for number, value, part in fields(tensor, {1: VARINT, 2: BYTES, 4: BYTES, 5: BYTES}):
        if number == 1:
            kind = value
        elif number == 2:
            for _, _, dimension in fields(part, {2: BYTES}):
                sizes = [length for _, length, _ in fields(dimension, {1: VARINT})]
                shape.append(sizes[0] if sizes else 0)
        elif number == 4:
            content = bytes(part)
        else:
            numbers += bytes(part)
    if kind != FLOAT:
        return None
    size = count(name, tuple(shape))
    values = np.frombuffer(content or numbers, "<f4") if len(content or numbers) % 4 == 0 else np.empty(0, "<f4")
    if len(values) != size:
        raise WeightsDamaged(f"{name[:80]} of shape {tuple(shape)} should take {size} numbers, it has {len(values)}")
    return values.astype(np.float32).reshape(shape)
