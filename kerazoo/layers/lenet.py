"""The layers of LeNet-5 as it was in 1998.

Source: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86(11),
1998, sections II.B and II.C and appendix A.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="kerazoo")
def scaled_tanh(x: Any) -> Any:
    """`1.7159 tanh(2 x / 3)`, which maps 1 to 1 and -1 to -1 (appendix A)."""
    return 1.7159 * keras.ops.tanh(2 / 3 * x)


@keras.saving.register_keras_serializable(package="kerazoo")
class Subsampling2D(keras.layers.Layer):
    """The sum of each 2x2 square times a trained coefficient plus a trained bias, one pair a map.

    Args:
        spread: The initial values are uniform within `spread / 4` of 0, 4 being what each unit sees.
    """

    def __init__(self, spread: float = 2.4, **options: Any) -> None:
        super().__init__(**options)
        self.spread = spread

    def build(self, input_shape: Any) -> None:
        initial = keras.initializers.RandomUniform(-self.spread / 4, self.spread / 4)
        self.coefficient = self.add_weight((input_shape[-1],), initial, name="coefficient")
        self.bias = self.add_weight((input_shape[-1],), initial.clone(), name="bias")
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Maps [batch, height, width, channels] to [batch, height // 2, width // 2, channels]."""
        mean = keras.ops.average_pool(inputs, 2, 2, "valid", data_format="channels_last")
        return mean * (4 * self.coefficient) + self.bias

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, height, width, channels = input_shape
        return batch, height and height // 2, width and width // 2, channels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "spread": self.spread}


@keras.saving.register_keras_serializable(package="kerazoo")
class TableConv2D(keras.layers.Layer):
    """A convolution without padding whose output maps each see some of the input maps.

    Its weight `kernel` [size, size, connections] holds one square for each connection, map by map in the table's
    order, and nothing for the pairs that are not connected.

    Args:
        table: For each output map the indices of the input maps that it sees.
        size: Side of the kernels in pixels.
        activation: As `keras.layers.Conv2D` takes it.
        spread: The initial weights of a map are uniform within `spread / fan_in` of 0.
    """

    def __init__(
        self, table: Sequence[Sequence[int]], size: int, activation: Any = None, spread: float = 2.4, **options: Any
    ) -> None:
        super().__init__(**options)
        self.table = [list(row) for row in table]
        self.size, self.spread = size, spread
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Any) -> None:
        fans = [self.size**2 * len(row) for row in self.table]
        limits = np.repeat([self.spread / fan for fan in fans], [len(row) for row in self.table])
        self.kernel = self.add_weight((self.size, self.size, len(limits)), _uniform(limits), name="kernel")
        self.bias = self.add_weight((len(fans),), _uniform(self.spread / np.array(fans)), name="bias")
        # Where the square of (input map, output map) lies in the kernel; one past its end, where zeros are appended,
        # for those that are not connected.
        self._places = np.full((input_shape[-1], len(fans)), len(limits), np.int32)
        connections = [(seen, made) for made, row in enumerate(self.table) for seen in row]
        self._places[tuple(np.transpose(connections))] = np.arange(len(limits))
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Maps [batch, height, width, channels] to [batch, height - size + 1, width - size + 1, output maps]."""
        ops = keras.ops
        kernel = ops.take(ops.pad(self.kernel, [[0, 0], [0, 0], [0, 1]]), self._places, axis=-1)
        outputs = ops.conv(inputs, kernel, padding="valid", data_format="channels_last")
        return self.activation(outputs + self.bias)

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, height, width, _ = input_shape
        return batch, height and height - self.size + 1, width and width - self.size + 1, len(self.table)

    def get_config(self) -> dict[str, Any]:
        own = {"table": self.table, "size": self.size, "spread": self.spread}
        return {**super().get_config(), **own, "activation": keras.activations.serialize(self.activation)}


@keras.saving.register_keras_serializable(package="kerazoo")
class RadialBasis(keras.layers.Layer):
    """Minus the squared Euclidean distance of a vector from each of some fixed centres, so that the nearest is first.

    The centres are part of the layer, not weights.

    Args:
        centres: [centres, size].
    """

    def __init__(self, centres: Sequence[Sequence[float]], **options: Any) -> None:
        super().__init__(**options)
        self.centres = np.asarray(centres, np.float32)

    def call(self, inputs: Any) -> Any:
        """Vectors [batch, size] to [batch, centres], none above 0."""
        ops = keras.ops
        apart = ops.expand_dims(inputs, 1) - ops.cast(self.centres, inputs.dtype)
        return -ops.sum(ops.square(apart), axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0], len(self.centres)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "centres": self.centres.tolist()}


def _uniform(limits: np.ndarray) -> Any:
    """Initial values uniform within the limits, one for each index of the last axis."""

    def initial(shape: Any, dtype: Any = None) -> Any:
        return keras.initializers.RandomUniform(-1.0, 1.0)(shape, dtype) * keras.ops.cast(limits, dtype)

    return initial
