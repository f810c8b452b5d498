"""What quantisation has to know of a float artefact, whatever its format: layers with weights, and what lies between.

Weights are seen as [outputs, height, width, inputs] (dense ones as [outputs, inputs], depthwise ones as
[channels, height, width, 1]), activations with their channels last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kerazoo.contract import Network
from kerazoo.export.golden import Call

Constants = Mapping[str, np.ndarray]
"""Weights and biases by name, seen as above."""

Range = tuple[float, float]
"""The least and the greatest value of a tensor that its integers stand for."""


@dataclass(frozen=True)
class Layer:
    """One operation with weights.

    Attributes:
        name: What its format's tool calls it.
        weight, bias: Names of its constants; a layer may have no bias.
        input, output: Names of its tensors.
        depthwise: Whether each channel is filtered alone.
        bound: Where its own activation cuts its output off above.
        positive: Whether scaling its sum scales its output, up to the bound: no activation, or a rectifier.
    """

    name: str
    weight: str
    bias: str | None
    input: str
    output: str
    depthwise: bool = False
    bound: float = float("inf")
    positive: bool = True


@dataclass(frozen=True)
class Step:
    """One operation without weights, between two layers.

    Attributes:
        passes: Whether it treats every channel alike and alone, and scales with its input up to the bound: padding with
            zeros, pooling, a rectifier.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    passes: bool = False
    bound: float = float("inf")


@dataclass(frozen=True)
class Graph:
    """A float artefact.

    Attributes:
        layers, steps: In the order in which they run.
        constants: Those of the layers.
        results: Names of the tensors that it answers.
        shared: Names of constants that several operations read, which must stay as they are.
    """

    layers: tuple[Layer, ...]
    steps: tuple[Step, ...]
    constants: Constants
    results: frozenset[str]
    shared: frozenset[str] = field(default_factory=frozenset)

    def readers(self, tensor: str) -> list[Layer | Step]:
        """Who reads a tensor."""
        layers: list[Layer | Step] = [layer for layer in self.layers if layer.input == tensor]
        return layers + [step for step in self.steps if tensor in step.inputs]

    def before_layers(self) -> list[Step]:
        """Steps that no layer has come before: normalisation, which 8 bits would round twice."""
        found: list[Step] = []
        behind = {layer.output for layer in self.layers}
        for step in self.steps:  # In order: what follows a layer's output is behind it, too.
            if behind.isdisjoint(step.inputs):
                found.append(step)
            else:
                behind |= set(step.outputs)
        return found


class Tool(Protocol):
    """A format's own quantiser, and the engine that runs its files: one module of this package each."""

    def read(self, path: Path) -> Any:
        """The file, as this tool holds it: what the others below take."""
        ...

    def graph(self, model: Any) -> Graph: ...

    def with_constants(self, model: Any, changed: Constants) -> Any:
        """The same with other weights."""
        ...

    def observe(self, model: Any, calls: Iterable[Call]) -> Iterator[Mapping[str, np.ndarray]]:
        """All activations of each call, by name."""
        ...

    def write(
        self, model: Any, ranges: Mapping[str, Range], floats: frozenset[str], precision: str, path: Path
    ) -> None:
        """Writes the file in a precision of `kerazoo.formats`, without a card.

        Args:
            ranges: Of the activations; not asked where the precision needs none.
            floats: Names of layers and steps that stay in floats.
        """
        ...

    def network(self, path: Path, parts: Sequence[str], batched: bool) -> Network:
        """A file that was written, on the engine that will run it."""
        ...


def next_layer(graph: Graph, layer: Layer) -> tuple[Layer, float] | None:
    """The only layer that takes a layer's output, and where that is cut off on the way; `None` where others take it."""
    tensor, bound = layer.output, layer.bound
    while layer.positive and tensor not in graph.results:
        readers = graph.readers(tensor)
        if len(readers) != 1:
            return None
        (reader,) = readers
        if isinstance(reader, Layer):
            return reader, bound
        if not reader.passes or len(reader.outputs) != 1:
            return None
        tensor, bound = reader.outputs[0], min(bound, reader.bound)
    return None
