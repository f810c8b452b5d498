"""`nodes`: a graph in, the class of each of its nodes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kerazoo.contract import Network, Port, Signature, Tensor, Tensors


@dataclass(frozen=True)
class NodeLabels:
    """The classes of one graph's nodes, in the nodes' order.

    Attributes:
        labels, indices, scores: One a node; scores are probabilities.
    """

    labels: tuple[str, ...]
    indices: tuple[int, ...]
    scores: tuple[float, ...]

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        rows = zip(self.labels, self.indices, self.scores, strict=True)
        return {"nodes": [{"label": label, "index": index, "score": round(score, 6)} for label, index, score in rows]}

    def rows(self, limit: int = 5) -> list[str]:
        rows = zip(self.labels, self.scores, strict=True)
        return [f"{score:7.2%}  {node}  {label}" for node, (label, score) in enumerate(rows)]

    def files(self) -> dict[str, bytes]:
        return {}


@dataclass(frozen=True)
class Nodes:
    """The most probable class of each node of one graph.

    Attributes:
        labels: One name a class, in the order of the logits.
        features: Values a node comes with.
    """

    kind: ClassVar[str] = "nodes"
    batched: ClassVar[bool] = False

    labels: tuple[str, ...]
    features: int

    @property
    def request(self) -> tuple[Port, ...]:
        return (Port("features", "float32", (None, self.features), "graph"), Port("edges", "int64", (None, 2), "graph"))

    @property
    def response(self) -> tuple[Port, ...]:
        return (
            Port("label", "string", (None,), "text"),
            Port("index", "int64", (None,)),
            Port("score", "float32", (None,)),
        )

    @property
    def parts(self) -> Mapping[str, Signature]:
        inputs = (
            Port("features", "float32", (None, self.features)),
            Port("source", "int32", (None,)),
            Port("target", "int32", (None,)),
            Port("weight", "float32", (None,)),
        )
        return {"network": Signature(inputs, (Port("logits", "float32", (None, len(self.labels))),))}

    def golden(self) -> dict[str, Any]:
        # A few words a node, as in a citation graph: over many features the classes would come out alike.
        features = np.zeros((6, self.features), np.float32)
        for word in range(5):
            features[np.arange(6), (np.arange(6) * 101 + word * 37) % self.features] = 1.0
        edges = [[0, 1], [1, 2], [2, 0], [3, 4], [4, 3], [2, 2]]
        return {"features": features, "edges": np.array(edges, np.int64)}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        features, edges = request["features"], request["edges"]
        nodes, width = ops.size(features)
        ops.check(nodes > 0, "The graph has no nodes.")
        ops.check(width == self.features, f"A node of this model's graphs has {self.features} features.")
        ops.check(
            (edges >= 0) & (edges < ops.cast(nodes, "int64")), "An edge names a node that the graph does not have."
        )
        source, target, weight = normalised(ops, edges, nodes)
        inputs = {"features": shares(ops, features), "source": source, "target": target, "weight": weight}
        score, index = ops.top_k(ops.softmax(network(inputs)["logits"]), 1)
        return {"label": ops.gather(self.labels, index[:, 0]), "index": index[:, 0], "score": score[:, 0]}

    def read(self, response: Tensors, row: int) -> NodeLabels:
        return NodeLabels(
            tuple(label.decode() for label in response["label"].tolist()),
            tuple(response["index"].tolist()),
            tuple(np.asarray(response["score"], np.float64).tolist()),
        )


def shares(ops: Any, features: Tensor) -> Tensor:
    """Rows [n, F] divided by their sums; a row that sums to 0 stays as it is."""
    sums = ops.sum(features, 1, keepdims=True)
    return features / ops.where(sums == 0.0, ops.full((1, 1), 1.0, "float32"), sums)


def normalised(ops: Any, edges: Tensor, nodes: Any) -> tuple[Tensor, Tensor, Tensor]:
    """D^-1/2 (A + I) D^-1/2 of an undirected graph, as a list of its values that are not 0.

    Args:
        ops: The array functions.
        edges: int64 [n, 2], each pair in any order and any number of times; loops have no effect.
        nodes: How many nodes there are.

    Returns:
        Column and row of each value, int32 [m], and the value, float32 [m]; rows ascend, and none is missing.
    """
    many = ops.cast(nodes, "int64")
    own = ops.cast(ops.arange(nodes), "int64")
    a, b = edges[:, 0], edges[:, 1]
    # One number a pair: sorting them puts rows in order and equal pairs side by side.
    pairs = ops.unique(ops.concat([a * many + b, b * many + a, own * many + own], 0))
    target, source = ops.cast(pairs // many, "int32"), ops.cast(pairs % many, "int32")
    degree = ops.cast(ops.bincount(target, nodes), "float32")
    weight = 1.0 / ops.sqrt(ops.gather(degree, target) * ops.gather(degree, source))
    return source, target, weight
