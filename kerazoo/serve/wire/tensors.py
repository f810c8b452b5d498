"""TensorProto to NumPy and back, as TensorFlow reads and TF Serving writes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.serve import budget
from kerazoo.serve.wire import protos
from kerazoo.serve.wire.status import Status, invalid

DEEPEST = 254
"""Most dimensions of a tensor in TensorFlow."""

GROWTH = 8
"""What a graph may need for each byte of an input; known beforehand only of values that were not sent."""

CHUNK = 1 << 16
"""So many values at a time become Python's numbers on their way into a message."""

FEW = 32
"""So many values become an array faster by way of a list."""

REFERENCE = 100
"""What a reference type's number is larger by; signatures of old graphs have them."""


@dataclass(frozen=True)
class DType:
    """One of TensorFlow's types: its name in lower case, NumPy's type, and the field that holds its values."""

    name: str
    numpy: Any
    field: str


def _bfloat16() -> Any:
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


DTYPES = {
    1: DType("float", np.dtype("<f4"), "float_val"),
    2: DType("double", np.dtype("<f8"), "double_val"),
    3: DType("int32", np.dtype("<i4"), "int_val"),
    4: DType("uint8", np.dtype("u1"), "int_val"),
    5: DType("int16", np.dtype("<i2"), "int_val"),
    6: DType("int8", np.dtype("i1"), "int_val"),
    7: DType("string", np.dtype(object), "string_val"),
    8: DType("complex64", np.dtype("<c8"), "scomplex_val"),
    9: DType("int64", np.dtype("<i8"), "int64_val"),
    10: DType("bool", np.dtype("?"), "bool_val"),
    14: DType("bfloat16", None, "half_val"),
    17: DType("uint16", np.dtype("<u2"), "int_val"),
    18: DType("complex128", np.dtype("<c16"), "dcomplex_val"),
    19: DType("half", np.dtype("<f2"), "half_val"),
    22: DType("uint32", np.dtype("<u4"), "uint32_val"),
    23: DType("uint64", np.dtype("<u8"), "uint64_val"),
}
"""TensorFlow's numbers of the types that can be sent."""


_NUMBERS = {found.numpy: number for number, found in DTYPES.items() if found.numpy is not None}


def is_binary(alias: str) -> bool:
    """Whether a tensor of texts holds bytes that are no text: TF Serving tells it by the name."""
    return alias.endswith("_bytes")


def plain(number: int) -> int:
    """A type without its reference mark."""
    return number - REFERENCE if number > REFERENCE else number


def dtype(number: int) -> DType | None:
    """The type of a number, reference types as the ones they refer to; `None` for one that cannot be sent."""
    return DTYPES.get(plain(number))


def numpy_of(number: int) -> Any:
    """NumPy's type of a number that can be sent."""
    found = DTYPES[plain(number)]
    return found.numpy if found.numpy is not None else _bfloat16()


def number_of(array: np.ndarray) -> int:
    """TensorFlow's number for an array's type; texts are object arrays of bytes.

    Raises:
        Status: TensorFlow's wire has no such type.
    """
    number = _NUMBERS.get(array.dtype)
    if number is not None:
        return number
    if array.dtype.kind in "SU":
        return 7
    if array.dtype.name == "bfloat16":
        return 14
    raise Status("INTERNAL", f"No tensor type for {array.dtype}")


def to_array(proto: Any, alias: str) -> np.ndarray:
    """The array of a TensorProto, in typed fields or as `tensor_content`.

    Fewer values than the shape asks for: the last one is repeated, or zeros where there is none; more are ignored.

    Args:
        alias: Name of the input, for the message.

    Raises:
        Status: It cannot be read, or declares more values than it sends and than there may be.
    """
    found = DTYPES.get(proto.dtype)
    dims = proto.tensor_shape.dim
    if found is None or proto.tensor_shape.unknown_rank or len(dims) > DEEPEST:
        raise invalid(f"tensor parsing error: {alias}")
    shape = [dim.size for dim in dims]
    if min(shape, default=0) < 0:
        raise invalid(f"tensor parsing error: {alias}")
    kind = numpy_of(proto.dtype)
    count = math.prod(shape)
    if found.name == "string" or not proto.tensor_content:
        _admit(proto, found, kind, count, alias)
    try:
        if proto.tensor_content and found.name != "string":
            if len(proto.tensor_content) != count * kind.itemsize:
                raise invalid(f"tensor parsing error: {alias}")
            return np.frombuffer(proto.tensor_content, kind).reshape(shape)
        return _filled(_values(proto, found, kind), count, kind).reshape(shape)
    except (ValueError, OverflowError):
        raise invalid(f"tensor parsing error: {alias}") from None


def _admit(proto: Any, found: DType, kind: Any, count: int, alias: str) -> None:
    """Spends what the values need, before any of them is built.

    Raises:
        Status: It is too much. A few bytes can declare any size, since missing values are filled in.
    """
    limits = budget.limits()
    values = getattr(proto, found.field)
    text = found.name == "string"
    if text and count > limits.rows:
        raise Status("RESOURCE_EXHAUSTED", f"Input {alias} has {count} texts; at most {limits.rows} go.")
    each = kind.itemsize
    if text and len(values) < count:
        each += len(values[-1]) if len(values) else 0
    missing = max(count - len(values) // (2 if found.name.startswith("complex") else 1), 0) * each
    if missing > limits.filled:
        raise Status(
            "RESOURCE_EXHAUSTED",
            f"Input {alias} declares {count} values and sends {len(values)}; at most {limits.filled} bytes are filled "
            "in.",
        )
    if max(missing, len(values)) > CHUNK:
        budget.spend(missing * GROWTH + len(values) * kind.itemsize)


def _values(proto: Any, found: DType, kind: Any) -> np.ndarray:
    values = getattr(proto, found.field)
    if found.name == "string":
        array = np.empty(len(values), object)
        array[:] = list(values)
        return array
    if found.field == "half_val":
        return np.array(values, np.int64).astype(np.uint16).view(kind)
    if found.field in ("scomplex_val", "dcomplex_val"):
        return np.array(values, np.float32 if found.name == "complex64" else np.float64).view(kind)
    if found.field == "int_val":
        return np.array(values, np.int64).astype(kind)  # Narrow types wrap, as in C.
    return np.array(values[:] if len(values) < FEW else values, kind)


def _filled(values: np.ndarray, count: int, kind: Any) -> np.ndarray:
    if len(values) >= count:
        return values[:count]
    filler: Any = values[-1] if len(values) else b"" if kind.hasobject else 0
    out = np.empty(count, kind)
    out[: len(values)] = values
    out[len(values) :] = filler
    return out


def to_proto(array: np.ndarray, as_content: bool = False, into: Any = None) -> Any:
    """A TensorProto of an array: one value an element in the typed field, or all as `tensor_content`.

    Args:
        into: An empty TensorProto to fill, instead of a new one.
    """
    number = number_of(array)
    found = DTYPES[number]
    proto = protos.core("TensorProto")() if into is None else into
    proto.dtype = number
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    flat = array.reshape(-1)
    if found.name == "string":
        proto.string_val.extend(text if isinstance(text, bytes) else str(text).encode() for text in flat.tolist())
    elif as_content:
        proto.tensor_content = flat.tobytes()
    elif found.field == "half_val":
        proto.half_val.extend(flat.view(np.uint16).tolist())
    elif found.name in ("complex64", "complex128"):
        getattr(proto, found.field).extend(flat.view(flat.real.dtype).tolist())
    else:
        _append(proto, found, flat)
    return proto


def _append(proto: Any, found: DType, flat: np.ndarray) -> None:
    """Adds numbers to their field: a few as Python's, many as they stand in a serialized message where they can."""
    field = proto.DESCRIPTOR.fields_by_name[found.field]
    packed = field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE)
    for start in range(0, len(flat), CHUNK):
        part = flat[start : start + CHUNK]
        if packed and len(part) >= FEW:
            data = np.ascontiguousarray(part, found.numpy).tobytes()
            proto.MergeFromString(bytes([field.number << 3 | 2]) + _varint(len(data)) + data)
        else:
            getattr(proto, found.field).extend(part.tolist())


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
