"""Named arrays from the bytes of a file: what a reader says a tensor is must be what is there.

The bounds that all readers share stand here: of what a file declares, nothing is worked on before it is held to them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import ml_dtypes  # noqa: F401  (gives NumPy its bfloat16)
import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged

BRAIN = "bfloat16"
"""A type of floats, the upper half of a float32, that `ml_dtypes` adds to those of NumPy."""

HIGHEST_RANK = 16
LONGEST_LENGTH = 1 << 62
LONGEST_NAME = 1024
MOST = 100_000
"""More tensors than any network has: the arrays themselves would take much more memory than the file."""

EXPANSION = 20
"""Weights never shrink this much when compressed; a file that unpacks to more is refused before memory is taken."""

SPARE = 1 << 20
"""Bytes beside that: small files have headers, and tar fills archives up with zeros."""

SHARED = 2
"""Several tensors may have the same numbers; all together take no more than so many times the file."""


class Arrays(dict[str, np.ndarray]):
    """Arrays by name, in file order."""

    def add(self, name: str, array: np.ndarray) -> None:
        if name in self:
            raise WeightsDamaged(f"two tensors are called {name}")
        if not name or len(name) > LONGEST_NAME:
            raise WeightsDamaged(f"a tensor has a name of {len(name)} letters")
        if len(self) == MOST:
            raise WeightsDamaged(f"it holds more than {MOST} tensors")
        self[name] = array

    def some(self) -> Arrays:
        """Itself, where there is anything in it."""
        if not self:
            raise UsageError("The file holds no tensors.")
        return self


def count(name: str, shape: Sequence[int]) -> int:
    """Number of elements of a shape that a file declares."""
    # First the rank: a product of many long numbers takes a time that grows with their square.
    if len(shape) > HIGHEST_RANK or min(shape, default=0) < 0 or max(shape, default=0) > LONGEST_LENGTH:
        raise WeightsDamaged(f"{name[:80]} has a shape of rank {len(shape)} or with negative or endless lengths")
    return math.prod(shape)


def array(name: str, data: bytes | memoryview, kind: str, shape: Sequence[int]) -> np.ndarray:
    """Little-endian numbers as an array, floats of any width as float32, which the variables are.

    Args:
        kind: A NumPy type such as `<f4`, `BRAIN` among them.

    Raises:
        WeightsDamaged: `data` is not as long as the shape says.
    """
    size = count(name, shape) * np.dtype(kind).itemsize
    if size != len(data):
        raise WeightsDamaged(f"{name[:80]} of shape {tuple(shape)} should take {size} bytes, it has {len(data)}")
    flat = np.frombuffer(data, kind)
    if flat.dtype.kind == "f" or kind == BRAIN:
        with np.errstate(over="ignore"):
            # What float32 cannot hold becomes infinite, which `assign` refuses.
            flat = flat.astype("<f4", copy=False)
    # Files put tensors at odd bytes; a copy aligns those.
    return np.require(flat, requirements="A").reshape(tuple(shape))
