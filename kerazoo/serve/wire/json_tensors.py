"""Tensors in REST bodies: rows (`instances`) and columns (`inputs`) in, predictions and outputs back."""

from __future__ import annotations

import base64
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kerazoo.serve import budget
from kerazoo.serve.wire import tensors
from kerazoo.serve.wire.json_text import UNDECODABLE, is_base64, kind, quoted, string, unbase64
from kerazoo.serve.wire.status import Status, invalid

DEEPEST = 32
"""Most dimensions of a tensor; NumPy and TensorFlow have little use for more."""

WRITTEN = 160
"""Bytes that a value of an answer needs while it becomes text."""

# --- values in ----------------------------------------------------------------------------------------------------

_RANGES = {
    "int8": (-(1 << 31), (1 << 31) - 1),
    "int16": (-(1 << 31), (1 << 31) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "uint8": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint32": (0, (1 << 32) - 1),
    "uint64": (0, (1 << 64) - 1),
}
"""What a JSON integer may be. The narrow types take all of int32 and wrap."""


def _wrong(value: Any, expected: str) -> Status:
    return invalid(f"JSON Value: {quoted(value)} Type: {kind(value)} is not of expected type: {expected}")


def _scalar(value: Any, name: str) -> Any:
    """One leaf as what NumPy is to hold.

    Raises:
        Status: It does not fit the type.
    """
    if name in ("float", "double"):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        raise _wrong(value, name)
    if name in _RANGES:
        low, high = _RANGES[name]
        expected = name if name in ("int64", "uint32", "uint64") else "int32"
        if type(value) is not int or not low <= value <= high:
            raise _wrong(value, expected)
        return value
    if name == "bool":
        if isinstance(value, bool):
            return value
        raise _wrong(value, name)
    if name == "string":
        if isinstance(value, str):
            return value.encode("utf-8", UNDECODABLE)
        if is_base64(value):
            return unbase64(value["b64"])
        if isinstance(value, dict):
            raise invalid(f"JSON Value: {quoted(value)} not formatted correctly for base64 data")
        raise _wrong(value, name)
    raise Status("UNIMPLEMENTED", f"Conversion of JSON Value: {quoted(value)} to type: {name}")


_QUICK: Mapping[str, Callable[[set[type]], bool]] = {
    "float": lambda types: types <= {int, float},
    "double": lambda types: types <= {int, float},
    "int32": lambda types: types <= {int},
    "int64": lambda types: types <= {int},
    "bool": lambda types: types <= {bool},
}
"""For the common types: whether leaves of these Python types can go to NumPy as they are."""


def _array(leaves: list[Any], shape: Sequence[int], name: str, number: int) -> np.ndarray:
    """Leaves, in order, as an array."""
    if not (name in _QUICK and _QUICK[name](set(map(type, leaves)))):
        leaves = [_scalar(leaf, name) for leaf in leaves]
    elif name in _RANGES and leaves:
        low, high = _RANGES[name]
        if min(leaves) < low or max(leaves) > high:
            leaves = [_scalar(leaf, name) for leaf in leaves]
    if name == "string":
        made = np.empty(len(leaves), object)
        made[:] = leaves
        return made.reshape(shape)
    target = tensors.numpy_of(number)
    wide = {"f": np.float64, "b": np.bool_}.get(target.kind, target if target.itemsize >= 4 else np.int64)
    try:
        with np.errstate(over="ignore"):
            return np.array(leaves, wide).astype(target).reshape(shape)
    except OverflowError:  # A whole number beyond every float.
        return np.array([float(str(leaf)) for leaf in leaves], wide).astype(target).reshape(shape)


def _shape(value: Any) -> list[int]:
    """Lengths along the first elements."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > DEEPEST:
            raise invalid(f"Encountered list at unexpected level: {DEEPEST} expected < {DEEPEST}")
        if not value:
            break
        value = value[0]
    return shape


def _leaves(value: Any, shape: Sequence[int]) -> list[Any] | None:
    """All leaves in order; `None` where a list is longer, shorter, missing or too much."""
    level = [value]
    for size in shape:
        if not all(type(item) is list and len(item) == size for item in level):
            return None
        level = list(itertools.chain.from_iterable(level))
    return None if any(type(item) is list for item in level) else level


def _refuse_ragged(value: Any, shape: Sequence[int], level: int = 0) -> None:
    """Raises the error of the first place where a value does not have the shape, in reading order."""
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid(
                f"JSON Value: {quoted(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {rank}"
            )
        return
    if level >= rank:
        raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        _refuse_ragged(item, shape, level + 1)


def _tensor(value: Any, name: str, number: int) -> np.ndarray:
    shape = _shape(value)
    leaves = _leaves(value, shape)
    if leaves is None:
        _refuse_ragged(value, shape)
    return _array(leaves or [], shape, name, number)


def _type(info: Any) -> tuple[str, int]:
    number = tensors.plain(info.dtype)
    found = tensors.dtype(number)
    return (found.name, number) if found is not None else (f"dtype {number}", number)


def inputs(body: Mapping[str, Any], described: Any, signature: str) -> tuple[dict[str, np.ndarray], bool]:
    """The input arrays of a predict body, and whether it came in rows.

    Args:
        body: The parsed body.
        described: Its `SignatureDef`.

    Raises:
        Status: In TF Serving's words.
    """
    if not described.inputs:
        raise invalid(f"Failed to get input map for signature: {signature}")
    rows, columns = "instances" in body, "inputs" in body
    if rows and columns:
        raise invalid("Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ")
    if rows:
        return _rows(body["instances"], described.inputs), True
    if columns:
        return _columns(body["inputs"], described.inputs), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _columns(value: Any, infos: Mapping[str, Any]) -> dict[str, np.ndarray]:
    named = isinstance(value, dict) and not is_base64(value)
    if not named:
        if len(infos) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        name = next(iter(infos))
        return {name: _tensor(value, *_type(infos[name]))}
    made = {}
    for name in sorted(infos):
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        made[name] = _tensor(value[name], *_type(infos[name]))
    return made


def _rows(value: Any, infos: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if not isinstance(value, list):
        raise invalid("Expecting 'instances' to be an list/array")
    if not value:
        raise invalid("No values in 'instances' array")
    objects = _is_object(value[0])
    if not objects and len(infos) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    if not objects:
        name = next(iter(infos))
        return {name: _stacked(value, infos[name])}
    columns: dict[str, list[Any]] = {name: [] for name in infos}
    for index, row in enumerate(value):
        if not _is_object(row):
            raise invalid(f"Expecting object but got list at item {index} of input list")
        for name, item in row.items():
            if name not in columns:
                where = f"Failed to process element: {index} key: {name} of 'instances' list."
                raise invalid(f"{where} Error: INVALID_ARGUMENT: JSON object: does not have named input: {name}")
            columns[name].append(item)
        if len(row) != len(infos):
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: {quoted(row)} keys must be "
                f"equal to: {','.join(sorted(infos))}"
            )
    return {name: _stacked(items, infos[name], name) for name, items in columns.items()}


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _stacked(items: list[Any], info: Any, key: str | None = None) -> np.ndarray:
    """Entries of one input, one below the other.

    Args:
        key: The input's name where entries are objects; `None` where they are plain values.

    Raises:
        Status: An entry does not fit; the message says which.
    """
    name, number = _type(info)
    shape = _shape(items[0])
    leaves = _leaves(items, [len(items), *shape])
    if leaves is not None and (key is not None or not any(map(_is_object, items))):
        try:
            return _array(leaves, [len(items), *shape], name, number)
        except Status:
            pass  # Once more, entry by entry, to say where.
    for index, item in enumerate(items):
        if key is None and _is_object(item):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
        try:
            own = _shape(item)
            if math.prod(own) != math.prod(shape):
                raise invalid(f"Expecting tensor size: {math.prod(shape)} but got: {math.prod(own)}")
            if own != shape:
                raise invalid(f"Expecting shape {_text(shape)} but got: {_text(own)}")
            _tensor(item, name, number)
        except Status as error:
            where = f"element: {index}" if key is None else f"element: {index} key: {key}"
            raise invalid(f"Failed to process {where} of 'instances' list. Error: {error}") from None
    raise Status("INTERNAL", "The entries of 'instances' could not be put together.")


def _text(shape: Iterable[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


# --- values out ---------------------------------------------------------------------------------------------------


def response(outputs: Mapping[str, np.ndarray], as_rows: bool) -> bytes:
    """The body of a predict answer: `predictions` for rows, `outputs` for columns; one output loses its name.

    Raises:
        Status: An output has no rows, or a type that JSON cannot hold.
    """
    single = len(outputs) == 1
    budget.spend(sum(array.size for array in outputs.values()) * WRITTEN)
    if not as_rows:
        texts = {name: _folded(_texts(array, name), array.shape, 0)[0] for name, array in outputs.items()}
        body = next(iter(texts.values())) if single else _object(texts)
        return f'{{"outputs": {body}}}'.encode("utf-8", UNDECODABLE)
    count = None
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if count is not None and len(array) != count:
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {count}")
        count = len(array)
    rows = {name: _folded(_texts(array, name), array.shape, 1) for name, array in sorted(outputs.items())}
    texts_of = next(iter(rows.values()))
    if not single:
        texts_of = [_object(dict(zip(rows, row, strict=True))) for row in zip(*rows.values(), strict=True)]
    return f'{{"predictions": [{", ".join(texts_of)}]}}'.encode("utf-8", UNDECODABLE)


def _object(texts: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{string(name)}: {text}" for name, text in texts.items()) + "}"


def _folded(texts: list[str], shape: tuple[int, ...], least: int) -> list[str]:
    """A flat array's texts as nested lists: one text for each place of the first `least` axes."""
    for axis in range(len(shape) - 1, least - 1, -1):
        size = shape[axis]
        starts = range(0, math.prod(shape[:axis]) * size, size) if size else [0] * math.prod(shape[:axis])
        texts = ["[" + ", ".join(texts[start : start + size]) + "]" for start in starts]
    return texts


def _texts(array: np.ndarray, name: str) -> list[str]:
    """Every value of an array as JSON, flat."""
    flat = array.reshape(-1)
    if array.dtype in (np.float32, np.float64):
        return floats(flat)
    if array.dtype == np.bool_:
        return ["true" if value else "false" for value in flat.tolist()]
    if array.dtype.kind in "iu":
        return list(map(str, flat.tolist()))
    if array.dtype.kind == "O":
        return list(map(_binary if tensors.is_binary(name) else _plain, flat.tolist()))
    found = tensors.DTYPES[tensors.number_of(array)]
    raise invalid(f"Failed to write JSON value for tensor type: {found.name}")


def _binary(value: bytes) -> str:
    return json.dumps({"b64": base64.b64encode(value).decode()})


def _plain(value: bytes) -> str:
    return string(value.decode("utf-8", UNDECODABLE))


def floats(array: np.ndarray) -> list[str]:
    """The numbers of float32 or float64 [n]: six significant digits where they read back as the same, else 9 or 17."""
    values = array.tolist()
    texts = [f"{value:.6g}" for value in values]
    with np.errstate(over="ignore"):  # The largest float32 rounds up to more than itself.
        read = np.array(list(map(float, texts)), np.float64).astype(array.dtype)
    for index in np.flatnonzero(read != array).tolist():
        texts[index] = f"{values[index]:.{9 if array.dtype == np.float32 else 17}g}"
    return list(map(_whole, texts))


def _whole(text: str) -> str:
    if text[-1:] in "nf":
        return {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text]
    return text if "." in text or "e" in text else f"{text}.0"
