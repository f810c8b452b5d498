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
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.supervised import Supervised

DRAWS = 5
"""Of noise a digit, of which the bound's mean is measured."""


def twice(batch: tuple[np.ndarray, ...], rng: np.random.Generator, epoch: int) -> tuple[np.ndarray, ...]:
    """Input and target are the same."""
    pictures = batch[0].astype(np.float32) / 255
    return pictures, pictures


def recipe(data: Mapping[str, np.ndarray]) -> Recipe:
    return Recipe(
        name="vae:mnist",
        model=lambda: vae.build(vae.VARIANTS["vae"].config),
        data=Arrays((data["x_train"][..., None],)),
        step=Supervised(vae.reconstruction()),
        optimizer=Optimizer("adam"),
        schedule=Cosine(2e-3),
        augment=twice,
        seed=1312,
        batch=128,
        epochs=60,
    )


def measure(word: str, data: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The negative lower bound of the test digits, grey levels as probabilities, in nats a digit."""
    model = registry.build(word).keras
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    pictures = data["x_test"][..., None].astype(np.float32) / 255
    mean, log_variance, divergence = encoder.predict(pictures, batch_size=500, verbose=0)
    rng, nats = np.random.default_rng(0), []
    for _ in range(DRAWS):
        noise = mean + np.exp(log_variance / 2) * rng.standard_normal(mean.shape)
        logits = decoder.predict(noise.astype(np.float32), batch_size=500, verbose=0).astype(np.float64)
        nats.append(np.sum(np.logaddexp(0, logits) - pictures * logits, axis=(1, 2, 3)))
    return {"negative lower bound": float(np.mean(nats) + np.mean(np.sum(divergence, axis=1, dtype=np.float64)))}


if __name__ == "__main__":
    script.main(__doc__, recipe, measure=measure)
