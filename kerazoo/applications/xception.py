"""Xception: Inception carried to its end, depthwise separable convolutions with shortcuts.

Paper: Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017, arXiv:1610.02357, figure 5.
Reference weights: Keras' `xception_weights_tf_dim_ordering_tf_kernels[_notop].h5`, by the paper's author. They want
    RGB pixels scaled to -1..1, 299x299.
Variants: `xception`.
Differs: where the paper's figure leaves it open, as the author's Keras code has it: the first two convolutions pad
    nothing, and the dropout before the classifier, which the paper trains ImageNet with (section 4.3) and Keras leaves
    out, is there. PyTorch's port pads maps of even size before max-pooling at the other end and has another epsilon,
    so its logits are other ones: its file is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications._classifier import ClassifierConfig, builder, entrance, finish, without_top
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.applications._created import renamed
from kerazoo.contract import Variant
from kerazoo.lazy import keras

__all__ = ["Xception"]

ENTRY = {2: 128, 3: 256, 4: 728}
"""Number of a block of the entry flow -> its filters."""


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of an Xception.

    Attributes:
        middle: Blocks of the middle flow.
        width: Factor of every convolution's number of filters.
        dropout: Rate before the classifier.
    """

    middle: int = 8
    width: float = 1.0
    dropout: float = 0.5


_CONFIG = Config("xception", (299, 299, 3))

VARIANTS = {
    "xception": Variant(
        _CONFIG,
        22_910_480,
        (299, 299, 3),
        "classify",
        small=replace(_CONFIG, input_shape=(80, 80, 3), classes=50, middle=2, width=1 / 8),
    ),
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """RGB pictures [batch, height, width, 3] in -1..1 to logits [batch, classes]."""
    layers = keras.layers
    inputs = entrance(config, input_tensor)
    x = inputs
    for number, filters, strides in ((1, 32, 2), (2, 64, 1)):
        name = f"block1_conv{number}"
        x = layers.Conv2D(_wide(config, filters), 3, strides=strides, use_bias=False, name=name)(x)
        x = _relu(_bn(x, f"{name}_bn"), name)
    for block, filters in ENTRY.items():
        x = _halving(config, x, block, filters, filters)
    exit_ = 5 + config.middle
    for block in range(5, exit_):
        shortcut = x
        for number in (1, 2, 3):
            name = f"block{block}_sepconv{number}"
            x = _separable(config, _relu(x, name), 728, name)
        x = layers.Add(name=f"block{block}_add")([x, shortcut])
    x = _halving(config, x, exit_, 728, 1024)
    for number, filters in ((1, 1536), (2, 2048)):
        name = f"block{exit_ + 1}_sepconv{number}"
        x = _relu(_separable(config, x, filters, name), name)
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(config.dropout, name="dropout")(x)
    outputs = layers.Dense(config.classes, activation=config.activation, name="predictions")(x)
    return finish(config, inputs, outputs)


def _halving(config: Config, x: Any, block: int, first: int, second: int) -> Any:
    """Two separable convolutions and a max pool, added to a strided 1x1 convolution of the input."""
    layers = keras.layers
    name = f"block{block}"
    shortcut = layers.Conv2D(
        _wide(config, second), 1, strides=2, padding="same", use_bias=False, name=f"{name}_residual_conv"
    )(x)
    shortcut = _bn(shortcut, f"{name}_residual_bn")
    for number, filters in ((1, first), (2, second)):
        part = f"{name}_sepconv{number}"
        # What enters block 2 comes from a ReLU already.
        x = _separable(config, x if part == "block2_sepconv1" else _relu(x, part), filters, part)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x)
    return layers.Add(name=f"{name}_add")([x, shortcut])


def _separable(config: Config, x: Any, filters: int, name: str) -> Any:
    """A depthwise and a 1x1 convolution with nothing between them, as the paper's section 4.7 recommends."""
    x = keras.layers.SeparableConv2D(_wide(config, filters), 3, padding="same", use_bias=False, name=name)(x)
    return _bn(x, f"{name}_bn")


def _bn(x: Any, name: str) -> Any:
    return keras.layers.BatchNormalization(epsilon=1e-3, name=name)(x)


def _relu(x: Any, name: str) -> Any:
    return keras.layers.Activation("relu", name=f"{name}_act")(x)


def _wide(config: Config, filters: int) -> int:
    return int(filters * config.width)


def from_keras_h5(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Keras' own files, whose shortcuts have only numbers."""
    shortcuts = [f"block{block}_residual" for block in (*ENTRY, 5 + config.middle)]
    return renamed(
        tensors,
        {"conv2d": [f"{name}_conv" for name in shortcuts], "batch_normalization": [f"{name}_bn" for name in shortcuts]},
    )


SOURCES: Mapping[str, Any] = {"keras_h5": from_keras_h5}

Xception = builder(__name__, "xception", "Xception", "36 convolutional layers, Chollet 2017.", least=71)
