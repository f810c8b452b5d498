"""A graph convolution in NumPy: two labelled nodes teach a whole graph, and too many layers forget it.

    python docs/learn/graphs.py [--draw docs/images/learn/graphs.png]

Kipf, Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017, arXiv:1609.02907.
"""

from __future__ import annotations

import sys

import numpy as np


def communities(count: int, inside: float, between: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A stochastic block model: the adjacency matrix [count, count] and which half each node belongs to."""
    labels = np.arange(count) % 2
    chance = np.where(labels[:, None] == labels, inside, between)
    upper = np.triu(rng.random((count, count)) < chance, 1)
    return (upper | upper.T).astype(float), labels


def normalised(adjacency: np.ndarray) -> np.ndarray:
    """D^-1/2 (A + I) D^-1/2: every node hears itself and its neighbours, those with many neighbours more softly."""
    looped = adjacency + np.eye(len(adjacency))
    root = 1 / np.sqrt(looped.sum(axis=1))
    return root[:, None] * looped * root


def propagated(matrix: np.ndarray, features: np.ndarray, layers: int) -> np.ndarray:
    """Features [nodes, n] after so many layers without weights."""
    for _ in range(layers):
        features = matrix @ features
    return features


def taught(features: np.ndarray, known: np.ndarray, labels: np.ndarray, steps: int = 200) -> np.ndarray:
    """Which class a softmax regression, learnt from the known nodes alone, gives to all; int64 [nodes]."""
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    kernel = np.zeros((features.shape[1], 2))
    for _ in range(steps):
        scores = np.exp(features[known] @ kernel)
        error = scores / scores.sum(axis=1, keepdims=True) - np.eye(2)[labels[known]]
        kernel -= features[known].T @ error
    return (features @ kernel).argmax(axis=1)


def spread(features: np.ndarray) -> float:
    """The mean distance of two nodes' features, each of length 1."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return float(np.linalg.norm(unit[:, None] - unit, axis=2).mean())


def drawn(path: str, adjacency: np.ndarray, labels: np.ndarray, guess: np.ndarray, known: np.ndarray) -> None:
    from matplotlib.figure import Figure

    rng = np.random.default_rng(0)
    places = rng.normal(0, 0.8, (len(labels), 2)) + np.where(labels[:, None] == 0, (-1.6, 0), (1.6, 0))
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.subplots()
    for one, other in zip(*np.nonzero(np.triu(adjacency)), strict=True):
        axes.plot(*places[[one, other]].T, color="0.8", linewidth=0.7, zorder=1)
    colours = np.array(["#00796b", "#ef6c00"])[guess]
    axes.scatter(*places.T, c=colours, s=60, zorder=2, edgecolors=np.where(guess == labels, "white", "red"))
    axes.scatter(*places[known].T, c=colours[known], s=260, marker="*", edgecolors="black", zorder=3)
    axes.set_axis_off()
    figure.savefig(path, dpi=110)


def main(arguments: list[str]) -> None:
    adjacency, labels = communities(60, 0.15, 0.02, np.random.default_rng(3))
    matrix, known = normalised(adjacency), np.array([0, 1])
    # Nothing is known of a node but which one it is.
    for layers in (0, 1, 2, 4, 16, 256):
        features = propagated(matrix, np.eye(60), layers)
        right = (taught(features, known, labels) == labels).mean()
        print(f"{layers:3} layers: {100 * right:5.1f} % right, nodes {spread(features):.3f} apart")
    if arguments[:1] == ["--draw"]:
        drawn(arguments[1], adjacency, labels, taught(propagated(matrix, np.eye(60), 4), known, labels), known)


if __name__ == "__main__":
    main(sys.argv[1:])
