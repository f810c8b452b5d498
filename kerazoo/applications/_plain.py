"""What the plain convolutional classifiers share: flattening, and weights of files whose channels come first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from kerazoo.applications._classifier import ClassifierConfig
from kerazoo.errors import UsageError
from kerazoo.lazy import keras

Change = Callable[[np.ndarray], np.ndarray]


def flatten(config: ClassifierConfig, maps: Any) -> Any:
    """Maps as one vector for a dense layer, which needs to know how long it is."""
    if None in maps.shape[1:3]:
        raise UsageError(
            f"input_shape={config.input_shape!r} does not fit {config.name}: its dense layers have weights for every "
            "place of the maps, so height and width must be numbers; include_top=False takes any."
        )
    return keras.layers.Flatten(name="flatten")(maps)


def conv(kernel: np.ndarray) -> np.ndarray:
    """OIHW to HWIO."""
    return kernel.transpose(2, 3, 1, 0)


def dense(kernel: np.ndarray) -> np.ndarray:
    """[outputs, inputs] to [inputs, outputs]."""
    return kernel.T


def after_flatten(channels: int, height: int, width: int) -> Change:
    """What a dense kernel needs that stands on flattened maps: there one channel after the other, here together."""

    def change(kernel: np.ndarray) -> np.ndarray:
        outputs = len(kernel)
        return kernel.reshape(outputs, channels, height, width).transpose(2, 3, 1, 0).reshape(-1, outputs)

    return change


def recipe(names: Mapping[str, str], kernels: Mapping[str, Change] | None = None) -> dict[str, tuple[str, Change]]:
    """For `kerazoo.weights.convert`: layers with kernel and bias.

    Args:
        names: Our layers -> those of the file.
        kernels: What makes ours of a layer's kernel; `conv` where it is not named.
    """
    made: dict[str, tuple[str, Change]] = {}
    for layer, source in names.items():
        made[f"{layer}/kernel"] = (f"{source}.weight", (kernels or {}).get(layer, conv))
        made[f"{layer}/bias"] = (f"{source}.bias", np.asarray)
    return made


def in_order(tensors: Mapping[str, np.ndarray], layers: Iterable[str]) -> dict[str, np.ndarray]:
    """An ONNX file's tensors, in the order in which its nodes use them, as kernels and biases of these layers."""
    # The shape that a Reshape wants is a constant of integers beside them.
    found = [tensor for tensor in tensors.values() if tensor.dtype.kind == "f"]
    names = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    if len(found) != len(names):
        raise UsageError(f"The file does not fit this architecture: it has {len(found)} weights, not {len(names)}.")
    return dict(zip(names, found, strict=True))
