"""Files that were made elsewhere, behind the ports that a task calls: other names, other layouts, quantised tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.codecs.image import Normalise
from kerazoo.contract import Network, Port, Signature, Tensor, Tensors

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
        kind = np.dtype(self.dtype)
        if kind.kind in "iu":
            limits = np.iinfo(kind)
            levels = ops.round(value / np.float32(self.scale or 1.0)) + np.float32(self.zero_point)
            value = ops.minimum(ops.maximum(levels, np.float32(limits.min)), np.float32(limits.max))
        return value if self.dtype == "float32" else ops.cast(value, self.dtype)

    def meant(self, ops: Any, value: Tensor, shape: tuple[int | None, ...]) -> Tensor:
        """What the file answered as the port's value, without axes of length 1 that the port does not have."""
        if self.dtype != "float32":
            value = ops.cast(value, "float32")
        if self.scale:
            value = (value - np.float32(self.zero_point)) * np.float32(self.scale)
        if self.layout == "nchw" and len(value.shape) == 4:
            value = ops.transpose(value, (0, 2, 3, 1))
        if len(value.shape) != len(shape):
            value = ops.reshape(value, (-1, *(side or -1 for side in shape[1:])))
        return value


@dataclass(frozen=True)
class Adapter:
    """How a file calls and holds the tensors of a task's network.

    Attributes:
        inputs, outputs: One seam a port.
        part: What the file calls its network: the signature, in a SavedModel.
        row_by_row: Whether the file takes one row at a time.
    """

    inputs: tuple[Seam, ...]
    outputs: tuple[Seam, ...]
    part: str = "network"
    row_by_row: bool = False


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
        count = self.ops.length(next(iter(inputs.values())))
        if not self.adapter.row_by_row or (isinstance(count, int) and count == 1):
            return self._run(inputs)

        def row(port: Port) -> Callable[[Any], Tensor]:
            return lambda index: self._run({name: value[index][None] for name, value in inputs.items()})[port.name][0]

        return {
            port.name: self.ops.map_range(row(port), count, port.shape[1:], port.dtype)
            for port in self.signature.outputs
        }

    def _run(self, inputs: Tensors) -> Tensors:
        ops = self.ops
        media = {port.name: port.media for port in self.signature.inputs}
        shapes = {port.name: port.shape for port in self.signature.outputs}
        held: dict[str, Tensor] = {}
        for seam in self.adapter.inputs:
            value = inputs[seam.port]
            if self.normalise is not None and media[seam.port] == self.normalise.media:
                value = self.normalise(value)
            held[seam.tensor] = seam.held(ops, value)
        answered = self.inner(held)
        return {seam.port: seam.meant(ops, answered[seam.tensor], shapes[seam.port]) for seam in self.adapter.outputs}

    def part(self, name: str) -> Adapted:
        return self


def adapted(network: Network, adapter: Adapter | None, parts: Mapping[str, Signature], normalise: Any) -> Network:
    """The network behind its adapter, or as it is where there is none."""
    if adapter is None:
        return network
    (signature,) = parts.values()
    return Adapted(network.part(adapter.part), adapter, signature, normalise)
