"""Plain numbers: what a port without a media holds."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.codecs._files import read_bytes
from kerazoo.contract import Port
from kerazoo.errors import GateError, InputError

SUFFIXES: tuple[str, ...] = (".npz", ".npy", ".json")
MIME = None
AGREES = ("cosine", 0.98)


def read(item: Any, port: Port) -> np.ndarray:
    """An array, nested lists, JSON text, or the path of an .npy or .json file, in the port's type."""
    value = _loaded(item, port.name) if isinstance(item, (str, Path, bytes)) else item
    try:
        array = np.asarray(value)
        if array.dtype.kind == "f" and port.dtype.startswith(("int", "uint")) and not (array == np.rint(array)).all():
            raise ValueError("not whole numbers")
        return array.astype(port.dtype, copy=False)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{port.name} takes {port.dtype}: {error}") from None


def _loaded(item: str | Path | bytes, name: str) -> Any:
    if isinstance(item, str) and not item.lower().endswith(SUFFIXES):
        data: bytes | None = item.encode()
    else:
        data = read_bytes(item, name)
    try:
        if data is not None and data[:6] == b"\x93NUMPY":
            return np.load(io.BytesIO(data), allow_pickle=False)
        return json.loads(data or b"")
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"{name} takes numbers, as JSON or as an .npy file: {error}") from None


def plain(value: Any) -> Any:
    return value


def example(port: Port, rng: np.random.Generator) -> np.ndarray:
    """Of the port's shape without its batch axis, 4 long where any length fits."""
    shape = [4 if side is None else side for side in port.shape[1:]]
    if port.dtype.startswith("float"):
        return rng.standard_normal(shape).astype(port.dtype)
    return rng.integers(0, 2, shape).astype(port.dtype)


def distance(expected: Any, got: Any) -> float:
    """Largest absolute difference over largest absolute expected value.

    Raises:
        GateError: Another shape, or NaN or infinity where a number is expected.
    """
    expected, got = np.asarray(expected), np.asarray(got)
    if expected.shape != got.shape:
        raise GateError(f"has the shape {list(got.shape)}; {list(expected.shape)} is expected")
    if expected.size == 0:
        return 0.0
    a, b = expected.astype(np.float64), got.astype(np.float64)
    if not np.isfinite(b).all():
        raise GateError("holds NaN or infinity")
    return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-12))


def agreement(expected: Any, got: Any) -> float:
    """Cosine of the angle between the numbers as vectors, row by row, on average.

    Raises:
        GateError: Another shape, or NaN or infinity.
    """
    distance(expected, got)  # Shapes, and that all are numbers.
    a, b = (np.asarray(value, np.float64) for value in (expected, got))
    a, b = (value.reshape(len(value), -1) if value.ndim > 1 else value.reshape(1, -1) for value in (a, b))
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean(np.where(sizes > 0, (a * b).sum(1) / np.maximum(sizes, 1e-30), 1.0)))


def unpack(item: Any, ports: Sequence[Port]) -> Mapping[str, Any]:
    """An .npz or .json file with a value for each port, by name."""
    names = ", ".join(port.name for port in ports)
    data = read_bytes(item, names)
    if data is None:
        raise InputError(f"The request has several ports ({names}): give a mapping, or the path of an .npz or .json.")
    try:
        if data[:2] == b"PK":
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                loaded: Any = {port.name: archive[port.name] for port in ports if port.name in archive.files}
        else:
            loaded = json.loads(data)
    except Exception as error:  # zipfile, zlib, NumPy and json each raise their own.
        raise InputError(f"{_called(item)} is neither an .npz nor a .json of {names}: {error}") from None
    if not isinstance(loaded, Mapping):
        raise InputError(f"{_called(item)} must hold an object with the keys {names}.")
    return loaded


def _called(item: Any) -> str:
    return str(item) if isinstance(item, (str, Path)) else "The request"
