"""Convolutions."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerazoo")
class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` whose groups run and convert everywhere.

    On a CPU Keras puts a convolution with groups into an XLA cluster, which is slow there, and which neither ONNX nor
    a TensorFlow without XLA can run. The kernel, its initial values and the answers are those of Keras' layer.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        if self.groups == 1 or keras.backend.backend() != "tensorflow":
            return super().convolution_op(inputs, kernel)
        import tensorflow as tf

        if self.data_format == "channels_first":
            inputs = tf.transpose(inputs, (0, 2, 3, 1))
        outputs = tf.nn.convolution(
            inputs, kernel, strides=self.strides, padding=self.padding.upper(), dilations=self.dilation_rate
        )
        return tf.transpose(outputs, (0, 3, 1, 2)) if self.data_format == "channels_first" else outputs
