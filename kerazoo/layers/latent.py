"""Layers of auto-encoders with latent variables: normal distributions, what is drawn of them, how far apart they are.

A distribution is maps [batch, height, width, 2 n], of which the first n channels are means and the others logarithms of
deviations. Either is held within 5 of 0, softly: `5 tanh(x / 5)`; 0.01 is added to a deviation. So it is done in the
reference implementation of Vahdat, Kautz, "NVAE: A Deep Hierarchical Variational Autoencoder", arXiv:2007.03898.
"""

from __future__ import annotations

import math
from typing import Any

import keras


def _full(tensor: Any) -> Any:
    """In float32 at least: in bfloat16 a divergence is nothing but rounding."""
    return keras.ops.cast(tensor, "float32") if tensor.dtype in ("float16", "bfloat16") else tensor


def moments(distribution: Any) -> tuple[Any, Any]:
    """Means and deviations of a distribution, [batch, height, width, n] each."""
    distribution = _full(distribution)
    mean, log_deviation = keras.ops.split(5.0 * keras.ops.tanh(distribution / 5.0), 2, axis=-1)
    return mean, keras.ops.exp(log_deviation) + 0.01


def log_density(distribution: Any, values: Any) -> Any:
    """Of each value, in nats; [batch, height, width, n]."""
    mean, deviation = moments(distribution)
    square = keras.ops.square((values - mean) / deviation)
    return -0.5 * (square + math.log(2 * math.pi)) - keras.ops.log(deviation)


@keras.saving.register_keras_serializable(package="kerazoo")
class Drawn(keras.layers.Layer):
    """What standard normal noise becomes: the mean, and the deviation times the noise."""

    def call(self, inputs: Any) -> Any:
        """A distribution [batch, height, width, 2 n] and noise [batch, height, width, n], to the noise's shape."""
        distribution, noise = inputs
        mean, deviation = moments(distribution)
        return mean + deviation * noise

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[1]


@keras.saving.register_keras_serializable(package="kerazoo")
class Divergence(keras.layers.Layer):
    """How many nats one distribution lies from another, summed over a row; the mean of the rows is added to the loss.

    The Kullback-Leibler divergence of two normal distributions, or, where what was drawn went through a flow that keeps
    volumes, its estimate by this one draw: `log q(before) - log p(after)`.
    """

    def call(self, inputs: Any) -> Any:
        """Prior and posterior [batch, height, width, 2 n]; with a flow also what was drawn, before and after it.

        Returns:
            [batch].
        """
        ops, (prior, posterior, *ends) = keras.ops, inputs
        if ends:
            before, after = ends
            nats = log_density(posterior, before) - log_density(prior, after)
        else:
            (mean, deviation), (theirs, other) = moments(posterior), moments(prior)
            ratio = deviation / other
            nats = 0.5 * (ops.square((mean - theirs) / other) + ops.square(ratio) - 1) - ops.log(ratio)
        rows = ops.sum(nats, axis=(1, 2, 3))
        self.add_loss(ops.mean(rows))
        return rows

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0][0],)


@keras.saving.register_keras_serializable(package="kerazoo")
class StandardNormal(keras.layers.Layer):
    """The distribution of which both parameters are 0, for noise [batch, height, width, n]: [..., 2 n]."""

    def call(self, inputs: Any) -> Any:
        nothing = keras.ops.zeros_like(inputs)
        return keras.ops.concatenate([nothing, nothing], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], 2 * input_shape[-1])


@keras.saving.register_keras_serializable(package="kerazoo")
class Noise(keras.layers.Layer):
    """Standard normal noise while training, else 0, where the mean of what may be drawn stands for it.

    Args:
        channels: n.
    """

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(**options)
        self.channels, self.seeds = channels, keras.random.SeedGenerator()

    def call(self, inputs: Any, training: bool = False) -> Any:
        """For maps [batch, height, width, any]: [batch, height, width, n]."""
        shape = (*keras.ops.shape(inputs)[:-1], self.channels)
        return keras.random.normal(shape, seed=self.seeds) if training else keras.ops.zeros(shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable(package="kerazoo")
class LearnedMaps(keras.layers.Layer):
    """Maps that are learnt and the same for every row of a batch.

    Args:
        channels: Of each place.
    """

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(**options)
        self.channels = channels

    def build(self, input_shape: Any) -> None:
        shape = (*input_shape[1:-1], self.channels)
        self.maps = self.add_weight(name="maps", shape=shape, initializer=keras.initializers.RandomUniform(0.0, 1.0))

    def call(self, inputs: Any) -> Any:
        """For maps [batch, height, width, any], of which only the size counts: [batch, height, width, channels]."""
        return self.maps + keras.ops.zeros_like(inputs[..., :1])

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable(package="kerazoo")
class MixtureMean(keras.layers.Layer):
    """The mean colour that a mixture of logistic distributions gives a pixel, in 0..1.

    Salimans et al., "PixelCNN++", ICLR 2017, arXiv:1701.05517, section 2: in each component green depends on red, and
    blue on both, linearly.
    """

    def call(self, inputs: Any) -> Any:
        """Parameters as `mixture` has them, [batch, height, width, 10 k], to RGB."""
        ops = keras.ops
        weights, means, _, slopes = mixture(inputs)
        red, green, blue = (means[..., channel, :] for channel in range(3))
        green = green + slopes[..., 0, :] * red
        blue = blue + slopes[..., 1, :] * red + slopes[..., 2, :] * green
        shares = ops.softmax(weights, axis=-1)
        colours = ops.stack([ops.sum(shares * ops.clip(each, -1.0, 1.0), axis=-1) for each in (red, green, blue)], -1)
        return (colours + 1.0) / 2.0

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], 3)


def mixture(parameters: Any) -> tuple[Any, Any, Any, Any]:
    """Of parameters [batch, height, width, 10 k]: logits of the k components [..., k]; and of three colours each, first
    red: means, logarithms of scales (at least -7), and slopes of green on red, blue on red, blue on green, in -1..1,
    [..., 3, k].
    """
    ops, count = keras.ops, parameters.shape[-1] // 10
    weights, rest = parameters[..., :count], parameters[..., count:]
    rest = ops.reshape(rest, (*ops.shape(rest)[:-1], 3, 3 * count))
    means, log_scales, slopes = ops.split(rest, 3, axis=-1)
    return weights, means, ops.maximum(log_scales, -7.0), ops.tanh(slopes)


def mixture_nats(pictures: Any, parameters: Any) -> Any:
    """What each pixel costs in nats that is one of 256 levels a colour, by a mixture of logistic distributions.

    Salimans et al., arXiv:1701.05517, equations 2 and 3: a level has what lies within half a step of it, the darkest
    and the lightest also all beyond. Where that is too little for float32 the density at its middle stands for it.

    Args:
        pictures: In 0..1, [batch, height, width, 3].
        parameters: See `mixture`.

    Returns:
        [batch, height, width].
    """
    ops = keras.ops
    weights, means, log_scales, slopes = mixture(parameters)
    seen = (2.0 * pictures - 1.0)[..., None]
    red, green = seen[..., 0, :], seen[..., 1, :]
    green_mean = means[..., 1, :] + slopes[..., 0, :] * red
    blue_mean = means[..., 2, :] + slopes[..., 1, :] * red + slopes[..., 2, :] * green
    apart = seen - ops.stack([means[..., 0, :], green_mean, blue_mean], axis=-2)
    narrow = ops.exp(-log_scales)
    upper, lower, middle = narrow * (apart + 1 / 255), narrow * (apart - 1 / 255), narrow * apart
    share = ops.sigmoid(upper) - ops.sigmoid(lower)
    density = middle - log_scales - 2.0 * ops.softplus(middle) - math.log(127.5)
    within = ops.where(share > 1e-5, ops.log(ops.maximum(share, 1e-10)), density)
    known = ops.where(seen < -0.999, -ops.softplus(-upper), ops.where(seen > 0.999, -ops.softplus(lower), within))
    return -ops.logsumexp(ops.sum(known, axis=-2) + ops.log_softmax(weights, axis=-1), axis=-1)
