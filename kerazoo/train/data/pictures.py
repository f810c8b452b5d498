"""Pictures of several sizes: pieces of them, drawn anew each time."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

import numpy as np

from kerazoo.train.recipe import Batch


def _hash(pictures: tuple[np.ndarray, ...]) -> str:
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(f"{picture.dtype.str}{picture.shape}".encode())
        digest.update(np.ascontiguousarray(picture).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Enlarged:
    """Small pieces of a picture, with what surrounds them, and the large pieces that they should become.

    Attributes:
        small, large: The same pictures uint8 [h, w, channels] and [h * scale, w * scale, channels].
        side: Of the large pieces, in pixels of the small picture.
        context: Further pixels of the small picture on each side, so that no pixel that is learnt from has seen
            beyond the piece's edge.
        times: Pieces of each picture an epoch.
    """

    small: tuple[np.ndarray, ...]
    large: tuple[np.ndarray, ...]
    side: int
    context: int
    times: int = 1

    @property
    def scale(self) -> int:
        return self.large[0].shape[0] // self.small[0].shape[0]

    def __len__(self) -> int:
        return len(self.small) * self.times

    @functools.cached_property
    def fingerprint(self) -> str:
        return _hash((*self.small, *self.large, np.array([self.side, self.context, self.times])))

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """Small pieces uint8 [batch, side + 2 context, ...] and large ones [batch, side * scale, ...]."""
        pairs = [self._pair(int(row) % len(self.small), rng) for row in rows]
        small, large = zip(*pairs, strict=True)
        return np.stack(small), np.stack(large)

    def _pair(self, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        small, large, scale, around = self.small[number], self.large[number], self.scale, self.context
        whole = self.side + 2 * around
        top, left = (int(rng.integers(0, extent - whole + 1)) for extent in small.shape[:2])
        piece = small[top : top + whole, left : left + whole]
        top, left, side = (top + around) * scale, (left + around) * scale, self.side * scale
        return piece, large[top : top + side, left : left + side]
