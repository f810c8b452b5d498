"""Federated averaging in NumPy: clients that know two classes each learn four together, and send weights, not data.

    python docs/learn/federated.py [--draw docs/images/learn/federated.png]

McMahan, Moore, Ramage, Hampson, Aguera y Arcas, "Communication-Efficient Learning of Deep Networks from Decentralized
Data", AISTATS 2017, arXiv:1602.05629, algorithm 1.
"""

from __future__ import annotations

import sys

import numpy as np

CLASSES, FEATURES, CLIENTS = 4, 16, 20

Data = tuple[np.ndarray, np.ndarray]


def clouds(count: int, rng: np.random.Generator) -> Data:
    """Points [count, features + 1], the last a one, around a place for each class; and their classes."""
    places = np.random.default_rng(1).normal(0, 0.7, (CLASSES, FEATURES))
    labels = rng.integers(0, CLASSES, count)
    points = places[labels] + rng.normal(size=(count, FEATURES))
    return np.column_stack([points, np.ones(count)]), labels


def shared(data: Data, alike: bool) -> list[Data]:
    """Among the clients: at random, or sorted by class and cut, so that each gets two pieces."""
    points, labels = data
    order = np.arange(len(labels)) if alike else np.argsort(labels, kind="stable")
    pieces = np.array_split(order, 2 * CLIENTS)
    mixed = np.random.default_rng(2).permutation(2 * CLIENTS)
    halves = [np.concatenate([pieces[mixed[2 * i]], pieces[mixed[2 * i + 1]]]) for i in range(CLIENTS)]
    return [(points[rows], labels[rows]) for rows in halves]


def learnt(weights: np.ndarray, data: Data, steps: int, rate: float = 0.1) -> np.ndarray:
    """So many steps of gradient descent of a softmax regression on one client's own data."""
    points, labels = data
    for _ in range(steps):
        scores = np.exp(points @ weights - (points @ weights).max(axis=1, keepdims=True))
        error = scores / scores.sum(axis=1, keepdims=True) - np.eye(CLASSES)[labels]
        weights = weights - rate * points.T @ error / len(labels)
    return weights


def averaged(clients: list[Data], steps: int, rounds: int, test: Data, rng: np.random.Generator) -> list[float]:
    """The common model's accuracy after each round, in which a tenth of the clients takes part."""
    weights, accuracies = np.zeros((FEATURES + 1, CLASSES)), []
    for _ in range(rounds):
        chosen = rng.choice(len(clients), len(clients) // 10, replace=False)
        sizes = [len(clients[client][1]) for client in chosen]
        changes = [learnt(weights, clients[client], steps) - weights for client in chosen]
        weights = weights + np.average(changes, axis=0, weights=sizes)
        accuracies.append(float(((test[0] @ weights).argmax(axis=1) == test[1]).mean()))
    return accuracies


def measured() -> dict[str, list[float]]:
    rng = np.random.default_rng(0)
    data, test = clouds(800, rng), clouds(4000, rng)
    found = {}
    for alike in (True, False):
        for steps in (1, 10, 100):
            name = f"{'alike' if alike else 'two classes each'}, {steps} steps a round"
            found[name] = averaged(shared(data, alike), steps, 40, test, np.random.default_rng(3))
    return found


def drawn(path: str, found: dict[str, list[float]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, accuracies in found.items():
        axes.plot(np.arange(1, len(accuracies) + 1), np.multiply(accuracies, 100), label=name)
    axes.set_xlabel("rounds")
    axes.set_ylabel("right, %")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main(arguments: list[str]) -> None:
    found = measured()
    for name, accuracies in found.items():
        told = ", ".join(f"{100 * accuracies[count - 1]:.1f} % after {count}" for count in (1, 5, 40))
        print(f"{name}: {told}; worst of the last ten {100 * min(accuracies[-10:]):.1f} %")
    if arguments[:1] == ["--draw"]:
        drawn(arguments[1], found)


if __name__ == "__main__":
    main(sys.argv[1:])
