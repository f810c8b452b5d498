"""How far back a recurrent network hears: the gradient of the last state by the states before it.

    python docs/learn/sequences.py [--draw docs/images/learn/sequences.png]

Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997; Pascanu, Mikolov, Bengio, "On the
difficulty of training recurrent neural networks", ICML 2013, arXiv:1211.5063.
"""

from __future__ import annotations

import sys

import numpy as np

UNITS, STEPS = 32, 100


def plain(gain: float, rng: np.random.Generator) -> list[float]:
    """Of `h = tanh(W h + x)`: the norm of d h_T / d h_t, t from T back to 0; W's largest eigenvalue is near `gain`."""
    kernel = gain * rng.normal(0, UNITS**-0.5, (UNITS, UNITS))
    state, slopes = np.zeros(UNITS), []
    for _ in range(STEPS):
        state = np.tanh(kernel @ state + rng.normal(0, 0.1, UNITS))
        # d h_t / d h_(t-1): back through tanh, and through the kernel.
        slopes.append((1 - state**2)[:, None] * kernel)
    return backwards(slopes)


def gated(forget: float, rng: np.random.Generator) -> list[float]:
    """The same of an LSTM's cell, `c = f c + i g`, along the cell itself; the bias of `f` is `forget`."""
    cell, slopes = np.zeros(UNITS), []
    for _ in range(STEPS):
        kept, let, new = (rng.normal(0, 0.5, UNITS) for _ in range(3))
        gate = 1 / (1 + np.exp(-(kept + forget)))
        cell = gate * cell + 1 / (1 + np.exp(-let)) * np.tanh(new)
        slopes.append(np.diag(gate))
    return backwards(slopes)


def backwards(slopes: list[np.ndarray]) -> list[float]:
    """Spectral norms of the products, from the last step back."""
    product, norms = np.eye(UNITS), []
    for slope in reversed(slopes):
        norms.append(float(np.linalg.norm(product, 2)))
        product = product @ slope
    return norms


def measured() -> dict[str, list[float]]:
    return {
        "recurrent, gain 0.8": plain(0.8, np.random.default_rng(0)),
        "recurrent, gain 1.0": plain(1.0, np.random.default_rng(0)),
        "recurrent, gain 3.0": plain(3.0, np.random.default_rng(0)),
        "LSTM, forget bias 0": gated(0.0, np.random.default_rng(0)),
        "LSTM, forget bias 4": gated(4.0, np.random.default_rng(0)),
    }


def drawn(path: str, found: dict[str, list[float]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, norms in found.items():
        axes.semilogy(norms, label=name)
    axes.set_xlabel("steps back")
    axes.set_ylabel("gradient")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main(arguments: list[str]) -> None:
    found = measured()
    print("steps back          " + "".join(f"{back:>10}" for back in (1, 10, 30, 99)))
    for name, norms in found.items():
        print(f"{name:20}" + "".join(f"{norms[back]:10.1e}" for back in (1, 10, 30, 99)))
    if arguments[:1] == ["--draw"]:
        drawn(arguments[1], found)


if __name__ == "__main__":
    main(sys.argv[1:])
