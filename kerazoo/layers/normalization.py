"""Normalisation across channels, and of each channel of a picture."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import keras

_GIVEN: ContextVar[dict[str, Any] | None] = ContextVar("given", default=None)
_KEPT: ContextVar[dict[str, Any] | None] = ContextVar("kept", default=None)
"""Means and variances by the layer's name."""


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


@keras.saving.register_keras_serializable(package="kerazoo")
class InstanceNormalization(keras.layers.Layer):
    """Each channel of each picture less its mean, over its deviation, times `gamma` plus `beta`.

    Ulyanov, Vedaldi, Lempitsky, "Instance Normalization: The Missing Ingredient for Fast Stylization",
    arXiv:1607.08022, equation 2, with a scale and a shift for each channel. Mean and variance are those of the whole
    picture; within `moments_given` they are what is given, so that a picture can be drawn piece by piece.

    Args:
        epsilon: Added to the variance.
    """

    def __init__(self, epsilon: float = 1e-5, **options: Any) -> None:
        super().__init__(**options)
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        self.gamma = self.add_weight(name="gamma", shape=(channels,), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(channels,), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """Feature maps [batch, height, width, channels] to maps of the same shape."""
        ops, given, kept = keras.ops, _GIVEN.get(), _KEPT.get()
        if given is None:
            mean = ops.mean(inputs, axis=(1, 2), keepdims=True)
            variance = ops.mean(ops.square(inputs - mean), axis=(1, 2), keepdims=True)
        else:
            mean, variance = ops.split(given[self.name][:, None, None], 2, axis=-1)
        if kept is not None:
            kept[self.name] = ops.concatenate([mean, variance], axis=-1)[:, 0, 0]
        # The mean goes first: maps whose mean is large would lose their last digits otherwise.
        return (inputs - mean) * (self.gamma * ops.rsqrt(variance + self.epsilon)) + self.beta

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}


def _norms(model: Any) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, InstanceNormalization)]


def moments_of(model: Any, pictures: Any) -> Any:
    """Means and variances of a network's `InstanceNormalization`s, layer after layer: [batch, all of them].

    Args:
        model: Functional.
        pictures: What it takes, [batch, height, width, channels].
    """
    kept: dict[str, Any] = {}
    token = _KEPT.set(kept)
    try:
        model(pictures, training=False)
    finally:
        _KEPT.reset(token)
    return keras.ops.concatenate([kept[layer.name] for layer in _norms(model)], axis=-1)


@contextlib.contextmanager
def moments_given(model: Any, moments: Any) -> Iterator[None]:
    """While it lasts, calls of the network, in this thread, normalise by means and variances that `moments_of` gave.

    Args:
        model: That is called.
        moments: [batch, all of them].
    """
    pieces, start = {}, 0
    for layer in _norms(model):
        end = start + 2 * layer.gamma.shape[0]
        pieces[layer.name], start = moments[:, start:end], end
    token = _GIVEN.set(pieces)
    try:
        yield
    finally:
        _GIVEN.reset(token)
