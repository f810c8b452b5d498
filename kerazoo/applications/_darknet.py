"""A Keras network of the layers that darknet's `.cfg` files describe, each called by its number in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kerazoo.lazy import keras
from kerazoo.weights.darknet import EPSILON, Conv, Layer, Pool, Route, Shortcut, Upsample, Yolo, name_of

MOMENTUM, SLOPE = 0.99, 0.1


def outputs(layers: Sequence[Layer], inputs: Any) -> list[Any]:
    """What goes into each `Yolo`, in the order of the file."""
    kl = keras.layers
    made: list[Any] = []
    found = []
    for index, layer in enumerate(layers):
        x = made[-1] if made else inputs
        match layer:
            case Conv():
                x = _conv(x, layer, name_of(index))
            case Pool():
                x = kl.MaxPooling2D(layer.size, layer.stride, "same", name=f"pool{index}")(x)
            case Shortcut():
                x = kl.Add(name=f"add{index}")([x, made[layer.other]])
            case Route():
                routed = [made[number] for number in layer.layers]
                x = kl.Concatenate(name=f"route{index}")(routed) if len(routed) > 1 else routed[0]
            case Upsample():
                x = kl.UpSampling2D(layer.stride, name=f"upsample{index}")(x)
            case Yolo():
                found.append(x)
        made.append(x)
    return found


def _conv(x: Any, layer: Conv, name: str) -> Any:
    kl = keras.layers
    padding = "same"
    if layer.stride > 1 and layer.size > 1:
        # `size // 2` zeros all around; of sides that the stride divides, the last ones are never seen.
        x, padding = kl.ZeroPadding2D(layer.size // 2, name=f"{name}_pad")(x), "valid"
    options: Any = {"use_bias": not layer.norm, "name": name}
    if layer.groups > 1:
        x = kl.DepthwiseConv2D(layer.size, layer.stride, padding, **options)(x)
    else:
        x = kl.Conv2D(layer.filters, layer.size, layer.stride, padding, **options)(x)
    if layer.norm:
        x = kl.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM, name=f"{name}_bn")(x)
    if layer.activation == "leaky":
        return kl.LeakyReLU(SLOPE, name=f"{name}_leaky")(x)
    return kl.ReLU(name=f"{name}_relu")(x) if layer.activation == "relu" else x


def narrowed(layers: Sequence[Layer], width: float) -> tuple[Layer, ...]:
    """The same network with a share of its filters; its outputs' stay."""
    if width == 1.0:
        return tuple(layers)

    def share(filters: int) -> int:
        return max(1, int(filters * width))

    return tuple(
        replace(layer, filters=share(layer.filters), groups=share(layer.groups) if layer.groups > 1 else 1)
        if isinstance(layer, Conv) and layer.norm
        else layer
        for layer in layers
    )
