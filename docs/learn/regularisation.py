"""Weight decay on a curve that has more numbers than points, and the schedules of a learning rate.

    python docs/learn/regularisation.py [--draw docs/images/learn/schedules.png]

Hoerl and Kennard, "Ridge Regression", Technometrics 12(1), 1970; Krogh and Hertz, "A Simple Weight Decay Can Improve
Generalization", NIPS 1991.
"""

from __future__ import annotations

import sys

import numpy as np

POINTS, DEGREE = 12, 15


def samples(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Places in -1..1 and a sine there, with noise."""
    x = rng.uniform(-1, 1, count)
    return x, np.sin(3 * x) + rng.normal(0, 0.2, count)


def powers(x: np.ndarray) -> np.ndarray:
    """Chebyshev polynomials of x up to the degree, [count, degree + 1]: as powers, but not nearly the same."""
    return np.polynomial.chebyshev.chebvander(x, DEGREE)


def ridge(features: np.ndarray, y: np.ndarray, decay: float) -> np.ndarray:
    """The weights with the least squared error, plus `decay` times their own squares."""
    return np.linalg.solve(features.T @ features + decay * np.eye(features.shape[1]), features.T @ y)


def drawn(path: str) -> None:
    from matplotlib.figure import Figure

    from kerazoo.train import schedules

    steps, epochs = 10, 20
    made = {
        "constant": schedules.Constant(0.1),
        "steps": schedules.Steps(0.1),
        "cosine": schedules.Cosine(0.1, warm_up=2),
        "triangular": schedules.Triangular(0.01, 0.1, half=4),
        "one_cycle": schedules.OneCycle(0.1),
        "inverse_root": schedules.InverseRoot(0.1, warm_up=2),
    }
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    grid = figure.subplots(2, 3, sharex=True, sharey=True).ravel()
    for axes, (name, schedule) in zip(grid, made.items(), strict=True):
        rate = schedule.rate(steps, epochs)
        values = [float(rate(step)) if callable(rate) else rate for step in range(steps * epochs)]
        axes.plot(np.arange(len(values)) / steps, values, color="#00796b")
        axes.set_title(name, fontsize=9)
        axes.set_ylim(0, 0.11)
    figure.supxlabel("epoch", fontsize=9)
    figure.savefig(path, dpi=110)


def main(arguments: list[str]) -> None:
    rng = np.random.default_rng(0)
    x, y = samples(POINTS, rng)
    unseen, truth = samples(1000, rng)
    for decay in (1e-9, 1e-3, 1e-2, 1e-1, 1.0, 1e2):
        weights = ridge(powers(x), y, decay)
        known, other = (np.sqrt(np.mean((powers(a) @ weights - b) ** 2)) for a, b in ((x, y), (unseen, truth)))
        size = np.linalg.norm(weights)
        print(f"decay {decay:.0e}: error {known:.3f} on the points, {other:.3f} on others; weights {size:.2f} long")
    if arguments[:1] == ["--draw"]:
        drawn(arguments[1])


if __name__ == "__main__":
    main(sys.argv[1:])
