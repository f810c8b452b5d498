"""What the layers of a functional model compute and hold."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.train.calls import Call, calls

KERNELS = {
    "Conv1D": "kernel",
    "Conv2D": "kernel",
    "Conv3D": "kernel",
    "GroupedConv2D": "kernel",
    "DepthwiseConv2D": "kernel",
    "Dense": "kernel",
}
"""Class of a layer that multiplies its input with weights -> the attribute that holds them, outputs last."""


@dataclass(frozen=True)
class Kernel:
    """The weights that a layer multiplies its input with.

    Attributes:
        layer: Name of the layer.
        variable: Of Keras; outputs come last, but for depthwise convolutions, whose last two axes are inputs and
            outputs of each.
        multiply_adds: Of one sample, every weight in use.
        depthwise: Whether each channel is filtered alone.
    """

    layer: str
    variable: Any
    multiply_adds: int
    depthwise: bool = False

    @property
    def path(self) -> str:
        return str(self.variable.path)

    @property
    def size(self) -> int:
        return math.prod(self.variable.shape)


def kernels(model: Any, keep: Iterable[str] = ()) -> list[Kernel]:
    """Weights that can be pruned, in the order of the graph.

    Args:
        model: A functional model with known sizes.
        keep: Names of layers that stay as they are, or patterns of them (`conv_dw_*`).

    Raises:
        UsageError: There are none, or a name in `keep` is no layer's.
    """
    found: dict[str, Kernel] = {}
    for call in calls(model):
        name = KERNELS.get(type(call.layer).__name__)
        if name is None:
            continue
        variable = getattr(call.layer, name)
        before = found[call.layer.name].multiply_adds if call.layer.name in found else 0
        found[call.layer.name] = Kernel(
            call.layer.name,
            variable,
            before + _multiply_adds(call, variable),
            isinstance(call.layer, keras.layers.DepthwiseConv2D),
        )
    if not found:
        raise UsageError(
            f"{model.name} has no layer that can be pruned; those of the classes {', '.join(KERNELS)} can."
        )
    for pattern in keep:
        if not fnmatch.filter(found, pattern):
            raise UsageError(f"--keep {pattern}: {model.name} has no such layer; it has {', '.join(found)}.")
    kept = [kernel for kernel in found.values() if not any(fnmatch.fnmatch(kernel.layer, each) for each in keep)]
    if not kept:
        raise UsageError(f"--keep leaves nothing of {model.name} to prune: it has {', '.join(found)}.")
    return kept


def classifier(model: Any) -> str | None:
    """The last layer with weights that can be pruned; `None` where there is only one."""
    names = [call.layer.name for call in calls(model) if type(call.layer).__name__ in KERNELS]
    return names[-1] if len(set(names)) > 1 else None


def _multiply_adds(call: Call, variable: Any) -> int:
    places = call.outputs[0].shape[1:-1]
    if None in places:
        raise UsageError(f"{call.layer.name}: how much it computes depends on the input's size, which is not fixed.")
    return math.prod(places) * math.prod(variable.shape)
