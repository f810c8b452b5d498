"""The fully connected conditional random field: neighbours that look alike get the same class, however far apart.

Source: Kraehenbuehl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials", NIPS 2011,
arXiv:1210.5644, sections 2 and 3, algorithm 1, with Potts' model. The sums over all pairs of pixels are filters in many
dimensions, taken on the lattice of Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral
Lattice", 2010. As in the authors' program, which DeepLab's settings were found with, a kernel K is divided by the roots
of its sums on both sides, and a pixel is a neighbour of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST = 1e-3
"""A class that no pixel gives so much of its probability cannot win, and is left out."""


@dataclass(frozen=True)
class CRF:
    """Settings of the field, by default those that DeepLab-LargeFOV was published with.

    Attributes:
        iterations: Of the mean field.
        appearance: Weight of the kernel of places and colours.
        near: Its deviation between places, in pixels.
        alike: Its deviation between colours, in 0..255.
        smoothness: Weight of the kernel of places alone.
        beside: Its deviation, in pixels.
        side: The longer side of the picture, in pixels, at which the field is computed: it bounds time and memory.
    """

    iterations: int = 10
    appearance: float = 4.0
    near: float = 49.0
    alike: float = 5.0
    smoothness: float = 3.0
    beside: float = 3.0
    side: int = 500

    def refine(self, logits: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Float32 logits [height, width, classes] and colours 0..255 [height, width, 3] to log-probabilities."""
        height, width, classes = logits.shape
        logits = logits.reshape(-1, classes).astype(np.float32)
        known = _log_softmax(logits)
        kept = np.flatnonzero(known.max(0) > np.log(LEAST))
        unary = _log_softmax(logits[:, kept])
        kernels = [
            (weight, Lattice(features.astype(np.float32)))
            for weight, features in (
                (self.appearance, self.features(pixels)),
                (self.smoothness, _places(height, width) / self.beside),
            )
        ]
        said = unary
        for _ in range(self.iterations):
            said = _log_softmax(unary + sum(weight * kernel(np.exp(said)) for weight, kernel in kernels))
        made = np.full_like(known, -np.inf)
        made[:, kept] = said
        # What was left out stays far behind, but finite: the map is still resized.
        return np.maximum(made, -100.0).reshape(height, width, classes)

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Places and colours of all pixels in deviations, [height * width, 5]."""
        height, width = pixels.shape[:2]
        colours = np.asarray(pixels, np.float32).reshape(height * width, -1)
        return np.concatenate([_places(height, width) / self.near, colours / self.alike], 1)


class Lattice:
    """Gaussian sums over all pairs of points, normalised on both sides, in a time that grows with the points alone."""

    def __init__(self, features: np.ndarray) -> None:
        """Lays points out.

        Args:
            features: Float32 [points, d], in deviations of the Gaussian.
        """
        corners, self.shares = _simplex(features)
        self.size = features.shape[1]
        # One number a corner: every coordinate's least value has room for its neighbours below.
        low = corners.min((0, 1)) - self.size - 1
        spans = (corners.max((0, 1)) - low + self.size + 2).astype(np.int64)
        steps = np.concatenate([np.cumprod(spans[::-1])[::-1][1:], [1]])
        packed = ((corners - low) * steps).sum(-1)
        keys, found = np.unique(packed, return_inverse=True)
        self.corners = found.reshape(packed.shape)
        self.count = len(keys)
        self.neighbours = []
        for axis in range(self.size + 1):
            shift = -np.ones(self.size, np.int64)
            if axis < self.size:
                shift[axis] = self.size
            self.neighbours.append([_places_of(keys, keys + sign * (shift * steps).sum()) for sign in (1, -1)])
        sums = self._sums(np.ones((len(features), 1), np.float32))
        self.scale = (1 / np.sqrt(np.maximum(sums, 1e-20))).astype(np.float32)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Float32 [points, n] to the same shape."""
        return self.scale * self._sums(values * self.scale)

    def _sums(self, values: np.ndarray) -> np.ndarray:
        out = np.empty_like(values)
        flat, weights = self.corners.ravel(), self.shares
        for column in range(values.shape[1]):
            spread = (values[:, column, None] * weights).ravel()
            # The last place is for neighbours that no point touches.
            grid = np.append(np.bincount(flat, spread, self.count), 0.0)
            for above, below in self.neighbours:
                grid[:-1] += 0.5 * (grid[above] + grid[below])
            out[:, column] = (grid[self.corners] * weights).sum(1)
        return out


def _places_of(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, len(keys))


def _simplex(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners of the simplex that each point lies in, int64 [points, d + 1, d], and how near it is to each."""
    points, size = features.shape
    number = np.arange(size)
    scaled = features * (np.sqrt(2 / 3) * (size + 1) / np.sqrt((number + 1) * (number + 2)))
    # Onto the plane whose coordinates have the sum 0.
    later = np.concatenate([np.cumsum(scaled[:, ::-1], 1)[:, ::-1], np.zeros((points, 1))], 1)
    raised = later - np.concatenate([np.zeros((points, 1)), (number + 1) * scaled], 1)
    near = np.round(raised / (size + 1)) * (size + 1)
    over = (near.sum(1) / (size + 1)).round().astype(np.int64)
    order = np.argsort(-(raised - near), axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(size + 1)[None], 1)
    rank = rank + over[:, None]
    near += (size + 1) * ((rank < 0).astype(np.int64) - (rank > size))
    rank = rank % (size + 1)
    apart = (raised - near) / (size + 1)
    shares = np.zeros((points, size + 2))
    rows = np.arange(points)[:, None]
    # Each rank occurs once in a row.
    shares[rows, size - rank] += apart
    shares[rows, size + 1 - rank] -= apart
    shares[:, 0] += 1 + shares[:, size + 1]
    step = np.arange(size + 1)[None, :, None]
    lower = rank[:, None, :size] > size - step
    corners = near.astype(np.int64)[:, None, :size] + step - (size + 1) * lower
    return corners, shares[:, : size + 1].astype(np.float32)


def _places(height: int, width: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1).reshape(-1, 2)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
