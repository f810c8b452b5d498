"""ESPCN: pictures drawn larger, with the detail that was lost.

Paper: Shi, Caballero, Huszar, Totz, Aitken, Bishop, Rueckert, Wang, "Real-Time Single Image and Video
    Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016, arXiv:1609.05158,
    section 3.
Reference weights: none by the authors.
Variants: `espcn_x2` (21,284 parameters), `espcn_x3` (22,729), `espcn_x4` (24,752): kernels 5, 3, 3, maps 64, 32, r^2,
    on the luma alone; tanh after the first two layers, which the paper found best.
Differs: the convolutions are zero-padded, so that a picture keeps its size; the task surrounds every tile with four
    mirrored pixels, so that no shown pixel has seen a zero.
"""

from __future__ import annotations

from dataclasses import dataclass

from kerazoo.applications._builder import Weights, assembled, picture_shape
from kerazoo.assets import Assets
from kerazoo.codecs.image import Normalise
from kerazoo.contract import Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.tasks.redraw import SuperResolution

__all__ = ["ESPCN"]

NORMALISE = Normalise("gray", scale=1 / 255)


@dataclass(frozen=True)
class Config:
    """Sizes of an ESPCN.

    Attributes:
        name: Name of the Keras model.
        scale: How many times higher and wider the output is.
        input_shape: Height, width, channels; height and width may be `None`.
        kernels: Sides of the three kernels.
        maps: Maps of the two hidden layers.
    """

    name: str
    scale: int
    input_shape: tuple[int | None, int | None, int] = (None, None, 1)
    kernels: tuple[int, int, int] = (5, 3, 3)
    maps: tuple[int, int] = (64, 32)


VARIANTS = {
    f"espcn_x{scale}": Variant(Config(f"espcn_x{scale}", scale), params=params, input=(None, None, 1), task="redraw")
    for scale, params in ((2, 21_284), (3, 22_729), (4, 24_752))
}


def build(config: Config) -> keras.Model:
    """Luma [batch, height, width, 1] in 0..1 to luma [batch, height * scale, width * scale, 1], not limited."""
    layers = keras.layers
    inputs = x = keras.Input(config.input_shape, name="image")
    for index, (maps, kernel) in enumerate(zip(config.maps, config.kernels[:2], strict=True), start=1):
        x = layers.Conv2D(maps, kernel, padding="same", activation="tanh", name=f"conv{index}")(x)
    channels = config.input_shape[2] * config.scale**2
    x = layers.Conv2D(channels, config.kernels[2], padding="same", name="conv3")(x)
    # The sub-pixel layer: the r x r block of a pixel stands in its channels.
    outputs = keras.ops.depth_to_space(x, config.scale)
    return keras.Model(inputs, outputs, name=config.name)


CARRIED = 0.2
"""Share of the brightness that the carrying units see, where tanh is nearly straight."""


def first_weights(model: keras.Model, seed: int = 1609) -> None:
    """Sets weights from which a network of this family learns several times faster than from Keras' own.

    One unit of each layer carries the picture itself, interpolated linearly at the end; the other first kernels sum to
    0, so that they see edges and not brightness, and are large enough for tanh to bend.
    """
    import numpy as np  # What describes models starts without it.

    rng = np.random.default_rng(seed)
    first, first_bias, second, second_bias, third, third_bias = (weight.numpy() for weight in model.weights)
    scale = round(third.shape[-1] ** 0.5)
    first = rng.normal(0, 0.5, first.shape)
    first -= first.mean(axis=(0, 1), keepdims=True)
    first_bias = rng.uniform(-0.5, 0.5, first_bias.shape)
    second = rng.normal(0, (9 * second.shape[2]) ** -0.5, second.shape)
    third = rng.normal(0, 0.1 * (9 * third.shape[2]) ** -0.5, third.shape)
    first[..., 0], first_bias[0], second[..., 0], third[:, :, 0] = 0, 0, 0, 0
    first[2, 2, 0, 0], second[1, 1, 0, 0] = CARRIED, 1
    # Where the parts of a pixel lie between its neighbours: the triangle of linear interpolation, in both directions.
    place = (np.arange(scale) + 0.5) / scale - 0.5
    reach = np.maximum(0, 1 - np.abs(place[None, :] - np.array([-1, 0, 1])[:, None]))
    third[:, :, 0] = np.einsum("ya,xb->yxab", reach, reach).reshape(3, 3, -1) / CARRIED
    for weight, value in zip(model.weights, (first, first_bias, second, second_bias, third, third_bias), strict=True):
        weight.assign(value.astype(np.float32))


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Super-resolution of colour pictures of any size."""
    return {"redraw": SuperResolution(config.scale, context=sum(kernel // 2 for kernel in config.kernels))}


def ESPCN(
    scale: int = 3,
    weights: Weights = None,
    input_shape: tuple[int | None, int | None, int] = (None, None, 1),
    name: str | None = None,
) -> keras.Model:
    """ESPCN of Shi et al. 2016 (arXiv:1609.05158): 21,284, 22,729 or 24,752 parameters at scale 2, 3 or 4.

    Args:
        scale: 2, 3 or 4: how many times higher and wider the output is.
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        input_shape: `(height, width, channels)` of the small picture; height and width may be `None`.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 luma [batch, height, width, 1] in 0..1 to
        [batch, height * scale, width * scale, 1], around 0..1 but not limited to it.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    variant = f"espcn_x{scale}"
    if variant not in VARIANTS:
        raise UsageError(f"scale={scale!r} is not known; allowed are 2, 3 and 4.")
    config = Config(name or variant, scale, picture_shape(input_shape, variant))
    return assembled(__name__, variant, config, weights)
