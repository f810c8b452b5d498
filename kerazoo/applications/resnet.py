"""ResNet: deep networks that learn what to add to their input.

Paper: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385, table 1.
Reference weights: Keras' `resnet{50,101,152}_weights_tf_dim_ordering_tf_kernels[_notop].h5`, converted from the
    authors' Caffe models. They want BGR pixels with the mean (103.939, 116.779, 123.68) taken off.
Variants: `resnet50`, `resnet101`, `resnet152`. 18 and 34 layers are in `resnet_basic`, those for CIFAR-10 in
    `resnet_cifar`.
Differs: as the authors' models do, the first 1x1 convolution of a stage strides, not the 3x3 (torchvision's "v1.5");
    convolutions keep biases beside batch normalisation, and its epsilon is 1.001e-5, both as in the official files.
"""

from __future__ import annotations

from dataclasses import replace

from kerazoo.applications._classifier import builder
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.applications._resnet import Config as Config
from kerazoo.applications._resnet import build as build
from kerazoo.contract import Variant

__all__ = ["ResNet101", "ResNet152", "ResNet50"]


def _variant(name: str, blocks: tuple[int, int, int, int], params: int) -> Variant:
    config = Config(name, (224, 224, 3), blocks=blocks, caffe=True)
    small = replace(config, input_shape=(64, 64, 3), classes=50, blocks=tuple(min(n, 4) for n in blocks), width=8)
    return Variant(config, params, (224, 224, 3), "classify", small)


VARIANTS = {
    "resnet50": _variant("resnet50", (3, 4, 6, 3), 25_636_712),
    "resnet101": _variant("resnet101", (3, 4, 23, 3), 44_707_176),
    "resnet152": _variant("resnet152", (3, 8, 36, 3), 60_419_944),
}

ResNet50 = builder(__name__, "resnet50", "ResNet50", "50 layers, He et al. 2016.", least=32)
ResNet101 = builder(__name__, "resnet101", "ResNet101", "101 layers, He et al. 2016.", least=32)
ResNet152 = builder(__name__, "resnet152", "ResNet152", "152 layers, He et al. 2016.", least=32)
