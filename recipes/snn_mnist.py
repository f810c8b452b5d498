"""Trains `snn:mnist`: eight self-normalising layers on MNIST's 60,000 training digits.

    python recipes/snn_mnist.py mnist.npz snn_mnist.npz

mnist.npz holds x_train, y_train, x_test and y_test (uint8). About two minutes on one core.
"""

from __future__ import annotations

from kerazoo.applications import snn
from kerazoo.codecs.image import Image, Normalise
from kerazoo.train import mnist

SEED, EPOCHS, BATCH, PEAK = 2017, 20, 256, 1e-3
# Mean and deviation of the training digits' pixels: the standardisation that self-normalising starts from.
FIT, NORMALISE = Image(28, 28, channels=1), Normalise("gray", 1 / 255, (0.1307,), (0.3081,))


def main() -> None:
    config = snn.VARIANTS["snn"].config
    mnist.train(__doc__, mnist.Plan(SEED, EPOCHS, BATCH, PEAK, FIT, NORMALISE), lambda: snn.build(config))


if __name__ == "__main__":
    main()
