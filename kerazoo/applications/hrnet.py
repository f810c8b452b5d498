"""HRNet: branches at four resolutions side by side, which exchange what they found again and again.

Paper: Wang, Sun, Cheng, Jiang, Deng, Zhao, Liu, Mu, Tan, Wang, Liu, Xiao, "Deep High-Resolution Representation Learning
    for Visual Recognition", TPAMI 2020, arXiv:1908.07919, section 3, with the classification head of the authors'
    HRNet-Image-Classification (HRNet-W18-C and its like).
Reference weights: the authors' PyTorch files, as timm keeps them (`hrnet_w{18,32,48}.ms_in1k`), and those that the
    authors added in 2021: `HRNet_W18_C_cosinelr_cutmix_300epoch.pth.tar` and `HRNet_W{18,48}_C_ssld_pretrained.pth`.
    They want RGB pixels in 0..1 less the mean (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225).
Variants: `hrnet_w18`, `hrnet_w32`, `hrnet_w48`: the width of the branch of the highest resolution; each further branch
    has half the resolution and twice the width.
Differs: as in the authors' program, a smaller map is first convolved and normalised, and then grows by repeating its
    pixels; in the paper (3.2) it grows bilinearly and is then convolved. The convolutions that lead the head down, and
    its last one, have biases beside batch normalisation, also as in the program; PaddlePaddle's network has none, so
    those of a file without them are zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications._classifier import ClassifierConfig, Shape, builder, entrance, finish, without_top
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.contract import Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.weights.recipes import convert, counters, dense, layer, torch_conv_norm

__all__ = ["HRNetW18", "HRNetW32", "HRNetW48"]

LEAST = 29
"""Smallest height and width: its quarter, rounded up, is 8 pixels, which halve three times without a remainder."""


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of an HRNet.

    Attributes:
        width: Filters of the first branch; those of each further branch are twice as many.
        stem: Filters of the two first convolutions and of the first stage's bottlenecks.
        blocks: How many of them the first stage has, and every branch of a later stage's module.
        modules: How many modules, each of which ends in an exchange, stages two to four have.
        head: Filters of the first branch's bottleneck in the head; those of each further branch are twice as many.
        features: Filters of the last convolution.
    """

    width: int = 18
    stem: int = 64
    blocks: int = 4
    modules: tuple[int, int, int] = (1, 4, 3)
    head: int = 32
    features: int = 2048


def _variant(name: str, width: int, params: int) -> Variant:
    config = Config(name, (224, 224, 3), width=width)
    small = replace(
        config,
        input_shape=(64, 64, 3),
        classes=20,
        width=width // 4,
        stem=8,
        blocks=1,
        modules=(1, 1, 1),
        head=4,
        features=64,
    )
    return Variant(config, params, (224, 224, 3), "classify", small)


VARIANTS = {
    "hrnet_w18": _variant("hrnet_w18", 18, 21_350_220),
    "hrnet_w32": _variant("hrnet_w32", 32, 41_307_304),
    "hrnet_w48": _variant("hrnet_w48", 48, 77_571_240),
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """Normalised RGB pictures [batch, height, width, 3] to logits [batch, classes].

    Raises:
        UsageError: Height or width is known, and the four resolutions would not fit each other.
    """
    inputs = entrance(config, input_tensor)
    _check(tuple(inputs.shape[1:]))
    x = _conv_bn_relu(inputs, config.stem, 3, "stem1", strides=2)
    x = _conv_bn_relu(x, config.stem, 3, "stem2", strides=2)
    for block in range(1, config.blocks + 1):
        x = _bottleneck(x, config.stem, f"stage1_block{block}", project=block == 1)
    maps = [_conv_bn_relu(x, config.width, 3, "transition1_branch1")]
    for stage, modules in enumerate(config.modules, start=2):
        filters = [config.width << branch for branch in range(stage)]
        # The first new branch starts from what the first stage found, the others from the smallest branch so far.
        source = x if stage == 2 else maps[-1]
        maps.append(_conv_bn_relu(source, filters[-1], 3, f"transition{stage - 1}_branch{stage}", strides=2))
        for module in range(1, modules + 1):
            maps = _module(maps, filters, config.blocks, f"stage{stage}_module{module}")
    x = _head(config, maps)
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    outputs = keras.layers.Dense(config.classes, activation=config.activation, name="predictions")(x)
    return finish(config, inputs, outputs)


def _check(shape: Shape) -> None:
    # Strided convolutions round up, so up to three pixels less than a multiple give the same maps.
    if any(side is not None and -side % 32 > 3 for side in shape[:2]):
        raise UsageError(
            f"input_shape={shape!r} does not fit HRNet, whose maps are halved, grown again and added: height and width "
            "have to be a multiple of 32, or at most 3 less than one."
        )


def _module(maps: list[Any], filters: list[int], blocks: int, name: str) -> list[Any]:
    """Blocks on every branch, then each branch becomes the sum of all, brought to its resolution and width."""
    layers = keras.layers
    fused, worked = [], []
    for branch, (x, width) in enumerate(zip(maps, filters, strict=True), start=1):
        for block in range(1, blocks + 1):
            x = _basic(x, width, f"{name}_branch{branch}_block{block}")
        worked.append(x)
    for target, width in enumerate(filters):
        terms = []
        for source, x in enumerate(worked):
            at = f"{name}_from{source + 1}_to{target + 1}"
            if source > target:
                x = _conv_bn(x, width, 1, at)
                x = layers.UpSampling2D(2 ** (source - target), interpolation="nearest", name=f"{at}_up")(x)
            for step in range(source + 1, target):
                x = _conv_bn_relu(x, filters[source], 3, f"{at}_{step - source}", strides=2)
            if source < target:
                x = _conv_bn(x, width, 3, f"{at}_{target - source}", strides=2)
            terms.append(x)
        x = layers.Add(name=f"{name}_to{target + 1}_add")(terms)
        fused.append(layers.Activation("relu", name=f"{name}_to{target + 1}_relu")(x))
    return fused


def _head(config: Config, maps: list[Any]) -> Any:
    """From the largest maps down: each is widened and added to the next smaller one."""
    total = None
    for branch, x in enumerate(maps):
        filters = config.head << branch
        x = _bottleneck(x, filters, f"head_branch{branch + 1}", project=True)
        if total is not None:
            total = _conv_bn_relu(total, 4 * filters, 3, f"head_down{branch}", strides=2, bias=True)
            x = keras.layers.Add(name=f"head_add{branch}")([x, total])
        total = x
    return _conv_bn_relu(total, config.features, 1, "head_last", bias=True)


def _bottleneck(x: Any, filters: int, name: str, project: bool) -> Any:
    """1x1, 3x3 and 1x1 convolutions, the last to four times the filters, added to the input or its projection."""
    shortcut = _conv_bn(x, 4 * filters, 1, f"{name}_0") if project else x
    x = _conv_bn_relu(x, filters, 1, f"{name}_1")
    x = _conv_bn_relu(x, filters, 3, f"{name}_2")
    return _added(_conv_bn(x, 4 * filters, 1, f"{name}_3"), shortcut, name)


def _basic(x: Any, filters: int, name: str) -> Any:
    """Two 3x3 convolutions, added to the input."""
    return _added(_conv_bn(_conv_bn_relu(x, filters, 3, f"{name}_1"), filters, 3, f"{name}_2"), x, name)


def _added(x: Any, shortcut: Any, name: str) -> Any:
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.Activation("relu", name=f"{name}_out")(x)


def _conv_bn_relu(x: Any, filters: int, size: int, name: str, strides: int = 1, bias: bool = False) -> Any:
    return keras.layers.Activation("relu", name=f"{name}_relu")(_conv_bn(x, filters, size, name, strides, bias))


def _conv_bn(x: Any, filters: int, size: int, name: str, strides: int = 1, bias: bool = False) -> Any:
    layers = keras.layers
    if strides > 1:
        # Keras' own padding would put the odd pixel at the end only.
        x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    x = layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="valid" if strides > 1 else "same",
        use_bias=bias,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=f"{name}_conv",
    )(x)
    return layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"{name}_bn")(x)


def _names(config: Config) -> Iterator[tuple[str, str, str]]:
    """Our name of each convolution with its batch normalisation, and the two names that PyTorch's files have."""
    yield "stem1", "conv1", "bn1"
    yield "stem2", "conv2", "bn2"
    for block in range(config.blocks):
        yield from _block_names(f"stage1_block{block + 1}", f"layer1.{block}", 3, project=block == 0)
    yield "transition1_branch1", "transition1.0.0", "transition1.0.1"
    for stage, modules in enumerate(config.modules, start=2):
        theirs = f"transition{stage - 1}.{stage - 1}.0"
        yield f"transition{stage - 1}_branch{stage}", f"{theirs}.0", f"{theirs}.1"
        for module in range(modules):
            yield from _module_names(f"stage{stage}_module{module + 1}", f"stage{stage}.{module}", stage, config.blocks)
    branches = len(config.modules) + 1
    for branch in range(branches):
        yield from _block_names(f"head_branch{branch + 1}", f"incre_modules.{branch}.0", 3, project=True)
    for branch in range(branches - 1):
        yield f"head_down{branch + 1}", f"downsamp_modules.{branch}.0", f"downsamp_modules.{branch}.1"
    yield "head_last", "final_layer.0", "final_layer.1"


def _module_names(name: str, theirs: str, branches: int, blocks: int) -> Iterator[tuple[str, str, str]]:
    for branch in range(branches):
        for block in range(blocks):
            yield from _block_names(
                f"{name}_branch{branch + 1}_block{block + 1}", f"{theirs}.branches.{branch}.{block}", 2
            )
    for target in range(branches):
        for source in range(branches):
            mine, its = f"{name}_from{source + 1}_to{target + 1}", f"{theirs}.fuse_layers.{target}.{source}"
            if source > target:
                yield mine, f"{its}.0", f"{its}.1"
            for step in range(target - source):
                yield f"{mine}_{step + 1}", f"{its}.{step}.0", f"{its}.{step}.1"


def _block_names(name: str, theirs: str, convs: int, project: bool = False) -> Iterator[tuple[str, str, str]]:
    for number in range(1, convs + 1):
        yield f"{name}_{number}", f"{theirs}.conv{number}", f"{theirs}.bn{number}"
    if project:
        yield f"{name}_0", f"{theirs}.downsample.0", f"{theirs}.downsample.1"


def from_torch(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of the authors' and timm's networks, which share their names: `stage2.0.branches.1.3.conv1.weight`."""
    names = {name: (kernel, norm) for name, kernel, norm in _names(config)}
    recipe = torch_conv_norm(names) | layer("predictions", "classifier", dense)
    biases = {}
    for name, (kernel, norm) in names.items():
        if name.startswith(("head_down", "head_last")):
            recipe[f"{name}_conv/bias"] = (f"{kernel}.bias", np.asarray)
            biases[f"{kernel}.bias"] = f"{norm}.bias"
    if not biases.keys() & tensors.keys():
        # PaddlePaddle's network has none.
        tensors = tensors | {bias: np.zeros_like(tensors[norm]) for bias, norm in biases.items() if norm in tensors}
    return convert(tensors, recipe, counters(tensors))


SOURCES: Mapping[str, Any] = {"torch": from_torch}

HRNetW18 = builder(
    __name__, "hrnet_w18", "HRNetW18", "18 to 144 filters, for sides that are multiples of 32, Wang et al. 2020.", LEAST
)
HRNetW32 = builder(
    __name__, "hrnet_w32", "HRNetW32", "32 to 256 filters, for sides that are multiples of 32, Wang et al. 2020.", LEAST
)
HRNetW48 = builder(
    __name__, "hrnet_w48", "HRNetW48", "48 to 384 filters, for sides that are multiples of 32, Wang et al. 2020.", LEAST
)
