"""Convolutions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerazoo")
class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` whose groups run and convert everywhere.

    On a CPU Keras puts a convolution with groups into an XLA cluster, which is slow there, and which neither ONNX nor
    a TensorFlow without XLA can run. The kernel, its initial values and the answers are those of Keras' layer.
    """

    def call(self, inputs: Any) -> Any:
        """Convolves, adds the bias and activates: [batch, height, width, channels] to [batch, ..., filters]."""
        if self.groups == 1 or keras.backend.backend() != "tensorflow":
            return super().call(inputs)
        import tensorflow as tf

        outputs = self.convolution_op(inputs, self.kernel)
        if self.use_bias:
            shape = (self.filters, 1, 1) if self.data_format == "channels_first" else (self.filters,)
            # Keras' sum is a `BiasAdd`, which TensorFlow fuses with the convolution: on processors for which it does
            # not use oneDNN, into a kernel that refuses groups.
            outputs = tf.add(outputs, keras.ops.reshape(self.bias, shape))
        return outputs if self.activation is None else self.activation(outputs)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        if self.groups == 1 or keras.backend.backend() != "tensorflow":
            return super().convolution_op(inputs, kernel)
        import tensorflow as tf

        if self.data_format == "channels_first":
            inputs = tf.transpose(inputs, (0, 2, 3, 1))
        convolve = functools.partial(
            tf.nn.convolution, strides=self.strides, padding=self.padding.upper(), dilations=self.dilation_rate
        )
        # The variable's value: a gradient of one's own must not meet a variable.
        kernel = tf.convert_to_tensor(keras.ops.convert_to_tensor(kernel))
        outputs = _differentiable(convolve, self.groups)(inputs, kernel)
        return tf.transpose(outputs, (0, 3, 1, 2)) if self.data_format == "channels_first" else outputs


Convolve = Callable[[Any, Any], Any]
"""From pictures and a kernel to pictures."""


def _differentiable(convolve: Convolve, groups: int) -> Convolve:
    """The same, with gradients that are made group by group where TensorFlow has none of its own."""
    import tensorflow as tf

    if _has_gradients():
        return convolve

    @tf.custom_gradient
    def convolved(inputs: Any, kernel: Any) -> Any:
        def gradients(above: Any) -> Any:
            found = []
            for each in zip(*(tf.split(tensor, groups, -1) for tensor in (inputs, kernel, above)), strict=True):
                with tf.GradientTape() as tape:
                    tape.watch(each[:2])
                    group = convolve(*each[:2])
                found.append(tape.gradient(group, each[:2], each[2]))
            return tuple(tf.concat(parts, -1) for parts in zip(*found, strict=True))

        return convolve(inputs, kernel), gradients

    return convolved


@functools.cache
def _has_gradients() -> bool:
    """Whether TensorFlow has gradients of grouped convolutions here: with oneDNN it has, and on a GPU."""
    import tensorflow as tf

    with tf.init_scope():
        pixel = tf.zeros((1, 1, 1, 2))
        try:
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=(1, 1, 1, 2), filter=pixel, out_backprop=pixel, strides=[1] * 4, padding="VALID"
            )
        except tf.errors.InvalidArgumentError:
            return False
    return True
