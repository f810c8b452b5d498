"""What the ResNet families share: the graph, and the names that PyTorch's files have for its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kerazoo.applications._classifier import ClassifierConfig, entrance, finish, without_top
from kerazoo.lazy import keras, own_layers
from kerazoo.weights.recipes import convert, counters, dense, layer, torch_conv_norm


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of a ResNet, and which form it has.

    Attributes:
        blocks: How many residual blocks each stage has.
        width: Channels behind the first convolutions, and filters of the first stage's 3x3 ones; stages double them.
        bottleneck: Blocks are convolutions of 1x1, 3x3 and 1x1, the last to four times the width; else two of 3x3.
        wider: Factor of the filters of a bottleneck's first two convolutions.
        groups: Of a bottleneck's 3x3 convolution.
        tweaks: Three 3x3 convolutions for the 7x7 one, and average pooling for the stride of shortcuts (ResNet-D).
        caffe: The form of Keras' official files, which came from Caffe: convolutions have biases, the first one of a
            bottleneck strides, not the 3x3, and batch normalisation's constants are Keras' own.
    """

    blocks: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    bottleneck: bool = True
    wider: int = 1
    groups: int = 1
    tweaks: bool = False
    caffe: bool = False


class _Conv(NamedTuple):
    """A convolution with its batch normalisation: the layers' name, their names in PyTorch's files, and sizes."""

    name: str
    theirs: tuple[str, str]
    filters: int
    size: int
    strides: int = 1
    groups: int = 1


class _Block(NamedTuple):
    name: str
    convs: tuple[_Conv, ...]
    shortcut: _Conv | None
    pooled: bool


def _stem(config: Config) -> list[_Conv]:
    width = config.width
    if not config.tweaks:
        return [_Conv("conv1", ("conv1", "bn1"), width, 7, strides=2)]
    return [
        _Conv("conv1_1", ("conv1.0", "conv1.1"), width // 2, 3, strides=2),
        _Conv("conv1_2", ("conv1.3", "conv1.4"), width // 2, 3),
        _Conv("conv1_3", ("conv1.6", "bn1"), width, 3),
    ]


def _blocks(config: Config) -> Iterator[_Block]:
    for stage, count in enumerate(config.blocks):
        width = config.width << stage
        for block in range(count):
            name, theirs = f"conv{stage + 2}_block{block + 1}", f"layer{stage + 1}.{block}."
            strides = 2 if stage and not block else 1
            if config.bottleneck:
                first, second = (strides, 1) if config.caffe else (1, strides)
                inner = width * config.wider
                sizes = [(inner, 1, first), (inner, 3, second, config.groups), (4 * width, 1)]
            else:
                sizes = [(width, 3, strides), (width, 3)]
            convs = tuple(
                _Conv(f"{name}_{number}", (f"{theirs}conv{number}", f"{theirs}bn{number}"), *size)
                for number, size in enumerate(sizes, start=1)
            )
            shortcut, pooled = None, config.tweaks and strides > 1
            if not block and (stage or config.bottleneck):
                at = f"{theirs}downsample."
                # PyTorch's ResNet-D numbers the pooling, too, even where it does nothing.
                source = (f"{at}1", f"{at}2") if config.tweaks else (f"{at}0", f"{at}1")
                shortcut = _Conv(f"{name}_0", source, convs[-1].filters, 1, 1 if pooled else strides)
            yield _Block(name, convs, shortcut, pooled)


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """Normalised pictures [batch, height, width, 3] to logits [batch, classes]."""
    layers = keras.layers
    inputs = x = entrance(config, input_tensor)
    for conv in _stem(config):
        x = layers.Activation("relu", name=f"{conv.name}_relu")(_conv_bn(config, x, conv))
    # Zeros cannot win: what is pooled comes from a ReLU.
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for block in _blocks(config):
        x = _residual(config, x, block)
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    outputs = layers.Dense(config.classes, activation=config.activation, name="predictions")(x)
    return finish(config, inputs, outputs)


def _residual(config: Config, x: Any, block: _Block) -> Any:
    """Convolutions, added to what came in; where the size changes, that is projected first."""
    layers = keras.layers
    shortcut = x
    if block.pooled:
        # The mean of what is there: a window that reaches over the edge of an odd size counts its own pixels only.
        shortcut = layers.AveragePooling2D(2, padding="same", name=f"{block.name}_0_pool")(shortcut)
    if block.shortcut is not None:
        shortcut = _conv_bn(config, shortcut, block.shortcut)
    *inner, last = block.convs
    for conv in inner:
        x = layers.Activation("relu", name=f"{conv.name}_relu")(_conv_bn(config, x, conv))
    x = layers.Add(name=f"{block.name}_add")([shortcut, _conv_bn(config, x, last)])
    return layers.Activation("relu", name=f"{block.name}_out")(x)


def _conv_bn(config: Config, x: Any, conv: _Conv) -> Any:
    layers = keras.layers
    padding = "same" if conv.size > 1 else "valid"
    if conv.size > 1 and conv.strides > 1:
        # Keras' own padding would put the odd pixel at the end only.
        x = layers.ZeroPadding2D(conv.size // 2, name=f"{conv.name}_pad")(x)
        padding = "valid"
    options = {
        "padding": padding,
        "strides": conv.strides,
        "use_bias": config.caffe,
        "kernel_initializer": "he_normal",
        "name": f"{conv.name}_conv",
    }
    if conv.groups > 1:
        x = own_layers.GroupedConv2D(conv.filters, conv.size, groups=conv.groups, **options)(x)
    else:
        x = layers.Conv2D(conv.filters, conv.size, **options)(x)
    epsilon, momentum = (1.001e-5, 0.99) if config.caffe else (1e-5, 0.9)
    return layers.BatchNormalization(epsilon=epsilon, momentum=momentum, name=f"{conv.name}_bn")(x)


def from_torch(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of torchvision's and timm's networks, which share their names: `layer{stage}.{block}.conv1.weight`."""
    convs = _stem(config)
    for block in _blocks(config):
        convs += [*block.convs, block.shortcut] if block.shortcut is not None else block.convs
    recipe = torch_conv_norm({conv.name: conv.theirs for conv in convs}) | layer("predictions", "fc", dense)
    return convert(tensors, recipe, counters(tensors))
