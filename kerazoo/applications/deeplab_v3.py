"""DeepLab v3: pyramids of views that are batch-normalised, joined by one of the whole picture and mixed.

Paper: Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017,
    arXiv:1706.05587, section 3.3, figure 5; on MobileNetV2: arXiv:1801.04381, section 6.3.
Reference weights: TensorFlow's `deeplabv3_257_mv_gpu.tflite` (MobileNetV2 of half the width, 257 pixels, -1..1), and
    torchvision's `deeplabv3_resnet{50,101}_coco` (RGB pixels in 0..1 less the mean (0.485, 0.456, 0.406), over
    (0.229, 0.224, 0.225)).
Variants: `deeplab_v3_mobilenetv2_dm05`, `deeplab_v3_resnet50`, `deeplab_v3_resnet101`.
Differs: all have an output stride of 8. On MobileNetV2 the pyramid has two views only, the picture's and each place's
    own; the picture's comes first, and logits grow with aligned corners. Those on ResNets are torchvision's: the
    picture's view comes last, a 3x3 convolution stands before the last one, there is no multi-grid, and corners are
    not aligned. Filters of the half MobileNetV2 are not rounded to multiples of 8, as in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications import _dilated, _segmenter
from kerazoo.applications._segmenter import SegmenterConfig, finish
from kerazoo.applications._slim import folded, from_slim, mobilenet, pyramid
from kerazoo.assets import Assets
from kerazoo.codecs.image import Normalise
from kerazoo.contract import Task, Variant
from kerazoo.lazy import keras, own_layers
from kerazoo.weights.recipes import convert, counters, layer, torch_conv_norm

__all__ = ["DeepLabV3MobileNetV2", "DeepLabV3ResNet50", "DeepLabV3ResNet101"]

NORMALISE = Normalise(scale=1 / 127.5, mean=(1.0, 1.0, 1.0), std=(1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Config(SegmenterConfig):
    """Sizes of a DeepLab v3.

    Attributes:
        blocks: Bottlenecks of each stage of a ResNet; none for a MobileNetV2.
        width: Filters of a ResNet's first convolution.
        alpha: Factor of a MobileNetV2's filters.
        rates: Distances of the taps of the pyramid's 3x3 convolutions; none on a MobileNetV2.
        views: Filters of each of the pyramid's convolutions.
        dropout: Rate behind the pyramid.
    """

    blocks: tuple[int, ...] = ()
    width: int = 64
    alpha: float = 0.5
    rates: tuple[int, ...] = ()
    views: int = 256
    dropout: float = 0.1


def _variant(config: Config, params: int, small: Config) -> Variant:
    return Variant(config, params, config.input_shape, "segment", small=small)


def _resnet(name: str, blocks: tuple[int, ...], params: int) -> Variant:
    config = Config(name, (520, 520, 3), blocks=blocks, rates=(12, 24, 36), dropout=0.5)
    small = replace(config, input_shape=(64, 64, 3), classes=5, blocks=(1, 1, 2, 1), width=8, views=16)
    return _variant(config, params, small)


_MOBILE = Config("deeplab_v3_mobilenetv2_dm05", (257, 257, 3))

VARIANTS = {
    "deeplab_v3_mobilenetv2_dm05": _variant(
        _MOBILE, 714_325, replace(_MOBILE, input_shape=(65, 65, 3), classes=5, views=32)
    ),
    "deeplab_v3_resnet50": _resnet("deeplab_v3_resnet50", (3, 4, 6, 3), 39_695_573),
    "deeplab_v3_resnet101": _resnet("deeplab_v3_resnet101", (3, 4, 23, 3), 58_739_925),
}


def build(config: Config) -> keras.Model:
    """Normalised RGB pictures [batch, height, width, 3] to logits [batch, height, width, classes]."""
    inputs = keras.Input(config.input_shape, name="image")
    if config.blocks:
        return finish(config, inputs, _on_resnet(config, inputs), align_corners=False)
    x = pyramid(mobilenet(inputs, config.alpha, divisor=1), config.views, (), config.dropout)
    return finish(config, inputs, keras.layers.Conv2D(config.classes, 1, name="logits_semantic")(x), align_corners=True)


def _on_resnet(config: Config, x: Any) -> Any:
    kl = keras.layers
    x = _dilated.conv_bn(x, config.width, 7, "stem", strides=2)
    x = kl.ZeroPadding2D(1, name="pool_pad")(x)
    x = kl.MaxPooling2D(3, 2, name="pool")(x)
    x = _dilated.stages(x, config.blocks, config.width, before=False, ramp=True)
    views = [_dilated.conv_bn(x, config.views, 1, "aspp0")]
    for number, rate in enumerate(config.rates, start=1):
        views.append(_dilated.conv_bn(x, config.views, 3, f"aspp{number}", rate=rate))
    pooled = kl.GlobalAveragePooling2D(keepdims=True, name="picture")(x)
    pooled = _dilated.conv_bn(pooled, config.views, 1, "image_pooling")
    views.append(own_layers.BilinearResize(False, name="image_pooling_resized")([pooled, x]))
    x = kl.Concatenate(name="concat")(views)
    x = kl.Dropout(config.dropout, name="dropout")(_dilated.conv_bn(x, config.views, 1, "project"))
    return kl.Conv2D(config.classes, 1, name="logits")(_dilated.conv_bn(x, config.views, 3, "head"))


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Segmentation of whole pictures."""
    return _segmenter.tasks(config, assets)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    if not any(layer.name == "image_pooling_conv" for layer in model.layers):
        return {"views": model.get_layer("aspp0").filters}
    return {"views": model.get_layer("aspp0_conv").filters, "width": model.get_layer("stem_conv").filters}


def from_litert(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """TensorFlow's LiteRT file: kernels OHWI, batch normalisation folded."""
    return folded(tensors)


def from_torch(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """torchvision's files, whose second classifier, which helps training only, is left out."""
    convs = {number: f"conv{number}" for number in (1, 2, 3)}
    names = {"stem": ("backbone.conv1", "backbone.bn1")}
    for name, stage, block, number in _dilated.names(config.blocks):
        its = f"backbone.layer{stage}.{block - 1}"
        names[name] = (
            (f"{its}.downsample.0", f"{its}.downsample.1")
            if number == 0
            else (f"{its}.{convs[number]}", f"{its}.bn{number}")
        )
    for number in range(len(config.rates) + 1):
        names[f"aspp{number}"] = (f"classifier.0.convs.{number}.0", f"classifier.0.convs.{number}.1")
    pooling = f"classifier.0.convs.{len(config.rates) + 1}"
    names |= {
        "image_pooling": (f"{pooling}.1", f"{pooling}.2"),
        "project": ("classifier.0.project.0", "classifier.0.project.1"),
        "head": ("classifier.1", "classifier.2"),
    }
    helper = [name for name in tensors if name.startswith("aux_classifier.")]
    return convert(tensors, torch_conv_norm(names) | layer("logits", "classifier.4"), counters(tensors) + helper)


SOURCES: Mapping[str, Any] = {
    "litert": from_litert,
    "slim": lambda config, tensors: from_slim(tensors),
    "torch": from_torch,
}

DeepLabV3MobileNetV2 = _segmenter.builder(
    __name__, "deeplab_v3_mobilenetv2_dm05", "DeepLabV3MobileNetV2", "on half a MobileNetV2, Chen et al. 2017."
)
DeepLabV3ResNet50 = _segmenter.builder(
    __name__, "deeplab_v3_resnet50", "DeepLabV3ResNet50", "on ResNet-50, torchvision's form, Chen et al. 2017."
)
DeepLabV3ResNet101 = _segmenter.builder(
    __name__, "deeplab_v3_resnet101", "DeepLabV3ResNet101", "on ResNet-101, torchvision's form, Chen et al. 2017."
)
