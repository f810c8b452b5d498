"""Trains `lenet5:mnist`: LeNet-5 on MNIST's 60,000 training digits.

    python recipes/lenet5_mnist.py mnist.npz out/

mnist.npz holds x_train, y_train, x_test and y_test (uint8). About ten minutes on one core.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kerazoo.applications import lenet
from kerazoo.codecs.image import Image, Normalise
from kerazoo.train import script
from kerazoo.train.augment import moved
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.losses import accuracy, cross_entropy
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.supervised import Supervised

FIT, NORMALISE = Image(32, 32, channels=1), Normalise("gray", 1 / 255, (0.1307,), (0.3081,))


def recipe(data: Mapping[str, np.ndarray]) -> Recipe:
    return Recipe(
        name="lenet5:mnist",
        model=lambda: lenet.build(lenet.VARIANTS["lenet5"].config),
        data=Arrays((script.fitted(FIT, data["x_train"]), data["y_train"].astype(np.int64))),
        step=Supervised(cross_entropy, metrics={"accuracy": accuracy}, prepare=NORMALISE),
        optimizer=Optimizer("adamw", decay=1e-2),
        schedule=Cosine(2e-3),
        augment=moved,
        seed=5,
        batch=128,
        epochs=40,
    )


if __name__ == "__main__":
    script.main(__doc__, recipe, labels_of="mnist", normalise=NORMALISE)
