"""Files that were made elsewhere, behind the ports that a task calls: other names, other layouts, quantised tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.codecs.image import Normalise
from kerazoo.contract import Network, Signature, Tensor, Tensors

LAYOUTS = ("nhwc", "nchw")
"""Where the channels of a picture stand: last, or before height and width."""


@dataclass(frozen=True)
class Seam:
    """One tensor of a file and the port that it is.

    Attributes:
        port: What the task calls it.
        tensor: What the file calls it.
        dtype: What the file holds, a NumPy name.
        layout: Of pictures, one of `LAYOUTS`.
        scale, zero_point: Of a quantised tensor: the number is `scale * (held - zero_point)`; scale 0 where it is not.
    """

    port: str
    tensor: str
    dtype: str = "float32"
    layout: str = "nhwc"
    scale: float = 0.0
    zero_point: int = 0

    def held(self, ops: Any, value: Tensor) -> Tensor:
        """A port's value as the file takes it."""
        if self.layout == "nchw":
            value = ops.transpose(value, (0, 3, 1, 2))
        if self.scale:
            limits = np.iinfo(self.dtype)
            levels = ops.round(value / np.float32(self.scale)) + np.float32(self.zero_point)
            value = ops.minimum(ops.maximum(levels, np.float32(limits.min)), np.float32(limits.max))
        return value if self.dtype == "float32" else ops.cast(value, self.dtype)

    def meant(self, ops: Any, value: Tensor, rank: int) -> Tensor:
        """What the file answered as the port's value, without axes of length 1 that the port does not have."""
        if self.dtype != "float32":
            value = ops.cast(value, "float32")
        if self.scale:
            value = (value - np.float32(self.zero_point)) * np.float32(self.scale)
        if self.layout == "nchw" and len(value.shape) == 4:
            value = ops.transpose(value, (0, 2, 3, 1))
        if len(value.shape) > rank:
            value = ops.reshape(value, (ops.length(value), *value.shape[len(value.shape) - rank + 1 :]))
        return value


@dataclass(frozen=True)
class Adapter:
    """How a file calls and holds the tensors of a task's network.

    Attributes:
        inputs, outputs: One seam a port.
        part: What the file calls its network: the signature, in a SavedModel.
    """

    inputs: tuple[Seam, ...]
    outputs: tuple[Seam, ...]
    part: str = "network"


@dataclass(frozen=True)
class Adapted:
    """A network of somebody else's as the task's part `network`."""

    inner: Network
    adapter: Adapter
    signature: Signature
    normalise: Normalise | None = None

    @property
    def ops(self) -> Any:
        return self.inner.ops

    def __call__(self, inputs: Tensors) -> Tensors:
        ops = self.ops
        media = {port.name: port.media for port in self.signature.inputs}
        ranks = {port.name: len(port.shape) for port in self.signature.outputs}
        held: dict[str, Tensor] = {}
        for seam in self.adapter.inputs:
            value = inputs[seam.port]
            if self.normalise is not None and media[seam.port] == self.normalise.media:
                value = self.normalise(value)
            held[seam.tensor] = seam.held(ops, value)
        answered = self.inner(held)
        return {seam.port: seam.meant(ops, answered[seam.tensor], ranks[seam.port]) for seam in self.adapter.outputs}

    def part(self, name: str) -> Adapted:
        return self


def adapted(network: Network, adapter: Adapter | None, parts: Mapping[str, Signature], normalise: Any) -> Network:
    """The network behind its adapter, or as it is where there is none."""
    if adapter is None:
        return network
    (signature,) = parts.values()
    return Adapted(network.part(adapter.part), adapter, signature, normalise)
