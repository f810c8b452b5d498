"""Trains `neural_fabric:mnist`: a convolutional neural fabric on MNIST's 60,000 training digits.

    python recipes/neural_fabric_mnist.py mnist.npz out/

mnist.npz holds x_train, y_train, x_test and y_test (uint8). About ten minutes on one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from kerazoo.applications import neural_fabric
from kerazoo.codecs.image import Image, Normalise
from kerazoo.train import script
from kerazoo.train.augment import moved
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.losses import accuracy, cross_entropy
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.supervised import Supervised

# Black is zero, as it is in the border that the network puts around the digits.
FIT, NORMALISE = Image(28, 28, channels=1), Normalise("gray", 1 / 255, (0.0,), (1.0,))


def recipe(data: Mapping[str, np.ndarray]) -> Recipe:
    return Recipe(
        name="neural_fabric:mnist",
        model=lambda: neural_fabric.build(neural_fabric.VARIANTS["neural_fabric"].config),
        data=Arrays((script.fitted(FIT, data["x_train"]), data["y_train"].astype(np.int64))),
        step=Supervised(cross_entropy, metrics={"accuracy": accuracy}, prepare=NORMALISE),
        optimizer=Optimizer("adamw", decay=1e-2),
        schedule=Cosine(4e-3, start=1e-3, warm_up=0.25),
        augment=partial(moved, degrees=6, scale=0.06, shift=2),
        seed=16,
        batch=64,
        epochs=4,
    )


if __name__ == "__main__":
    script.main(__doc__, recipe, labels_of="mnist", normalise=NORMALISE)
