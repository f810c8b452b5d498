"""Numbers that are the same on every machine: weights and pictures for comparing two implementations of a network.

Needs NumPy alone, so that the environments of both implementations can use it. Only what NumPy promises never to
change is taken from it: the raw bits of PCG64. What follows is arithmetic that IEEE 754 rounds in one way.
"""

from __future__ import annotations

import hashlib

import numpy as np

HALF = 32767.5
"""Half of the range of 16-bit numbers, of which the values are made."""


PIECE = 1 << 16
"""Values that are made at once: few enough for a processor's cache, and a multiple of four."""


def tensor(seed: int, name: str, shape: tuple[int, ...], centre: float, spread: float) -> np.ndarray:
    """float32 values, even from `centre - spread` to `centre + spread`, that depend on the arguments alone."""
    digest = hashlib.sha256(f"{seed} {name} {list(shape)}".encode()).digest()
    source = np.random.PCG64(int.from_bytes(digest[:16], "little"))
    values = np.empty(int(np.prod(shape, dtype=np.int64)), np.float32)
    for start in range(0, values.size, PIECE):
        piece = values[start : start + PIECE]
        bits = source.random_raw(-(-piece.size // 4)).astype("<u8", copy=False)
        np.subtract(bits.view("<u2")[: piece.size], np.float32(HALF), out=piece, dtype=np.float32)
        piece *= np.float32(spread / HALF)
        piece += np.float32(centre)
    return values.reshape(shape)


LOOKS = ((3, 0.4, (1.2, 0.0, -1.2)), (17, 1.2, (-1.2, 1.2, 0.0)))
"""Of each picture: spots along an edge, strength of the noise, colour. Networks with random weights hardly tell
pictures apart that have the same colours and the same roughness."""


def pictures(seed: int, shape: tuple[int, int, int], scale: float) -> np.ndarray:
    """Two float32 pictures [2, height, width, 3] of mean 0 and deviation about `scale`: coloured spots and noise."""
    made = []
    for index, (cells, strength, colour) in enumerate(LOOKS):
        spots = tensor(seed, f"spots {index}", (cells + 1, cells + 1, 3), 0.0, 2.0)
        noise = tensor(seed, f"noise {index}", shape, 0.0, strength)
        picture = _stretched(_stretched(spots, shape[0], 0), shape[1], 1) + noise + np.float32(colour)
        made.append(picture * np.float32(scale))
    return np.stack(made)


def _stretched(array: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Straight lines between the numbers along an axis."""
    at = np.arange(length) * (array.shape[axis] - 1) / length
    below = at.astype(int)
    share = (at - below).astype(np.float32).reshape([-1 if here == axis else 1 for here in range(array.ndim)])
    return array.take(below, axis) * (1 - share) + array.take(below + 1, axis) * share
