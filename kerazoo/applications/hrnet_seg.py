"""HRNet for segmentation: the maps of all four resolutions side by side, at a quarter of the picture.

Paper: Sun, Zhao, Jiang, Cheng, Xiao, Liu, Mu, Wang, Liu, Wang, "High-Resolution Representations for Labeling Pixels and
    Regions", 2019, arXiv:1904.04514, section 3 (HRNetV2).
Reference weights: the authors' `hrnet_cs_8090_torch11.pth` for Cityscapes. RGB pixels in 0..1 less the mean
    (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225).
Variants: `hrnet_w18_seg`, `hrnet_w48_seg`: the width of the branch of the highest resolution.
Differs: smaller maps grow bilinearly behind their 1x1 convolution, in the paper before it. Corners are not aligned, as
    in the authors' settings for Cityscapes; those of their first release were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications import _segmenter
from kerazoo.applications._hrnet import Sizes, check, conv_bn_relu, names, trunk
from kerazoo.applications._segmenter import SegmenterConfig, finish
from kerazoo.assets import Assets
from kerazoo.codecs.image import Normalise
from kerazoo.contract import Task, Variant
from kerazoo.lazy import keras, own_layers
from kerazoo.weights.recipes import convert, counters, layer, torch_conv_norm

__all__ = ["HRNetW18Seg", "HRNetW48Seg"]

NORMALISE = Normalise(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Config(Sizes, SegmenterConfig):
    """Sizes of an HRNet for segmentation.

    Attributes:
        align_corners: How maps grow.
    """

    align_corners: bool = False


def _variant(name: str, width: int, params: int) -> Variant:
    config = Config(name, (512, 1024, 3), 19, width=width)
    small = replace(config, input_shape=(64, 96, 3), classes=5, width=width // 4, stem=8, blocks=1, modules=(1, 1, 1))
    return Variant(config, params, config.input_shape, "segment", small)


VARIANTS = {
    "hrnet_w18_seg": _variant("hrnet_w18_seg", 18, 9_675_595),
    "hrnet_w48_seg": _variant("hrnet_w48_seg", 48, 65_944_915),
}


def build(config: Config) -> keras.Model:
    """Normalised RGB pictures [batch, height, width, 3] to logits [batch, height / 4, width / 4, classes].

    Raises:
        UsageError: Height or width is known, and the four resolutions would not fit each other.
    """
    check(config.input_shape)
    kl = keras.layers
    inputs = keras.Input(config.input_shape, name="image")
    first, *rest = trunk(config, inputs, aligned=config.align_corners)
    grown = [
        own_layers.BilinearResize(config.align_corners, name=f"head_up{number}")([x, first])
        for number, x in enumerate(rest, start=2)
    ]
    x = kl.Concatenate(name="head_concat")([first, *grown])
    x = conv_bn_relu(x, x.shape[-1], 1, "head", bias=True)
    return finish(config, inputs, kl.Conv2D(config.classes, 1, name="logits")(x))


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Segmentation of whole pictures."""
    return _segmenter.tasks(config, assets)


def from_torch(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The authors' files, in which the network is `model` beside its loss, or all that there is."""
    tensors = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    own = {name: (kernel, norm) for name, kernel, norm in names(config)} | {"head": ("last_layer.0", "last_layer.1")}
    recipe = torch_conv_norm(own) | layer("logits", "last_layer.3")
    recipe["head_conv/bias"] = ("last_layer.0.bias", np.asarray)
    loss = [name for name in tensors if name.startswith("loss.")]
    return convert(tensors, recipe, counters(tensors) + loss)


SOURCES: Mapping[str, Any] = {"torch": from_torch}

_RESULT = "[batch, height / 4, width / 4, classes]"
HRNetW18Seg = _segmenter.builder(
    __name__, "hrnet_w18_seg", "HRNetW18Seg", "18 to 144 filters, Sun et al. 2019.", 29, _RESULT, check
)
HRNetW48Seg = _segmenter.builder(
    __name__, "hrnet_w48_seg", "HRNetW48Seg", "48 to 384 filters, Sun et al. 2019.", 29, _RESULT, check
)
