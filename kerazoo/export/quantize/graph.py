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
        joins: Whether it puts its inputs' channels side by side.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    passes: bool = False
    bound: float = float("inf")
    joins: bool = False


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
    """A format's own quantiser, and the engine that runs its files: one module of this package each.

    Attributes:
        PACKAGE: That writes files of less than floats.
    """

    PACKAGE: str

    def read(self, path: Path) -> Any:
        """The file, as this tool holds it: what the others below take."""
        ...

    def graph(self, model: Any) -> Graph: ...

    def with_constants(self, model: Any, changed: Constants) -> Any:
        """The same with other weights."""
        ...

    def observe(self, model: Any, calls: Iterable[Call], batched: bool = True) -> Iterator[Mapping[str, np.ndarray]]:
        """All activations of each call, by name.

        Args:
            batched: Whether the inputs have rows that can be asked one by one; a graph's nodes and edges have not.
        """
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


@dataclass(frozen=True)
class Reader:
    """A layer that takes another one's output.

    Attributes:
        layer: The one that takes it.
        offset: Where the other's channels begin among its inputs.
        bound: Where they are cut off on the way.
    """

    layer: Layer
    offset: int
    bound: float


def channels(graph: Graph) -> dict[str, int]:
    """How many channels the outputs of layers have, and what is made of them on the way to other layers."""
    found = {layer.output: len(graph.constants[layer.weight]) for layer in graph.layers}
    for step in graph.steps:
        counts = [found.get(name) for name in step.inputs]
        if len(step.outputs) == 1 and None not in counts and (step.joins or (step.passes and len(counts) == 1)):
            found[step.outputs[0]] = sum(count for count in counts if count is not None)
    return found


def readers_of(graph: Graph, layer: Layer, counts: Mapping[str, int]) -> list[Reader] | None:
    """All layers that take a layer's output, through steps that leave channels alone; `None` where anybody else does.

    Args:
        counts: What `channels` says.
    """
    return _followed(graph, layer.output, 0, layer.bound, counts) if layer.positive else None


def _followed(graph: Graph, tensor: str, offset: int, bound: float, counts: Mapping[str, int]) -> list[Reader] | None:
    if tensor in graph.results:
        return None
    found: list[Reader] = []
    for reader in graph.readers(tensor):
        if isinstance(reader, Layer):
            found.append(Reader(reader, offset, bound))
            continue
        before = 0
        if reader.joins and reader.inputs.count(tensor) == 1 and reader.outputs[0] in counts:
            before = sum(counts[name] for name in reader.inputs[: reader.inputs.index(tensor)])
        elif not reader.passes or len(reader.outputs) != 1:
            return None
        more = _followed(graph, reader.outputs[0], offset + before, min(bound, reader.bound), counts)
        if more is None:
            return None
        found += more
    return found or None
