"""An `.npz` whose kernels are whole numbers of 8 bits with scales: `LAYER/kernel_q` times `LAYER/kernel_scale`.

Bounds: those of `npz`; a kernel takes four times what it takes in the file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerazoo.errors import WeightsDamaged
from kerazoo.weights import _zip, npz

ABOUT = "NumPy .npz with int8 kernels and their scales"

LEVELS, SCALE = "_q", "_scale"


def recognises(path: Path, head: bytes) -> bool:
    return npz.recognises(path, head) and any(name.endswith(f"{LEVELS}.npy") for name in _zip.names(path))


def read(path: Path) -> dict[str, np.ndarray]:
    """Arrays by name, those in two as one, without the ending."""
    arrays = npz.read(path)
    for name in [name for name in arrays if name.endswith(LEVELS)]:
        whole = name.removesuffix(LEVELS)
        levels, scale = arrays.pop(name), arrays.pop(whole + SCALE, None)
        if scale is None or levels.dtype != np.int8 or scale.dtype != np.float32:
            raise WeightsDamaged(f"{name} is no int8 array with float32 scales")
        if scale.ndim != levels.ndim or any(
            side not in (1, own) for side, own in zip(scale.shape, levels.shape, strict=True)
        ):
            raise WeightsDamaged(f"{name} of shape {levels.shape} has scales of shape {scale.shape}")
        if whole in arrays:
            raise WeightsDamaged(f"two tensors are called {whole}")
        arrays[whole] = levels * scale
    return arrays
