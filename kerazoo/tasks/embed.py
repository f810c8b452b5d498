"""`embed`: a picture, a sentence or a graph in, its vector out, or its nodes'; what is alike lies close together."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kerazoo import codecs
from kerazoo.codecs._word import Word
from kerazoo.codecs._wordpiece import WordPiece
from kerazoo.codecs.image import Image
from kerazoo.codecs.text import Text
from kerazoo.contract import Network, Port, Signature, Tensors
from kerazoo.tasks.nodes import graph_of, prepared, small, tensors_of

SHOWN = 6
"""Numbers of a vector that people are shown."""


@dataclass(frozen=True, eq=False)
class Vector:
    """What one item is described by.

    Attributes:
        vector: float32 [size].
    """

    vector: np.ndarray

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        """`vector`: all numbers, each the shortest that is the same in float32."""
        return {"vector": [float(str(number)) for number in self.vector]}

    def rows(self, limit: int = 5) -> list[str]:
        shown = " ".join(f"{number:.4g}" for number in self.vector[:SHOWN])
        return [f"{len(self.vector)} numbers: {shown}{' ...' if len(self.vector) > SHOWN else ''}"]

    def files(self) -> dict[str, bytes]:
        out = io.BytesIO()
        np.save(out, self.vector, allow_pickle=False)
        return {"vector.npy": out.getvalue()}


@dataclass(frozen=True)
class Embed:
    """An item as the network's own vector of it.

    Attributes:
        input: How a picture is made to fit, or a sentence becomes numbers.
        size: Numbers of a vector.
        part: The part of the network that gives it: what `input` makes to [batch, size].
        unit: Whether vectors are scaled to length 1, so that their dot product is the cosine.
    """

    kind: ClassVar[str] = "embed"
    batched: ClassVar[bool] = True

    input: Image | Text | WordPiece | Word
    size: int
    part: str = "network"
    unit: bool = False

    @property
    def request(self) -> tuple[Port, ...]:
        return (self.input.port,)

    @property
    def response(self) -> tuple[Port, ...]:
        return (Port("vector", "float32", (None, self.size)),)

    @property
    def parts(self) -> Mapping[str, Signature]:
        return {self.part: Signature((self.input.tensor,), (Port("embedding", "float32", (None, self.size)),))}

    def golden(self) -> dict[str, Any]:
        own, port = getattr(self.input, "golden", None), self.input.port
        return {port.name: own() if own is not None else codecs.of(port).example(port, np.random.default_rng(7))}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        fitted = self.input.prepare(ops, request[self.input.port.name])
        vector = network.part(self.part)({self.input.tensor.name: fitted})["embedding"]
        if self.unit:
            # A vector of zeros points nowhere, and stays as it is.
            vector = vector / ops.maximum(ops.sqrt(ops.sum(vector * vector, -1, keepdims=True)), np.float32(1e-12))
        return {"vector": vector}

    def read(self, response: Tensors, row: int) -> Vector:
        return Vector(np.asarray(response["vector"][row], np.float32))


@dataclass(frozen=True, eq=False)
class NodeVectors:
    """What the nodes of one graph are described by, in their order.

    Attributes:
        vectors: float32 [nodes, size].
    """

    vectors: np.ndarray

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        """`vectors`: all numbers, each the shortest that is the same in float32."""
        return {"vectors": [Vector(vector).to_json()["vector"] for vector in self.vectors]}

    def rows(self, limit: int = 5) -> list[str]:
        return [f"{node}  {line}" for node, vector in enumerate(self.vectors) for line in Vector(vector).rows()]

    def files(self) -> dict[str, bytes]:
        return {"vectors.npy": Vector(self.vectors).files()["vector.npy"]}


@dataclass(frozen=True)
class EmbedNodes:
    """The nodes of one graph as the network's own vectors of them.

    Attributes:
        features: Values a node comes with.
        size: Numbers of a vector.
        part: The part of the network that gives them.
    """

    kind: ClassVar[str] = "embed"
    batched: ClassVar[bool] = False

    features: int
    size: int
    part: str = "encoder"

    @property
    def request(self) -> tuple[Port, ...]:
        return graph_of(self.features)

    @property
    def response(self) -> tuple[Port, ...]:
        return (Port("vectors", "float32", (None, self.size)),)

    @property
    def parts(self) -> Mapping[str, Signature]:
        return {self.part: Signature(tensors_of(self.features), (Port("hidden", "float32", (None, self.size)),))}

    def golden(self) -> dict[str, Any]:
        return small(self.features)

    def answer(self, network: Network, request: Tensors) -> Tensors:
        inputs = prepared(network.ops, request, self.features)
        return {"vectors": network.part(self.part)(inputs)["hidden"]}

    def read(self, response: Tensors, row: int) -> NodeVectors:
        return NodeVectors(np.asarray(response["vectors"], np.float32))
