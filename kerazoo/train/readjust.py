"""Moving statistics of a hierarchy's decoder for noise that is smaller than it was trained with.

Vahdat, Kautz, "NVAE: A Deep Hierarchical Variational Autoencoder", NeurIPS 2020, arXiv:2007.03898, section 5:
drawn at a low temperature, batch normalisation wants statistics of what is drawn at that temperature.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from kerazoo.drawing import noise
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.train.quick import every_layer


def readjust(model: Any, temperature: float, batches: int = 50, batch: int = 50, seed: int = 0) -> None:
    """Sets the decoder's moving statistics to the means over so many batches that are drawn at a temperature.

    The encoder's stay, and so does what pictures are described by; a lower bound is that of the model as it was.

    Args:
        model: A Keras model that is a hierarchy (`kerazoo.layers.hierarchy`); its statistics change.
        temperature: What noise is multiplied with, more than 0.
        batches, batch: How many, and pictures in each: 2 at least.
        seed: The first of the pictures' seeds.

    Raises:
        UsageError: The model is none, or a number does not fit.
    """
    from kerazoo.layers import hierarchy

    if not hierarchy.is_hierarchy(model):
        raise UsageError(f"{getattr(model, 'name', model)} is no hierarchy of latent variables; NVAEs are.")
    if not temperature > 0 or batches < 1 or batch < 2:
        raise UsageError(
            f"temperature={temperature!r} must be more than 0, batches={batches!r} at least 1 and batch={batch!r} 2."
        )
    draws = hierarchy.generating(model)
    norms = [each for each in every_layer(draws) if isinstance(each, keras.layers.BatchNormalization)]
    latents = draws.inputs[0].shape[1]
    with contextlib.ExitStack() as undo:
        for norm in norms:
            undo.callback(setattr, norm, "momentum", norm.momentum)
        for number in range(batches):
            for norm in norms:  # So the mean of all batches comes out, and nothing of what was there.
                norm.momentum = number / (number + 1)
            seeds = range(seed + number * batch, seed + (number + 1) * batch)
            draws(np.stack([noise(latents, each, temperature) for each in seeds]), training=True)
