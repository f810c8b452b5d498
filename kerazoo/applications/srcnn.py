"""SRCNN: a bicubic enlargement made sharp by three convolutions.

Paper: Dong, Loy, He, Tang, "Image Super-Resolution Using Deep Convolutional Networks", PAMI 2016, arXiv:1501.00092,
    sections 3 and 4.3; its first form at ECCV 2014.
Reference weights: the authors'; `dong2014` holds the first form's at scale 2, as an implementation in C++ prints them.
Variants: `srcnn_915` (8,129 parameters), `srcnn_935` (24,513), `srcnn_955` (57,281): sides of the three kernels, 64 and
    32 maps, on the luma alone; the paper counts weights without biases: 8,032, 24,416, 57,184. `srcnn_915_ycbcr`
    (20,099), `srcnn_935_ycbcr` (36,483), `srcnn_955_ycbcr` (69,251): luma and chroma together, section 4.5.
Differs: the paper convolves without padding; here the borders are zero-padded, so that a picture keeps its size, and
    the task surrounds every tile with mirrored pixels, so that no shown pixel has seen a zero. The picture is enlarged
    to whole grey levels before the network sees it.
"""

from __future__ import annotations

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

__all__ = ["SRCNN"]

NORMALISE = Normalise("gray", scale=1 / 255)


@dataclass(frozen=True)
class Config:
    """Sizes of an SRCNN.

    Attributes:
        name: Name of the Keras model.
        kernels: Sides of the three kernels.
        input_shape: Height, width, channels; height and width may be `None`.
        maps: Maps of the two hidden layers.
        scale: How many times higher and wider the task makes a picture before the network sees it.
    """

    name: str
    kernels: tuple[int, int, int]
    input_shape: tuple[int | None, int | None, int] = (None, None, 1)
    maps: tuple[int, int] = (64, 32)
    scale: int = 3


LUMA, COLOUR = (None, None, 1), (None, None, 3)
PARAMS = {1: (8_129, 20_099), 3: (24_513, 36_483), 5: (57_281, 69_251)}

VARIANTS = {
    f"srcnn_9{middle}5{form}": Variant(
        Config(f"srcnn_9{middle}5{form}", (9, middle, 5), shape),
        params=PARAMS[middle][shape == COLOUR],
        input=shape,
        task="redraw",
    )
    for form, shape in (("", LUMA), ("_ycbcr", COLOUR))
    for middle in PARAMS
}


def build(config: Config) -> keras.Model:
    """Planes [batch, height, width, channels] in 0..1, already enlarged, to sharper ones of the same shape."""
    layers = keras.layers
    inputs = x = keras.Input(config.input_shape, name="image")
    for index, (maps, kernel) in enumerate(zip(config.maps, config.kernels[:2], strict=True), start=1):
        x = layers.Conv2D(maps, kernel, padding="same", activation="relu", name=f"conv{index}")(x)
    outputs = layers.Conv2D(config.input_shape[2], config.kernels[2], padding="same", name="conv3")(x)
    return keras.Model(inputs, outputs, name=config.name)


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Super-resolution of colour pictures of any size, at the scale that the weights were trained for."""
    context = sum(kernel // 2 for kernel in config.kernels)
    scale = int((assets.task or {}).get("scale", config.scale))
    return {"redraw": SuperResolution(scale, context, channels=config.input_shape[2], enlarged=True)}


def from_keras(config: Config, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """Files whose layers are `conv2d`, `conv2d_1`, `conv2d_2`; our own pass as they are."""
    return recipes.renamed(tensors, {"conv2d": "conv1", "conv2d_1": "conv2", "conv2d_2": "conv3"})


def from_numbers(config: Config, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """The authors' numbers as arrays `conv1_kernel` (HWIO) to `conv3_bias`, for luma 16..235 in and out.

    What they see is 16 + 219 times our luma of 0..1: the first layer takes that in, the last gives it back.
    """
    found = {name.replace("_", "/"): tensor for name, tensor in tensors.items()}
    if {"conv1/kernel", "conv1/bias", "conv3/kernel", "conv3/bias"} <= found.keys():
        found["conv1/bias"] = found["conv1/bias"] + 16 * found["conv1/kernel"].sum((0, 1, 2))
        found["conv1/kernel"] = found["conv1/kernel"] * 219
        found["conv3/kernel"], found["conv3/bias"] = found["conv3/kernel"] / 219, (found["conv3/bias"] - 16) / 219
    return found


SOURCES: Mapping[str, Any] = {"keras_h5": from_keras, "npz": from_numbers}


def SRCNN(
    kernels: tuple[int, int, int] = (9, 1, 5),
    weights: Weights = None,
    input_shape: tuple[int | None, int | None, int] = (None, None, 1),
    name: str | None = None,
) -> keras.Model:
    """SRCNN of Dong et al. 2016 (arXiv:1501.00092): 8,129, 24,513 or 57,281 parameters (9-1-5, 9-3-5, 9-5-5).

    Args:
        kernels: Sides of the three kernels: `(9, 1, 5)`, `(9, 3, 5)` or `(9, 5, 5)`.
        weights: `None` for random ones, a name from the manifest, or the path of a file in any format that
            `kerazoo.weights` reads.
        input_shape: `(height, width, channels)` of the enlarged picture; height and width may be `None`, channels are
            1 (luma) or 3 (luma and chroma).
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 planes [batch, height, width, channels] in 0..1 to planes of the same shape.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    shape = picture_shape(input_shape, "srcnn")
    known = {(variant.config.kernels, variant.config.input_shape[2]): name for name, variant in VARIANTS.items()}
    variant = known.get((tuple(kernels), shape[2]))
    if variant is None:
        raise UsageError(
            f"kernels={kernels!r} of {shape[2]} channels are not known; allowed are (9, 1, 5), (9, 3, 5) and "
            "(9, 5, 5), of 1 or 3 channels."
        )
    config = replace(VARIANTS[variant].config, name=name or variant, input_shape=shape)
    return assembled(__name__, variant, config, weights)
