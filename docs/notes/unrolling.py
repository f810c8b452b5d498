"""Sparse coding by iterations, and by a network that is a few of these iterations with weights that were learnt.

ISTA (Daubechies, Defrise, De Mol 2004) finds the code z that makes |x - D z|^2 / 2 + penalty |z|_1 small; LISTA
(Gregor and LeCun, "Learning Fast Approximations of Sparse Coding", ICML 2010) is `steps` of its iterations in a row,
whose matrices and thresholds are trained to say what ISTA says after a thousand.

    python docs/notes/unrolling.py
"""

from __future__ import annotations

from typing import Any

import numpy as np

SIGNAL, ATOMS = 20, 50
PENALTY = 0.1


def dictionary(rng: np.random.Generator) -> np.ndarray:
    """Atoms of length 1 as columns, float64 [SIGNAL, ATOMS]."""
    atoms = rng.normal(size=(SIGNAL, ATOMS))
    return atoms / np.linalg.norm(atoms, axis=0)


def signals(atoms: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Sums of a few atoms each, with a little noise, [count, SIGNAL]."""
    codes = rng.normal(size=(count, ATOMS)) * (rng.random((count, ATOMS)) < 0.1)
    return codes @ atoms.T + 0.01 * rng.normal(size=(count, SIGNAL))


def shrunk(values: Any, threshold: Any) -> Any:
    """Everything nearer to zero by the threshold, and not beyond it."""
    return np.sign(values) * np.maximum(np.abs(values) - threshold, 0)


def ista(atoms: np.ndarray, x: np.ndarray, steps: int) -> np.ndarray:
    """Codes [n, ATOMS] of signals [n, SIGNAL] after so many iterations."""
    steep = np.linalg.norm(atoms, 2) ** 2  # The greatest curvature: a longer step could overshoot.
    codes = np.zeros((len(x), ATOMS))
    for _ in range(steps):
        codes = shrunk(codes + (x - codes @ atoms.T) @ atoms / steep, PENALTY / steep)
    return codes


def cost(atoms: np.ndarray, x: np.ndarray, codes: np.ndarray) -> float:
    """What ISTA makes small, the mean over the signals."""
    missed = np.sum((x - codes @ atoms.T) ** 2, -1) / 2
    return float(np.mean(missed + PENALTY * np.sum(np.abs(codes), -1)))


def lista(atoms: np.ndarray, steps: int) -> Any:
    """The network that begins as so many iterations of ISTA: signals [n, SIGNAL] to codes [n, ATOMS]."""
    import keras

    steep = np.linalg.norm(atoms, 2) ** 2

    @keras.saving.register_keras_serializable("unrolling")
    class Shrunk(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            begin = keras.initializers.Constant(PENALTY / steep)
            self.threshold = self.add_weight(shape=(shape[-1],), initializer=begin, name="threshold")

        def call(self, values: Any) -> Any:
            ops = keras.ops
            return ops.sign(values) * ops.relu(ops.abs(values) - self.threshold)

    def product(matrix: np.ndarray, name: str) -> Any:
        return keras.layers.Dense(ATOMS, use_bias=False, kernel_initializer=lambda *_, **__: matrix, name=name)

    inputs = keras.Input((SIGNAL,))
    seen = product(atoms / steep, "seen")(inputs)
    codes = Shrunk(name="shrunk1")(seen)
    for step in range(2, steps + 1):
        kept = product(np.eye(ATOMS) - atoms.T @ atoms / steep, f"kept{step}")(codes)
        codes = Shrunk(name=f"shrunk{step}")(keras.layers.Add()([seen, kept]))
    return keras.Model(inputs, codes)


def trained(atoms: np.ndarray, steps: int, count: int = 4096, epochs: int = 60, seed: int = 0) -> Any:
    """LISTA, taught what ISTA says of `count` signals after a thousand iterations."""
    import keras

    keras.utils.set_random_seed(seed)
    x = signals(atoms, count, np.random.default_rng((seed, 1)))
    model = lista(atoms, steps)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, epochs * count // 64)), "mse")
    model.fit(x, ista(atoms, x, 1000), batch_size=64, epochs=epochs, verbose=0)
    return model


def main() -> None:
    rng = np.random.default_rng(0)
    atoms = dictionary(rng)
    x = signals(atoms, 2000, rng)
    best = ista(atoms, x, 1000)
    scale = np.mean(np.sum(best**2, -1))

    def told(name: str, codes: np.ndarray) -> None:
        off = np.mean(np.sum((codes - best) ** 2, -1)) / scale
        print(f"| {name} | {off:.2%} | {cost(atoms, x, codes):.4f} |")

    print("| | squared distance from ISTA after 1,000 | cost |\n|---|---|---|")
    for steps in (1, 4, 16, 64, 256, 1000):
        told(f"ISTA, {steps} iterations", ista(atoms, x, steps))
    for steps in (1, 4):
        told(f"LISTA, {steps} layers", np.asarray(trained(atoms, steps).predict(x, verbose=0)))


if __name__ == "__main__":
    main()
