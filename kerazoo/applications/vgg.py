"""VGG: nothing but 3x3 convolutions, eleven to nineteen layers deep.

Paper: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
    arXiv:1409.1556, table 1, configurations A, B, D and E.
Reference weights: for 16 and 19 layers the authors', as Keras' `vgg{16,19}_weights_tf_dim_ordering_tf_kernels.h5` (with
    `_notop` too) and in their own caffemodels, which want BGR pixels with the mean (103.939, 116.779, 123.68) taken
    off; for all four torchvision's, which were trained anew and want normalised RGB pixels.
Variants: `vgg11` (A), `vgg13` (B), `vgg16` (D), `vgg19` (E).
Differs: Keras' models have no dropout; here, as in the paper and in torchvision's, half of what `fc1` and `fc2` say is
    dropped in training. Where torchvision averages maps of any size to 7x7 before the classifier, `fc1` takes them as
    they are, as in Keras: at 224 pixels that is the same, and other sizes need a classifier of their own. Kernels
    begin as Glorot and Bengio have it, which the authors found to do without their training in stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications._classifier import ClassifierConfig, builder, entrance, finish, flatten, without_top
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.contract import Variant
from kerazoo.lazy import keras
from kerazoo.weights.recipes import after_flatten, convert, dense, layers

__all__ = ["VGG11", "VGG13", "VGG16", "VGG19"]


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of a VGG.

    Attributes:
        convolutions: How many of them each of the five blocks has.
        width: Filters in the first block; each doubles them, up to eight times as many.
        units: Of each of the two hidden dense layers.
        dropout: Rate after them.
    """

    convolutions: tuple[int, ...] = (2, 2, 3, 3, 3)
    width: int = 64
    units: int = 4096
    dropout: float = 0.5


def _variant(name: str, convolutions: tuple[int, ...], params: int) -> Variant:
    config = Config(name, (224, 224, 3), convolutions=convolutions)
    small = replace(config, input_shape=(64, 64, 3), classes=50, width=8, units=64)
    return Variant(config, params, (224, 224, 3), "classify", small)


VARIANTS = {
    "vgg11": _variant("vgg11", (1, 1, 2, 2, 2), 132_863_336),
    "vgg13": _variant("vgg13", (2, 2, 2, 2, 2), 133_047_848),
    "vgg16": _variant("vgg16", (2, 2, 3, 3, 3), 138_357_544),
    "vgg19": _variant("vgg19", (2, 2, 4, 4, 4), 143_667_240),
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """Pictures [batch, height, width, 3], normalised as the weights want them, to logits [batch, classes]."""
    layers = keras.layers
    inputs = x = entrance(config, input_tensor)
    for block, convolutions in enumerate(config.convolutions, start=1):
        filters = _filters(config, block)
        for number in range(1, convolutions + 1):
            name = f"block{block}_conv{number}"
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = flatten(config, x)
    for name in ("fc1", "fc2"):
        x = layers.Dense(config.units, activation="relu", name=name)(x)
        x = layers.Dropout(config.dropout, name=f"{name}_dropout")(x)
    outputs = layers.Dense(config.classes, activation=config.activation, name="predictions")(x)
    return finish(config, inputs, outputs)


def _filters(config: Config, block: int) -> int:
    return int(config.width * min(2 ** (block - 1), 8))


def _convolutions(config: Config) -> list[tuple[int, int]]:
    return [(block, number) for block, count in enumerate(config.convolutions, 1) for number in range(1, count + 1)]


def _converted(config: Config, tensors: dict[str, np.ndarray], names: Mapping[str, str]) -> dict[str, np.ndarray]:
    blocks = len(config.convolutions)
    height, width = ((side or 0) >> blocks for side in config.input_shape[:2])
    fc1 = after_flatten(_filters(config, blocks), height, width)
    kernels = {"fc1": fc1, "fc2": dense, "predictions": dense}
    return convert(tensors, layers(names, kernels))


def from_torch(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """torchvision's names: places in two sequences, in which ReLU, pooling and dropout count too."""
    names = {}
    for index, (block, number) in enumerate(_convolutions(config)):
        names[f"block{block}_conv{number}"] = f"features.{2 * index + block - 1}"
    names |= {"fc1": "classifier.0", "fc2": "classifier.3", "predictions": "classifier.6"}
    return _converted(config, tensors, names)


def from_caffe(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The authors' names; the colour order of the first kernel stays, pictures come as BGR."""
    names = {f"block{block}_conv{number}": f"conv{block}_{number}" for block, number in _convolutions(config)}
    return _converted(config, tensors, names | {"fc1": "fc6", "fc2": "fc7", "predictions": "fc8"})


SOURCES: Mapping[str, Any] = {"torch": from_torch, "caffe": from_caffe}

VGG11 = builder(__name__, "vgg11", "VGG11", "11 layers, configuration A, Simonyan and Zisserman 2014.", least=32)
VGG13 = builder(__name__, "vgg13", "VGG13", "13 layers, configuration B, Simonyan and Zisserman 2014.", least=32)
VGG16 = builder(__name__, "vgg16", "VGG16", "16 layers, configuration D, Simonyan and Zisserman 2014.", least=32)
VGG19 = builder(__name__, "vgg19", "VGG19", "19 layers, configuration E, Simonyan and Zisserman 2014.", least=32)
