"""MobileNet v2: blocks that widen, filter each map alone and narrow again, added where nothing but the maps is narrow.

Paper: Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
    arXiv:1801.04381, tables 1 and 2.
Reference weights: Keras' `mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{size}[_no_top].h5`, for 224 pixels
    and, up to a width of 1, for 192, 160, 128 and 96. RGB, scaled to -1..1.
Variants: `mobilenet_v2`, `mobilenet_v2_035`, `mobilenet_v2_050`, `mobilenet_v2_075`, `mobilenet_v2_130`,
    `mobilenet_v2_140` (the width multiplier alpha).
Differs: filters are multiples of 8, and the last convolution keeps its 1280 where the rest is narrower, both as in the
    official weights. A network that segments has a lower `output_stride` than the 32 of the paper: where it is reached,
    steps of two become steps of one, and what follows looks twice as far instead (section 6.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kerazoo import weights as weights_
from kerazoo.applications._builder import Weights, assembled
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

__all__ = ["MobileNetV2"]

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, filters, blocks and the first block's stride of each stage (table 2)."""

LAST = 1280
EPSILON, MOMENTUM = 1e-3, 0.999


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of a MobileNetV2.

    Attributes:
        alpha: Factor of every layer's number of filters; of the last convolution's only where it is more than 1.
        divisor: What these numbers are rounded to multiples of.
        output_stride: How many times smaller than the picture the last maps are: 32, 16 or 8.
    """

    alpha: float = 1.0
    divisor: int = 8
    output_stride: int = 32


def _variant(name: str, alpha: float, params: int) -> Variant:
    config = Config(name, (224, 224, 3), alpha=alpha)
    return Variant(config, params, (224, 224, 3), "classify", small=replace(config, input_shape=(64, 64, 3)))


VARIANTS = {
    "mobilenet_v2": _variant("mobilenet_v2", 1.0, 3_538_984),
    "mobilenet_v2_035": _variant("mobilenet_v2_035", 0.35, 1_691_208),
    "mobilenet_v2_050": _variant("mobilenet_v2_050", 0.5, 1_987_224),
    "mobilenet_v2_075": _variant("mobilenet_v2_075", 0.75, 2_663_064),
    "mobilenet_v2_130": _variant("mobilenet_v2_130", 1.3, 5_431_048),
    "mobilenet_v2_140": _variant("mobilenet_v2_140", 1.4, 6_156_712),
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """RGB pictures [batch, height, width, 3] in -1..1 to logits [batch, classes]."""
    layers = keras.layers
    inputs = entrance(config, input_tensor)
    filters = rounded(32 * config.alpha, config.divisor)
    x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name="Conv1")(inputs)
    x = _relu(_bn(x, "bn_Conv1"), "Conv1_relu")
    block, stride, rate = 0, 2, 1
    for expansion, filters, blocks, first in STAGES:
        filters = rounded(int(filters * config.alpha), config.divisor)
        for step in (first,) + (1,) * (blocks - 1):
            wider = stride * step > config.output_stride
            x = _block(
                x, "expanded_conv" if block == 0 else f"block_{block}", expansion, filters, 1 if wider else step, rate
            )
            stride, rate = (stride, rate * step) if wider else (stride * step, rate)
            block += 1
    last = rounded(LAST * config.alpha, config.divisor) if config.alpha > 1 else LAST
    x = layers.Conv2D(last, 1, use_bias=False, name="Conv_1")(x)
    x = _relu(_bn(x, "Conv_1_bn"), "out_relu")
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    outputs = layers.Dense(config.classes, activation=config.activation, name="predictions")(x)
    return finish(config, inputs, outputs)


def rounded(filters: float, divisor: int) -> int:
    """The nearest multiple of `divisor`, which never takes away more than a tenth."""
    near = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return near + divisor if near < 0.9 * filters else near


def _block(x: Any, name: str, expansion: int, filters: int, stride: int, rate: int) -> Any:
    """An inverted residual: 1x1 to more maps, 3x3 on each of them, 1x1 to few maps without a rectifier (figure 3)."""
    layers = keras.layers
    inputs, narrow = x, x.shape[-1]
    if expansion > 1:
        x = layers.Conv2D(expansion * narrow, 1, padding="same", use_bias=False, name=f"{name}_expand")(x)
        x = _relu(_bn(x, f"{name}_expand_BN"), f"{name}_expand_relu")
    if stride > 1:
        # Where TensorFlow's own padding puts the odd pixel; a side of unknown length is taken as odd, as Keras does.
        around = tuple((1 if side is None or side % 2 else 0, 1) for side in x.shape[1:3])
        x = layers.ZeroPadding2D(around, name=f"{name}_pad")(x)
    x = layers.DepthwiseConv2D(
        3,
        stride,
        "valid" if stride > 1 else "same",
        dilation_rate=rate,
        use_bias=False,
        name=f"{name}_depthwise",
    )(x)
    x = _relu(_bn(x, f"{name}_depthwise_BN"), f"{name}_depthwise_relu")
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{name}_project")(x)
    x = _bn(x, f"{name}_project_BN")
    return layers.Add(name=f"{name}_add")([inputs, x]) if narrow == filters and stride == 1 else x


def _bn(x: Any, name: str) -> Any:
    return keras.layers.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM, name=name)(x)


def _relu(x: Any, name: str) -> Any:
    return keras.layers.ReLU(6.0, name=name)(x)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them; of the factors that give its filters, a pretrained one."""
    widths = (model.get_layer("block_16_project").filters, model.get_layer("Conv1").filters)
    wide = STAGES[-1][1]
    tried = [described.config.alpha for described in VARIANTS.values()] + [widths[0] / wide]
    fits = (alpha for alpha in tried if (rounded(int(wide * alpha), 8), rounded(32 * alpha, 8)) == widths)
    return {"alpha": next(fits, tried[-1])}


SOURCES: Mapping[str, Any] = {}


def MobileNetV2(
    input_shape: Shape | None = None,
    alpha: float = 1.0,
    include_top: bool = True,
    weights: Weights = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str | None = None,
) -> keras.Model:
    """MobileNetV2 of any width, Sandler et al. 2018; 3,538,984 parameters with the default arguments.

    Args:
        input_shape: `(height, width, 3)`; `(224, 224, 3)` by default.
        alpha: Factor of every layer's number of filters; pretrained are 0.35, 0.5, 0.75, 1.0, 1.3 and 1.4.
        include_top: Whether the classification layer stands on top.
        weights: `"imagenet"` (the weights trained at this input's size, where there are such, else those at 224),
            another name of this width's weights, `None` for random ones, or the path of a file in any format that
            `kerazoo.weights` reads.
        input_tensor: A Keras tensor to build on instead of a new input.
        pooling: Without the top: `"avg"`, `"max"`, or `None` for the feature maps.
        classes: Number of classes of the top.
        classifier_activation: Activation of the top; `None` returns the logits.
        name: Name of the model; `mobilenetv2_` with alpha and size by default.

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
    variant = widths.get(alpha, "mobilenet_v2")
    trained = VARIANTS[variant].config
    shape = shape_of(trained.input_shape, input_tensor, input_shape)
    config = Config(
        name=name or f"mobilenetv2_{alpha:0.2f}_{shape[0] if shape else None}",
        input_shape=shape,
        classes=classes,
        include_top=include_top,
        pooling=pooling,
        activation=classifier_activation,
        alpha=alpha,
    )
    checked(variant, trained, config, weights, least=32)
    words = weights_.words(variant)
    if weights in words and alpha not in widths:
        raise UsageError(
            f"weights={weights!r} were asked for with alpha={alpha}; there are such for alpha "
            f"{', '.join(map(str, widths))}."
        )
    if weights == "imagenet" and shape[0] == shape[1] and f"imagenet-{shape[0]}" in words:
        weights = f"imagenet-{shape[0]}"
    return assembled(__name__, variant, config, weights, input_tensor)
