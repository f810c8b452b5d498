"""Trains `vae:mnist`: a variational auto-encoder on MNIST's 60,000 training digits.

    python recipes/vae_mnist.py mnist.npz out/
    python recipes/vae_mnist.py mnist.npz vae_mnist.npz --measure

mnist.npz holds x_train and x_test (uint8). About ten minutes on one core.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kerazoo import registry
from kerazoo.applications import vae
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
    return {"negative lower bound": sample.nats(registry.build(word).keras, data["x_test"][..., None])}


if __name__ == "__main__":
    script.main(__doc__, recipe, measure=measure)
