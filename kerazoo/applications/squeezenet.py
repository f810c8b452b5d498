"""SqueezeNet: AlexNet's accuracy from 1.2 million parameters.

Paper: Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer, "SqueezeNet", arXiv:1602.07360, table 1; v1.1 is the authors'
    later release, 2.4 times cheaper.
Reference weights: `squeezenet_v1_0:imagenet`, the authors' deep-compressed file, and their caffemodels of both, which
    want BGR pixels with the mean (104, 117, 123) taken off, 227x227; `squeezenet_v1_1:imagenet`, torchvision's, and
    the ONNX model zoo's, which want normalised RGB pixels, 224x224.
Variants: `squeezenet_v1_0`, `squeezenet_v1_1`, as the authors' Caffe definitions draw them.
Differs: the paper's input of 224 is 227 there, and its first convolution pads nothing. Max-pooling rounds up, as Caffe
    does. The last convolution of v1.0 pads its 1x1 kernel by one pixel, so the global mean sees a border of
    biases; v1.1, and torchvision's copies of both, pad nothing, so that torchvision's weights of v1.0 are not taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications._classifier import ClassifierConfig, builder, entrance, finish, without_top
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.applications._pooling import ceil_max_pool
from kerazoo.contract import Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.weights.recipes import convert, in_order, layers

__all__ = ["SqueezeNetV1_0", "SqueezeNetV1_1"]

FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
"""Number of the fire module -> filters of its squeeze and of each of its expand convolutions (table 1)."""


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of a SqueezeNet.

    Attributes:
        stem: Filters and kernel size of the first convolution.
        pools: Modules that max-pooling follows; 1 is the first convolution.
        border: Padding of the last convolution in pixels.
        dropout: Rate before the last convolution.
    """

    stem: tuple[int, int] = (96, 7)
    pools: tuple[int, ...] = (1, 4, 8)
    border: int = 1
    dropout: float = 0.5


def _variant(config: Config, params: int) -> Variant:
    side = config.input_shape[0]
    return Variant(config, params, (side, side, 3), "classify", small=replace(config, input_shape=(67, 67, 3)))


VARIANTS = {
    "squeezenet_v1_0": _variant(Config("squeezenet_v1_0", (227, 227, 3)), 1_248_424),
    "squeezenet_v1_1": _variant(
        Config("squeezenet_v1_1", (224, 224, 3), stem=(64, 3), pools=(1, 3, 5), border=0), 1_235_496
    ),
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """BGR pictures [batch, height, width, 3] less the mean to logits [batch, classes]."""
    layers = keras.layers
    inputs = entrance(config, input_tensor)
    filters, size = config.stem
    x = layers.Conv2D(filters, size, strides=2, activation="relu", name="conv1")(inputs)
    for module in range(1, 10):
        if module in FIRES:
            x = _fire(x, *FIRES[module], f"fire{module}")
        if module in config.pools:
            x = ceil_max_pool(x, f"pool{module}")
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = layers.Dropout(config.dropout, name="drop9")(x)
    if config.border:
        x = layers.ZeroPadding2D(config.border, name="conv10_pad")(x)
    x = layers.Conv2D(
        config.classes,
        1,
        activation="relu",
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        name="conv10",
    )(x)
    x = layers.GlobalAveragePooling2D(name="pool10")(x)
    return finish(config, inputs, layers.Activation(config.activation, name="predictions")(x))


def _fire(x: Any, squeeze: int, expand: int, name: str) -> Any:
    """1x1 convolutions to few channels, then 1x1 and 3x3 ones to many, side by side."""
    layers = keras.layers
    x = layers.Conv2D(squeeze, 1, activation="relu", name=f"{name}_squeeze1x1")(x)
    left = layers.Conv2D(expand, 1, activation="relu", name=f"{name}_expand1x1")(x)
    right = layers.Conv2D(expand, 3, padding="same", activation="relu", name=f"{name}_expand3x3")(x)
    return layers.Concatenate(name=f"{name}_concat")([left, right])


PARTS = ("squeeze1x1", "expand1x1", "expand3x3")
CAFFE = {"conv1": "conv1"} | {f"fire{fire}_{part}": f"fire{fire}/{part}" for fire in FIRES for part in PARTS}
CAFFE |= {"conv10": "conv10"}
"""Our layers -> the authors', in the order in which they compute."""


def from_caffe(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The authors' files, compressed or not; the first kernel's colours stay, pictures come as BGR."""
    return convert(tensors, layers(CAFFE))


def from_onnx(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The model zoo's file, by the order of its tensors."""
    return from_caffe(config, in_order(tensors, CAFFE.values()))


def from_torch(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """torchvision's names: places in a sequence, in which ReLU and pooling count too."""
    if config.border:
        raise UsageError(
            f"{config.name} has no converter from PyTorch: the last convolution of torchvision's network pads nothing, "
            "this one does, and its answers would differ. squeezenet_v1_1 takes torchvision's file."
        )
    names, place = {"conv1": "features.0"}, 2
    for module in range(1, 10):
        if module in FIRES:
            for part in PARTS:
                names[f"fire{module}_{part}"] = f"features.{place}.{part.replace('squeeze1x1', 'squeeze')}"
            place += 1
        place += module in config.pools
    return convert(tensors, layers(names | {"conv10": "classifier.1"}))


SOURCES: Mapping[str, Any] = {
    "deep_compressed": from_caffe,
    "caffe": from_caffe,
    "onnx": from_onnx,
    "torch": from_torch,
}

SqueezeNetV1_0 = builder(
    __name__, "squeezenet_v1_0", "SqueezeNetV1_0", "the paper's network, Iandola et al. 2016.", least=21
)
SqueezeNetV1_1 = builder(
    __name__, "squeezenet_v1_1", "SqueezeNetV1_1", "the authors' cheaper release of 2016.", least=17
)
