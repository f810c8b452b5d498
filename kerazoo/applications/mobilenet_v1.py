"""MobileNet v1: depthwise separable convolutions, in four widths.

Paper: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
    arXiv:1704.04861, table 1.
Reference weights: Keras' `mobilenet_{1_0,7_5,5_0,2_5}_{224,192,160,128}_tf[_no_top].h5`, and for a quarter of the
    width TensorFlow's own float LiteRT file. RGB, scaled to -1..1.
Variants: `mobilenet_v1`, `mobilenet_v1_075`, `mobilenet_v1_050`, `mobilenet_v1_025` (the width multiplier alpha).
Differs: ReLU6 for ReLU, and a 1x1 convolution after dropout for the dense layer, both as in the official weights.
    `depth_multiplier` is, as in Keras, that of the depthwise convolutions, not the paper's resolution multiplier.
    The LiteRT file has batch normalisation folded into its convolutions and a background class before the thousand:
    its biases become the normalisation's `beta`, the rest of which is set to change nothing; the class is left out.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo import weights as weights_
from kerazoo.applications._builder import Weights, assembled, whole_numbers
from kerazoo.applications._classifier import (
    ClassifierConfig,
    Shape,
    checked,
    entrance,
    finish,
    shape_of,
    without_top,
)
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.contract import Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.weights.recipes import Recipe, convert

__all__ = ["MobileNet"]

BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Filters of the pointwise and strides of the depthwise convolution of each block (table 1)."""

EPSILON = 1e-3


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of a MobileNet.

    Attributes:
        alpha: Factor of every layer's number of filters.
        depth_multiplier: Filters of a depthwise convolution for each of its input channels.
        dropout: Rate before the classifier.
    """

    alpha: float = 1.0
    depth_multiplier: int = 1
    dropout: float = 1e-3


def _variant(name: str, alpha: float, params: int) -> Variant:
    config = Config(name, (224, 224, 3), alpha=alpha)
    return Variant(config, params, (224, 224, 3), "classify", small=replace(config, input_shape=(64, 64, 3)))


VARIANTS = {
    "mobilenet_v1": _variant("mobilenet_v1", 1.0, 4_253_864),
    "mobilenet_v1_075": _variant("mobilenet_v1_075", 0.75, 2_601_976),
    "mobilenet_v1_050": _variant("mobilenet_v1_050", 0.5, 1_342_536),
    "mobilenet_v1_025": _variant("mobilenet_v1_025", 0.25, 475_544),
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """RGB pictures [batch, height, width, 3] in -1..1 to logits [batch, classes]."""
    layers = keras.layers
    inputs = entrance(config, input_tensor)
    x = layers.Conv2D(int(32 * config.alpha), 3, strides=2, padding="same", use_bias=False, name="conv1")(inputs)
    x = _bn_relu(x, "conv1")
    for index, (filters, strides) in enumerate(BLOCKS, start=1):
        padding = "same"
        if strides > 1:
            x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{index}")(x)
            padding = "valid"
        x = layers.DepthwiseConv2D(
            3, strides, padding, config.depth_multiplier, use_bias=False, name=f"conv_dw_{index}"
        )(x)
        x = _bn_relu(x, f"conv_dw_{index}")
        x = layers.Conv2D(int(filters * config.alpha), 1, padding="same", use_bias=False, name=f"conv_pw_{index}")(x)
        x = _bn_relu(x, f"conv_pw_{index}")
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = layers.GlobalAveragePooling2D(keepdims=True, name="avg_pool")(x)
    x = layers.Dropout(config.dropout, name="dropout")(x)
    x = layers.Conv2D(config.classes, 1, padding="same", name="conv_preds")(x)
    x = layers.Reshape((config.classes,), name="reshape_2")(x)
    return finish(config, inputs, layers.Activation(config.activation, name="predictions")(x))


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them; of the factors that give its filters, a pretrained one."""
    most = BLOCKS[-1][0]
    last = model.get_layer(f"conv_pw_{len(BLOCKS)}").filters
    pretrained = [described.config.alpha for described in VARIANTS.values()]
    # What is rounded off for the widest layer is rounded off for all, whose widths are halves of it.
    alpha = next((value for value in pretrained if int(most * value) == last), last / most)
    found = {"alpha": alpha, "depth_multiplier": model.get_layer("conv_dw_1").depth_multiplier}
    rates = [layer.rate for layer in model.layers if layer.name == "dropout"]
    return found | {"dropout": rates[0]} if rates else found


def _bn_relu(x: Any, name: str) -> Any:
    x = keras.layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)


def from_litert(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """TensorFlow's LiteRT files: kernels OHWI, batch normalisation folded, 1001 classes of which the first is none."""
    scope = "MobilenetV1/"
    recipe: Recipe = {}

    def folded(layer: str, kernel: str, bias: str, order: tuple[int, ...]) -> None:
        recipe[f"{layer}/kernel"] = (kernel, lambda value: value.transpose(order))
        # 1 / sqrt(variance + epsilon) is exactly 1, so what follows the convolution is exactly the bias.
        identity = {"gamma": 1.0, "moving_mean": 0.0, "moving_variance": 1.0 - EPSILON}
        for name, constant in identity.items():
            recipe[f"{layer}_bn/{name}"] = (bias, functools.partial(np.full_like, fill_value=constant))
        recipe[f"{layer}_bn/beta"] = (bias, np.asarray)

    folded("conv1", f"{scope}Conv2d_0/weights", f"{scope}{scope}Conv2d_0/Conv2D_bias", (1, 2, 3, 0))
    for index in range(1, len(BLOCKS) + 1):
        dw, pw = f"Conv2d_{index}_depthwise", f"Conv2d_{index}_pointwise"
        folded(
            f"conv_dw_{index}",
            f"{scope}{dw}/depthwise_weights",
            f"{scope}{scope}{dw}/depthwise_bias",
            (1, 2, 3, 0),
        )
        folded(f"conv_pw_{index}", f"{scope}{pw}/weights", f"{scope}{scope}{pw}/Conv2D_bias", (1, 2, 3, 0))
    head = f"{scope}Logits/Conv2d_1c_1x1/"
    recipe["conv_preds/kernel"] = (f"{head}weights", lambda value: value[1:].transpose(1, 2, 3, 0))
    recipe["conv_preds/bias"] = (f"{head}Conv2D_bias", lambda value: value[1:])
    return convert(tensors, recipe)


SOURCES: Mapping[str, Any] = {"litert": from_litert}


def MobileNet(
    input_shape: Shape | None = None,
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 1e-3,
    include_top: bool = True,
    weights: Weights = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str | None = None,
) -> keras.Model:
    """MobileNet: v1 of any width, Howard et al. 2017; 4,253,864 parameters with the default arguments.

    Args:
        input_shape: `(height, width, 3)`; `(224, 224, 3)` by default.
        alpha: Factor of every layer's number of filters; pretrained are 1.0, 0.75, 0.5 and 0.25.
        depth_multiplier: Filters of a depthwise convolution for each of its input channels.
        dropout: Rate before the classifier.
        include_top: Whether the classification layer stands on top.
        weights: `"imagenet"` (the weights trained at this input's size, of 224, 192, 160 and 128, else those at 224),
            another name of this width's weights, `None` for random ones, or the path of a file in any format that
            `kerazoo.weights` reads.
        input_tensor: A Keras tensor to build on instead of a new input.
        pooling: Without the top: `"avg"`, `"max"`, or `None` for the feature maps.
        classes: Number of classes of the top.
        classifier_activation: Activation of the top; `None` returns the logits.
        name: Name of the model; `mobilenet_` with alpha and size by default.

    Returns:
        A `keras.Model`: float32 RGB pictures [batch, height, width, 3] in -1..1 to [batch, classes], or to features
        without the top.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
    """
    widths = {described.config.alpha: variant for variant, described in VARIANTS.items()}
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not alpha * 32 >= 1:
        raise UsageError(f"alpha={alpha!r} is no width; it is a number of at least 1/32.")
    whole_numbers(depth_multiplier=depth_multiplier)
    variant = widths.get(alpha, "mobilenet_v1")
    trained = VARIANTS[variant].config
    shape = shape_of(trained.input_shape, input_tensor, input_shape)
    config = Config(
        name=name or f"mobilenet_{alpha:0.2f}_{shape[0] if shape else None}",
        input_shape=shape,
        classes=classes,
        include_top=include_top,
        pooling=pooling,
        activation=classifier_activation,
        alpha=alpha,
        depth_multiplier=depth_multiplier,
        dropout=dropout,
    )
    checked(variant, trained, config, weights, least=32)
    words = weights_.words(variant)
    if weights in words and (alpha not in widths or depth_multiplier != 1):
        raise UsageError(
            f"weights={weights!r} were asked for with alpha={alpha} and depth_multiplier={depth_multiplier}; there are "
            f"such for alpha {', '.join(map(str, widths))} with depth_multiplier=1."
        )
    if weights == "imagenet" and shape[0] == shape[1]:
        sized = [word for word in (f"imagenet-{shape[0]}", f"imagenet-keras-{shape[0]}") if word in words]
        weights = sized[0] if sized else weights
    return assembled(__name__, variant, config, weights, input_tensor)
