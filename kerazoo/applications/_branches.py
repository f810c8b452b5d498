"""Modules of branches side by side, as the Inception networks of TF-Slim have them, written down as tables.

A table is read twice: by `concatenated`, which builds the layers, and by `places`, which lists its convolutions under
the names that they have here, in TF-Slim's checkpoints and in PyTorch's copies of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.weights.recipes import (
    Recipe,
    convert,
    counters,
    dense,
    hwio,
    layer,
    slim_classifier,
    slim_conv_norm,
    torch_norm,
)

EPSILON = 1e-3
"""Of every batch normalisation, as in `inception_utils.py` of TF-Slim."""


class Conv(NamedTuple):
    """A convolution with batch normalisation and ReLU.

    Attributes:
        name: Its place and kernel, `0b_1x7`, as TF-Slim writes them after `Conv2d_`.
        filters: Their number.
        strides: In both directions.
        padding: `same` or `valid`.
    """

    name: str
    filters: int
    strides: int = 1
    padding: str = "same"


class Fork(NamedTuple):
    """The end of a branch in two convolutions of the same maps."""

    left: Conv
    right: Conv


AVERAGE, MAX, MAX_SAME = "average", "max", "max same"
"""Pooling over 3x3: averages with stride 1, of which the border is no part, or maxima with stride 2 or 1."""

Branch = tuple[Conv | Fork | str, ...]


class Place(NamedTuple):
    """What one convolution is called.

    Attributes:
        layer: Here; its normalisation is this with `_bn`.
        slim: Its scope in a checkpoint.
        torch: The module that holds `conv` and `bn`.
    """

    layer: str
    slim: str
    torch: str


def conv_bn(x: Any, conv: Conv, name: str, divisor: int = 1) -> Any:
    """Convolution without bias, batch normalisation without `gamma`, ReLU.

    Args:
        divisor: What the number of filters is divided by.
    """
    layers = keras.layers
    height, width = map(int, conv.name.rpartition("_")[2].split("x"))
    x = layers.Conv2D(
        conv.filters // divisor,
        (height, width),
        conv.strides,
        conv.padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    x = layers.BatchNormalization(epsilon=EPSILON, scale=False, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_ac")(x)


def concatenated(x: Any, branches: Iterable[Branch], name: str, divisor: int = 1, joined: str = "") -> Any:
    """The branches' results, one after the other along the channels.

    Args:
        name: Of the module.
        divisor: What every number of filters is divided by.
        joined: What the name of the layer that joins the branches has after the module's.
    """
    ends = []
    for index, branch in enumerate(branches):
        scope = f"{name}_branch_{index}"
        end = [x]
        for step in branch:
            if isinstance(step, str):
                end = [pooled(end[0], step, f"{scope}_pool")]
            else:
                convs = step if isinstance(step, Fork) else [step]
                end = [conv_bn(end[0], conv, f"{scope}_conv2d_{conv.name}", divisor) for conv in convs]
        ends += end
    return keras.layers.Concatenate(name=f"{name}{joined}")(ends)


def pooled(x: Any, kind: str, name: str) -> Any:
    """`AVERAGE`, `MAX` or `MAX_SAME` pooling."""
    if kind == AVERAGE:
        return keras.layers.AveragePooling2D(3, strides=1, padding="same", name=name)(x)
    if kind == MAX_SAME:
        return keras.layers.MaxPooling2D(3, strides=1, padding="same", name=name)(x)
    return keras.layers.MaxPooling2D(3, strides=2, name=name)(x)


def places(branches: Iterable[Branch], name: str, slim: str, torch: str) -> Iterator[Place]:
    """The convolutions of a module in the order in which they are built.

    Args:
        name: The module's name here.
        slim: Its scope in a checkpoint.
        torch: Its path in PyTorch's state dict.
    """
    for index, branch in enumerate(branches):
        forked = isinstance(branch[-1], Fork)
        for position, step in enumerate(branch):
            if isinstance(step, str):
                continue
            for side, conv in zip("ab", step if isinstance(step, Fork) else [step], strict=False):
                if forked:
                    inner = f"branch{index}_{position}{side if isinstance(step, Fork) else ''}"
                else:
                    inner = f"branch{index}" + (f".{position}" if len(branch) > 1 else "")
                yield Place(
                    f"{name}_branch_{index}_conv2d_{conv.name}",
                    f"{slim}/Branch_{index}/Conv2d_{conv.name}",
                    f"{torch}.{inner}",
                )


def slim_recipe(found: Iterable[Place], root: str, head: str = "Logits/Logits") -> Recipe:
    """Where a checkpoint has the variables; the classifier lies in the scope `head`."""
    recipe = slim_classifier(f"{root}/{head}")
    for place in found:
        recipe |= slim_conv_norm(place.layer, f"{place.layer}_bn", f"{root}/{place.slim}")
    return recipe


def slim_unused(tensors: Iterable[str]) -> list[str]:
    """What a checkpoint holds for training alone: the auxiliary classifier, the step, averages and slots."""
    slots = "ExponentialMovingAverage|Momentum|RMSProp(_1)?|Adam(_1)?"
    training = re.compile(rf".*/AuxLogits/.*|(.*/)?global_step|.*/({slots})")
    return [name for name in tensors if training.fullmatch(name)]


def torch_recipe(found: Iterable[Place], head: str) -> Recipe:
    """Where a state dict has the variables, `gamma` among them (`folded` takes that out again), and the classifier."""
    recipe = layer("predictions", head, dense)
    for place in found:
        recipe[f"{place.layer}/kernel"] = (f"{place.torch}.conv.weight", hwio)
        recipe |= torch_norm(f"{place.layer}_bn", f"{place.torch}.bn")
    return recipe


def folded(tensors: dict[str, np.ndarray], recipe: Recipe) -> dict[str, np.ndarray]:
    """A state dict converted, every `gamma` multiplied into its layer's kernel and moving mean, which is the same."""
    made = convert(tensors, recipe, counters(tensors))
    for path in [path for path in made if path.endswith("_bn/gamma")]:
        name, gamma = path.removesuffix("_bn/gamma"), made.pop(path)
        kernel, mean = made[f"{name}/kernel"], made[f"{name}_bn/moving_mean"]
        if not gamma.shape == mean.shape == kernel.shape[-1:]:
            raise UsageError(
                f"The file's {recipe[path][0]} of shape {gamma.shape} does not fit {kernel.shape[-1]} filters."
            )
        made |= {f"{name}/kernel": kernel * gamma, f"{name}_bn/moving_mean": mean * gamma}
    return made
