"""AlexNet: the network that won ImageNet in 2012, in two towers, and its later form in one.

Paper: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012,
    figure 2; one tower: Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
    arXiv:1404.5997.
Reference weights: `alexnet:imagenet`, Caffe's `bvlc_alexnet.caffemodel`, and its copy in the ONNX model zoo, which want
    BGR pixels with the mean (104, 117, 123) taken off, 227x227; `alexnet_one_tower:imagenet`, torchvision's, which
    want normalised RGB pixels.
Variants: `alexnet` (two towers), `alexnet_one_tower` (torchvision's sizes).
Differs: the paper's input of 224 is 227 here, the size at which its first maps are the 55x55 that it names. The towers
    are groups of convolutions in one model, not two GPUs. Response normalisation has Caffe's constants, k = 1 and
    alpha = 1e-4 / 5, with which the weights were trained; the paper's are k = 2 and alpha = 1e-4 (`Config.lrn`, both
    without a division by n). At other sizes `fc6` takes the maps as they are and so needs weights of its own; Caffe's
    max-pooling rounds up there, this one down; at 227 nothing is left to round.
    One tower: as torchvision has it, without response normalisation, with dropout before `fc6` and `fc7` instead of
    after them, and with maps averaged to 6x6 for any input of known size, so that the weights fit all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications._classifier import ClassifierConfig, builder, entrance, finish, flatten, without_top
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.contract import Variant
from kerazoo.lazy import keras, own_layers
from kerazoo.weights.recipes import after_flatten, convert, dense, in_order, layers

__all__ = ["AlexNet", "AlexNetOneTower"]

SIZES = (11, 5, 3, 3, 3)
"""Kernel sizes of the five convolutions."""

APART = (2, 4, 5)
"""Convolutions that see the maps of their own tower only; their biases begin at 1."""

SIDE = 6
"""Height and width of the last maps, for which `fc6` has weights in the published files."""


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of an AlexNet.

    Attributes:
        filters: Of the five convolutions, both towers together.
        units: Of each of the two hidden dense layers.
        towers: Groups of the second, fourth and fifth convolution.
        border: Padding of the first convolution in pixels.
        lrn: k and alpha of the response normalisation (paper, section 3.3: 2 and 1e-4); `None` for none.
        dropout: Rate at the hidden dense layers.
        torch_top: torchvision's classifier: maps are averaged to 6x6, and dropout comes before the dense layers.
    """

    filters: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256)
    units: int = 4096
    towers: int = 2
    border: int = 0
    lrn: tuple[float, float] | None = (2.0, 1e-4)
    dropout: float = 0.5
    torch_top: bool = False


def _variant(config: Config, params: int) -> Variant:
    small = replace(config, classes=50, filters=(8, 16, 24, 24, 16), units=64)
    return Variant(config, params, (*config.input_shape[:2], 3), "classify", small)


VARIANTS = {
    "alexnet": _variant(Config("alexnet", (227, 227, 3), lrn=(1.0, 1e-4 / 5)), 60_965_224),
    "alexnet_one_tower": _variant(
        Config(
            "alexnet_one_tower",
            (224, 224, 3),
            filters=(64, 192, 384, 256, 256),
            towers=1,
            border=2,
            lrn=None,
            torch_top=True,
        ),
        61_100_840,
    ),
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """Pictures [batch, height, width, 3], normalised as the weights want them, to logits [batch, classes]."""
    layers = keras.layers
    inputs = x = entrance(config, input_tensor)
    if config.border:
        x = layers.ZeroPadding2D(config.border, name="conv1_pad")(x)
    for number in range(1, 6):
        x = _convolution(config, x, number)
        if number < 3 and config.lrn:
            bias, alpha = config.lrn
            x = own_layers.LocalResponseNormalization(2, bias, alpha, 0.75, name=f"norm{number}")(x)
        if number in (1, 2, 5):
            x = layers.MaxPooling2D(3, strides=2, name=f"pool{number}")(x)
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = _flattened(config, x)
    for number in (6, 7):
        drop = layers.Dropout(config.dropout, name=f"drop{number}")
        fc = layers.Dense(
            config.units, "relu", kernel_initializer=_normal(), bias_initializer="ones", name=f"fc{number}"
        )
        x = fc(drop(x)) if config.torch_top else drop(fc(x))
    outputs = layers.Dense(
        config.classes, activation=config.activation, kernel_initializer=_normal(), name="predictions"
    )(x)
    return finish(config, inputs, outputs)


def _convolution(config: Config, x: Any, number: int) -> Any:
    apart = number in APART
    groups = config.towers if apart else 1
    layer = keras.layers.Conv2D if groups == 1 else own_layers.GroupedConv2D
    return layer(
        config.filters[number - 1],
        SIZES[number - 1],
        strides=4 if number == 1 else 1,
        padding="valid" if number == 1 else "same",
        groups=groups,
        activation="relu",
        kernel_initializer=_normal(),
        bias_initializer="ones" if apart else "zeros",
        name=f"conv{number}",
    )(x)


def _normal() -> Any:
    return keras.initializers.RandomNormal(stddev=0.01)


def _flattened(config: Config, maps: Any) -> Any:
    known = None not in maps.shape[1:3]
    if config.torch_top and known and tuple(maps.shape[1:3]) != (SIDE, SIDE):
        maps = keras.layers.AdaptiveAveragePooling2D(SIDE, name="avgpool")(maps)
    return flatten(config, maps)


CAFFE = {f"conv{number}": f"conv{number}" for number in range(1, 6)} | {
    "fc6": "fc6",
    "fc7": "fc7",
    "predictions": "fc8",
}
"""Our layers -> Caffe's."""

TORCH = dict(zip(CAFFE, [f"features.{place}" for place in (0, 3, 6, 8, 10)], strict=False)) | {
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "predictions": "classifier.6",
}
"""Our layers -> torchvision's."""


def _converted(config: Config, tensors: dict[str, np.ndarray], names: Mapping[str, str]) -> dict[str, np.ndarray]:
    kernels = {
        "fc6": after_flatten(config.filters[-1], SIDE, SIDE),
        "fc7": dense,
        "predictions": dense,
    }
    return convert(tensors, layers(names, kernels))


def from_torch(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """torchvision's names: places in two sequences, in which ReLU, pooling and dropout count too."""
    return _converted(config, tensors, TORCH)


def from_caffe(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Caffe's names; towers are halves of the outputs there as here, and the first kernel's colours stay BGR."""
    return _converted(config, tensors, CAFFE)


def from_onnx(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The model zoo's copy of Caffe's weights, by their order."""
    return _converted(config, in_order(tensors, CAFFE.values()), CAFFE)


SOURCES: Mapping[str, Any] = {"torch": from_torch, "caffe": from_caffe, "onnx": from_onnx}

AlexNet = builder(__name__, "alexnet", "AlexNet", "two towers, Krizhevsky et al. 2012.", least=67)
AlexNetOneTower = builder(
    __name__, "alexnet_one_tower", "AlexNetOneTower", "one tower, as torchvision has it, Krizhevsky 2014.", least=63
)
