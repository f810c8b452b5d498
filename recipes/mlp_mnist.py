"""Trains `mlp:mnist`: 784-512-512-10 on MNIST's 60,000 training digits.

    python recipes/mlp_mnist.py mnist.npz mlp_mnist.npz

mnist.npz holds x_train, y_train, x_test and y_test (uint8). About two minutes on one core.
"""

from __future__ import annotations

from kerazoo.applications import mlp
from kerazoo.codecs.image import Image, Normalise
from kerazoo.train import mnist

SEED, EPOCHS, BATCH, PEAK = 1986, 24, 256, 2e-3
FIT, NORMALISE = Image(28, 28, channels=1), Normalise("gray", 1 / 255, (0.1307,), (0.3081,))


def main() -> None:
    config = mlp.VARIANTS["mlp"].config
    mnist.train(__doc__, mnist.Plan(SEED, EPOCHS, BATCH, PEAK, FIT, NORMALISE), lambda: mlp.build(config))


if __name__ == "__main__":
    main()
