"""YOLOv3: boxes at three resolutions, each place predicting a few of them from anchors, classes independently.

Paper: Redmon, Farhadi, "YOLOv3: An Incremental Improvement", 2018, arXiv:1804.02767, sections 2.1 to 2.4, table 1.
    `mobilenetv2_yolov3_nano` has no paper: it is dog-qiuqiu/MobileNet-Yolo's, on the blocks of arXiv:1801.04381.
Reference weights: the authors' `yolov3.weights` and `yolov3-tiny.weights`, trained on COCO, for pictures in a letterbox
    of grey; the nano network's `.weights`, for pictures that are stretched. RGB in 0..1. `bccd` is this project's own:
    the nano network's, taught blood cells.
Variants: `mobilenetv2_yolov3_nano`, `yolov3_tiny`, `yolov3` (on Darknet-53; its weights fit any size, 320, 416 and 608
    pixels are the published ones).
Differs: layers are those of the authors' `.cfg` files, of which the paper tells the main ones only. The tiny network's
    fine output has the first three anchors, as in its `.cfg`, not the second to fourth. The nano network's pyramid of
    pools and its centres that reach over the border of their place are its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications import _darknet
from kerazoo.applications._builder import Weights
from kerazoo.applications._detector import COARSEST, Shape, built
from kerazoo.assets import Assets
from kerazoo.codecs.image import Image, Normalise, from_preprocessing
from kerazoo.contract import Task, Variant
from kerazoo.lazy import keras
from kerazoo.tasks.detect import Anchored, Head
from kerazoo.weights import darknet
from kerazoo.weights.darknet import Conv, Layer, Pool, Route, Shortcut, Upsample, Yolo

__all__ = ["MobileNetV2YOLOv3Nano", "YOLOv3", "YOLOv3Tiny"]

NORMALISE = Normalise(scale=1 / 255)
THERE = 0.01
"""How sure a new output begins that anything is there: the many empty places then cost little at first, as Lin et al.,
arXiv:1708.02002, section 4.1, have it."""

ANCHORS_EACH = 3
"""Anchors of each place of an output."""

ANCHORS = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
TINY_ANCHORS = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))
NANO_ANCHORS = ((12, 18), (37, 49), (52, 132), (115, 74), (119, 199), (243, 238))

NANO_STAGES = ((1, 48, 12), (0, 72, 12), (1, 72, 16), (0, 96, 16), (0, 96, 16), (1, 96, 32), *((0, 192, 32),) * 3,
               (2, 192, 48), (0, 288, 48), (0, 288, 48), (1, 288, 80), (0, 480, 80), (0, 480, 80))  # fmt: skip
"""Of each block whether it takes a step of two (1) or only changes its maps (2), its wide and its narrow filters."""


@dataclass(frozen=True)
class Config:
    """Sizes of a YOLOv3.

    Attributes:
        name: Name of the Keras model.
        input_shape: Height, width and channels; height and width are multiples of 32 or `None`.
        body: Which network: `darknet53`, `tiny` or `nano`.
        classes: Number of classes.
        width: Factor of every layer's number of filters.
    """

    name: str
    input_shape: Shape
    body: str
    classes: int = 80
    width: float = 1.0


def _variant(name: str, body: str, side: int, params: int, width: float) -> Variant:
    config = Config(name, (side, side, 3), body)
    small = replace(config, input_shape=(64, 64, 3), classes=5, width=width)
    return Variant(config, params, config.input_shape, "detect", small=small)


VARIANTS = {
    "mobilenetv2_yolov3_nano": _variant("mobilenetv2_yolov3_nano", "nano", 320, 891_070, 1.0),
    "yolov3_tiny": _variant("yolov3_tiny", "tiny", 416, 8_858_734, 0.25),
    "yolov3": _variant("yolov3", "darknet53", 416, 62_001_757, 0.125),
}


def layers_of(config: Config) -> tuple[Layer, ...]:
    """The layers as darknet's `.cfg` has them."""
    body = {"darknet53": _full, "tiny": _tiny, "nano": _nano}[config.body]
    return _darknet.narrowed(tuple(body(config.classes)), config.width)


def _head(classes: int, anchors: Any, reach: float = 1.0) -> tuple[Layer, Layer]:
    chosen = tuple((float(width), float(height)) for width, height in anchors)
    return Conv(len(chosen) * (5 + classes), 1, activation="linear", norm=False), Yolo(chosen, reach)


def _full(classes: int) -> Iterator[Layer]:
    """`yolov3.cfg`: Darknet-53 without its classifier, and three outputs, each on the maps of the one before."""
    yield Conv(32)
    index = 1
    for filters, blocks in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        yield Conv(filters, stride=2)
        for block in range(blocks):
            yield from (Conv(filters // 2, 1), Conv(filters), Shortcut(index + 3 * block))
        index += 1 + 3 * blocks
    for filters, anchors, beside in ((512, ANCHORS[6:], 61), (256, ANCHORS[3:6], 36), (128, ANCHORS[:3], None)):
        yield from (Conv(filters, 1), Conv(2 * filters)) * 3
        yield from _head(classes, anchors)
        index += 8
        if beside is not None:
            yield from (Route((index - 4,)), Conv(filters // 2, 1), Upsample(), Route((index + 2, beside)))
            index += 4


def _tiny(classes: int) -> Iterator[Layer]:
    """`yolov3-tiny.cfg`."""
    for filters in (16, 32, 64, 128, 256):
        yield from (Conv(filters), Pool(2, 2))
    yield from (Conv(512), Pool(2, 1), Conv(1024), Conv(256, 1), Conv(512), *_head(classes, TINY_ANCHORS[3:]))
    yield from (Route((13,)), Conv(128, 1), Upsample(), Route((19, 8)), Conv(256), *_head(classes, TINY_ANCHORS[:3]))


def _nano(classes: int) -> Iterator[Layer]:
    """`MobileNetV2-YOLOv3-Nano-coco.cfg`: inverted residuals, pools side by side, and two outputs."""

    def separable(wide: int, narrow: int, stride: int = 1, last: str = "linear") -> tuple[Layer, ...]:
        middle = Conv(wide, 3, stride, wide, "relu")
        return Conv(wide, 1, activation="relu"), middle, Conv(narrow, 1, activation=last)

    yield from (Conv(16, 3, 2, activation="relu"), Conv(16, groups=16, activation="relu"))
    yield Conv(8, 1, activation="linear")
    index = 3
    for kind, wide, narrow in NANO_STAGES:
        yield from separable(wide, narrow, 2 if kind == 1 else 1)
        index += 3
        if not kind:
            yield Shortcut(index - 4)
            index += 1
    last = index - 1
    yield from (Pool(3, 1), Route((last,)), Pool(5, 1), Route((last,)), Pool(9, 1))
    yield Route((last + 5, last + 3, last + 1, last))
    yield from (*separable(288, 96, last="relu"), Conv(384, 1, activation="relu"))
    yield from _head(classes, NANO_ANCHORS[3:], 1.1)
    yield from (Route((last + 7,)), Upsample(), Route((last + 14, 47)), Conv(80, 1, activation="relu"))
    yield from (*separable(288, 192, last="relu"), Conv(288, 1, activation="relu"))
    yield from _head(classes, NANO_ANCHORS[:3], 1.05)


def build(config: Config) -> keras.Model:
    """RGB pictures [batch, height, width, 3] in 0..1 to logits of each output, the coarsest first.

    Each is [batch, height / stride, width / stride, anchors (5 + classes)]; of each anchor x, y, width, height, whether
    anything is there, and the classes.
    """
    inputs = keras.Input(config.input_shape, name="image")
    return keras.Model(inputs, _darknet.outputs(layers_of(config), inputs), name=config.name)


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Detection; `class_0`, `class_1`, ... where there are no labels."""
    if assets.preprocessing is not None:
        image, _ = from_preprocessing(assets.preprocessing)
    else:
        height, width, channels = config.input_shape
        image = Image(height or 416, width or 416, channels, fill="letterbox", pad=127.5)
    outputs = [layer for layer in layers_of(config) if isinstance(layer, Yolo)]
    heads = tuple(Head(COARSEST >> level, each.anchors, each.reach) for level, each in enumerate(outputs))
    return {"detect": Anchored(image, assets.labels or tuple(f"class_{n}" for n in range(config.classes)), heads)}


def first_weights(model: keras.Model) -> None:
    """What fresh weights begin with, beside what is drawn."""
    for output in model.outputs:
        prior(output._keras_history.operation)


def prior(layer: keras.layers.Layer) -> None:
    """What a new output layer begins with."""
    bias = layer.bias.numpy().reshape(ANCHORS_EACH, -1)
    bias[:, 4] = -np.log((1 - THERE) / THERE)
    layer.bias.assign(bias.reshape(-1))


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    return {"classes": model.outputs[0].shape[-1] // ANCHORS_EACH - 5}


def from_darknet(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The authors' files. A `.cfg` of the same name beside one is held to the layers first."""
    layers = layers_of(config)
    if darknet.CFG in tensors:
        darknet.agree(layers, tensors[darknet.CFG].tobytes())
    return darknet.unpacked(layers, config.input_shape[2], tensors[darknet.VALUES])


SOURCES: Mapping[str, Any] = {"darknet": from_darknet}


def YOLOv3(
    weights: Weights = "coco", input_shape: Shape | None = None, classes: int | None = None, name: str | None = None
) -> keras.Model:
    """YOLOv3 on Darknet-53, Redmon and Farhadi 2018; 62,001,757 parameters with the default arguments.

    Args:
        weights: `"coco"` (416 pixels), `"coco-320"`, `"coco-608"`, `None` for random ones, or the path of a file in any
            format that `kerazoo.weights` reads, darknet's `.weights` among them.
        input_shape: `(height, width, 3)`, sides multiples of 32 or `None`; as the weights want it by default.
        classes: Number of classes; as many as the weights have, or 80, by default.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 RGB pictures [batch, height, width, 3] in 0..1 to a list of three outputs
        [batch, height / s, width / s, 3 (5 + classes)] of logits, s being 32, 16 and 8.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
    """
    return built(__name__, "yolov3", weights, input_shape, classes, name)


def YOLOv3Tiny(
    weights: Weights = "coco", input_shape: Shape | None = None, classes: int | None = None, name: str | None = None
) -> keras.Model:
    """The small network of YOLOv3's authors, Redmon and Farhadi 2018; 8,858,734 parameters with the default arguments.

    Args:
        weights: `"coco"`, `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads,
            darknet's `.weights` among them.
        input_shape: `(height, width, 3)`, sides multiples of 32 or `None`; `(416, 416, 3)` by default.
        classes: Number of classes; as many as the weights have, or 80, by default.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 RGB pictures [batch, height, width, 3] in 0..1 to a list of two outputs
        [batch, height / s, width / s, 3 (5 + classes)] of logits, s being 32 and 16.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
    """
    return built(__name__, "yolov3_tiny", weights, input_shape, classes, name)


def MobileNetV2YOLOv3Nano(
    weights: Weights = "coco", input_shape: Shape | None = None, classes: int | None = None, name: str | None = None
) -> keras.Model:
    """YOLOv3's outputs on a narrow MobileNetV2, dog-qiuqiu 2020; 891,070 parameters with the default arguments.

    Args:
        weights: `"coco"`, `"bccd"` (three kinds of blood cells, 224 pixels), `None` for random ones, or the path of a
            file in any format that `kerazoo.weights` reads, darknet's `.weights` among them.
        input_shape: `(height, width, 3)`, sides multiples of 32 or `None`; `(320, 320, 3)` by default.
        classes: Number of classes; as many as the weights have, or 80, by default.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 RGB pictures [batch, height, width, 3] in 0..1 to a list of two outputs
        [batch, height / s, width / s, 3 (5 + classes)] of logits, s being 32 and 16.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
    """
    return built(__name__, "mobilenetv2_yolov3_nano", weights, input_shape, classes, name)
