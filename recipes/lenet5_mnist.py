"""Trains `lenet5:mnist`: LeNet-5 on MNIST's 60,000 training digits.

    python recipes/lenet5_mnist.py mnist.npz lenet5_mnist.npz

mnist.npz holds x_train, y_train, x_test and y_test (uint8). About ten minutes on one core.
"""

from __future__ import annotations

from kerazoo.applications import lenet
from kerazoo.codecs.image import Image, Normalise
from kerazoo.train import mnist

SEED, EPOCHS, BATCH, PEAK = 5, 40, 128, 2e-3
FIT, NORMALISE = Image(32, 32, channels=1), Normalise("gray", 1 / 255, (0.1307,), (0.3081,))


def main() -> None:
    config = lenet.VARIANTS["lenet5"].config
    mnist.train(__doc__, mnist.Plan(SEED, EPOCHS, BATCH, PEAK, FIT, NORMALISE), lambda: lenet.build(config))


if __name__ == "__main__":
    main()
