"""Trains `vae:mnist`: a variational auto-encoder on MNIST's 60,000 training digits.

    python recipes/vae_mnist.py mnist.npz out/
    kerazoo evaluate vae:mnist mnist.npz

mnist.npz holds x_train and x_test (uint8). About ten minutes on one core.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kerazoo import registry
from kerazoo.applications import vae
from kerazoo.metrics.sample import halves, lower_bound
from kerazoo.train import script
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.jobs import sample
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.supervised import Supervised


def recipe(data: Mapping[str, np.ndarray]) -> Recipe:
    return Recipe(
        name="vae:mnist",
        model=lambda: vae.build(vae.VARIANTS["vae"].config),
        data=Arrays((data["x_train"][..., None],)),
        step=Supervised(vae.reconstruction()),
        optimizer=Optimizer("adam"),
        schedule=Cosine(2e-3),
        augment=sample.twice,
        seed=1312,
        batch=128,
        epochs=60,
    )


def measure(word: str, data: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The negative lower bound of the test digits, grey levels as probabilities, in nats a digit."""
    encode, decode = halves(registry.build(word).keras)
    costs, divergence = lower_bound(encode, decode, data["x_test"][..., None].astype(np.float32) / 255)
    return {"negative lower bound": float(np.mean(costs) + np.mean(divergence))}


if __name__ == "__main__":
    script.main(__doc__, recipe, measure=measure)
