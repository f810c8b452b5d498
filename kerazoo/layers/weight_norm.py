"""Convolutions whose kernels have a direction and a length, and masked ones that see only what came before."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kerazoo.layers.convolution import GroupedConv2D


@keras.saving.register_keras_serializable(package="kerazoo")
class WeightNormConv2D(GroupedConv2D):
    """`keras.layers.Conv2D` whose kernel has, for each output, a length of its own: `kernel exp(log_norm) / |kernel|`.

    Salimans, Kingma, "Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural
    Networks", NeurIPS 2016, arXiv:1602.07868, equation 2, with the logarithm of the length (section 2.1) and 1e-5 added
    to `|kernel|`. At first the length is the kernel's own.

    Args:
        shrink: What the first length is multiplied with.
    """

    def __init__(self, filters: int, kernel_size: Any, shrink: float = 1.0, **options: Any) -> None:
        super().__init__(filters, kernel_size, **options)
        self.shrink = shrink

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.log_norm = self.add_weight(name="log_norm", shape=(self.filters,), initializer="zeros")
        lengths = np.sqrt(np.sum(np.square(keras.ops.convert_to_numpy(self.visible(self.kernel))), axis=(0, 1, 2)))
        self.log_norm.assign(np.log(self.shrink * (lengths + 1e-2)))

    def visible(self, kernel: Any) -> Any:
        """What there is of a kernel; a masked one is less than all."""
        return kernel

    @property
    def normalised(self) -> Any:
        """The kernel that is convolved with, [height, width, inputs, filters]."""
        ops, kernel = keras.ops, self.visible(self.kernel)
        length = ops.sqrt(ops.sum(ops.square(kernel), axis=(0, 1, 2)))
        return kernel * (ops.exp(self.log_norm) / (length + 1e-5))

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, self.normalised)

    def save_own_variables(self, store: Any) -> None:
        """All of them, by their numbers; Keras' convolution knows of a kernel and a bias alone."""
        for number, variable in enumerate(self.variables):
            store[str(number)] = variable

    def load_own_variables(self, store: Any) -> None:
        """The same."""
        self._check_load_own_variables(store)
        for number, variable in enumerate(self.variables):
            variable.assign(store[str(number)])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "shrink": self.shrink}


@keras.saving.register_keras_serializable(package="kerazoo")
class AutoregressiveConv2D(WeightNormConv2D):
    """A weight-normalised convolution of which each output sees the rows above, what is left of it, and at its own
    place the channels before its own.

    Van den Oord et al., "Pixel Recurrent Neural Networks", ICML 2016, arXiv:1601.06759, section 3.4. Outputs are
    shared out among the inputs in order, or inputs among the outputs.

    Args:
        own: Whether an output sees its own channel, too: all layers but the first of a network.
        mirrored: Whether it sees below and right of it instead of above and left.
    """

    def __init__(
        self, filters: int, kernel_size: Any, own: bool = True, mirrored: bool = False, **options: Any
    ) -> None:
        super().__init__(filters, kernel_size, **options)
        self.own, self.mirrored = own, mirrored

    def visible(self, kernel: Any) -> Any:
        return kernel * self._mask(tuple(kernel.shape))

    def _mask(self, shape: tuple[int, ...]) -> np.ndarray:
        height, width, inputs, filters = shape
        mask = np.zeros(shape, np.float32)
        row, column = height // 2, width // 2
        mask[:row], mask[row, :column] = 1, 1
        if self.groups == 1:
            # Place of each channel in an order that both sides share.
            places = min(inputs, filters)
            seen, sees = (np.arange(count) * places // count for count in (inputs, filters))
            mask[row, column] = seen[:, None] <= sees if self.own else seen[:, None] < sees
        else:
            mask[row, column] = float(self.own)
        return mask[::-1, ::-1].copy() if self.mirrored else mask

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "own": self.own, "mirrored": self.mirrored}
