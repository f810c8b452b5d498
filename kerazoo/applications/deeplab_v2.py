"""DeepLab v2: a dilated ResNet-101 and atrous spatial pyramid pooling, four views of different width added up.

Paper: Chen, Papandreou, Kokkinos, Murphy, Yuille, "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets,
    Atrous Convolution, and Fully Connected CRFs", TPAMI 2017, arXiv:1606.00915, section 3, figure 4 (ASPP-L).
Reference weights: kazuto1011/deeplab-pytorch's `deeplabv2_resnet101_msc-vocaug-20000.pth`, and the authors' Caffe
    networks that its `convert.py` makes such files of. BGR pixels less the mean (104.008, 116.669, 122.675).
Variants: `deeplab_v2_resnet101`.
Differs: one scale. The published figures merge three (0.5, 0.75 and 1) by their largest logit. As in the authors'
    network, stages stride in their first 1x1 convolution, and pooled maps are rounded up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications import _dilated, _segmenter
from kerazoo.applications._segmenter import SegmenterConfig, finish
from kerazoo.assets import Assets
from kerazoo.codecs.image import Normalise
from kerazoo.contract import Task, Variant
from kerazoo.lazy import keras
from kerazoo.weights.recipes import convert, counters, layers, torch_conv_norm

__all__ = ["DeepLabV2ResNet101"]

NORMALISE = Normalise("bgr", mean=(104.008, 116.669, 122.675), std=(1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Config(SegmenterConfig):
    """Sizes of a DeepLab v2.

    Attributes:
        blocks: Bottlenecks of each stage.
        width: Filters of the first convolution and of the first stage's 3x3 ones.
        rates: Distances of the taps of the pyramid's convolutions.
    """

    blocks: tuple[int, ...] = (3, 4, 23, 3)
    width: int = 64
    rates: tuple[int, ...] = (6, 12, 18, 24)


_CONFIG = Config("deeplab_v2_resnet101", (513, 513, 3))

VARIANTS = {
    "deeplab_v2_resnet101": Variant(
        _CONFIG,
        44_153_876,
        (513, 513, 3),
        "segment",
        small=replace(_CONFIG, input_shape=(65, 65, 3), classes=5, blocks=(1, 1, 2, 1), width=8),
    )
}


def build(config: Config) -> keras.Model:
    """BGR pictures less their mean [batch, height, width, 3] to logits [batch, height, width, classes]."""
    kl = keras.layers
    inputs = keras.Input(config.input_shape, name="image")
    x = _dilated.conv_bn(inputs, config.width, 7, "stem", strides=2)
    x = kl.ZeroPadding2D(((1, 2), (1, 2)), name="pool_pad")(x)
    x = kl.MaxPooling2D(3, 2, name="pool")(x)
    x = _dilated.stages(x, config.blocks, config.width, before=True, ramp=False)
    views = [
        kl.Conv2D(
            config.classes,
            3,
            padding="same",
            dilation_rate=rate,
            kernel_initializer=keras.initializers.RandomNormal(0, 0.01),
            name=f"aspp{number}",
        )(x)
        for number, rate in enumerate(config.rates, start=1)
    ]
    return finish(config, inputs, kl.Add(name="aspp_add")(views), align_corners=True)


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Segmentation of whole pictures."""
    return _segmenter.tasks(config, assets)


def from_torch(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """kazuto1011's files: `base.layer2.block1.conv3x3.conv.weight`, without `base.` where one scale was trained."""
    tensors = {name.removeprefix("base."): tensor for name, tensor in tensors.items()}
    kinds = ("shortcut", "reduce", "conv3x3", "increase")
    theirs = {"stem": "layer1.conv1"} | {
        name: f"layer{stage + 1}.block{block}.{kinds[number]}"
        for name, stage, block, number in _dilated.names(config.blocks)
    }
    recipe = torch_conv_norm({name: (f"{its}.conv", f"{its}.bn") for name, its in theirs.items()})
    recipe |= layers({f"aspp{number + 1}": f"aspp.c{number}" for number in range(len(config.rates))})
    return convert(tensors, recipe, counters(tensors))


SOURCES: Mapping[str, Any] = {"torch": from_torch}

DeepLabV2ResNet101 = _segmenter.builder(
    __name__, "deeplab_v2_resnet101", "DeepLabV2ResNet101", "ResNet-101 with a pyramid of four views, Chen et al. 2017."
)
