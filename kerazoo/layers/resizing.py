"""Bilinear resizing of maps to the size of others, in both of the ways that weights were trained with."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="kerazoo")
class BilinearResize(keras.layers.Layer):
    """Maps resized to the height and width of a second input, between four values bilinearly.

    `keras.layers.Resizing` knows the one way only, and only sizes that are numbers.

    Args:
        align_corners: Whether the corners' centres stay corners, as in TensorFlow 1's networks and Caffe's `Interp`:
            place i of m is place i (n - 1) / (m - 1) of n. Otherwise the outer borders stay borders, as in PyTorch and
            Keras: place (i + 0.5) n / m - 0.5, limited to the maps.
    """

    def __init__(self, align_corners: bool, **options: Any) -> None:
        super().__init__(**options)
        self.align_corners = align_corners

    def call(self, inputs: Any) -> Any:
        """Resizes.

        Args:
            inputs: Maps [batch, h, w, n], and what has the size wanted: [batch, height, width, any].

        Returns:
            [batch, height, width, n].
        """
        maps, like = inputs
        for axis in (1, 2):
            maps = self._stretched(maps, axis, keras.ops.shape(maps)[axis], keras.ops.shape(like)[axis])
        return maps

    def _stretched(self, maps: Any, axis: int, cells: Any, wanted: Any) -> Any:
        known = isinstance(cells, int) and isinstance(wanted, int)
        if known and cells == wanted:
            return maps
        # Numbers that are known are no part of the graph.
        xp: Any = np if known else keras.ops
        kind = "float64" if known else "float32"
        places = xp.arange(wanted, dtype=kind)
        last = self._cast(xp, cells, kind) - 1
        if self.align_corners:
            at = places * (last / xp.maximum(self._cast(xp, wanted, kind) - 1, 1))
        else:
            at = (places + 0.5) * ((last + 1) / self._cast(xp, wanted, kind)) - 0.5
        at = xp.clip(at, 0, last)
        before = xp.floor(at)
        share = keras.ops.cast(keras.ops.reshape(at - before, (-1, 1, 1) if axis == 1 else (-1, 1)), maps.dtype)
        after = xp.minimum(before + 1, last)
        low, high = (keras.ops.take(maps, self._cast(xp, place, "int32"), axis=axis) for place in (before, after))
        return low + (high - low) * share

    @staticmethod
    def _cast(xp: Any, value: Any, kind: str) -> Any:
        return np.asarray(value).astype(kind) if xp is np else keras.ops.cast(value, kind)

    def compute_output_shape(self, input_shape: Any) -> Any:
        maps, like = input_shape
        return (maps[0], like[1], like[2], maps[3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "align_corners": self.align_corners}
