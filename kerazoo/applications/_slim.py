"""TensorFlow's DeepLab: its pyramid, and the one naming of tensors in checkpoints, LiteRT and Keras files of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerazoo.applications.mobilenet_v2 import Config, build
from kerazoo.lazy import keras, own_layers

EPSILON, TRUNK_EPSILON = 1e-5, 1e-3
"""Of the batch normalisations outside the trunk, and of those in it."""

LEAVES = {"weights": "kernel", "depthwise_weights": "kernel", "biases": "bias"}
FOLDED_LEAVES = LEAVES | {"Conv2D_bias": "bias", "depthwise_bias": "bias"}


def mobilenet(inputs: Any, alpha: float, divisor: int = 8) -> Any:
    """The maps of a MobileNetV2's last block at an eighth of the picture.

    Args:
        inputs: Pictures, a Keras tensor.
        alpha: Factor of its filters.
        divisor: What these are rounded to multiples of.
    """
    config = Config(
        "mobilenet_v2", tuple(inputs.shape[1:]), include_top=False, alpha=alpha, divisor=divisor, output_stride=8
    )
    # The convolution that follows in it is for classification.
    return build(config, inputs).get_layer("block_16_project_BN").output


def pyramid(x: Any, filters: int, rates: tuple[int, ...], dropout: float) -> Any:
    """The picture's view, each place's own, and one of every rate, side by side and mixed.

    Args:
        x: Maps of the trunk.
        filters: Of each view, and of the mix.
    """
    kl = keras.layers
    pooled = conv_bn(kl.GlobalAveragePooling2D(keepdims=True, name="pool")(x), filters, "image_pooling")
    views = [own_layers.BilinearResize(True, name="image_pooling_resized")([pooled, x]), conv_bn(x, filters, "aspp0")]
    for number, rate in enumerate(rates, start=1):
        views.append(separable(x, filters, f"aspp{number}", rate=rate, between=True))
    x = conv_bn(kl.Concatenate(name="concat")(views), filters, "concat_projection")
    return kl.Dropout(dropout, name="dropout")(x)


def conv_bn(x: Any, filters: int, name: str) -> Any:
    """A 1x1 convolution, batch normalisation and a rectifier."""
    x = keras.layers.Conv2D(filters, 1, use_bias=False, name=name)(x)
    x = keras.layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_BN")(x)
    return keras.layers.Activation("relu", name=f"{name}_relu")(x)


def separable(
    x: Any, filters: int, name: str, strides: int = 1, rate: int = 1, between: bool = False, epsilon: float = EPSILON
) -> Any:
    """A 3x3 convolution of each map and a 1x1 one of all, both batch-normalised.

    Args:
        between: Whether a rectifier stands behind both; else one stands before them.
    """
    kl = keras.layers
    if not between:
        x = kl.Activation("relu", name=f"{name}_relu")(x)
    if strides > 1:
        x = kl.ZeroPadding2D(rate, name=f"{name}_pad")(x)
    padding = "valid" if strides > 1 else "same"
    x = kl.DepthwiseConv2D(3, strides, padding, dilation_rate=rate, use_bias=False, name=f"{name}_depthwise")(x)
    for part in ("depthwise", "pointwise"):
        if part == "pointwise":
            x = kl.Conv2D(filters, 1, use_bias=False, name=f"{name}_pointwise")(x)
        x = kl.BatchNormalization(epsilon=epsilon, name=f"{name}_{part}_BN")(x)
        if between:
            x = kl.Activation("relu", name=f"{name}_{part}_relu")(x)
    return x


def ours(scope: str) -> str:
    """The layer of a scope (`MobilenetV2/expanded_conv_3/expand`), or of the name that Keras files have for it."""
    name = scope.removeprefix("xception_65/").removeprefix("decoder/").removeprefix("MobilenetV2/")
    name = re.sub(r"(entry|exit)_flow/(block\d+)/unit_1/xception_module", r"\1_flow_\2", name)
    name = re.sub(r"middle_flow/block1/(unit_\d+)/xception_module", r"middle_flow_\1", name).replace("/", "_")
    if name in ("Conv", "Conv_BN"):
        return {"Conv": "Conv1", "Conv_BN": "bn_Conv1"}[name]
    return re.sub(r"^expanded_conv_(\d+)_", r"block_\1_", name)


def from_slim(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A checkpoint's variables under our paths; what only training needs is left out."""
    made = {}
    for name, tensor in tensors.items():
        scope, _, leaf = name.rpartition("/")
        if name == "global_step" or leaf == "Momentum":
            continue
        norm = scope.endswith("/BatchNorm")
        layer = scope.removesuffix("/BatchNorm")
        path = ours(f"{layer}_BN" if norm and layer != "MobilenetV2/Conv" else "Conv_BN" if norm else layer)
        made[f"{path}/{LEAVES.get(leaf, leaf)}"] = tensor
    return made


def from_keras_h5(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of a Keras file under our layers' names."""
    renamed = {}
    for name, tensor in tensors.items():
        layer, _, array = name.rpartition("/")
        layer = "logits_semantic" if layer == "custom_logits_semantic" else ours(layer)
        renamed[f"{layer}/{array}"] = tensor
    return renamed


def folded(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A LiteRT file's constants under our paths: biases become `beta` of normalisations that change nothing else."""
    made = {}
    for name, tensor in tensors.items():
        scope, _, leaf = name.rpartition("/")
        layer, kind = ours(scope), FOLDED_LEAVES.get(leaf, leaf)
        if kind == "kernel":
            made[f"{layer}/kernel"] = tensor.transpose(1, 2, 3, 0)
        elif kind == "bias" and layer != "logits_semantic":
            trunk = scope.startswith("MobilenetV2/")
            norm = "bn_Conv1" if layer == "Conv1" else f"{layer}_BN"
            epsilon = TRUNK_EPSILON if trunk else EPSILON
            # 1 / sqrt(variance + epsilon) is exactly 1 in float32.
            identity = {"gamma": 1.0, "moving_mean": 0.0, "moving_variance": 1.0 - epsilon}
            made |= {f"{norm}/{which}": np.full_like(tensor, value) for which, value in identity.items()}
            made[f"{norm}/beta"] = tensor
        else:
            made[f"{layer}/{kind}"] = tensor
    return made
