"""RetinaNet: boxes and classes predicted densely over a pyramid of maps, taught by a loss that rare classes survive.

Paper: Lin, Goyal, Girshick, He, Dollar, "Focal Loss for Dense Object Detection", ICCV 2017, arXiv:1708.02002, sections
    3 and 4; the pyramid: Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017, arXiv:1612.03144.
Reference weights: torchvision's `retinanet_resnet50_fpn_coco` and `retinanet_resnet50_fpn_v2_coco` (RGB pixels in 0..1
    less the mean (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225)), and fizyr's `resnet50_coco_best_v2.1.0.h5` (BGR
    pixels less the mean (103.939, 116.779, 123.68)). All want short sides of 800 pixels and long ones of 1333 at most.
Variants: `retinanet_resnet18_slim`, a network of half a ResNet-18 for small pictures, without published weights;
    `retinanet_resnet50_fpn` and `retinanet_resnet50_fpn_v2`, torchvision's, with an output for each of COCO's category
    numbers; `retinanet_resnet50`, fizyr's.
Differs: the first torchvision network makes its coarser maps from the pyramid's last map, all others from the last map
    of the ResNet, as in the paper; the second has group normalisation in its outputs' layers. fizyr's ResNet strides in
    the first 1x1 convolution, as Caffe's did, pads as TensorFlow does, and says of a box how its corners move. What the
    anchors are differs too: see `kerazoo.tasks.detect.Anchors`. The slim network has narrower pyramids, two layers
    before each output, and anchors of half the size. Batch normalisation learns on; in the paper it is frozen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications._builder import Weights
from kerazoo.applications._detector import Shape, built
from kerazoo.assets import Assets
from kerazoo.codecs.image import Image, Normalise, from_preprocessing
from kerazoo.contract import Task, Variant
from kerazoo.lazy import keras
from kerazoo.tasks.detect import Anchors, Retina
from kerazoo.weights.recipes import Recipe, convert, counters, layer, renamed, torch_conv_norm

__all__ = ["RetinaNetResNet18Slim", "RetinaNetResNet50", "RetinaNetResNet50FPN", "RetinaNetResNet50FPNV2"]

NORMALISE = Normalise(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

STRIDES = (8, 16, 32, 64, 128)
"""Pixels between two places of each map of the pyramid, P3 to P7."""

SCALES = tuple(2 ** (octave / 3) for octave in range(3))
"""Of a map's anchors, in its least."""

ANCHORS_EACH = 9
EPSILON = 1e-5
THERE = 0.01
"""How sure a new output begins that an anchor is of a class: section 4.1's prior."""


@dataclass(frozen=True)
class Config:
    """Sizes of a RetinaNet.

    Attributes:
        name: Name of the Keras model.
        input_shape: Height, width and channels; height and width are multiples of 32 or `None`.
        classes: Number of classes.
        form: Whose details: `torchvision`, `fizyr`, or the `paper`'s.
        blocks: Residual blocks of each of the ResNet's stages.
        width: Filters of its first convolution.
        bottleneck: Whether its blocks are bottlenecks; else they are two 3x3 convolutions.
        filters: Of the pyramid, and of the layers before the outputs.
        convs: How many of these layers there are before either output.
        groups: Of the group normalisation in them; 0 for none.
        from_body: Whether the coarser maps are made from the ResNet's last map, else from the pyramid's.
        least: Side of a map's least anchor, in its strides.
    """

    name: str
    input_shape: Shape
    classes: int = 91
    form: str = "torchvision"
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    bottleneck: bool = True
    filters: int = 256
    convs: int = 4
    groups: int = 0
    from_body: bool = True
    least: int = 4


def _variant(name: str, params: int, **sizes: Any) -> Variant:
    config = Config(name, (1344, 1344, 3), **sizes)
    small = replace(
        config, input_shape=(64, 96, 3), classes=5, blocks=(1, 1, 2, 1), width=8, filters=16, convs=2,
        groups=min(config.groups, 4),
    )  # fmt: skip
    return Variant(config, params, config.input_shape, "detect", small)


_SLIM = Config(
    "retinanet_resnet18_slim", (256, 256, 3), 80, "paper", (2, 2, 2, 2), 32, bottleneck=False, filters=64, convs=2,
    least=2,
)  # fmt: skip

VARIANTS = {
    "retinanet_resnet18_slim": Variant(
        _SLIM, 3_711_700, _SLIM.input_shape, "detect",
        replace(_SLIM, input_shape=(64, 96, 3), classes=5, blocks=(1, 1, 2, 1), width=8, filters=16),
    ),
    "retinanet_resnet50_fpn": _variant("retinanet_resnet50_fpn", 34_121_239, from_body=False),
    "retinanet_resnet50_fpn_v2": _variant("retinanet_resnet50_fpn_v2", 38_252_055, groups=32),
    "retinanet_resnet50": _variant("retinanet_resnet50", 38_021_812, classes=80, form="fizyr"),
}  # fmt: skip


def build(config: Config) -> keras.Model:
    """Normalised pictures [batch, height, width, 3] to what is said of each anchor.

    That is how it is moved, [batch, anchors, 4], left or x before top or y, and the classes' logits, [batch, anchors,
    classes]; anchors in the order of `kerazoo.tasks.detect.Anchors`.
    """
    inputs = keras.Input(config.input_shape, name="image")
    maps = _pyramid(config, *_body(config, inputs))
    moves = _output(config, maps, "moves", 4, "zeros")
    prior = keras.initializers.Constant(-float(np.log((1 - THERE) / THERE)))
    return keras.Model(inputs, [moves, _output(config, maps, "logits", config.classes, prior)], name=config.name)


def _body(config: Config, x: Any) -> list[Any]:
    """The last maps of a ResNet's last three stages."""
    kl = keras.layers
    x = _conv_bn(config, x, config.width, 7, "conv1", strides=2)
    if config.form == "fizyr":
        x = kl.MaxPooling2D(3, 2, "same", name="pool1")(x)
    else:
        # Zeros cannot win: what is pooled comes from a ReLU.
        x = kl.MaxPooling2D(3, 2, name="pool1")(kl.ZeroPadding2D(1, name="pool1_pad")(x))
    maps = []
    for stage, count in enumerate(config.blocks, start=1):
        for block in range(1, count + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = _residual(config, x, config.width << (stage - 1), f"stage{stage}_block{block}", strides, block == 1)
        maps.append(x)
    return maps[-3:]


def _residual(config: Config, x: Any, filters: int, name: str, strides: int, first: bool) -> Any:
    """Convolutions, added to what came in, or to its projection."""
    before = strides if config.form == "fizyr" else 1
    last = 4 * filters if config.bottleneck else filters
    shortcut = x
    if first and (config.bottleneck or strides > 1):
        shortcut = _conv_bn(config, x, last, 1, f"{name}_0", strides, relu=False)
    if config.bottleneck:
        x = _conv_bn(config, x, filters, 1, f"{name}_1", before)
        x = _conv_bn(config, x, filters, 3, f"{name}_2", strides // before)
        x = _conv_bn(config, x, last, 1, f"{name}_3", relu=False)
    else:
        x = _conv_bn(config, x, filters, 3, f"{name}_1", strides)
        x = _conv_bn(config, x, filters, 3, f"{name}_2", relu=False)
    return keras.layers.Activation("relu", name=f"{name}_out")(keras.layers.Add(name=f"{name}_add")([x, shortcut]))


def _conv_bn(config: Config, x: Any, filters: int, size: int, name: str, strides: int = 1, relu: bool = True) -> Any:
    kl = keras.layers
    x = _conv(config, x, filters, size, f"{name}_conv", strides, use_bias=False, kernel_initializer="he_normal")
    x = kl.BatchNormalization(epsilon=EPSILON, momentum=0.9, name=f"{name}_bn")(x)
    return kl.Activation("relu", name=f"{name}_relu")(x) if relu else x


def _conv(config: Config, x: Any, filters: int, size: int, name: str, strides: int = 1, **options: Any) -> Any:
    padding = "same"
    if strides > 1 and size > 1 and config.form != "fizyr":
        # Keras' own padding would put the odd pixel at the end only.
        x, padding = keras.layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x), "valid"
    return keras.layers.Conv2D(filters, size, strides, padding, name=name, **options)(x)


def _pyramid(config: Config, c3: Any, c4: Any, c5: Any) -> list[Any]:
    """Maps P3 to P7, all of as many filters."""
    kl = keras.layers
    maps: list[Any] = []
    x = None
    for level, c in ((5, c5), (4, c4), (3, c3)):
        lateral = _conv(config, c, config.filters, 1, f"lateral{level}")
        if x is not None:
            # Sides are multiples of 32, so that a map is twice as large as the next.
            grown = kl.UpSampling2D(2, interpolation="nearest", name=f"up{level}")(x)
            lateral = kl.Add(name=f"merged{level}")([lateral, grown])
        x = lateral
        maps.insert(0, _conv(config, x, config.filters, 3, f"p{level}"))
    p6 = _conv(config, c5 if config.from_body else maps[-1], config.filters, 3, "p6", 2)
    p7 = _conv(config, kl.Activation("relu", name="p6_relu")(p6), config.filters, 3, "p7", 2)
    return [*maps, p6, p7]


def _output(config: Config, maps: list[Any], name: str, values: int, bias: Any) -> Any:
    """Layers that all maps share, and what they say of each anchor: [batch, anchors, values]."""
    kl = keras.layers

    def conv(filters: int, suffix: str, **options: Any) -> Any:
        drawn = keras.initializers.RandomNormal(stddev=0.01)
        return kl.Conv2D(filters, 3, padding="same", kernel_initializer=drawn, name=f"{name}{suffix}", **options)

    shared: list[Any] = []
    for number in range(1, config.convs + 1):
        shared.append(conv(config.filters, f"{number}_conv", use_bias=not config.groups))
        if config.groups:
            shared.append(kl.GroupNormalization(config.groups, epsilon=EPSILON, name=f"{name}{number}_norm"))
        shared.append(kl.Activation("relu", name=f"{name}{number}_relu"))
    shared += [
        conv(ANCHORS_EACH * values, "_conv", bias_initializer=bias),
        kl.Reshape((-1, values), name=f"{name}_row"),
    ]
    found = []
    for x in maps:
        for each in shared:
            x = each(x)
        found.append(x)
    return kl.Concatenate(axis=1, name=name)(found)


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Detection; `class_0`, `class_1`, ... where there are no labels."""
    if assets.preprocessing is not None:
        image, _ = from_preprocessing(assets.preprocessing)
    else:
        height, width, channels = config.input_shape
        image = Image(height or 800, width or 800, channels)
    whole = config.form == "torchvision"
    sides = [tuple(config.least * stride * scale for scale in SCALES) for stride in STRIDES]
    if whole:
        sides = [tuple(float(int(side)) for side in level) for level in sides]
    labels = assets.labels or tuple(f"class_{n}" for n in range(config.classes))
    return {"detect": Retina(image, labels, Anchors(STRIDES, tuple(sides), whole=whole), config.form == "fizyr")}


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    return {"classes": model.outputs[1].shape[-1]}


def _names(config: Config) -> Iterator[tuple[str, int, int, int]]:
    """Name, stage, block and number (0: the shortcut) of each of the ResNet's convolutions behind the first."""
    for stage, count in enumerate(config.blocks, start=1):
        for block in range(1, count + 1):
            projected = block == 1 and (config.bottleneck or stage > 1)
            for number in range(0 if projected else 1, 4 if config.bottleneck else 3):
                yield f"stage{stage}_block{block}_{number}", stage, block, number


OLD_PYRAMID = re.compile(r"(.*\.(?:inner|layer)_blocks\.\d+)\.(\w+)")
OLD_OUTPUT = re.compile(r"(head\.\w+\.conv)\.(\d+)\.(\w+)")
"""How torchvision's first files name what its networks have since put into blocks of one layer or two."""


def _renewed(name: str) -> str:
    if old := OLD_PYRAMID.fullmatch(name):
        return f"{old[1]}.0.{old[2]}"
    if old := OLD_OUTPUT.fullmatch(name):
        return f"{old[1]}.{int(old[2]) // 2}.0.{old[3]}"
    return name


def from_torch(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """torchvision's files, of the names that they had at first, too."""
    body, pyramid, head = "backbone.body", "backbone.fpn", "head"
    conv_norms = {"conv1": (f"{body}.conv1", f"{body}.bn1")}
    for name, stage, block, number in _names(config):
        at = f"{body}.layer{stage}.{block - 1}."
        shortcut = (f"{at}downsample.0", f"{at}downsample.1")
        conv_norms[name] = (f"{at}conv{number}", f"{at}bn{number}") if number else shortcut
    recipe: Recipe = torch_conv_norm(conv_norms)
    for index, level in enumerate((3, 4, 5)):
        recipe |= layer(f"lateral{level}", f"{pyramid}.inner_blocks.{index}.0")
        recipe |= layer(f"p{level}", f"{pyramid}.layer_blocks.{index}.0")
    for name in ("p6", "p7"):
        recipe |= layer(name, f"{pyramid}.extra_blocks.{name}")
    for name, its, last in (("moves", "regression_head", "bbox_reg"), ("logits", "classification_head", "cls_logits")):
        for number in range(config.convs):
            made = layer(f"{name}{number + 1}_conv", f"{head}.{its}.conv.{number}.0")
            if config.groups:
                del made[f"{name}{number + 1}_conv/bias"]
                norm, theirs = f"{name}{number + 1}_norm", f"{head}.{its}.conv.{number}.1"
                made |= {
                    f"{norm}/gamma": (f"{theirs}.weight", np.asarray),
                    f"{norm}/beta": (f"{theirs}.bias", np.asarray),
                }
            recipe |= made
        recipe |= layer(f"{name}_conv", f"{head}.{its}.{last}")
    found = convert({_renewed(name): tensor for name, tensor in tensors.items()}, recipe, counters(tensors))
    if config.form == "torchvision" and not config.groups:
        # torchvision asks the network of its first file with an epsilon of 0.
        found |= {name: tensor - EPSILON for name, tensor in found.items() if name.endswith("moving_variance")}
    return found


def _letter(number: int) -> str:
    return chr(ord("a") + number - 1)


def from_keras(config: Config, tensors: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """fizyr's files, with the names that keras-resnet gives to layers; or a model of ours."""
    names = {"conv1": "conv1_conv", "bn_conv1": "conv1_bn"}
    for name, stage, block, number in _names(config):
        at = f"{stage + 1}{_letter(block)}_branch{f'2{_letter(number)}' if number else '1'}"
        names |= {f"res{at}": f"{name}_conv", f"bn{at}": f"{name}_bn"}
    names |= {f"C{level}_reduced": f"lateral{level}" for level in (3, 4, 5)}
    names |= {f"P{level}": f"p{level}" for level in (3, 4, 5, 6, 7)}
    for mine, theirs in (("moves", "pyramid_regression"), ("logits", "pyramid_classification")):
        names |= {f"{theirs}_{number}": f"{mine}{number + 1}_conv" for number in range(config.convs)}
        names[theirs] = f"{mine}_conv"
    return renamed(tensors, names)


SOURCES: Mapping[str, Any] = {"torch": from_torch, "keras_h5": from_keras}


def RetinaNetResNet18Slim(
    weights: Weights = None, input_shape: Shape | None = None, classes: int | None = None, name: str | None = None
) -> keras.Model:
    """RetinaNet on half a ResNet-18 for small pictures, after Lin et al. 2017.

    3,711,700 parameters with the default arguments.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights`
            reads.
        input_shape: `(height, width, 3)`, sides multiples of 32 or `None`; `(256, 256, 3)` by default.
        classes: Number of classes; as many as the weights have, or 80, by default.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 pictures [batch, height, width, 3], normalised as the weights want them
        (`kerazoo.info`), to how each anchor is moved, [batch, anchors, 4], and logits, [batch, anchors, classes].

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
    """
    return built(__name__, "retinanet_resnet18_slim", weights, input_shape, classes, name)


def RetinaNetResNet50FPN(
    weights: Weights = "coco", input_shape: Shape | None = None, classes: int | None = None, name: str | None = None
) -> keras.Model:
    """torchvision's first RetinaNet, Lin et al. 2017; 34,121,239 parameters with the default arguments.

    Args:
        weights: `"coco"`, `None` for random ones, or the path of a file in any format that `kerazoo.weights`
            reads, torchvision's `.pth` among them.
        input_shape: `(height, width, 3)`, sides multiples of 32 or `None`; `(1344, 1344, 3)` by default.
        classes: Number of classes; as many as the weights have, or 91, by default.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 pictures [batch, height, width, 3], normalised as the weights want them
        (`kerazoo.info`), to how each anchor is moved, [batch, anchors, 4], and logits, [batch, anchors, classes].

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
    """
    return built(__name__, "retinanet_resnet50_fpn", weights, input_shape, classes, name)


def RetinaNetResNet50FPNV2(
    weights: Weights = "coco", input_shape: Shape | None = None, classes: int | None = None, name: str | None = None
) -> keras.Model:
    """torchvision's RetinaNet with group normalisation, after Lin et al. 2017.

    38,252,055 parameters with the default arguments.

    Args:
        weights: `"coco"`, `None` for random ones, or the path of a file in any format that `kerazoo.weights`
            reads, torchvision's `.pth` among them.
        input_shape: `(height, width, 3)`, sides multiples of 32 or `None`; `(1344, 1344, 3)` by default.
        classes: Number of classes; as many as the weights have, or 91, by default.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 pictures [batch, height, width, 3], normalised as the weights want them
        (`kerazoo.info`), to how each anchor is moved, [batch, anchors, 4], and logits, [batch, anchors, classes].

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
    """
    return built(__name__, "retinanet_resnet50_fpn_v2", weights, input_shape, classes, name)


def RetinaNetResNet50(
    weights: Weights = "coco", input_shape: Shape | None = None, classes: int | None = None, name: str | None = None
) -> keras.Model:
    """fizyr's RetinaNet, Lin et al. 2017; 38,021,812 parameters with the default arguments.

    Args:
        weights: `"coco"`, `None` for random ones, or the path of a file in any format that `kerazoo.weights`
            reads, fizyr's `.h5` among them.
        input_shape: `(height, width, 3)`, sides multiples of 32 or `None`; `(1344, 1344, 3)` by default.
        classes: Number of classes; as many as the weights have, or 80, by default.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 pictures [batch, height, width, 3], normalised as the weights want them
        (`kerazoo.info`), to how each anchor is moved, [batch, anchors, 4], and logits, [batch, anchors, classes].

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
    """
    return built(__name__, "retinanet_resnet50", weights, input_shape, classes, name)
