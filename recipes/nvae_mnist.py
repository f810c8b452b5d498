"""Trains `nvae_mnist_small:mnist`: a hierarchy of six groups of latent variables on MNIST's 60,000 training digits.

    python recipes/nvae_mnist.py mnist.npz out/
    kerazoo evaluate nvae_mnist_small:mnist mnist.npz

mnist.npz holds x_train and x_test (uint8). Digits are binarised anew in each epoch. The paper trains for 400 epochs;
this is for one core and an hour: few epochs of small batches, so divergences are warmed up and the rate has fallen
within them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kerazoo import registry
from kerazoo.applications import nvae
from kerazoo.metrics.sample import binarised, describing
from kerazoo.train import product, script
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.jobs.sample import SMOOTH, WARM_UP, Bound
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.hierarchical import Binarised, LowerBound

EPOCHS, BATCH = 3, 32
HELD_OUT = 60
"""Of so many digits one is not learnt from, the last ones, but measured after each epoch."""


def recipe(data: Mapping[str, np.ndarray]) -> Recipe:
    config = nvae.VARIANTS["nvae_mnist_small"].config
    digits = data["x_train"][..., None]
    held = max(1, len(digits) // HELD_OUT)
    steps = EPOCHS * ((len(digits) - held) // BATCH)
    return Recipe(
        name="nvae_mnist_small:mnist",
        model=lambda: nvae.build(config),
        data=Arrays((digits[:-held],)),
        step=LowerBound(nvae.reconstruction(), int(WARM_UP * steps), SMOOTH),
        optimizer=Optimizer("adamax", decay=3e-4, settings={"epsilon": 1e-3}),
        schedule=Cosine(5e-3, start=1e-3, warm_up=0.1, end=0.02),
        augment=Binarised(config.noise),
        measure=Bound(digits[-held:], binarised=True),
        seed=2007,
        batch=BATCH,
        epochs=EPOCHS,
    )


def measure(word: str, data: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The negative lower bound of the test digits, drawn black and white by their levels, in nats a digit."""
    bound, _ = describing(registry.build(word).keras)
    costs, divergence = bound(binarised(data["x_test"][..., None].astype(np.float32) / 255))
    return {"negative lower bound, binarised": float(np.mean(costs + divergence))}


if __name__ == "__main__":
    script.main(__doc__, recipe, measure=measure, store=product.eight_bits)
