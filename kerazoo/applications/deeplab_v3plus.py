"""DeepLab v3+: the pyramid of v3 on an Xception, and a decoder that brings back outlines from an early map.

Paper: Chen, Zhu, Papandreou, Schroff, Adam, "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
    Segmentation", ECCV 2018, arXiv:1802.02611, figures 2 and 4; on MobileNetV2: arXiv:1801.04381, section 6.3.
Reference weights: TensorFlow's checkpoints `deeplabv3_pascal_train_aug_2018_01_04` and
    `deeplabv3_mnv2_pascal_train_aug_2018_01_29`, and the Keras files that bonlime/keras-deeplab-v3-plus made of them.
    RGB, scaled to -1..1; the longer side has 513 pixels, and the rest is filled.
Variants: `deeplab_v3plus_xception`, `deeplab_v3plus_mobilenetv2`.
Differs: as published for MobileNetV2, there is no decoder, and its pyramid has two views only. The output stride is 16
    for Xception and 8 for MobileNetV2, as in the Keras files. Maps grow with aligned corners, as the checkpoints want
    it; bonlime's own program does not align them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kerazoo.applications import _segmenter, _slim
from kerazoo.applications._segmenter import SegmenterConfig, finish
from kerazoo.assets import Assets
from kerazoo.codecs.image import Normalise
from kerazoo.contract import Task, Variant
from kerazoo.lazy import keras, own_layers

__all__ = ["DeepLabV3PlusMobileNetV2", "DeepLabV3PlusXception"]

NORMALISE = Normalise(scale=1 / 127.5, mean=(1.0, 1.0, 1.0), std=(1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Config(SegmenterConfig):
    """Sizes of a DeepLab v3+.

    Attributes:
        middle: Blocks of an Xception's middle flow; none for a MobileNetV2.
        width: Factor of an Xception's filters, or of a MobileNetV2's.
        rates: Distances of the taps of the pyramid's 3x3 convolutions.
        views: Filters of each of the pyramid's convolutions, and of the decoder's.
        skip: Filters that the early map is brought to.
        dropout: Rate behind the pyramid.
    """

    middle: int = 0
    width: float = 1.0
    rates: tuple[int, ...] = ()
    views: int = 256
    skip: int = 48
    dropout: float = 0.1


_XCEPTION = Config("deeplab_v3plus_xception", (513, 513, 3), middle=16, rates=(6, 12, 18))
_MOBILE = Config("deeplab_v3plus_mobilenetv2", (513, 513, 3))

VARIANTS = {
    "deeplab_v3plus_mobilenetv2": Variant(
        _MOBILE,
        2_146_645,
        (513, 513, 3),
        "segment",
        small=replace(_MOBILE, input_shape=(65, 65, 3), classes=5, width=0.35, views=32),
    ),
    "deeplab_v3plus_xception": Variant(
        _XCEPTION,
        41_258_213,
        (513, 513, 3),
        "segment",
        small=replace(_XCEPTION, input_shape=(65, 65, 3), classes=5, middle=1, width=1 / 8, views=16, skip=8),
    ),
}


def build(config: Config) -> keras.Model:
    """RGB pictures [batch, height, width, 3] in -1..1 to logits [batch, height, width, classes]."""
    inputs = keras.Input(config.input_shape, name="image")
    if not config.middle:
        x, early = _slim.mobilenet(inputs, config.width), None
    else:
        x, early = _xception(config, inputs)
    kl = keras.layers
    x = _slim.pyramid(x, config.views, config.rates, config.dropout)
    if early is not None:
        x = own_layers.BilinearResize(True, name="decoder_resized")([x, early])
        x = kl.Concatenate(name="decoder_concat")([x, _slim.conv_bn(early, config.skip, "feature_projection0")])
        for number in (0, 1):
            x = _slim.separable(x, config.views, f"decoder_conv{number}", between=True)
    return finish(config, inputs, kl.Conv2D(config.classes, 1, name="logits_semantic")(x), align_corners=True)


def _xception(config: Config, x: Any) -> tuple[Any, Any]:
    """The aligned Xception-65 of figure 4: its maps at a sixteenth, and the early ones at a quarter of the picture."""

    def wide(*filters: int) -> tuple[int, ...]:
        return tuple(int(each * config.width) for each in filters)

    kl = keras.layers
    for number, filters, strides in ((1, 32, 2), (2, 64, 1)):
        name = f"entry_flow_conv1_{number}"
        x = kl.Conv2D(wide(filters)[0], 3, strides=strides, padding="same", use_bias=False, name=name)(x)
        x = kl.BatchNormalization(epsilon=_slim.TRUNK_EPSILON, name=f"{name}_BN")(x)
        x = kl.Activation("relu", name=f"{name}_relu")(x)
    early = x
    for number, filters in ((1, 128), (2, 256), (3, 728)):
        x, inner = _block(x, wide(filters, filters, filters), f"entry_flow_block{number}", strides=2, projected=True)
        early = inner if number == 2 else early
    for number in range(1, config.middle + 1):
        x, _ = _block(x, wide(728, 728, 728), f"middle_flow_unit_{number}")
    x, _ = _block(x, wide(728, 1024, 1024), "exit_flow_block1", projected=True)
    x, _ = _block(x, wide(1536, 1536, 2048), "exit_flow_block2", rate=2, between=True, added=False)
    return x, early


def _block(
    x: Any,
    filters: tuple[int, ...],
    name: str,
    strides: int = 1,
    rate: int = 1,
    projected: bool = False,
    between: bool = False,
    added: bool = True,
) -> tuple[Any, Any]:
    """Three separable convolutions, added to their input or its projection; and what the second of them gave."""
    kl = keras.layers
    shortcut, inner = x, x
    for number, count in enumerate(filters, start=1):
        step = strides if number == 3 else 1
        part = f"{name}_separable_conv{number}"
        x = _slim.separable(x, count, part, step, rate, between, _slim.TRUNK_EPSILON)
        inner = x if number == 2 else inner
    if projected:
        shortcut = kl.Conv2D(filters[-1], 1, strides=strides, use_bias=False, name=f"{name}_shortcut")(shortcut)
        shortcut = kl.BatchNormalization(epsilon=_slim.TRUNK_EPSILON, name=f"{name}_shortcut_BN")(shortcut)
    return (kl.Add(name=f"{name}_add")([x, shortcut]) if added else x), inner


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Segmentation of whole pictures."""
    return _segmenter.tasks(config, assets)


SOURCES: Mapping[str, Any] = {
    "keras_h5": lambda config, tensors: _slim.from_keras_h5(tensors),
    "slim": lambda config, tensors: _slim.from_slim(tensors),
}

DeepLabV3PlusMobileNetV2 = _segmenter.builder(
    __name__, "deeplab_v3plus_mobilenetv2", "DeepLabV3PlusMobileNetV2", "on MobileNetV2, Chen et al. 2018."
)
DeepLabV3PlusXception = _segmenter.builder(
    __name__, "deeplab_v3plus_xception", "DeepLabV3PlusXception", "on Xception-65, Chen et al. 2018."
)
