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

from kerazoo.applications._classifier import ClassifierConfig, builder, entrance, finish, without_top
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.applications._hrnet import Sizes, block_names, bottleneck, check, conv_bn_relu, names, trunk
from kerazoo.contract import Variant
from kerazoo.lazy import keras
from kerazoo.weights.recipes import convert, counters, dense, layer, torch_conv_norm

__all__ = ["HRNetW18", "HRNetW32", "HRNetW48"]

LEAST = 29
"""Smallest height and width: its quarter, rounded up, is 8 pixels, which halve three times without a remainder."""


@dataclass(frozen=True)
class Config(Sizes, ClassifierConfig):
    """Sizes of an HRNet.

    Attributes:
        head: Filters of the first branch's bottleneck in the head; those of each further branch are twice as many.
        features: Filters of the last convolution.
    """

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
    check(tuple(inputs.shape[1:]))
    x = _head(config, trunk(config, inputs))
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    outputs = keras.layers.Dense(config.classes, activation=config.activation, name="predictions")(x)
    return finish(config, inputs, outputs)


def _head(config: Config, maps: list[Any]) -> Any:
    """From the largest maps down: each is widened and added to the next smaller one."""
    total = None
    for branch, x in enumerate(maps):
        filters = config.head << branch
        x = bottleneck(x, filters, f"head_branch{branch + 1}", project=True)
        if total is not None:
            total = conv_bn_relu(total, 4 * filters, 3, f"head_down{branch}", strides=2, bias=True)
            x = keras.layers.Add(name=f"head_add{branch}")([x, total])
        total = x
    return conv_bn_relu(total, config.features, 1, "head_last", bias=True)


def _names(config: Config) -> Iterator[tuple[str, str, str]]:
    """Our name of each convolution with its batch normalisation, and the two names that PyTorch's files have."""
    yield from names(config)
    branches = len(config.modules) + 1
    for branch in range(branches):
        yield from block_names(f"head_branch{branch + 1}", f"incre_modules.{branch}.0", 3, project=True)
    for branch in range(branches - 1):
        yield f"head_down{branch + 1}", f"downsamp_modules.{branch}.0", f"downsamp_modules.{branch}.1"
    yield "head_last", "final_layer.0", "final_layer.1"


def from_torch(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of the authors' and timm's networks, which share their names: `stage2.0.branches.1.3.conv1.weight`."""
    own = {name: (kernel, norm) for name, kernel, norm in _names(config)}
    recipe = torch_conv_norm(own) | layer("predictions", "classifier", dense)
    biases = {}
    for name, (kernel, norm) in own.items():
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
