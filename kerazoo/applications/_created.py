"""Keras files whose layers were not given names: the order in which they were created tells them apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np


def renamed(tensors: Mapping[str, np.ndarray], names: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
    """A Keras file's arrays with the layers that Keras named itself under our names.

    Such a name is the layer's class and a number that counts through the session that made the file (`conv2d`,
    `conv2d_1`, but as well `conv2d_95`, ...), so only the order of the numbers means anything. A class of which the
    file has more or fewer such layers stays as it is, for the check that follows to name what does not fit.

    Args:
        tensors: `layer/array` as `kerazoo.weights.keras_h5` reads them.
        names: Keras' word for a class -> our names of its layers, in the order in which Keras creates them.
    """
    layers = dict.fromkeys(key.rpartition("/")[0] for key in tensors)
    ours: dict[str, str] = {}
    for word, wanted in names.items():
        found = {layer: re.fullmatch(rf"{word}(?:_(\d+))?", layer) for layer in layers}
        numbers = {layer: int(match[1] or 0) for layer, match in found.items() if match}
        if len(numbers) == len(wanted):
            ours |= zip(sorted(numbers, key=numbers.__getitem__), wanted, strict=True)
    made = {}
    for key, tensor in tensors.items():
        layer, _, array = key.rpartition("/")
        made[f"{ours.get(layer, layer)}/{array}"] = tensor
    return made
