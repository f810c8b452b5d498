"""Which channels of a network are one and the same, and which may go.

Every channel of every tensor is traced through the graph. A convolution makes new ones; a depthwise convolution,
normalisation, activation or pooling hands its input's on; an addition ties two together, for neither can go alone; a
concatenation puts them side by side. What is tied through any number of layers is one group, and goes or stays
together. What a layer that is not known here sees must stay, as must what goes in and out of the network. The groups
are those of Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023, arXiv:2301.12900, section 3.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kerazoo.train.calls import Call, calls

Channels = np.ndarray
"""The number of each channel along a tensor's last axis, int64 [channels]."""


@dataclass(frozen=True)
class Side:
    """An axis of a variable that counts channels.

    Attributes:
        variable: Of Keras.
        axis: Of its shape.
        channels: What lies along it.
        makes: Whether the layer computes these channels; else it reads them, or scales what it is given.
    """

    variable: Any
    axis: int
    channels: Channels
    makes: bool


@dataclass(frozen=True)
class Product:
    """Multiply-adds: `each` for every pair of an input and an output channel, or for every channel of a depthwise."""

    layer: str
    inputs: Channels | None
    outputs: Channels
    each: int


@dataclass
class Traced:
    """What there is to know of a network's channels.

    Attributes:
        parents: Of each channel, towards the one that stands for its group.
        fixed: Channels that must stay.
        sides: Variables that hold channels.
        products: What is computed with them.
        calls: Each layer's name -> its inputs' and its output's channels; `None` where they do not matter.
    """

    parents: list[int] = field(default_factory=list)
    fixed: set[int] = field(default_factory=set)
    sides: list[Side] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)
    calls: dict[str, tuple[list[Channels], Channels]] = field(default_factory=dict)

    def new(self, count: int) -> Channels:
        first = len(self.parents)
        self.parents += range(first, first + count)
        return np.arange(first, first + count)

    def group(self, channel: int) -> int:
        while self.parents[channel] != channel:
            self.parents[channel] = self.parents[self.parents[channel]]
            channel = self.parents[channel]
        return channel

    def groups(self, channels: Channels) -> np.ndarray:
        return np.array([self.group(int(channel)) for channel in channels], np.int64)

    def tie(self, left: Channels, right: Channels) -> None:
        for one, other in zip(left, right, strict=True):
            self.parents[self.group(int(one))] = self.group(int(other))

    def fix(self, channels: Channels) -> None:
        self.fixed.update(int(channel) for channel in channels)

    def free(self) -> set[int]:
        """Groups that may go."""
        every = {self.group(channel) for channel in range(len(self.parents))}
        return every - {self.group(channel) for channel in self.fixed}


def trace(model: Any) -> Traced:
    """The channels of a functional model whose channels come last.

    Raises:
        UsageError: It is no functional model.
    """
    traced = Traced()
    tensors: dict[int, Channels] = {}
    for call in calls(model):
        inputs = [tensors[id(tensor)] for tensor in call.inputs]
        name, sides = call.layer.name, len(traced.sides)
        rule = _RULES.get(type(call.layer).__name__)
        made = rule(traced, call, inputs) if rule is not None else None
        if made is None:
            for channels in inputs:
                traced.fix(channels)
            made = traced.new(_length(call.outputs[0]))
            traced.fix(made)
        if name in traced.calls:  # Used twice with the same weights.
            del traced.sides[sides:]
            before = traced.calls[name]
            for one, other in zip((*before[0], before[1]), (*inputs, made), strict=True):
                if len(one) == len(other):
                    traced.tie(one, other)
                else:
                    traced.fix(np.concatenate([one, other]))
        traced.calls[name] = (inputs, made)
        tensors[id(call.outputs[0])] = made
        for more in call.outputs[1:]:
            tensors[id(more)] = traced.new(_length(more))
            traced.fix(tensors[id(more)])
    for output in model.outputs:
        traced.fix(tensors[id(output)])
    return traced


def _length(tensor: Any) -> int:
    return int(tensor.shape[-1] or 1) if len(tensor.shape) else 1


def _last(layer: Any) -> bool:
    return getattr(layer, "data_format", "channels_last") == "channels_last"


def _conv(traced: Traced, call: Call, inputs: list[Channels]) -> Channels | None:
    layer = call.layer
    if not _last(layer) or getattr(layer, "groups", 1) > 1 or getattr(layer, "lora_enabled", False):
        return None
    made = traced.new(_length(call.outputs[0]))
    kernel = layer.kernel
    axes = len(kernel.shape)
    traced.sides += [Side(kernel, axes - 2, inputs[0], False), Side(kernel, axes - 1, made, True)]
    if layer.bias is not None:
        traced.sides.append(Side(layer.bias, 0, made, True))
    places = math.prod(call.outputs[0].shape[1:-1])
    traced.products.append(Product(layer.name, inputs[0], made, places * math.prod(kernel.shape[:-2])))
    return made


def _depthwise(traced: Traced, call: Call, inputs: list[Channels]) -> Channels | None:
    layer = call.layer
    if not _last(layer):
        return None
    made = np.repeat(inputs[0], layer.depth_multiplier)
    traced.sides.append(Side(layer.kernel, len(layer.kernel.shape) - 2, inputs[0], False))
    if layer.bias is not None:
        traced.sides.append(Side(layer.bias, 0, made, False))
    places = math.prod(call.outputs[0].shape[1:-1])
    traced.products.append(Product(layer.name, None, made, places * math.prod(layer.kernel.shape[:-2])))
    return made


def _normalised(traced: Traced, call: Call, inputs: list[Channels]) -> Channels | None:
    layer = call.layer
    if layer.axis not in (-1, len(call.inputs[0].shape) - 1):
        return None
    traced.sides += [Side(variable, 0, inputs[0], False) for variable in layer.weights]
    return inputs[0]


def _passed(traced: Traced, call: Call, inputs: list[Channels]) -> Channels | None:
    return inputs[0] if _last(call.layer) and len(inputs) == 1 else None


def _activated(traced: Traced, call: Call, inputs: list[Channels]) -> Channels | None:
    # Shares of a whole depend on all channels.
    name = getattr(call.layer.activation, "__name__", "")
    return None if name in ("softmax", "log_softmax") else inputs[0]


def _padded(traced: Traced, call: Call, inputs: list[Channels]) -> Channels | None:
    if _last(call.layer):
        return inputs[0]
    # Of [batch, height, width, channels] a layer that is told that channels come first pads width and channels.
    before, after = call.layer.padding[-1]
    if len(inputs[0]) + before + after != _length(call.outputs[0]):
        return None
    return np.concatenate([traced.new(before), inputs[0], traced.new(after)])


def _merged(traced: Traced, call: Call, inputs: list[Channels]) -> Channels | None:
    if len({len(channels) for channels in inputs}) > 1:
        return None
    for other in inputs[1:]:
        traced.tie(inputs[0], other)
    return inputs[0]


def _concatenated(traced: Traced, call: Call, inputs: list[Channels]) -> Channels | None:
    if call.layer.axis in (-1, len(call.outputs[0].shape) - 1):
        return np.concatenate(inputs)
    return _merged(traced, call, inputs)


def _flattened(traced: Traced, call: Call, inputs: list[Channels]) -> Channels | None:
    if not _last(call.layer) or _length(call.outputs[0]) % len(inputs[0]):
        return None
    return np.tile(inputs[0], _length(call.outputs[0]) // len(inputs[0]))


def _reshaped(traced: Traced, call: Call, inputs: list[Channels]) -> Channels | None:
    # What is told as a number cannot be another one; a classifier's, which stays, is.
    return inputs[0] if call.layer.target_shape[-1] == -1 and _length(call.outputs[0]) == len(inputs[0]) else None


Rule = Callable[[Traced, Call, list[Channels]], Channels | None]

_PASSING = (
    "ReLU", "LeakyReLU", "ELU", "Dropout", "SpatialDropout2D", "GaussianNoise", "Identity", "MaxPooling2D",
    "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "UpSampling2D", "Cropping2D",
)  # fmt: skip
_MERGING = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")

_RULES: dict[str, Rule] = {
    **dict.fromkeys(_PASSING, _passed),
    **dict.fromkeys(_MERGING, _merged),
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D", "GroupedConv2D", "Dense"), _conv),
    "Activation": _activated,
    "BatchNormalization": _normalised,
    "Concatenate": _concatenated,
    "DepthwiseConv2D": _depthwise,
    "Flatten": _flattened,
    "Reshape": _reshaped,
    "ZeroPadding2D": _padded,
}
"""Class of a layer -> what becomes of channels; any other layer's must stay."""


def families(traced: Traced) -> list[np.ndarray]:
    """Free groups that lie in the same places of the same tensors: one width to choose for each family.

    Returns:
        Groups int64 [n] of each, in the order of the graph.
    """
    places: dict[int, list[int]] = defaultdict(list)
    for number, side in enumerate(traced.sides):
        for group in traced.groups(side.channels):
            places[int(group)].append(number)
    several: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for group in sorted(traced.free() & places.keys()):
        several[tuple(places[group])].append(group)
    found = [np.array(groups) for groups in several.values()]
    # What no layer computes has no width to choose.
    made = {int(group) for side in traced.sides if side.makes for group in traced.groups(side.channels)}
    return [groups for groups in found if int(groups[0]) in made]
