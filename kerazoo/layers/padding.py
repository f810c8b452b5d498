"""Padding with what lies within."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerazoo")
class ReflectionPadding2D(keras.layers.Layer):
    """Maps with a border that mirrors what lies within, the outermost pixels not repeated.

    Args:
        padding: Pixels on each side; the maps must be higher and wider.
    """

    def __init__(self, padding: int, **options: Any) -> None:
        super().__init__(**options)
        self.padding = padding

    def call(self, inputs: Any) -> Any:
        """Feature maps [batch, height, width, channels] to maps that are 2 `padding` higher and wider."""
        around = (self.padding, self.padding)
        return keras.ops.pad(inputs, ((0, 0), around, around, (0, 0)), "reflect")

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, height, width, channels = input_shape
        return (batch, *(side and side + 2 * self.padding for side in (height, width)), channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "padding": self.padding}
