"""Trains `mlp:mnist`: 784-512-512-10 on MNIST's 60,000 training digits.

    python recipes/mlp_mnist.py mnist.npz out/

mnist.npz holds x_train, y_train, x_test and y_test (uint8). About two minutes on one core.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kerazoo.applications import mlp
from kerazoo.codecs.image import Image, Normalise
from kerazoo.train import script
from kerazoo.train.augment import moved
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.losses import accuracy, cross_entropy
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.supervised import Supervised

FIT, NORMALISE = Image(28, 28, channels=1), Normalise("gray", 1 / 255, (0.1307,), (0.3081,))


def recipe(data: Mapping[str, np.ndarray]) -> Recipe:
    return Recipe(
        name="mlp:mnist",
        model=lambda: mlp.build(mlp.VARIANTS["mlp"].config),
        data=Arrays((script.fitted(FIT, data["x_train"]), data["y_train"].astype(np.int64))),
        step=Supervised(cross_entropy, metrics={"accuracy": accuracy}, prepare=NORMALISE),
        optimizer=Optimizer("adamw", decay=1e-2),
        schedule=Cosine(2e-3),
        augment=moved,
        seed=1986,
        batch=256,
        epochs=24,
    )


if __name__ == "__main__":
    script.main(__doc__, recipe, labels_of="mnist", normalise=NORMALISE)
