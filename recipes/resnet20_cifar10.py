"""Trains `resnet20:cifar10`: ResNet-20 on CIFAR-10's 50,000 training pictures.

    python recipes/resnet20_cifar10.py cifar10.npz out/

cifar10.npz holds x_train, y_train, x_test and y_test (uint8). Sixty epochs, the first forty on random squares of 24 and
28 pixels, which cost half and three quarters of a full picture: about two hours on one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from kerazoo.applications import resnet_cifar
from kerazoo.codecs.image import Normalise
from kerazoo.train import script
from kerazoo.train.augment import crops
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.losses import accuracy, cross_entropy
from kerazoo.train.recipe import Batch, Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.supervised import Supervised

PHASES = ((24, 0, 30), (28, 2, 10), (32, 4, 20))
"""Side of the squares in pixels, mirrored border that they are cut from, epochs."""
NORMALISE = Normalise("rgb", 1.0, (125.3, 123.0, 113.9), (63.0, 62.1, 66.7))


def augment(batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
    sizes = [(size, border) for size, border, epochs in PHASES for _ in range(epochs)]
    size, border = sizes[min(epoch, len(sizes) - 1)]
    edge = (border, border)
    return crops(np.pad(batch[0], ((0, 0), edge, edge, (0, 0)), "reflect"), size, rng), *batch[1:]


def recipe(data: Mapping[str, np.ndarray]) -> Recipe:
    # Squares of several sizes go through one model.
    config = replace(resnet_cifar.VARIANTS["resnet20"].config, input_shape=(None, None, 3))
    return Recipe(
        name="resnet20:cifar10",
        model=lambda: resnet_cifar.build(config),
        data=Arrays((data["x_train"], data["y_train"].astype(np.int64))),
        step=Supervised(cross_entropy, metrics={"accuracy": accuracy}, prepare=NORMALISE),
        # Keras' decay is decoupled: with momentum 0.9 this equals 5e-4 in the gradient, as the paper's kind of recipe.
        optimizer=Optimizer("sgd", 5e-3, ("gamma", "beta", "bias"), {"momentum": 0.9, "nesterov": True}),
        schedule=Cosine(0.2, start=0.01, warm_up=5),
        augment=augment,
        seed=20,
        batch=128,
        epochs=sum(epochs for _, _, epochs in PHASES),
    )


if __name__ == "__main__":
    script.main(__doc__, recipe, labels_of="cifar10", normalise=NORMALISE)
