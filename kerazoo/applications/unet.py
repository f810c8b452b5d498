"""U-Net: every pixel's class.

Paper: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
    arXiv:1505.04597, figure 1 and sections 2 and 3.
Reference weights: the authors' Caffe file is of another net than figure 1 (31,100,354 parameters) and has no licence;
    it is not offered here. orobix/retina-unet's `DRIVE_best.h5` for `unet_retina`, from Keras 1 on Theano: grey
    pictures prepared as its `lib/pre_processing.py` does, in 0..1.
Variants: `unet`, figure 1: unpadded convolutions, 572 to 388 pixels; `unet_same`, the common form with zero padding,
    256 to 256 pixels. Both have one grey channel, two classes and 31,030,658 parameters. `unet_slim` is `unet_same`
    with an eighth of the maps, 485,682 parameters. `unet_retina` is orobix/retina-unet's small form for vessels of the
    eye, 471,010 parameters: three resolutions, patches of 48 pixels.
Differs: no ReLU after an up-convolution, as in figure 1 (the authors' file has one). `unet_same` pads, which figure 1
    does not. The weight map of the paper's loss belongs to training, not to the network. `unet_retina` has dropout
    between any two convolutions, grows by repeating pixels, with no convolution of its own, before the skip in the
    order of maps, and a rectifier behind every convolution, the last one too. Theano turns kernels by 180 degrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications._builder import Weights, assembled, picture_shape, whole_numbers
from kerazoo.applications._created import renamed
from kerazoo.assets import Assets
from kerazoo.codecs.image import Normalise
from kerazoo.contract import Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.tasks.segment import Patches, Tiled

__all__ = ["UNet", "UNetRetina"]

NORMALISE = Normalise("gray", scale=1 / 255)


@dataclass(frozen=True)
class Config:
    """Sizes of a U-Net.

    Attributes:
        name: Name of the Keras model.
        input_shape: Height, width, channels; height and width may be `None`.
        classes: Maps of the output.
        padding: `valid` or `same`, of the 3x3 convolutions.
        filters: Maps at each resolution from the highest to the lowest.
        dropout: Share dropped at the end of the contracting path: at the two lowest resolutions.
        activation: Of the output; `None` gives logits, which is what a task wants.
        retina: The form of `unet_retina`.
    """

    name: str
    input_shape: tuple[int | None, int | None, int]
    classes: int = 2
    padding: str = "valid"
    filters: tuple[int, ...] = (64, 128, 256, 512, 1024)
    dropout: float = 0.5
    activation: str | None = None
    retina: bool = False


_SMALL = (4, 8, 16, 32, 64)
VARIANTS = {
    "unet": Variant(
        Config("unet", (572, 572, 1)),
        params=31_030_658,
        input=(572, 572, 1),
        task="segment",
        small=Config("unet", (220, 220, 1), filters=_SMALL),
    ),
    "unet_same": Variant(
        Config("unet_same", (256, 256, 1), padding="same"),
        params=31_030_658,
        input=(256, 256, 1),
        task="segment",
        small=Config("unet_same", (64, 64, 1), padding="same", filters=_SMALL),
    ),
    "unet_slim": Variant(
        Config("unet_slim", (256, 256, 1), padding="same", filters=(8, 16, 32, 64, 128)),
        params=485_682,
        input=(256, 256, 1),
        task="segment",
        small=Config("unet_slim", (64, 64, 1), padding="same", filters=_SMALL),
    ),
    "unet_retina": Variant(
        Config("unet_retina", (48, 48, 1), padding="same", filters=(32, 64, 128), dropout=0.2, retina=True),
        params=471_010,
        input=(48, 48, 1),
        task="segment",
        small=Config("unet_retina", (24, 24, 1), padding="same", filters=(16, 32, 64), dropout=0.2, retina=True),
    ),
}


def build(config: Config) -> keras.Model:
    """Pictures [batch, height, width, channels] to logits [batch, height - m, width - m, classes].

    The margin m is 184 where nothing is padded (572 to 388), and 0 with `same` padding.
    """
    layers = keras.layers
    inputs = x = keras.Input(config.input_shape, name="image")
    skips = []
    lowest = len(config.filters) - 1
    for level, filters in enumerate(config.filters, start=1):
        x = _convolutions(config, x, filters, f"down{level}")
        if level >= lowest and not config.retina:
            x = layers.Dropout(config.dropout, name=f"down{level}_dropout")(x)
        if level <= lowest:
            skips.append(x)
            x = layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
    crops = _crops(lowest) if config.padding == "valid" else [0] * lowest
    for level in range(lowest, 0, -1):
        filters, skip, crop = config.filters[level - 1], skips[level - 1], crops[level - 1]
        if config.retina:
            x = layers.UpSampling2D(2, name=f"up{level}_up")(x)
        else:
            x = layers.Conv2DTranspose(filters, 2, strides=2, kernel_initializer=_he(), name=f"up{level}_upconv")(x)
        if crop:
            skip = layers.Cropping2D(crop, name=f"up{level}_crop")(skip)
        x = layers.Concatenate(name=f"up{level}_concat")([x, skip])
        x = _convolutions(config, x, filters, f"up{level}")
    if config.retina:
        x = layers.Conv2D(config.classes, 1, activation="relu", kernel_initializer=_he(), name="logits")(x)
        outputs = layers.Activation(config.activation, name="predictions")(x)
    else:
        outputs = layers.Conv2D(
            config.classes, 1, activation=config.activation, kernel_initializer=_he(), name="predictions"
        )(x)
    return keras.Model(inputs, outputs, name=config.name)


def _convolutions(config: Config, x: Any, filters: int, name: str) -> Any:
    for index in (1, 2):
        x = keras.layers.Conv2D(
            filters,
            3,
            padding=config.padding,
            activation="relu",
            kernel_initializer=_he(),
            name=f"{name}_conv{index}",
        )(x)
        if config.retina and index == 1:
            x = keras.layers.Dropout(config.dropout, name=f"{name}_dropout")(x)
    return x


def _he() -> Any:
    # The paper's N(0, sqrt(2 / N)) is not truncated, unlike Keras' "he_normal".
    return keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")


def _crops(levels: int) -> list[int]:
    """Pixels that a skip connection loses on each side, from the highest resolution to the lowest: 88, 40, 16, 4.

    They do not depend on the picture's size: below the skip there are two convolutions (2 pixels on each side) on the
    way down and two on the way up again, all at half the resolution, around the next skip's own crop.
    """
    crops = [4]
    while len(crops) < levels:
        crops.insert(0, 2 * crops[0] + 8)
    return crops


def shrink(config: Config) -> int:
    """Pixels that the output is smaller than the input on each side."""
    return 4 + _crops(len(config.filters) - 1)[0] if config.padding == "valid" else 0


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Segmentation of pictures of any size, tile by tile; `class_0`, `class_1`, ... where there are no labels."""
    labels = assets.labels or tuple(f"class_{index}" for index in range(config.classes))
    height, width, channels = config.input_shape
    if config.retina:
        return {"segment": Patches(labels, min(height or 48, width or 48), 5, channels)}
    usual = VARIANTS["unet" if config.padding == "valid" else "unet_same"].config.input_shape[0]
    tile = min(height or usual, width or usual)
    # A padded network sees zeros beyond its tile: what lies next to them is left to the neighbouring tile.
    overlap = tile // 8 if config.padding == "same" else 0
    return {"segment": Tiled(labels, tile, shrink(config), overlap, channels)}


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    last = [layer for layer in model.layers if layer.name.startswith("down")][-1].name
    levels = range(1, int(last[4]) + 1)
    named = {layer.name: layer for layer in model.layers}
    return {
        "filters": tuple(named[f"down{level}_conv1"].filters for level in levels),
        "padding": named["down1_conv1"].padding,
        "retina": "logits" in named,
    }


def from_keras_h5(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our own layers' arrays as they are; those of `DRIVE_best.h5` turned, and under our names."""
    if not config.retina or not any(name.startswith("convolution2d_") for name in tensors):
        return tensors
    levels = len(config.filters)
    parts = [f"down{level}" for level in range(1, levels + 1)] + [f"up{level}" for level in range(levels - 1, 0, -1)]
    names = [f"{part}_conv{index}" for part in parts for index in (1, 2)] + ["logits"]
    kernels = {name: tensor for name, tensor in tensors.items() if name.endswith("_W")}
    theano = all(tensor.ndim == 4 and tensor.shape[2] == tensor.shape[3] < 4 for tensor in kernels.values())
    turned = {
        name: tensor[:, :, ::-1, ::-1].transpose(2, 3, 1, 0) if theano and name in kernels else tensor
        for name, tensor in tensors.items()
    }
    return renamed(turned, {"convolution2d": names})


SOURCES: Mapping[str, Any] = {"keras_h5": from_keras_h5}


def UNet(
    weights: Weights = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    classes: int = 2,
    padding: str = "valid",
    classifier_activation: str | None = "softmax",
    name: str | None = None,
) -> keras.Model:
    """U-Net of Ronneberger, Fischer and Brox 2015 (arXiv:1505.04597); 31,030,658 parameters with the default arguments.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        input_shape: `(height, width, channels)`; by default (572, 572, 1), and (256, 256, 1) with `same` padding.
            Either side may be `None`: then any size works whose pooled maps all have even sides.
        classes: Number of classes.
        padding: `"valid"` as in the paper, where the output is 184 pixels smaller, or `"same"`.
        classifier_activation: Activation of the output; `None` returns the logits.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 pictures [batch, height, width, channels] in 0..1 to
        [batch, height - 184, width - 184, classes], or with `same` padding [batch, height, width, classes].

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    if padding not in ("valid", "same"):
        raise UsageError(f"padding={padding!r} is not known; allowed are 'valid' and 'same'.")
    whole_numbers(classes=classes)
    variant = "unet" if padding == "valid" else "unet_same"
    shape = VARIANTS[variant].config.input_shape if input_shape is None else picture_shape(input_shape, variant)
    config = Config(name or variant, shape, classes, padding, activation=classifier_activation)
    _check_pooling(config)
    return assembled(__name__, variant, config, weights)


def UNetRetina(
    weights: Weights = "drive",
    input_shape: tuple[int | None, int | None, int] | None = None,
    classes: int = 2,
    classifier_activation: str | None = "softmax",
    name: str | None = None,
) -> keras.Model:
    """The small U-Net of orobix/retina-unet for vessels of the eye; 471,010 parameters with the default arguments.

    Args:
        weights: `"drive"`, `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        input_shape: `(height, width, channels)`, (48, 48, 1) by default; either side may be `None`, for multiples of 4.
        classes: Number of classes.
        classifier_activation: Activation of the output; `None` returns the logits.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 pictures [batch, height, width, channels] in 0..1 to [batch, height, width, classes].

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
    """
    variant = "unet_retina"
    trained = VARIANTS[variant].config
    whole_numbers(classes=classes)
    shape = trained.input_shape if input_shape is None else picture_shape(input_shape, variant)
    config = replace(
        trained, name=name or variant, input_shape=shape, classes=classes, activation=classifier_activation
    )
    _check_pooling(config)
    return assembled(__name__, variant, config, weights)


def _check_pooling(config: Config) -> None:
    shape = config.input_shape
    levels = len(config.filters) - 1
    for side in shape[:2]:
        if side is not None and not _fits(side, levels, config.padding):
            below = next((n for n in range(side, 0, -1) if _fits(n, levels, config.padding)), None)
            above = next(n for n in range(max(side, 1), max(side, 1) + 1000) if _fits(n, levels, config.padding))
            near = f"{below} and {above} do" if below else f"{above} is the smallest that does"
            raise UsageError(f"input_shape={shape!r}: a side of {side} pixels does not pool evenly; {near}.")


def _fits(side: int, levels: int, padding: str) -> bool:
    for _ in range(levels):
        side -= 4 if padding == "valid" else 0
        if side <= 0 or side % 2:
            return False
        side //= 2
    # The lowest maps shrink by 4 and grow again; something must be left at every step up.
    for _ in range(levels + 1):
        side -= 4 if padding == "valid" else 0
        if side <= 0:
            return False
        side *= 2
    return True
