"""Trains `lenet5_1998:mnist`: the LeNet-5 of 1998 on MNIST's 60,000 training digits.

    python recipes/lenet5_1998_mnist.py mnist.npz lenet5_1998_mnist.npz

mnist.npz holds x_train, y_train, x_test and y_test (uint8). About five minutes on one core. The paper's loss; in place
of its stochastic Levenberg-Marquardt, Adam, and the digits are stretched to 32 pixels instead of framed.
"""

from __future__ import annotations

from kerazoo.applications import lenet_1998
from kerazoo.codecs.image import Image, Normalise
from kerazoo.train import mnist

SEED, EPOCHS, BATCH, PEAK = 1998, 30, 128, 4e-3
# Paper (0) becomes -0.1 and ink (255) 1.175, as in section II.B.
FIT, NORMALISE = Image(32, 32, channels=1), Normalise("gray", 1.0, (20.0,), (200.0,))


def main() -> None:
    plan = mnist.Plan(SEED, EPOCHS, BATCH, PEAK, FIT, NORMALISE, decay=0.0)
    config = lenet_1998.VARIANTS["lenet5_1998"].config
    mnist.train(__doc__, plan, lambda: lenet_1998.build(config), lenet_1998.loss)


if __name__ == "__main__":
    main()
