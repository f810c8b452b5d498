"""Max-pooling as Caffe and PyTorch's `ceil_mode` have it: the last window may reach over the edge."""

from __future__ import annotations

from typing import Any

from kerazoo.lazy import keras


def ceil_max_pool(x: Any, name: str) -> Any:
    """3x3 with stride 2, the last window allowed to reach one pixel over the edge, for maps of any size from 2x2.

    Args:
        x: Maps [batch, height, width, channels] without negative numbers, as ReLU gives them; of height and width,
            half comes out, rounded down.
        name: Of the layer; a layer that pads for it has `_pad` behind that.
    """
    layers = keras.layers
    sides = {None if side is None else side % 2 for side in x.shape[1:3]}
    if sides == {0}:
        # On even sizes, and only there, Keras' own padding is that one pixel at the end.
        return layers.MaxPooling2D(3, strides=2, padding="same", name=name)(x)
    if sides != {1}:
        # Zeros cannot win: nothing that is pooled is less.
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name=name)(x)
