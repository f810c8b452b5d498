"""Inception v1: GoogLeNet with batch normalisation in the place of biases and response normalisation.

Paper: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, arXiv:1409.4842, table 1; normalised as in Ioffe,
    Szegedy, "Batch Normalization", ICML 2015, arXiv:1502.03167.
Reference weights: `inception_v1:imagenet`, the TF-Slim checkpoint of 28 August 2016, and
    `inception_v1_torchvision:imagenet`, torchvision's `googlenet`. Both want RGB pixels scaled to -1..1, 224x224.
Variants: `inception_v1` as TF-Slim has it; `inception_v1_torchvision` as torchvision's copy of it pads: three pixels on
    every side of the picture, where TF-Slim's padding is two before and three after it, and none before the pools,
    which round up. At 224 pixels the one sees what the other does, moved by a pixel, so neither takes the other's file.
Differs: from the paper, as both definitions do: the 5x5 convolutions are 3x3, the last max-pooling is 2x2, dropout
    is 0.2, and the auxiliary classifiers are left out. Batch normalisation has no `gamma`: TF-Slim's has none, and
    torchvision's is multiplied into kernel and moving mean, which is the same. TF-Slim's background class is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications._branches import (
    MAX_SAME,
    Branch,
    Conv,
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
from kerazoo.applications._googlenet import MODULES
from kerazoo.applications._pooling import ceil_max_pool
from kerazoo.contract import Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.weights.recipes import convert

__all__ = ["InceptionV1", "InceptionV1Torchvision"]

STEM = (Conv("1a_7x7", 64, 2), Conv("2b_1x1", 64), Conv("2c_3x3", 192))


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of an Inception v1.

    Attributes:
        modules: Those of GoogLeNet's that are built; a max-pooling comes before the first 4 and the first 5.
        divisor: What every number of filters is divided by.
        dropout: Rate before the classifier.
        torch_padding: torchvision's padding instead of TensorFlow's.
    """

    modules: tuple[str, ...] = tuple(MODULES)
    divisor: int = 1
    dropout: float = 0.2
    torch_padding: bool = False


def _variant(config: Config) -> Variant:
    small = replace(config, input_shape=(67, 67, 3), classes=50, modules=("3a", "4a", "5a"), divisor=8)
    return Variant(config, 6_632_184, (224, 224, 3), "classify", small)


VARIANTS = {
    "inception_v1": _variant(Config("inception_v1", (224, 224, 3))),
    "inception_v1_torchvision": _variant(Config("inception_v1_torchvision", (224, 224, 3), torch_padding=True)),
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """RGB pictures [batch, height, width, 3] in -1..1 to logits [batch, classes]."""
    layers = keras.layers
    x = inputs = entrance(config, input_tensor)
    first, *others = STEM
    if config.torch_padding:
        x = layers.ZeroPadding2D(3, name="conv2d_1a_7x7_pad")(x)
        first = first._replace(padding="valid")
    x = conv_bn(x, first, f"conv2d_{first.name}", config.divisor)
    x = _max_pool(config, x, "max_pool_2a_3x3")
    for conv in others:
        x = conv_bn(x, conv, f"conv2d_{conv.name}", config.divisor)
    x = _max_pool(config, x, "max_pool_3a_3x3")
    stage = "3"
    for module in config.modules:
        if module[0] != stage:
            stage = module[0]
            x = _max_pool(config, x, f"max_pool_{stage}a_{'2x2' if stage == '5' else '3x3'}")
        x = concatenated(x, _branches(module), f"mixed_{_letter(module)}", config.divisor)
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(config.dropout, name="dropout")(x)
    outputs = layers.Dense(config.classes, activation=config.activation, name="predictions")(x)
    return finish(config, inputs, outputs)


def _max_pool(config: Config, x: Any, name: str) -> Any:
    """With stride 2 over what the end of the name says; 2x2 ones are the same with both paddings."""
    if name.endswith("2x2"):
        return keras.layers.MaxPooling2D(2, strides=2, padding="same", name=name)(x)
    if config.torch_padding:
        return ceil_max_pool(x, name)
    return keras.layers.MaxPooling2D(3, strides=2, padding="same", name=name)(x)


def _branches(module: str) -> tuple[Branch, ...]:
    """The branches of one of GoogLeNet's modules; the convolution in the 5x5's place has 3x3."""
    one, reduce_3, three, reduce_5, five, projection = MODULES[module]
    return (
        (Conv("0a_1x1", one),),
        (Conv("0a_1x1", reduce_3), Conv("0b_3x3", three)),
        (Conv("0a_1x1", reduce_5), Conv("0b_3x3", five)),
        (MAX_SAME, Conv("0b_1x1", projection)),
    )


def _letter(module: str) -> str:
    """TF-Slim's name of a module: its letter is the paper's next, for `a` is the pool before."""
    return module[0] + chr(ord(module[1]) + 1)


SLIP = "Mixed_5b/Branch_2/Conv2d_0b_3x3"
"""Has `0a` in TF-Slim's definition, which breaks its own rule, and so in the checkpoint."""


def _places(config: Config) -> Iterator[Place]:
    for number, conv in enumerate(STEM, start=1):
        yield Place(f"conv2d_{conv.name}", f"Conv2d_{conv.name}", f"conv{number}")
    for module in config.modules:
        name, branches = f"mixed_{_letter(module)}", _branches(module)
        for place in places(branches, name, name.capitalize(), f"inception{module}"):
            head, _, inner = place.torch.partition(".branch")
            slim = place.slim.replace("0b", "0a") if place.slim == SLIP else place.slim
            # torchvision counts branches from one.
            yield place._replace(slim=slim, torch=f"{head}.branch{int(inner[0]) + 1}{inner[1:]}")


def from_slim(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The checkpoint: 1001 classes, of which the first is none, behind a classifier that is a convolution."""
    if config.torch_padding:
        raise UsageError(f"{config.name} pads as torchvision does; inception_v1 takes TF-Slim's checkpoint.")
    recipe = slim_recipe(_places(config), "InceptionV1", "Logits/Conv2d_0c_1x1")
    return convert(tensors, recipe, slim_unused(tensors))


def from_torch(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """torchvision's names; the auxiliary classifiers are left out."""
    if not config.torch_padding:
        raise UsageError(f"{config.name} pads as TF-Slim does; inception_v1_torchvision takes torchvision's file.")
    recipe = torch_recipe(_places(config), "fc")
    wanted = {name: tensor for name, tensor in tensors.items() if not name.startswith(("aux1.", "aux2."))}
    return folded(wanted, recipe)


SOURCES: Mapping[str, Any] = {"slim": from_slim, "torch": from_torch}

InceptionV1 = builder(
    __name__, "inception_v1", "InceptionV1", "GoogLeNet with batch normalisation, as TF-Slim has it.", least=1
)
InceptionV1Torchvision = builder(
    __name__, "inception_v1_torchvision", "InceptionV1Torchvision", "the same as torchvision pads it.", least=15
)
