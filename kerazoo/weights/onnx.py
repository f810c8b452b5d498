"""The initialisers of an ONNX graph, as other tools export them.

Bounds: those of `protobuf` and `_arrays`. Only the tensors are handed to the `onnx` package, one at a time: of a whole
network it would make objects that take hundreds of times the bytes of the file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.protobuf import BYTES, VARINT, fields, opening
from kerazoo.weights._arrays import Arrays, count

ABOUT = "ONNX"

PEEK = 1 << 16
"""Bytes in which the graph must begin; what describes the file comes before it."""

VERSION, GRAPH = 1, 7
MODEL_FIELDS = {VERSION: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, GRAPH: BYTES, 8: BYTES, 14: BYTES}
GRAPH_FIELDS = dict.fromkeys((1, 2, 5, 10, 11, 12, 13, 14, 15, 16), BYTES)
"""Field -> kind in `ModelProto` and `GraphProto`, from `onnx.proto`."""

NODE, INITIALISER, SPARSE = 1, 5, 15
"""Fields of the graph; a node's first one names its inputs."""

FLOATS = {1, 10, 11, 16}
NUMBERS = FLOATS | {2, 3, 4, 5, 6, 7, 9, 12, 13}
STRING = 8
"""Types of tensors (`TensorProto.DataType`): bfloat16 is among the floats, bool among the numbers."""


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
    order: dict[str, None] = {}
    tensors: dict[str, memoryview] = {}
    for _, _, graph in fields(memoryview(path.read_bytes()), {GRAPH: BYTES}):
        for number, _, part in fields(graph, {NODE: BYTES, INITIALISER: BYTES, SPARSE: BYTES}):
            if number == SPARSE:
                raise UsageError("The file keeps tensors as sparse ones, which are not read.")
            if number == NODE:
                order |= dict.fromkeys(bytes(name).decode() for _, _, name in fields(part, {1: BYTES}))
                continue
            name = "".join(bytes(text).decode() for _, _, text in fields(part, {8: BYTES}))
            if name in tensors:
                raise WeightsDamaged("two tensors have the same name")
            tensors[name] = part
    arrays = Arrays()
    for name in dict.fromkeys((*(name for name in order if name in tensors), *tensors)):
        if (found := _array(name, bytes(tensors[name]))) is not None:
            arrays.add(name, found)
    return arrays.some()


def _array(name: str, data: bytes) -> np.ndarray | None:
    """The tensor, `None` where it holds texts."""
    import onnx
    from onnx import helper, numpy_helper

    tensor = onnx.TensorProto.FromString(data)
    kind = tensor.data_type
    if tensor.data_location or tensor.external_data:
        raise UsageError(f"The file keeps {name[:80]} in a file beside it; weights must lie in the file itself.")
    if tensor.HasField("segment"):
        raise UsageError(f"The file keeps {name[:80]} in parts; save it whole.")
    if kind == STRING:
        return None
    if kind not in NUMBERS:
        raise UsageError(f"The file's {name[:80]} is of type {kind} of ONNX, which weights have not.")
    shape = tuple(tensor.dims)
    size = count(name, shape)
    if tensor.HasField("raw_data"):
        there = len(tensor.raw_data) / helper.tensor_dtype_to_np_dtype(kind).itemsize
    else:
        there = len(getattr(tensor, helper.tensor_dtype_to_field(kind)))
    if there != size:
        raise WeightsDamaged(f"{name[:80]} of shape {shape} should take {size} numbers, it has {there:g}")
    found = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        # What float32 cannot hold becomes infinite, which `assign` refuses.
        return found.astype(np.float32, copy=False) if kind in FLOATS else found
