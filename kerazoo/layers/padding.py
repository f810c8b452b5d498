"""Padding with what lies within."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerazoo")
class ReflectionPadding2D(keras.layers.Layer):
    """Maps with a border that mirrors what lies within, the outermost pixels not repeated.

    Maps narrower than the border are mirrored again and again.

    Args:
        padding: Pixels on each side.
    """

    def __init__(self, padding: int, **options: Any) -> None:
        super().__init__(**options)
        self.padding = padding

    def call(self, inputs: Any) -> Any:
        """Feature maps [batch, height, width, channels] to maps that are 2 `padding` higher and wider."""
        # Not `keras.ops.pad`: LiteRT plans the memory of a file for sides of 1 pixel when it opens it, and its mirror
        # refuses those.
        for axis in (1, 2):
            side = keras.ops.shape(inputs)[axis]
            period = keras.ops.maximum(2 * side - 2, 1)
            # A remainder of negative numbers is another one in ONNX.
            places = keras.ops.abs(keras.ops.arange(side + 2 * self.padding, dtype="int32") - self.padding)
            inputs = keras.ops.take(inputs, side - 1 - keras.ops.abs(side - 1 - places % period), axis)
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, height, width, channels = input_shape
        return (batch, *(side and side + 2 * self.padding for side in (height, width)), channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "padding": self.padding}
