"""What a Transformer encoder for texts needs beside dense layers: positions, segments, attention, and means over texts.

Texts are numbers of pieces [batch, n] in which 0 is padding; layers that must not see padding are given these numbers.
"""

from __future__ import annotations

import math
from typing import Any

import keras

PADDING = -10_000.0
"""What is added to the scores of padding, as the published code does it."""


@keras.saving.register_keras_serializable(package="kerazoo")
def gelu_tanh(x: Any) -> Any:
    """The Gaussian error linear unit by way of tanh, as Google's BERT has it; others take the error function."""
    return keras.activations.gelu(x, approximate=True)


@keras.saving.register_keras_serializable(package="kerazoo")
def gelu_erf(x: Any) -> Any:
    """The same by the error function, which goes into every format; Keras' own takes its complement, which does not."""
    return x * 0.5 * (1.0 + keras.ops.erf(x * (1 / math.sqrt(2))))


@keras.saving.register_keras_serializable(package="kerazoo")
class Positions(keras.layers.Layer):
    """A learned vector for each place.

    Args:
        length: Places that there are; longer texts are refused by what reads them.
    """

    def __init__(self, length: int, **options: Any) -> None:
        super().__init__(**options)
        self.length = length

    def build(self, input_shape: Any) -> None:
        small = keras.initializers.TruncatedNormal(stddev=0.02)
        self.embeddings = self.add_weight(name="embeddings", shape=(self.length, input_shape[-1]), initializer=small)

    def call(self, inputs: Any) -> Any:
        """Adds them to vectors [batch, n, units]."""
        return inputs + self.embeddings[: keras.ops.shape(inputs)[1]]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "length": self.length}


@keras.saving.register_keras_serializable(package="kerazoo")
class Segments(keras.layers.Layer):
    """Which of two texts each piece belongs to: 1 behind the first separator, 0 before it, on it and on padding.

    Args:
        separator: The number that ends each text.
    """

    def __init__(self, separator: int, **options: Any) -> None:
        super().__init__(**options)
        self.separator = separator

    def call(self, tokens: Any) -> Any:
        """int32 [batch, n] to int32 [batch, n]."""
        ends = keras.ops.cast(keras.ops.equal(tokens, self.separator), "int32")
        behind = keras.ops.minimum(keras.ops.cumsum(ends, axis=1) - ends, 1)
        return behind * keras.ops.cast(keras.ops.not_equal(tokens, 0), "int32")

    def compute_output_spec(self, tokens: Any) -> Any:
        return keras.KerasTensor(tokens.shape, "int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "separator": self.separator}


@keras.saving.register_keras_serializable(package="kerazoo")
class SelfAttention(keras.layers.Layer):
    """Scaled dot-product attention of a text's pieces to each other, in several heads; its projections are outside.

    Args:
        heads: Equal parts of the vectors, each of which attends by itself.
        dropout: Share of the attention that is left out in training.
    """

    def __init__(self, heads: int, dropout: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.heads = heads
        self.rate = dropout
        self.dropout = keras.layers.Dropout(dropout)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Attends.

        Args:
            inputs: Queries, keys and values [batch, n, units], and the numbers of the pieces [batch, n].
            training: Whether attention is dropped.

        Returns:
            [batch, n, units].
        """
        ops = keras.ops
        *vectors, tokens = inputs
        units = vectors[0].shape[-1]
        size = units // self.heads
        query, key, value = (
            ops.transpose(ops.reshape(each, (-1, ops.shape(tokens)[1], self.heads, size)), (0, 2, 1, 3))
            for each in vectors
        )
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) * (1 / math.sqrt(size))
        padding = ops.cast(ops.equal(tokens, 0), scores.dtype) * PADDING
        shares = ops.softmax(scores + padding[:, None, None, :])
        mixed = ops.matmul(self.dropout(shares, training=training), value)
        return ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, ops.shape(tokens)[1], units))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[2]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads, "dropout": self.rate}


@keras.saving.register_keras_serializable(package="kerazoo")
class TextMean(keras.layers.Layer):
    """The mean of a text's vectors, padding left out."""

    def call(self, inputs: Any) -> Any:
        """Vectors [batch, n, units] and the numbers of the pieces [batch, n] to [batch, units]."""
        vectors, tokens = inputs
        there = keras.ops.cast(keras.ops.not_equal(tokens, 0), vectors.dtype)[:, :, None]
        count = keras.ops.maximum(keras.ops.sum(there, axis=1), 1.0)
        return keras.ops.sum(vectors * there, axis=1) / count

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0][0], input_shape[0][2])


@keras.saving.register_keras_serializable(package="kerazoo")
class Bias(keras.layers.Layer):
    """A number for each of the last axis, which is added: for logits of tied embeddings."""

    def build(self, input_shape: Any) -> None:
        self.bias = self.add_weight(name="bias", shape=input_shape[-1:], initializer="zeros")

    def call(self, inputs: Any) -> Any:
        return inputs + self.bias

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape
