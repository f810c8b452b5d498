"""Where the nodes of a graph are drawn: a balance of forces, in memory and time that grow with its nodes and edges."""

from __future__ import annotations

import functools

import numpy as np

ROUNDS = 100

MIDDLE = 0.5
"""How strongly the middle pulls, in units of an edge."""

FEW = 512
"""Nodes up to which every pair's repulsion is added up; of more the sum is taken on a grid."""


def layout(edges: np.ndarray, nodes: int, seed: int = 0) -> np.ndarray:
    """Points of the nodes in a square, float64 [nodes, 2] from 0 to 1.

    As Fruchterman and Reingold, "Graph Drawing by Force-directed Placement", 1991: nodes push each other away, edges
    pull, and how far a node may go in a round falls to nothing. Here they push as 1 / d and pull as d; the middle pulls
    all of them, which keeps what no edge joins from drifting apart.

    Args:
        edges: int64 [n, 2]; loops have no effect.
        seed: Of the first places.
    """
    rng = np.random.default_rng(seed)
    source, target = edges[edges[:, 0] != edges[:, 1]].T
    degree = np.bincount(np.concatenate([source, target]), minlength=nodes)[:, None]
    at = _smoothed(rng.standard_normal((nodes, 2)), source, target, degree).clip(-2, 2) * np.sqrt(nodes) / 2
    at += 0.01 * rng.standard_normal(at.shape)
    for warmth in np.linspace(1.0, 0.0, ROUNDS, endpoint=False):
        apart = at[source] - at[target]
        force = _repulsion(at) + _added(apart, target, nodes) - _added(apart, source, nodes) - MIDDLE * at
        step = force / (degree + 1)
        length = np.linalg.norm(step, axis=1, keepdims=True)
        at += step * np.minimum(warmth * np.sqrt(nodes) / 10 / np.maximum(length, 1e-9), 0.5)
    low, high = at.min(0), at.max(0)
    return np.asarray((at - (low + high) / 2) / max(float((high - low).max()), 1e-9) + 0.5)


def _added(values: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Sums of values [n, 2] by row, [count, 2]."""
    return np.stack([np.bincount(rows, column, count) for column in values.T], 1)


def _smoothed(at: np.ndarray, source: np.ndarray, target: np.ndarray, degree: np.ndarray) -> np.ndarray:
    """Random places after each node was drawn towards its neighbours again and again: what is linked begins near."""
    count = len(at)
    for _ in range(30):
        at = (at + _added(at[source], target, count) + _added(at[target], source, count)) / (degree + 1)
        at = (at - at.mean(0)) / np.maximum(at.std(0), 1e-9)
    return at


def _repulsion(at: np.ndarray) -> np.ndarray:
    """Of each point by all others, 1 / d of each: [n, 2]."""
    if len(at) <= FEW:
        apart = at[:, None] - at[None]
        return np.asarray((apart / ((apart**2).sum(-1, keepdims=True) + 1e-4)).sum(1))
    size = int(min(512, 2 ** np.ceil(np.log2(4 * np.sqrt(len(at))))))
    low = at.min(0)
    cell = max(float((at.max(0) - low).max()), 1e-9) / (size - 1.001)
    place = (at - low) / cell
    corner = place.astype(int)
    share = place - corner
    # Each point lies on the four cells around it, and feels there what it feels.
    corners = [
        ((corner[:, 0] + down) * size + corner[:, 1] + right,
         np.where(down, share[:, 0], 1 - share[:, 0]) * np.where(right, share[:, 1], 1 - share[:, 1]))
        for down in (0, 1) for right in (0, 1)
    ]  # fmt: skip
    mass = np.add.reduce([np.bincount(cells, weight, size * size) for cells, weight in corners]).reshape(size, size)
    spectrum, force = np.fft.rfft2(mass, (2 * size, 2 * size)), np.zeros_like(at)
    for axis, push in enumerate(_pushes(size)):
        field = np.fft.irfft2(spectrum * push)[:size, :size].ravel()
        force[:, axis] = sum(field[cells] * weight for cells, weight in corners) / cell
    return force


@functools.lru_cache(1)
def _pushes(size: int) -> tuple[np.ndarray, np.ndarray]:
    """What one cell's mass does to the others, down and to the right, as spectra of twice the grid's size."""
    steps = np.fft.fftfreq(2 * size, 1 / (2 * size))
    square = steps[:, None] ** 2 + steps[None] ** 2
    square[0, 0] = np.inf
    return np.fft.rfft2(steps[:, None] / square), np.fft.rfft2(steps[None] / square)
