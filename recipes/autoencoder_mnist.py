"""Trains `autoencoder_2006:mnist` (or conv, denoising): MNIST's digits through few numbers and back.

    python recipes/autoencoder_mnist.py mnist.npz out/
    kerazoo evaluate autoencoder_2006:mnist mnist.npz

`--kind conv` or `denoising` for the others. mnist.npz holds x_train and x_test (uint8). About half an hour on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerazoo import registry
from kerazoo.applications import autoencoder
from kerazoo.train import product, script
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.jobs.redraw import Error, Noisy
from kerazoo.train.losses import squared_a_sample
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised


def recipe(data: Mapping[str, np.ndarray], kind: str = "2006") -> Recipe:
    variant = f"autoencoder_{kind}"
    config = autoencoder.VARIANTS[variant].config
    return Recipe(
        name=f"{variant}:mnist",
        model=lambda: autoencoder.build(config),
        data=Arrays((data["x_train"][..., None],)),
        step=Supervised(squared_a_sample),
        optimizer=Optimizer("adam"),
        schedule=Cosine(1e-3),
        augment=Noisy(config.noise),
        seed=2006,
        batch=128,
        epochs=10 if config.noise else 40,
    )


def measure(word: str, data: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The squared error a test digit in 0..1, summed over its pixels."""
    variant, model = word.partition(":")[0], registry.build(word).keras
    error = Error(data["x_test"][..., None], Noisy(autoencoder.VARIANTS[variant].config.noise))
    return {"squared error": error(State({"model": model}))["loss"]}


def main(arguments: Sequence[str] | None = None) -> None:
    left: list[Any] = list(sys.argv[1:] if arguments is None else arguments)
    kind = "2006"
    if "--kind" in left:
        at = left.index("--kind")
        kind = left[at + 1]
        del left[at : at + 2]
    script.main(
        __doc__,
        lambda data: recipe(data, kind),
        normalise=autoencoder.NORMALISE,
        measure=measure,
        arguments=left,
        # Of 2.8 million weights in half precision the package would grow by 5 MB.
        store=product.eight_bits if kind == "2006" else product.half,
    )


if __name__ == "__main__":
    main()
