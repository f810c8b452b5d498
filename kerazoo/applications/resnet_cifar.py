"""ResNet for CIFAR-10: the paper's small networks, 6n + 2 layers deep.

Paper: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385, section 4.2.
Reference weights: `resnet20:cifar10-akamaster`, a PyTorch file of akamaster/pytorch_resnet_cifar10. The authors
    published none; `resnet20:cifar10` is trained by `recipes/resnet20_cifar10.py`.
Variants: `resnet20`, `resnet32`, `resnet44`, `resnet56`, with 3, 5, 7 and 9 blocks a stage.
Differs: nothing in the graph: shortcuts are the paper's option A, which has no parameters. The channels that a shortcut
    lacks are split between both sides, where the paper leaves their place open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.applications._classifier import ClassifierConfig, builder, entrance, finish, without_top
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.contract import Variant
from kerazoo.lazy import keras
from kerazoo.weights.recipes import convert, counters, dense, layer, torch_conv_norm

__all__ = ["ResNet20", "ResNet32", "ResNet44", "ResNet56"]


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of a CIFAR ResNet: filters of the three stages, blocks in each."""

    filters: tuple[int, int, int] = (16, 32, 64)
    blocks: int = 3


def _variant(name: str, blocks: int, params: int) -> Variant:
    return Variant(Config(name, (32, 32, 3), classes=10, blocks=blocks), params, (32, 32, 3), "classify")


VARIANTS = {
    "resnet20": _variant("resnet20", 3, 271_098),
    "resnet32": _variant("resnet32", 5, 466_426),
    "resnet44": _variant("resnet44", 7, 661_754),
    "resnet56": _variant("resnet56", 9, 857_082),
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """Normalised RGB pictures [batch, height, width, 3] to logits [batch, classes]."""
    layers = keras.layers
    inputs = entrance(config, input_tensor)
    x = layers.ReLU(name="conv1_relu")(_conv_bn(inputs, config.filters[0], 1, "conv1"))
    for name, filters, strides in _blocks(config):
        x = _block(x, filters, strides, name)
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    outputs = layers.Dense(
        config.classes, activation=config.activation, kernel_initializer="he_normal", name="predictions"
    )(x)
    return finish(config, inputs, outputs)


def _blocks(config: Config) -> Iterator[tuple[str, int, int]]:
    """Name, filters and strides of every block."""
    for stage, filters in enumerate(config.filters):
        for block in range(config.blocks):
            yield f"stage{stage + 1}_block{block + 1}", filters, 2 if stage and not block else 1


def _block(x: Any, filters: int, strides: int, name: str) -> Any:
    layers = keras.layers
    shortcut = x
    if strides > 1:
        shortcut = layers.MaxPooling2D(1, strides, name=f"{name}_subsample")(x)
        lacking = filters - x.shape[-1]
        # Of [batch, height, width, channels] this layer, told that channels come first, pads width and channels.
        sides = ((0, 0), (lacking // 2, lacking - lacking // 2))
        shortcut = layers.ZeroPadding2D(sides, data_format="channels_first", name=f"{name}_widen")(shortcut)
    x = layers.ReLU(name=f"{name}_1_relu")(_conv_bn(x, filters, strides, f"{name}_1"))
    x = _conv_bn(x, filters, 1, f"{name}_2")
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([shortcut, x]))


def _conv_bn(x: Any, filters: int, strides: int, name: str) -> Any:
    """3x3 convolution with one pixel of padding on every side, then batch normalisation."""
    layers = keras.layers
    padding = "same"
    if strides > 1:
        # Keras' own padding would put the odd pixel at the end only.
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
        padding = "valid"
    x = layers.Conv2D(
        filters, 3, strides, padding, use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)
    return layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"{name}_bn")(x)


def from_torch(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of akamaster's networks: `conv1`, `bn1`, `layer{1,2,3}.{block}.{conv,bn}{1,2}`, `linear`."""
    names = {"conv1": ("conv1", "bn1")}
    for stage in range(len(config.filters)):
        for block in range(config.blocks):
            for half in (1, 2):
                source = f"layer{stage + 1}.{block}."
                names[f"stage{stage + 1}_block{block + 1}_{half}"] = (f"{source}conv{half}", f"{source}bn{half}")
    recipe = torch_conv_norm(names) | layer("predictions", "linear", dense)
    return convert(tensors, recipe, counters(tensors))


SOURCES: Mapping[str, Any] = {"torch": from_torch}

ResNet20 = builder(__name__, "resnet20", "ResNet20", "20 layers for CIFAR-10, He et al. 2016.", least=8)
ResNet32 = builder(__name__, "resnet32", "ResNet32", "32 layers for CIFAR-10, He et al. 2016.", least=8)
ResNet44 = builder(__name__, "resnet44", "ResNet44", "44 layers for CIFAR-10, He et al. 2016.", least=8)
ResNet56 = builder(__name__, "resnet56", "ResNet56", "56 layers for CIFAR-10, He et al. 2016.", least=8)
