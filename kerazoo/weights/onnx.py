"""The initialisers of an ONNX graph, as other tools export them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights._arrays import BRAIN, Arrays, array, count, item_size
from kerazoo.weights._wire import BYTES, VARINT, fields, opening

if TYPE_CHECKING:
    from onnx import TensorProto

ABOUT = "ONNX"

PEEK = 1 << 16
"""Bytes in which the graph must begin; what describes the file comes before it."""

VERSION, GRAPH = 1, 7
MODEL_FIELDS = {VERSION: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, GRAPH: BYTES, 8: BYTES, 14: BYTES}
GRAPH_FIELDS = dict.fromkeys((1, 2, 5, 10, 11, 12, 13, 14, 15, 16), BYTES)
"""Field -> kind in `ModelProto` and `GraphProto`, from `onnx.proto`."""

# What of a tensor holds its numbers where they are not raw, and in which width.
VALUES = {
    "<f4": ("float_data", "<f4"),
    "<f8": ("double_data", "<f8"),
    "<i8": ("int64_data", "<i8"),
    "<u8": ("uint64_data", "<u8"),
    "<u4": ("uint64_data", "<u8"),
}
SMALL = ("int32_data", "<i4")
KINDS = {
    1: "<f4",
    2: "u1",
    3: "i1",
    4: "<u2",
    5: "<i2",
    6: "<i4",
    7: "<i8",
    9: "u1",
    10: "<f2",
    11: "<f8",
    12: "<u4",
    13: "<u8",
    16: BRAIN,
}
STRING = 8


def recognises(path: Path, head: bytes) -> bool:
    """The format has no signature: it begins with its version, and the graph must come behind fields that may."""
    if head[:1] != b"\x08":
        return False
    with path.open("rb") as file:
        begin = memoryview(file.read(PEEK))
    found = opening(begin, MODEL_FIELDS, {GRAPH})
    return found is not None and opening(found[1], GRAPH_FIELDS, GRAPH_FIELDS) is not None


def read(path: Path) -> dict[str, np.ndarray]:
    """Initialisers by name, floats of any width as float32, in the order in which nodes first use them; then the rest.

    Texts are left out.
    """
    import onnx

    data = path.read_bytes()
    # The package takes hundreds of bytes for each empty node; counting them first takes none.
    for _, _, part in fields(memoryview(data), {GRAPH: BYTES}):
        for _ in fields(part, {}):
            pass
    graph = onnx.ModelProto.FromString(data).graph
    if graph.sparse_initializer:
        raise UsageError("The file keeps tensors as sparse ones, which are not read.")
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    if len(tensors) != len(graph.initializer):
        raise WeightsDamaged("two tensors have the same name")
    order = dict.fromkeys(name for node in graph.node for name in node.input if name in tensors)
    arrays = Arrays()
    for name in dict.fromkeys((*order, *tensors)):
        if tensors[name].data_type != STRING:
            arrays.add(name, _array(tensors[name]))
    return arrays.some()


def _array(tensor: TensorProto) -> np.ndarray:
    name, kind = tensor.name, KINDS.get(tensor.data_type)
    if tensor.data_location or tensor.external_data:
        raise UsageError(f"The file keeps {name[:80]} in a file beside it; weights must lie in the file itself.")
    if tensor.HasField("segment"):
        raise UsageError(f"The file keeps {name[:80]} in parts; save it whole.")
    if kind is None:
        raise UsageError(f"The file's {name[:80]} is of type {tensor.data_type} of ONNX, which weights have not.")
    shape = list(tensor.dims)
    if tensor.HasField("raw_data"):
        return array(name, tensor.raw_data, kind, shape)
    field, width = VALUES.get(kind, SMALL)
    values = getattr(tensor, field)
    if len(values) != count(name, shape):
        raise WeightsDamaged(f"{name[:80]} of shape {tuple(shape)} has {len(values)} numbers")
    numbers = np.fromiter(values, width, len(values))
    if item_size(kind) != numbers.itemsize:
        # Halves stand as their bits, the others as numbers that are small enough.
        numbers = numbers.astype(f"<u{item_size(kind)}", casting="unsafe")
    return array(name, numbers.tobytes(), kind, shape)
