"""Inception-v4: the Inception line at its most regular, without residual connections.

Paper: Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on
    Learning", AAAI 2017, arXiv:1602.07261, figures 3 to 9.
Reference weights: the authors' TF-Slim checkpoint `inception_v4_2016_09_09`, and the copies of it in timm and in
    kentsommer's Keras port. RGB, scaled to -1..1, 299x299.
Variants: `inception_v4`.
Differs: as in the checkpoint, batch normalisation has no `gamma` (42,711,400 parameters; PyTorch's form with it counts
    42,742,984, and its `gamma` is multiplied into kernel and moving mean), the auxiliary classifier, which only
    training uses, is left out, and so is the background class before the thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications._branches import (
    AVERAGE,
    MAX,
    Branch,
    Conv,
    Fork,
    Place,
    concatenated,
    conv_bn,
    folded,
    places,
    slim_recipe,
    slim_unused,
    torch_recipe,
)
from kerazoo.applications._classifier import ClassifierConfig, builder, entrance, finish, without_top
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.applications._created import renamed
from kerazoo.contract import Variant
from kerazoo.lazy import keras
from kerazoo.weights.recipes import convert

__all__ = ["InceptionV4"]

Module = tuple[Branch, ...]

STEM = (Conv("1a_3x3", 32, 2, "valid"), Conv("2a_3x3", 32, padding="valid"), Conv("2b_3x3", 64))

# The rest of the stem (figure 3): three modules.
STEM_3A: Module = ((MAX,), (Conv("0a_3x3", 96, 2, "valid"),))
STEM_4A: Module = (
    (Conv("0a_1x1", 64), Conv("1a_3x3", 96, padding="valid")),
    (Conv("0a_1x1", 64), Conv("0b_1x7", 64), Conv("0c_7x1", 64), Conv("1a_3x3", 96, padding="valid")),
)
STEM_5A: Module = ((Conv("1a_3x3", 192, 2, "valid"),), (MAX,))

# Figures 4 to 6, and the reductions of figures 7 (k, l, m, n = 192, 224, 256, 384) and 8.
INCEPTION_A: Module = (
    (Conv("0a_1x1", 96),),
    (Conv("0a_1x1", 64), Conv("0b_3x3", 96)),
    (Conv("0a_1x1", 64), Conv("0b_3x3", 96), Conv("0c_3x3", 96)),
    (AVERAGE, Conv("0b_1x1", 96)),
)
REDUCTION_A: Module = (
    (Conv("1a_3x3", 384, 2, "valid"),),
    (Conv("0a_1x1", 192), Conv("0b_3x3", 224), Conv("1a_3x3", 256, 2, "valid")),
    (MAX,),
)
INCEPTION_B: Module = (
    (Conv("0a_1x1", 384),),
    (Conv("0a_1x1", 192), Conv("0b_1x7", 224), Conv("0c_7x1", 256)),
    (Conv("0a_1x1", 192), Conv("0b_7x1", 192), Conv("0c_1x7", 224), Conv("0d_7x1", 224), Conv("0e_1x7", 256)),
    (AVERAGE, Conv("0b_1x1", 128)),
)
REDUCTION_B: Module = (
    (Conv("0a_1x1", 192), Conv("1a_3x3", 192, 2, "valid")),
    (Conv("0a_1x1", 256), Conv("0b_1x7", 256), Conv("0c_7x1", 320), Conv("1a_3x3", 320, 2, "valid")),
    (MAX,),
)
INCEPTION_C: Module = (
    (Conv("0a_1x1", 256),),
    (Conv("0a_1x1", 384), Fork(Conv("0b_1x3", 256), Conv("0c_3x1", 256))),
    (Conv("0a_1x1", 384), Conv("0b_3x1", 448), Conv("0c_1x3", 512), Fork(Conv("0d_1x3", 256), Conv("0e_3x1", 256))),
    (AVERAGE, Conv("0b_1x1", 256)),
)


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of an Inception-v4.

    Attributes:
        blocks: How many modules of kinds A, B and C it has.
        divisor: What every number of filters is divided by.
        dropout: Rate before the classifier.
    """

    blocks: tuple[int, int, int] = (4, 7, 3)
    divisor: int = 1
    dropout: float = 0.2


_CONFIG = Config("inception_v4", (299, 299, 3))

VARIANTS = {
    "inception_v4": Variant(
        _CONFIG,
        42_711_400,
        (299, 299, 3),
        "classify",
        small=replace(_CONFIG, input_shape=(107, 107, 3), classes=50, blocks=(1, 1, 1), divisor=8),
    )
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """RGB pictures [batch, height, width, 3] in -1..1 to logits [batch, classes]."""
    layers = keras.layers
    x = inputs = entrance(config, input_tensor)
    for conv in STEM:
        x = conv_bn(x, conv, f"conv2d_{conv.name}", config.divisor)
    for name, module in _modules(config):
        x = concatenated(x, module, name, config.divisor)
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(config.dropout, name="dropout")(x)
    outputs = layers.Dense(config.classes, activation=config.activation, name="predictions")(x)
    return finish(config, inputs, outputs)


def _modules(config: Config) -> Iterator[tuple[str, Module]]:
    """The modules by their names, `mixed_<maps' size><letter>`."""
    yield from (("mixed_3a", STEM_3A), ("mixed_4a", STEM_4A), ("mixed_5a", STEM_5A))
    stages = ((5, None, INCEPTION_A), (6, REDUCTION_A, INCEPTION_B), (7, REDUCTION_B, INCEPTION_C))
    for count, (size, reduction, module) in zip(config.blocks, stages, strict=True):
        if reduction is not None:
            yield f"mixed_{size}a", reduction
        for block in range(count):
            yield f"mixed_{size}{chr(ord('b') + block)}", module


def _places(config: Config) -> Iterator[Place]:
    for index, conv in enumerate(STEM):
        yield Place(f"conv2d_{conv.name}", f"Conv2d_{conv.name}", f"features.{index}")
    for index, (name, module) in enumerate(_modules(config), start=len(STEM)):
        found = list(places(module, name, name.capitalize(), f"features.{index}"))
        # timm calls the convolution of a module that has but one `conv`.
        yield from found if len(found) > 1 else [found[0]._replace(torch=f"features.{index}.conv")]


def from_slim(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The authors' checkpoint."""
    return convert(tensors, slim_recipe(_places(config), "InceptionV4"), slim_unused(tensors))


def from_torch(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """timm's copy."""
    return folded(tensors, torch_recipe(_places(config), "last_linear"))


def from_keras(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Keras' layouts; kentsommer's port numbers its layers and has the background class before the others."""
    names = [place.layer for place in _places(config)]
    found = renamed(
        tensors, {"conv2d": names, "batch_normalization": [f"{name}_bn" for name in names], "dense": ["predictions"]}
    )
    for key in found.keys() - tensors.keys():
        if key.startswith("predictions/") and found[key].shape[-1] == config.classes + 1:
            found[key] = found[key][..., 1:]
    return found


SOURCES: Mapping[str, Any] = {"slim": from_slim, "torch": from_torch, "keras_h5": from_keras}

InceptionV4 = builder(__name__, "inception_v4", "InceptionV4", "Szegedy et al. 2016.", least=75)
