"""Deep Compression's SqueezeNet: pruned kernels as positions in a codebook of 256 values.

Format: Han, Mao, Dally, "Deep Compression", ICLR 2016, as in the one file published with it (SqueezeNet v1.0).
Little-endian, without a header. First a uint32 for each layer, the number of its stored entries. Then for each layer a
codebook of 256 float32, the float32 biases, a uint8 code for each entry, and the gap before each entry in 4 bits, low
half first. A gap longer than 15 is filled with entries of code 0. The kernel is OIHW, flattened.

Bounds: the sizes of the one network; the counts must account for the file to the byte.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerazoo.errors import WeightsDamaged

ABOUT = "Deep Compression's SqueezeNet v1.0"

CODES = 256


def _layers() -> dict[str, tuple[int, int, int, int]]:
    """Layer -> kernel shape OIHW. The file itself names neither."""
    shapes = {"conv1": (96, 3, 7, 7)}
    maps = 96
    for index, (squeeze, expand) in enumerate(((16, 64), (32, 128), (48, 192), (64, 256)), start=1):
        for fire in (2 * index, 2 * index + 1):
            shapes[f"fire{fire}/squeeze1x1"] = (squeeze, maps, 1, 1)
            shapes[f"fire{fire}/expand1x1"] = (expand, squeeze, 1, 1)
            shapes[f"fire{fire}/expand3x3"] = (expand, squeeze, 3, 3)
            maps = 2 * expand
    return shapes | {"conv10": (1000, maps, 1, 1)}


LAYERS = _layers()


def _lengths(count: int, outputs: int) -> int:
    return 4 * CODES + 4 * outputs + count + (count - 1) // 2 + 1


def recognises(path: Path, head: bytes) -> bool:
    """The format has no signature: the counts must be possible, and account for the file to the byte."""
    with path.open("rb") as file:
        start = file.read(4 * len(LAYERS))
    if len(start) != 4 * len(LAYERS):
        return False
    counts = np.frombuffer(start, "<u4").tolist()
    shapes = LAYERS.values()
    if any(count > np.prod(shape) for count, shape in zip(counts, shapes, strict=True)):
        return False
    body = sum(_lengths(count, shape[0]) for count, shape in zip(counts, shapes, strict=True))
    return len(start) + body == path.stat().st_size


def read(path: Path) -> dict[str, np.ndarray]:
    """`layer.weight` OIHW and `layer.bias` of every layer."""
    data = np.fromfile(path, np.uint8)
    counts = data[: 4 * len(LAYERS)].view("<u4").tolist()
    at = 4 * len(LAYERS)

    def take(length: int, dtype: str) -> np.ndarray:
        nonlocal at
        at += length
        return data[at - length : at].view(dtype)

    tensors = {}
    for (name, shape), count in zip(LAYERS.items(), counts, strict=True):
        # The slices start at odd bytes; a copy aligns them.
        codebook = take(4 * CODES, "u1").copy().view("<f4")
        tensors[f"{name}.bias"] = take(4 * shape[0], "u1").copy().view("<f4")
        codes = take(count, "u1")
        packed = take((count - 1) // 2 + 1, "u1")
        gaps = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)[:count]
        places = np.cumsum(gaps.astype(np.int64) + 1) - 1
        kernel = np.zeros(int(np.prod(shape)), np.float32)
        if count and places[-1] >= kernel.size:
            raise WeightsDamaged(f"an entry of {name} lies outside its kernel.")
        kernel[places] = codebook[codes]
        tensors[f"{name}.weight"] = kernel.reshape(shape)
    return tensors
