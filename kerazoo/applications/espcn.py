"""ESPCN: pictures drawn larger, with the detail that was lost.

Paper: Shi, Caballero, Huszar, Totz, Aitken, Bishop, Rueckert, Wang, "Real-Time Single Image and Video
    Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016, arXiv:1609.05158,
    section 3.
Reference weights: none by the authors.
Variants: `espcn_x2` (21,284 parameters), `espcn_x3` (22,729), `espcn_x4` (24,752): kernels 5, 3, 3, maps 64, 32, r^2,
    on the luma alone; tanh after the first two layers, which the paper found best. `espcn_x2_ycbcr` (26,796),
    `espcn_x3_ycbcr` (31,131), `espcn_x4_ycbcr` (37,200): luma and chroma together, as a widespread TensorFlow
    implementation has it. `espcn_x2_relu`, `espcn_x3_relu`, `espcn_x4_relu`: as large as the first, ReLU inside and
    tanh on the output, the form of a released frozen graph.
Differs: the convolutions are zero-padded, so that a picture keeps its size; the task surrounds every tile with four
    mirrored pixels, so that no shown pixel has seen a zero.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kerazoo.applications._builder import Weights, assembled, picture_shape
from kerazoo.assets import Assets
from kerazoo.codecs.image import Normalise
from kerazoo.contract import Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.tasks.redraw import SuperResolution
from kerazoo.weights import recipes

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
        activation: Of the two hidden layers.
        bounded: Whether the output goes through tanh.
    """

    name: str
    scale: int
    input_shape: tuple[int | None, int | None, int] = (None, None, 1)
    kernels: tuple[int, int, int] = (5, 3, 3)
    maps: tuple[int, int] = (64, 32)
    activation: str = "tanh"
    bounded: bool = False


LUMA, COLOUR = (None, None, 1), (None, None, 3)
PARAMS = {2: (21_284, 26_796), 3: (22_729, 31_131), 4: (24_752, 37_200)}

VARIANTS = {
    config.name: Variant(config, params=PARAMS[config.scale][shape == COLOUR], input=shape, task="redraw")
    for form, shape, activation, bounded in (
        ("", LUMA, "tanh", False),
        ("_ycbcr", COLOUR, "tanh", False),
        ("_relu", LUMA, "relu", True),
    )
    for config in (
        Config(f"espcn_x{scale}{form}", scale, shape, activation=activation, bounded=bounded) for scale in PARAMS
    )
}


def build(config: Config) -> keras.Model:
    """Planes [batch, height, width, channels] in 0..1 to [batch, height * scale, width * scale, channels]."""
    layers = keras.layers
    inputs = x = keras.Input(config.input_shape, name="image")
    for index, (maps, kernel) in enumerate(zip(config.maps, config.kernels[:2], strict=True), start=1):
        x = layers.Conv2D(maps, kernel, padding="same", activation=config.activation, name=f"conv{index}")(x)
    channels = config.input_shape[2] * config.scale**2
    x = layers.Conv2D(channels, config.kernels[2], padding="same", name="conv3")(x)
    # The sub-pixel layer: the r x r block of a pixel stands in its channels.
    outputs = keras.ops.depth_to_space(x, config.scale)
    if config.bounded:
        outputs = layers.Activation("tanh", name="bounded")(outputs)
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
    context = sum(kernel // 2 for kernel in config.kernels)
    return {"redraw": SuperResolution(config.scale, context, channels=config.input_shape[2])}


def from_keras(config: Config, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """Files of the colour form, whose layers are `conv2d`, `conv2d_1`, `conv2d_2`; our own pass as they are."""
    return recipes.renamed(tensors, {"conv2d": "conv1", "conv2d_1": "conv2", "conv2d_2": "conv3"})


def from_graph(config: Config, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """A frozen graph with the constants f1, b1 to f3, b3."""
    words = {"f": "kernel", "b": "bias"}
    return {f"conv{name[1]}/{words[name[0]]}": tensors[name] for name in tensors if re.fullmatch("[fb][123]", name)}


SOURCES: Mapping[str, Any] = {"keras_h5": from_keras, "frozen_graph": from_graph}


def ESPCN(
    scale: int = 3,
    weights: Weights = None,
    input_shape: tuple[int | None, int | None, int] = (None, None, 1),
    form: str = "",
    name: str | None = None,
) -> keras.Model:
    """ESPCN of Shi et al. 2016 (arXiv:1609.05158): 21,284, 22,729 or 24,752 parameters at scale 2, 3 or 4.

    Args:
        scale: 2, 3 or 4: how many times higher and wider the output is.
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        input_shape: `(height, width, channels)` of the small picture; height and width may be `None`.
        form: `""` for the paper's, `ycbcr` for luma and chroma together (3 channels), `relu` for ReLU inside and tanh
            on the output.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 luma [batch, height, width, 1] in 0..1 to
        [batch, height * scale, width * scale, 1], around 0..1 but not limited to it; 3 channels for `ycbcr`.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    variant = f"espcn_x{scale}" + (f"_{form}" if form else "")
    if variant not in VARIANTS:
        what = (
            f"form={form!r} is not known; allowed are '', ycbcr and relu"
            if scale in PARAMS
            else (f"scale={scale!r} is not known; allowed are 2, 3 and 4")
        )
        raise UsageError(f"{what}.")
    config = VARIANTS[variant].config
    shape = COLOUR if form == "ycbcr" and input_shape == LUMA else picture_shape(input_shape, variant)
    return assembled(__name__, variant, replace(config, name=name or variant, input_shape=shape), weights)
