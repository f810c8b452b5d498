"""ResNet with 18 and 34 layers: blocks of two 3x3 convolutions.

Paper: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385, table 1.
Reference weights: torchvision's and timm's PyTorch files; the authors published none of these depths. They want RGB
    pixels in 0..1 less the mean (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225).
Variants: `resnet18`, `resnet34`. Deeper ones are in `resnet`, those for CIFAR-10 in `resnet_cifar`.
Differs: nothing in the graph; shortcuts that change the size are projections, the paper's option B. Convolutions have
    no bias, which batch normalisation would take away again. Files of the same depths that begin with a normalisation
    of the input (MXNet's pre-activation form) are another graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kerazoo.applications._classifier import builder
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.applications._resnet import Config as Config
from kerazoo.applications._resnet import build as build
from kerazoo.applications._resnet import from_torch
from kerazoo.contract import Variant

__all__ = ["ResNet18", "ResNet34"]


def _variant(name: str, blocks: tuple[int, int, int, int], params: int) -> Variant:
    config = Config(name, (224, 224, 3), blocks=blocks, bottleneck=False)
    small = replace(config, input_shape=(64, 64, 3), classes=50, blocks=(2, 1), width=8)
    return Variant(config, params, (224, 224, 3), "classify", small)


VARIANTS = {
    "resnet18": _variant("resnet18", (2, 2, 2, 2), 11_699_112),
    "resnet34": _variant("resnet34", (3, 4, 6, 3), 21_814_696),
}

SOURCES: Mapping[str, Any] = {"torch": from_torch}

ResNet18 = builder(__name__, "resnet18", "ResNet18", "18 layers, He et al. 2016.", least=1)
ResNet34 = builder(__name__, "resnet34", "ResNet34", "34 layers, He et al. 2016.", least=1)
