"""Normalisation across channels."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerazoo")
class LocalResponseNormalization(keras.layers.Layer):
    """Each value over a power of its neighbours' squares, the channels on either side of it.

    `y[c] = x[c] / (bias + alpha * sum(x[c - radius .. c + radius] ** 2)) ** beta`, the sum undivided as in the paper;
    Caffe and PyTorch divide it by the number of channels in it. Source: Krizhevsky, Sutskever, Hinton, "ImageNet
    Classification with Deep Convolutional Neural Networks", NIPS 2012, section 3.3.

    Args:
        radius: Channels on either side; the paper's n = 5 is a radius of 2.
        bias: The paper's k.
        alpha: Weight of the sum of squares.
        beta: The exponent.
    """

    def __init__(
        self, radius: int = 2, bias: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, **options: Any
    ) -> None:
        super().__init__(**options)
        self.radius, self.bias, self.alpha, self.beta = radius, bias, alpha, beta
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Feature maps [batch, height, width, channels] to maps of the same shape."""
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # The one form that ONNX and LiteRT know as an operation of their own.
            return tf.nn.local_response_normalization(inputs, self.radius, self.bias, self.alpha, self.beta)
        ops, channels = keras.ops, inputs.shape[-1]
        squares = ops.pad(ops.square(inputs), [[0, 0]] * 3 + [[self.radius, self.radius]])
        total = sum(squares[..., shift : shift + channels] for shift in range(2 * self.radius + 1))
        return inputs / ops.power(self.bias + self.alpha * total, self.beta)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"radius": self.radius, "bias": self.bias, "alpha": self.alpha, "beta": self.beta}
        return {**super().get_config(), **own}
