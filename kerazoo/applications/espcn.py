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
