"""Training for 8-bit integers: layers that compute in floats what integers would give.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018,
arXiv:1712.05877, section 3; weights symmetric, with a scale for each output of a convolution, and batch normalisation
by its moving averages throughout, as Krishnamoorthi, arXiv:1806.08342, sections 3.1 and 3.2.2, ends training. Rounding
lets gradients through as if it were not there, but for what lies beyond the range.
"""

from __future__ import annotations

from typing import Any

import keras

BITS = 8


def _backend() -> Any:
    if keras.backend.backend() != "tensorflow":
        raise NotImplementedError("Fake quantisation runs on Keras' TensorFlow backend.")
    import tensorflow as tf

    return tf


@keras.saving.register_keras_serializable(package="kerazoo")
class FakeQuant(keras.layers.Layer):
    """Rounds activations to the 256 steps of a range that it learns: a moving average of what it sees, section 3.1.

    Args:
        momentum: Of the moving average.
        least, most: A range that is known, and is not learnt.
    """

    def __init__(
        self, momentum: float = 0.99, least: float | None = None, most: float | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.momentum, self.known = momentum, None if least is None or most is None else (least, most)

    def build(self, input_shape: Any) -> None:
        """Makes the range; before it has seen anything it is that of its first batch."""
        low, high = self.known or (0.0, 0.0)
        constant = keras.initializers.Constant
        self.low = self.add_weight(name="low", shape=(), initializer=constant(low), trainable=False)
        self.high = self.add_weight(name="high", shape=(), initializer=constant(high), trainable=False)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations of any shape to activations of that shape."""
        tf = _backend()
        if training and self.known is None and self.trainable:
            self._see(tf, inputs)
        low, high = tf.convert_to_tensor(self.low), tf.convert_to_tensor(self.high)
        return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high, BITS)

    def _see(self, tf: Any, inputs: Any) -> None:
        # Zero is a step of every range: paddings and rectifiers give it. Steps that are too small would leave no bias
        # within 32 bits.
        seen = (tf.minimum(tf.reduce_min(inputs), 0.0), tf.maximum(tf.reduce_max(inputs), 1e-3))
        fresh = tf.equal(tf.convert_to_tensor(self.high), tf.convert_to_tensor(self.low))
        keep = tf.where(fresh, 0.0, self.momentum)
        for variable, value in zip((self.low, self.high), seen, strict=True):
            variable.assign(keep * variable + (1 - keep) * value)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        least, most = self.known or (None, None)
        return {**super().get_config(), "momentum": self.momentum, "least": least, "most": most}


@keras.saving.register_keras_serializable(package="kerazoo")
class FakeQuantProduct(keras.layers.Layer):
    """A convolution or dense layer with 8-bit weights, and the batch normalisation behind it folded into them.

    Both are trained as they are; the fold is computed at every step, so that what is rounded is what will be stored.
    Normalisation is by moving averages, which stay as they are.

    Args:
        inner: A `Conv2D`, `DepthwiseConv2D` or `Dense`, without an activation where a normalisation follows.
        norm: The `BatchNormalization` behind it, if there is one.
        ranged: Whether the weights' ranges are kept as numbers of their own, as they are in a network that learns no
            more; else they are those of the weights.
    """

    def __init__(self, inner: Any, norm: Any = None, ranged: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.inner, self.norm, self.ranged = inner, norm, ranged

    def build(self, input_shape: Any) -> None:
        """Makes the weights of both, and ranges."""
        if not self.inner.built:  # As it is where it comes from a file.
            self.inner.build(input_shape)
        if self.norm is not None and not self.norm.built:
            self.norm.build(self.inner.compute_output_shape(input_shape))
        if self.ranged:
            shape = symmetric(self.flat(self.inner.kernel), self.one).shape
            self.low = self.add_weight(name="low", shape=shape, initializer="zeros", trainable=False)
            self.high = self.add_weight(name="high", shape=shape, initializer="zeros", trainable=False)

    @property
    def one(self) -> bool:
        """Whether all outputs share one scale: LiteRT's converter turns a dense layer's weights round, but no axis."""
        return isinstance(self.inner, keras.layers.Dense)

    def flat(self, kernel: Any) -> Any:
        """A kernel with all its outputs along the last axis: a depthwise one has inputs and outputs of each."""
        depthwise = isinstance(self.inner, keras.layers.DepthwiseConv2D)
        return (
            keras.ops.reshape(kernel, (*kernel.shape[:-2], 1, -1)) if depthwise else keras.ops.convert_to_tensor(kernel)
        )

    def folded(self) -> tuple[Any, Any]:
        """Kernel, its outputs along the last axis, and bias, as they will be stored."""
        kernel, bias = self.flat(self.inner.kernel), self.inner.bias if self.inner.use_bias else 0.0
        norm = self.norm
        if norm is None:
            return kernel, bias
        scale = keras.ops.rsqrt(norm.moving_variance + norm.epsilon)
        scale = scale * norm.gamma if norm.scale else scale
        return kernel * scale, (bias - norm.moving_mean) * scale + (norm.beta if norm.center else 0.0)

    def call(self, inputs: Any) -> Any:
        """Inputs as the inner layer takes them, outputs as the normalisation gives them."""
        tf, inner = _backend(), self.inner
        kernel, bias = self.folded()
        if self.ranged:
            low, high = tf.convert_to_tensor(self.low), tf.convert_to_tensor(self.high)
        else:
            high = symmetric(kernel, self.one)
            low = -high
        several = tf.quantization.fake_quant_with_min_max_vars_per_channel
        rounded = tf.quantization.fake_quant_with_min_max_vars if self.one else several
        kernel = rounded(kernel, low, high, BITS, narrow_range=True)
        kernel = tf.reshape(kernel, inner.kernel.shape)
        if isinstance(inner, keras.layers.Dense):
            outputs = tf.matmul(inputs, kernel)
        elif isinstance(inner, keras.layers.DepthwiseConv2D):
            outputs = keras.ops.depthwise_conv(
                inputs, kernel, inner.strides, inner.padding, inner.data_format, inner.dilation_rate
            )
        else:
            outputs = inner.convolution_op(inputs, kernel)
        outputs = outputs + bias
        return inner.activation(outputs) if inner.activation is not None else outputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.inner.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        saved = keras.saving.serialize_keras_object
        norm = saved(self.norm) if self.norm is not None else None
        return {**super().get_config(), "inner": saved(self.inner), "norm": norm, "ranged": self.ranged}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FakeQuantProduct:
        made = keras.saving.deserialize_keras_object
        norm = made(config["norm"]) if config["norm"] is not None else None
        return cls(**{**config, "inner": made(config["inner"]), "norm": norm})


def symmetric(kernel: Any, one: bool = False) -> Any:
    """The greatest absolute weight of each output of a kernel [..., outputs], which rounding does not learn from.

    Args:
        one: Whether it is that of all outputs.
    """
    ops = keras.ops
    most = ops.max(ops.abs(kernel), axis=tuple(range(len(kernel.shape) - (not one))))
    return ops.maximum(ops.stop_gradient(most), 1e-8)
