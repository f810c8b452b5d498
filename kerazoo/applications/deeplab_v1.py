"""DeepLab v1: a classifier made dense, whose first dense layer became a sparse convolution with a large field of view.

Paper: Chen, Papandreou, Kokkinos, Murphy, Yuille, "Semantic Image Segmentation with Deep Convolutional Nets and Fully
    Connected CRFs", ICLR 2015, arXiv:1412.7062, sections 3 and 4, DeepLab-LargeFOV of table 2.
Reference weights: the authors' Caffe files, for research only; none is offered here. BGR pixels less the mean
    (104.008, 116.669, 122.675).
Variants: `deeplab_v1_largefov`.
Differs: as in the authors' released network, pooling is over 3x3 pixels, the fifth one is followed by an average over
    3x3, and padding counts in that average. The fully connected CRF is a step of the task (`kerazoo predict --crf`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications import _segmenter
from kerazoo.applications._segmenter import SegmenterConfig, finish
from kerazoo.assets import Assets
from kerazoo.codecs.image import Normalise
from kerazoo.contract import Task, Variant
from kerazoo.lazy import keras
from kerazoo.weights.recipes import convert, layers

__all__ = ["DeepLabV1LargeFOV"]

NORMALISE = Normalise("bgr", mean=(104.008, 116.669, 122.675), std=(1.0, 1.0, 1.0))

STAGES = ((64, 2, 2, 1), (128, 2, 2, 1), (256, 3, 2, 1), (512, 3, 1, 1), (512, 3, 1, 2))
"""Filters, convolutions, stride of the pooling behind them, and how far apart the taps of the convolutions are."""


@dataclass(frozen=True)
class Config(SegmenterConfig):
    """Sizes of a DeepLab v1.

    Attributes:
        width: Factor of every convolution's number of filters.
        rate: Distance of the taps of the convolution that was the first dense layer.
        dense: Filters of the two convolutions that were dense layers.
        dropout: Rate behind each of them.
    """

    width: float = 1.0
    rate: int = 12
    dense: int = 1024
    dropout: float = 0.5


_CONFIG = Config("deeplab_v1_largefov", (321, 321, 3))

VARIANTS = {
    "deeplab_v1_largefov": Variant(
        _CONFIG,
        20_505_429,
        (321, 321, 3),
        "segment",
        small=replace(_CONFIG, input_shape=(65, 65, 3), classes=5, width=1 / 16, dense=32),
    )
}


def build(config: Config) -> keras.Model:
    """BGR pictures less their mean [batch, height, width, 3] to logits [batch, height, width, classes]."""
    kl = keras.layers
    inputs = x = keras.Input(config.input_shape, name="image")
    for stage, (filters, count, strides, rate) in enumerate(STAGES, start=1):
        for number in range(1, count + 1):
            x = _conv(x, int(filters * config.width), 3, f"conv{stage}_{number}", rate)
        # Caffe rounds the size of pooled maps up; behind a rectifier padding with zeros is padding with nothing.
        around = (1, 2) if strides > 1 else (1, 1)
        x = kl.ZeroPadding2D((around, around), name=f"pool{stage}_pad")(x)
        x = kl.MaxPooling2D(3, strides, name=f"pool{stage}")(x)
    x = kl.ZeroPadding2D(1, name="pool5a_pad")(x)
    x = kl.AveragePooling2D(3, 1, name="pool5a")(x)
    x = _conv(x, config.dense, 3, "fc6", config.rate)
    x = kl.Dropout(config.dropout, name="drop6")(x)
    x = _conv(x, config.dense, 1, "fc7")
    x = kl.Dropout(config.dropout, name="drop7")(x)
    logits = kl.Conv2D(config.classes, 1, kernel_initializer=keras.initializers.RandomNormal(0, 0.01), name="fc8")(x)
    return finish(config, inputs, logits, align_corners=True)


def _conv(x: Any, filters: int, size: int, name: str, rate: int = 1) -> Any:
    return keras.layers.Conv2D(
        filters, size, padding="same", dilation_rate=rate, activation="relu", kernel_initializer="he_normal", name=name
    )(x)


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Segmentation of whole pictures."""
    return _segmenter.tasks(config, assets)


def from_caffe(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The authors' `.caffemodel`, whose last layer is named after the data set: `fc8_voc12`."""
    own = [f"conv{stage}_{number}" for stage, row in enumerate(STAGES, start=1) for number in range(1, row[1] + 1)]
    last = next((name.rpartition(".")[0] for name in tensors if name.startswith("fc8")), "fc8")
    return convert(tensors, layers({name: name for name in (*own, "fc6", "fc7")} | {"fc8": last}))


SOURCES: Mapping[str, Any] = {"caffe": from_caffe}

DeepLabV1LargeFOV = _segmenter.builder(
    __name__,
    "deeplab_v1_largefov",
    "DeepLabV1LargeFOV",
    "VGG-16 made dense, with a large field of view, Chen et al. 2015.",
)
