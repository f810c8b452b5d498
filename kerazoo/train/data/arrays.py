"""Samples that lie in memory."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

import numpy as np

from kerazoo.train.recipe import Batch


@dataclass(frozen=True)
class Arrays:
    """Arrays of equal length: pictures and labels, pictures and masks.

    Attributes:
        arrays: In the order that the step takes them.
    """

    arrays: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.arrays[0])

    @functools.cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for array in self.arrays:
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        return tuple(array[rows] for array in self.arrays)
