"""Attention over what was read, and over what was written so far, one token or many at a time.

None of these layers has weights: what projects queries, keys and values are Keras' dense layers.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="kerazoo")
class DotProductAttention(keras.layers.Layer):
    """`softmax(Q K^T / sqrt(d_k)) V` in several heads, side by side in the last axis.

    Source: Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, sections 3.2.1 and 3.2.2; its linear
    projections are not part of the layer.

    Args:
        heads: How many; they share the last axis evenly.
    """

    def __init__(self, heads: int, **options: Any) -> None:
        super().__init__(**options)
        self.heads = heads

    def build(self, input_shape: Any) -> None:
        """Refuses axes that the heads cannot share."""
        if len(input_shape) != 4 or any(self._uneven(shape) for shape in input_shape[:3]):
            raise ValueError(
                f"{self.name} takes queries, keys and values, whose last axes {self.heads} heads share, and a mask, "
                f"not {input_shape}."
            )

    def call(self, inputs: Any) -> Any:
        """Attends.

        Args:
            inputs: Queries [batch, n, d], keys [batch, m, d], values [batch, m, d'], and what may be seen: booleans
                [batch, n, m], or [batch, 1, m] where every query sees the same. A query that sees nothing gets the
                mean. Each of the first three may be in heads already, as `Heads` has them.

        Returns:
            [batch, n, d'].
        """
        queries, keys, values, seen = inputs
        ops = keras.ops
        queries, keys, values = (
            split(each, self.heads) if len(each.shape) == 3 else each for each in (queries, keys, values)
        )
        scores = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2))) * (1.0 / np.sqrt(queries.shape[-1]))
        # No infinity: half precision and every format can hold it.
        weights = ops.softmax(ops.where(ops.expand_dims(seen, 1), scores, ops.cast(-3e4, scores.dtype)))
        mixed = ops.transpose(ops.matmul(weights, values), (0, 2, 1, 3))
        return ops.reshape(mixed, (-1, ops.shape(mixed)[1], self.heads * values.shape[-1]))

    def _uneven(self, shape: Any) -> bool:
        return bool(shape[-1] % self.heads) if len(shape) == 3 else shape[1] != self.heads

    def compute_output_shape(self, input_shape: Any) -> Any:
        queries, values = (_joined(shape) for shape in (input_shape[0], input_shape[2]))
        return (*queries[:-1], values[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable(package="kerazoo")
class Heads(keras.layers.Layer):
    """Vectors [batch, n, d] as heads share them, [batch, heads, n, d / heads].

    Args:
        heads: How many; a divisor of d.
    """

    def __init__(self, heads: int, **options: Any) -> None:
        super().__init__(**options)
        self.heads = heads

    def call(self, inputs: Any) -> Any:
        """Turns vectors."""
        return split(inputs, self.heads)

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, count, width = input_shape
        return (batch, self.heads, count, width // self.heads)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable(package="kerazoo")
class SinusoidalPositions(keras.layers.Layer):
    """Vectors scaled by the root of their width, and added to sines and cosines of where they stand.

    Source: Vaswani et al., arXiv:1706.03762, section 3.4 (the scale) and section 3.5: `PE(pos, 2i) = sin(pos /
    10000^(2i/d))`, `PE(pos, 2i + 1) = cos` of the same.

    Args:
        length: Places that there are.
    """

    def __init__(self, length: int, **options: Any) -> None:
        super().__init__(**options)
        self.length = length

    def call(self, inputs: Any) -> Any:
        """Places.

        Args:
            inputs: Vectors [batch, n, d] that stand side by side, and the place of the first of each row, int [batch].

        Returns:
            [batch, n, d].
        """
        vectors, first = inputs
        ops, width = keras.ops, vectors.shape[-1]
        places = _places(first, ops.shape(vectors)[1])
        table = ops.convert_to_tensor(sinusoids(self.length, width), vectors.dtype)
        return vectors * float(np.sqrt(width)) + ops.take(table, places, axis=0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "length": self.length}


@keras.saving.register_keras_serializable(package="kerazoo")
class Written(keras.layers.Layer):
    """A cache of keys or values, with new ones put behind those that are in it; its free places hold zeros."""

    def call(self, inputs: Any) -> Any:
        """Writes.

        Args:
            inputs: The cache [batch, heads, length, d], new vectors [batch, heads, n, d], and how many there are
                already, int [batch].

        Returns:
            The cache, [batch, heads, length, d]; what does not fit is lost.
        """
        cache, new, count = inputs
        ops = keras.ops
        places = _places(count, ops.shape(new)[2])
        here = ops.equal(ops.expand_dims(_row(cache.shape[2]), -1), ops.expand_dims(places, 1))
        return cache + ops.matmul(ops.expand_dims(ops.cast(here, new.dtype), 1), new)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]


@keras.saving.register_keras_serializable(package="kerazoo")
class Earlier(keras.layers.Layer):
    """Which places of a cache new tokens may see: those before them and their own.

    Source: Vaswani et al., arXiv:1706.03762, section 3.2.3, the last point.

    Args:
        length: Places of the cache.
    """

    def __init__(self, length: int, **options: Any) -> None:
        super().__init__(**options)
        self.length = length

    def call(self, inputs: Any) -> Any:
        """Compares.

        Args:
            inputs: The new tokens, [batch, n, ...], and how many there are already, int [batch].

        Returns:
            bool [batch, n, length].
        """
        new, count = inputs
        places = _places(count, keras.ops.shape(new)[1])
        return keras.ops.less_equal(_row(self.length), keras.ops.expand_dims(places, -1))

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((*inputs[0].shape[:2], self.length), dtype="bool")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "length": self.length}


@keras.saving.register_keras_serializable(package="kerazoo")
class LocalAttention(keras.layers.Layer):
    """Shares of places near one that is given: a softmax over a window, bent by a bell around its middle or not.

    Source: Luong, Pham, Manning, "Effective Approaches to Attention-based Neural Machine Translation", EMNLP 2015,
    arXiv:1508.04025, section 3.2; the bell is equation 10. It has half the reach as its deviation, and after it shares
    add up to less than 1.

    Args:
        reach: Places to either side that are in the window.
        bell: Whether there is the bell.
    """

    def __init__(self, reach: int, bell: bool, **options: Any) -> None:
        super().__init__(**options)
        self.reach, self.bell = reach, bell

    def call(self, inputs: Any) -> Any:
        """Looks near a place.

        Args:
            inputs: Scores [batch, length], what may be seen [batch, length], 1 or 0, and the middle of the window
                [batch], from 0 on.

        Returns:
            [batch, length]; zeros where the window holds nothing.
        """
        scores, seen, middle = inputs
        ops = keras.ops
        away = ops.cast(_row(scores.shape[1]), scores.dtype) - ops.expand_dims(ops.cast(middle, scores.dtype), -1)
        seen = seen * ops.cast(ops.less_equal(ops.abs(away), float(self.reach)), seen.dtype)
        shares = shared(scores, seen)
        return shares * ops.exp(-ops.square(away) / (self.reach**2 / 2)) if self.bell else shares

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "reach": self.reach, "bell": self.bell}


@keras.saving.register_keras_serializable(package="kerazoo")
class DropNet(keras.layers.Layer):
    """The mean of two tensors; in training now and then one of them alone.

    Source: Zhu et al., "Incorporating BERT into Neural Machine Translation", ICLR 2020, arXiv:2002.06823, the
    drop-net trick.

    Args:
        rate: How often it is one alone, from 0 to 1: each of the two half of that. It is drawn once a call, not anew
            for each row.
        seed: Of what is drawn.
    """

    def __init__(self, rate: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        if not 0 <= rate <= 1:
            raise ValueError(f"rate={rate!r} is not from 0 to 1.")
        self.rate, self.seed = rate, seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Mixes.

        Args:
            inputs: Two tensors of one shape.
            training: Whether one of them may be left out.

        Returns:
            A tensor of that shape.
        """
        first, second = inputs
        if not training or not self.rate:
            return (first + second) * 0.5
        share = self.share(keras.random.uniform((), dtype=first.dtype, seed=self.generator))
        return share * first + (1 - share) * second

    def share(self, drawn: Any) -> Any:
        """What the first tensor counts: of a number in [0, 1) 0 below half the rate, 1 from the other end, else 1/2."""
        ops = keras.ops
        low, high = ops.less(drawn, self.rate / 2), ops.greater_equal(drawn, 1 - self.rate / 2)
        return 0.5 + 0.5 * (ops.cast(high, drawn.dtype) - ops.cast(low, drawn.dtype))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


def split(tensor: Any, heads: int) -> Any:
    """[batch, n, d] to [batch, heads, n, d / heads]."""
    ops, width = keras.ops, tensor.shape[-1]
    tensor = ops.reshape(tensor, (-1, ops.shape(tensor)[1], heads, width // heads))
    return ops.transpose(tensor, (0, 2, 1, 3))


def shared(scores: Any, seen: Any) -> Any:
    """The softmax of scores over what may be seen, 1 or 0, both [batch, length]; all 0 where nothing may be."""
    ops = keras.ops
    # No infinity: half precision and every format can hold it.
    return ops.softmax(ops.where(ops.greater(seen, 0.5), scores, -3e4)) * seen


def sinusoids(length: int, width: int) -> np.ndarray:
    """Of each place sines and cosines in turn, float32 [length, width]."""
    angles = np.arange(length)[:, None] / 10_000 ** (np.arange(0, width, 2) / width)
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(length, -1)[:, :width].astype(np.float32)


def _joined(shape: Any) -> Any:
    """What was [batch, n, d] before it was split."""
    return shape if len(shape) == 3 else (shape[0], shape[2], shape[1] * shape[3])


def _places(first: Any, count: Any) -> Any:
    """int32 [batch, count]: first, first + 1, ..."""
    ops = keras.ops
    return ops.expand_dims(ops.cast(first, "int32"), -1) + ops.arange(count, dtype="int32")


def _row(length: int) -> Any:
    return keras.ops.arange(length, dtype="int32")
