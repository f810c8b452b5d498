"""Trains `lenet5_1998:mnist`: the LeNet-5 of 1998 on MNIST's 60,000 training digits.

    python recipes/lenet5_1998_mnist.py mnist.npz out/

mnist.npz holds x_train, y_train, x_test and y_test (uint8). About five minutes on one core. The paper's loss; in place
of its stochastic Levenberg-Marquardt, Adam, and the digits are stretched to 32 pixels instead of framed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kerazoo.applications import lenet_1998
from kerazoo.codecs.image import Image, Normalise
from kerazoo.train import script
from kerazoo.train.augment import moved
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.losses import accuracy
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.supervised import Supervised

# Paper (0) becomes -0.1 and ink (255) 1.175, as in section II.B.
FIT, NORMALISE = Image(32, 32, channels=1), Normalise("gray", 1.0, (20.0,), (200.0,))


def recipe(data: Mapping[str, np.ndarray]) -> Recipe:
    return Recipe(
        name="lenet5_1998:mnist",
        model=lambda: lenet_1998.build(lenet_1998.VARIANTS["lenet5_1998"].config),
        data=Arrays((script.fitted(FIT, data["x_train"]), data["y_train"].astype(np.int64))),
        step=Supervised(lenet_1998.loss(), metrics={"accuracy": accuracy}, prepare=NORMALISE),
        optimizer=Optimizer("adamw"),
        schedule=Cosine(4e-3),
        augment=moved,
        seed=1998,
        batch=128,
        epochs=30,
    )


if __name__ == "__main__":
    script.main(__doc__, recipe, labels_of="mnist", normalise=NORMALISE)
