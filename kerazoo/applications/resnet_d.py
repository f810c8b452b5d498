"""ResNet-D: a ResNet whose shortcuts lose nothing, at hardly any cost.

Paper: He, Zhang, Zhang, Zhang, Xie, Li, "Bag of Tricks for Image Classification with Convolutional Neural Networks",
    CVPR 2019, arXiv:1812.01187, section 4.
Reference weights: timm's PyTorch and safetensors files, those that the Gluon model zoo trained among them. They want
    RGB pixels in 0..1 less the mean (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225); the `ra4` ones in -1..1.
Variants: `resnet18d`, `resnet34d`, `resnet50d`, `resnet101d`, `resnet152d`. The two deepest take 256x256 pixels, as
    their default weights were trained last; smaller pictures do as well.
Differs: nothing from the paper's figure 2, D with B and C in it: the 3x3 convolution of a bottleneck strides, the stem
    is 3x3 convolutions to 32, 32 and 64 channels, and a striding shortcut is 2x2 average pooling and then a 1x1
    convolution. The paper draws bottlenecks; `resnet18d` and `resnet34d` do the same to blocks of two 3x3 convolutions,
    as timm does, whose first stage keeps plain shortcuts (others project there, too).
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

__all__ = ["ResNet101D", "ResNet152D", "ResNet18D", "ResNet34D", "ResNet50D"]


def _variant(name: str, blocks: tuple[int, int, int, int], params: int, side: int = 224) -> Variant:
    config = Config(
        name, (side, side, 3), blocks=blocks, bottleneck=name not in ("resnet18d", "resnet34d"), tweaks=True
    )
    small = replace(config, input_shape=(64, 64, 3), classes=50, blocks=(2, 1), width=8)
    return Variant(config, params, (side, side, 3), "classify", small)


VARIANTS = {
    "resnet18d": _variant("resnet18d", (2, 2, 2, 2), 11_718_472),
    "resnet34d": _variant("resnet34d", (3, 4, 6, 3), 21_834_056),
    "resnet50d": _variant("resnet50d", (3, 4, 6, 3), 25_629_512),
    "resnet101d": _variant("resnet101d", (3, 4, 23, 3), 44_673_864, side=256),
    "resnet152d": _variant("resnet152d", (3, 8, 36, 3), 60_363_592, side=256),
}

SOURCES: Mapping[str, Any] = {"torch": from_torch}

ResNet18D = builder(__name__, "resnet18d", "ResNet18D", "18 layers with the tweaks of He et al. 2019.", least=1)
ResNet34D = builder(__name__, "resnet34d", "ResNet34D", "34 layers with the tweaks of He et al. 2019.", least=1)
ResNet50D = builder(__name__, "resnet50d", "ResNet50D", "50 layers with the tweaks of He et al. 2019.", least=1)
ResNet101D = builder(__name__, "resnet101d", "ResNet101D", "101 layers with the tweaks of He et al. 2019.", least=1)
ResNet152D = builder(__name__, "resnet152d", "ResNet152D", "152 layers with the tweaks of He et al. 2019.", least=1)
