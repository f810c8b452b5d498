"""ResNeXt: bottlenecks whose 3x3 convolution works in many small groups.

Paper: Xie, Girshick, Dollar, Tu, He, "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017,
    arXiv:1611.05431, table 1.
Reference weights: keras-applications' `resnext{50,101}_weights_tf_dim_ordering_tf_kernels[_notop].h5`, converted from
    the authors' Torch files, whose licence admits no commercial use; torchvision's own training is free for it. Both
    want RGB pixels in 0..1 less the mean (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225).
Variants: `resnext50_32x4d`, `resnext101_32x4d`: 32 groups, of 4 channels each in the first stage.
Differs: nothing in the graph, drawn as the paper's figure 3 (c). The Keras files have the same convolutions in another
    form, a depthwise one with a fixed sum over each group behind it. Batch normalisation's epsilon is 1e-5, the
    authors' and torchvision's; keras-applications wrote 1.001e-5, a difference of 1e-8 beside the variances.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from kerazoo.applications._classifier import builder
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.applications._resnet import Config as Config
from kerazoo.applications._resnet import build as build
from kerazoo.applications._resnet import from_torch
from kerazoo.contract import Variant

__all__ = ["ResNeXt101_32x4d", "ResNeXt50_32x4d"]


def _variant(name: str, blocks: tuple[int, int, int, int], params: int) -> Variant:
    config = Config(name, (224, 224, 3), blocks=blocks, wider=2, groups=32)
    small = replace(config, input_shape=(64, 64, 3), classes=50, blocks=(2, 1), width=8, groups=4)
    return Variant(config, params, (224, 224, 3), "classify", small)


VARIANTS = {
    "resnext50_32x4d": _variant("resnext50_32x4d", (3, 4, 6, 3), 25_097_128),
    "resnext101_32x4d": _variant("resnext101_32x4d", (3, 4, 23, 3), 44_315_560),
}


def from_keras_h5(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Depthwise kernels of keras-applications to those of grouped convolutions; files in our own form stay as they are.

    There, channel m of group g is convolved with one kernel for each of the group's outputs j, and a constant 1x1
    convolution (`gconv`, which only newer files hold) adds up what belongs to one output.
    """
    found = {}
    for name, tensor in tensors.items():
        layer = name.rpartition("/")[0]
        if layer.endswith("_2_gconv"):
            continue
        if layer.endswith("_2_conv") and tensor.ndim == 4 and tensor.shape[2] == config.groups * tensor.shape[3]:
            height, width, filters, depth = tensor.shape
            kernel = tensor.reshape(height, width, config.groups, depth, depth)
            tensor = kernel.transpose(0, 1, 3, 2, 4).reshape(height, width, depth, filters)
        found[name] = tensor
    return found


SOURCES: Mapping[str, Any] = {"keras_h5": from_keras_h5, "torch": from_torch}

ResNeXt50_32x4d = builder(
    __name__, "resnext50_32x4d", "ResNeXt50_32x4d", "50 layers, 32 groups of 4, Xie et al. 2017.", least=1
)
ResNeXt101_32x4d = builder(
    __name__, "resnext101_32x4d", "ResNeXt101_32x4d", "101 layers, 32 groups of 4, Xie et al. 2017.", least=1
)
