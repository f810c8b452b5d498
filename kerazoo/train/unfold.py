"""Batch normalisation that was folded into the convolutions before it, made such that it can be trained on."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerazoo.lazy import keras

BATCH = 32


def unfold(model: Any, inputs: np.ndarray) -> list[str]:
    """Gives folded batch normalisation its statistics back, as the network has them on these inputs.

    Weights for inference often have their normalisation folded into the convolutions before it; what is left of it
    changes nothing (no mean, a variance of 1) and adds the bias. In training it would take each batch's own mean and
    variance, which are far from these, and the network would be another one. Here mean and variance become those of
    its inputs, and scale and offset undo them: the network answers as before, and trains as it answers.

    Args:
        model: Functional; changed in place.
        inputs: float32 [n, height, width, channels], some hundred of those to be learnt from.

    Returns:
        The names of the layers that were changed; none where nothing was folded.
    """
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization) and _folded(layer)]
    if not norms:
        return []
    taps = keras.Model(model.input, [norm.input for norm in norms])
    sums = [np.zeros((2, norm.input.shape[-1])) for norm in norms]
    counts = [0] * len(norms)
    for start in range(0, len(inputs), BATCH):
        maps = taps(inputs[start : start + BATCH], training=False)
        for place, one in enumerate(maps if isinstance(maps, list | tuple) else [maps]):
            values = keras.ops.convert_to_numpy(one).reshape(-1, sums[place].shape[1]).astype(np.float64)
            sums[place] += values.sum(axis=0), (values**2).sum(axis=0)
            counts[place] += len(values)
    for norm, (total, squares), count in zip(norms, sums, counts, strict=True):
        mean = total / count
        variance = np.maximum(squares / count - mean**2, 0.0)
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(variance)
        norm.gamma.assign(np.sqrt(variance + norm.epsilon))
        norm.beta.assign(keras.ops.convert_to_numpy(norm.beta) + mean)
    return [norm.name for norm in norms]


def _folded(norm: Any) -> bool:
    """Whether it does nothing but add its offset, to the last digit; a fresh one divides by `sqrt(1 + epsilon)`."""
    if norm.axis not in (-1, 3) or norm.gamma is None or norm.beta is None:
        return False
    gamma, mean, variance = (
        keras.ops.convert_to_numpy(each) for each in (norm.gamma, norm.moving_mean, norm.moving_variance)
    )
    neutral = np.abs(variance + norm.epsilon - 1.0) < norm.epsilon / 10
    return bool(neutral.all() and (gamma == 1.0).all() and (mean == 0.0).all())
