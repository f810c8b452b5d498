"""ResNet: deep networks that learn what to add to their input.

Paper: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385, table 1.
Reference weights: Keras' `resnet{50,101,152}_weights_tf_dim_ordering_tf_kernels[_notop].h5`, converted from the
    authors' Caffe models. They want BGR pixels with the mean (103.939, 116.779, 123.68) taken off.
Variants: `resnet50`, `resnet101`, `resnet152`. Those for CIFAR-10 are in `resnet_cifar`.
Differs: as the authors' models do, the first 1x1 convolution of a stage strides, not the 3x3 (torchvision's "v1.5");
    convolutions keep biases beside batch normalisation, and its epsilon is 1.001e-5, both as in the official files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kerazoo.applications._classifier import ClassifierConfig, builder, entrance, finish, without_top
from kerazoo.applications._classifier import task as task
from kerazoo.contract import Variant
from kerazoo.lazy import keras

if TYPE_CHECKING:
    import keras as keras_

__all__ = ["ResNet101", "ResNet152", "ResNet50"]


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of a ResNet with bottleneck blocks.

    Attributes:
        blocks: How many of them each of the four stages has.
        width: Filters of the first convolution and of the first stage's bottlenecks; each stage doubles them.
    """

    blocks: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64


def _variant(name: str, blocks: tuple[int, int, int, int], params: int) -> Variant:
    config = Config(name, (224, 224, 3), blocks=blocks)
    small = replace(config, input_shape=(64, 64, 3), classes=50, blocks=tuple(min(n, 4) for n in blocks), width=8)
    return Variant(config, params, (224, 224, 3), "classify", small)


VARIANTS = {
    "resnet50": _variant("resnet50", (3, 4, 6, 3), 25_636_712),
    "resnet101": _variant("resnet101", (3, 4, 23, 3), 44_707_176),
    "resnet152": _variant("resnet152", (3, 8, 36, 3), 60_419_944),
}


def build(config: Config, input_tensor: Any = None) -> keras_.Model:
    """BGR pictures [batch, height, width, 3] less the mean to logits [batch, classes]."""
    layers = keras.layers
    inputs = entrance(config, input_tensor)
    x = layers.ZeroPadding2D(3, name="conv1_pad")(inputs)
    x = _conv_bn(x, config.width, 7, "conv1", strides=2)
    x = layers.Activation("relu", name="conv1_relu")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, blocks in enumerate(config.blocks):
        for block in range(blocks):
            x = _bottleneck(x, config.width << stage, f"conv{stage + 2}_block{block + 1}", block == 0, stage)
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    outputs = layers.Dense(config.classes, activation=config.activation, name="predictions")(x)
    return finish(config, inputs, outputs)


def _bottleneck(x: Any, filters: int, name: str, first: bool, stage: int) -> Any:
    """1x1, 3x3, 1x1 convolutions, added to the input; a stage's first block projects and, but in stage 0, halves it."""
    layers = keras.layers
    strides = 2 if first and stage > 0 else 1
    shortcut = _conv_bn(x, 4 * filters, 1, f"{name}_0", strides) if first else x
    x = layers.Activation("relu", name=f"{name}_1_relu")(_conv_bn(x, filters, 1, f"{name}_1", strides))
    x = layers.Activation("relu", name=f"{name}_2_relu")(_conv_bn(x, filters, 3, f"{name}_2", padding="same"))
    x = _conv_bn(x, 4 * filters, 1, f"{name}_3")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def _conv_bn(x: Any, filters: int, size: int, name: str, strides: int = 1, padding: str = "valid") -> Any:
    layers = keras.layers
    x = layers.Conv2D(
        filters, size, strides=strides, padding=padding, kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)
    return layers.BatchNormalization(epsilon=1.001e-5, name=f"{name}_bn")(x)


ResNet50 = builder(__name__, "resnet50", "ResNet50", "50 layers, He et al. 2016.", least=32)
ResNet101 = builder(__name__, "resnet101", "ResNet101", "101 layers, He et al. 2016.", least=32)
ResNet152 = builder(__name__, "resnet152", "ResNet152", "152 layers, He et al. 2016.", least=32)
