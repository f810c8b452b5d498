"""Residual networks whose last stages keep their resolution and look further instead, as DeepLab v2 and v3 stand on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kerazoo.lazy import keras

EPSILON = 1e-5


def conv_bn(x: Any, filters: int, size: int, name: str, strides: int = 1, rate: int = 1, relu: bool = True) -> Any:
    """A convolution without bias and its batch normalisation; what strides pads as much on all sides."""
    layers = keras.layers
    if strides > 1 and size > 1:
        x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    x = layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="valid" if strides > 1 else "same",
        dilation_rate=rate,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(epsilon=EPSILON, momentum=0.9, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x) if relu else x


def stages(x: Any, blocks: tuple[int, ...], width: int, before: bool, ramp: bool) -> Any:
    """Bottlenecks: the second stage halves the resolution, the third and the fourth double the distance they see.

    Args:
        x: What comes out of the stem.
        width: Filters of the first stage's 3x3 convolutions; each further stage has twice as many.
        before: Whether a stage strides in its first 1x1 convolution, as Caffe's networks do, or in its 3x3.
        ramp: Whether the first block of a stage still sees as far as the stage before, as in torchvision.
    """
    layers = keras.layers
    for stage, count in enumerate(blocks, start=1):
        filters = width << (stage - 1)
        rate, strides = max(1, 2 ** (stage - 2)), 2 if stage == 2 else 1
        for block in range(1, count + 1):
            name, first = f"stage{stage}_block{block}", block == 1
            step = strides if first else 1
            reach = max(1, rate // 2) if first and ramp else rate
            shortcut = conv_bn(x, 4 * filters, 1, f"{name}_0", step, relu=False) if first else x
            x = conv_bn(x, filters, 1, f"{name}_1", step if before else 1)
            x = conv_bn(x, filters, 3, f"{name}_2", 1 if before else step, reach)
            x = conv_bn(x, 4 * filters, 1, f"{name}_3", relu=False)
            x = layers.Add(name=f"{name}_add")([x, shortcut])
            x = layers.Activation("relu", name=f"{name}_out")(x)
    return x


def names(blocks: tuple[int, ...]) -> Iterator[tuple[str, int, int, int]]:
    """Name, stage, block and number (0: the shortcut) of every convolution of `stages`."""
    for stage, count in enumerate(blocks, start=1):
        for block in range(1, count + 1):
            for number in range(0 if block == 1 else 1, 4):
                yield f"stage{stage}_block{block}_{number}", stage, block, number
