"""`nodes`: a graph in, the class of each of its nodes out."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from kerazoo.contract import Network, Port, Signature, Tensor, Tensors


@dataclass(frozen=True)
class NodeLabels:
    """The classes of one graph's nodes, in the nodes' order.

    Attributes:
        labels, indices, scores: One a node; scores are probabilities.
        names: Of all classes.
        edges: Of the graph that was asked about, int64 [n, 2]; `None` where it is not at hand to be drawn.
    """

    labels: tuple[str, ...]
    indices: tuple[int, ...]
    scores: tuple[float, ...]
    names: tuple[str, ...] = ()
    edges: np.ndarray | None = field(default=None, repr=False, compare=False)

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        rows = zip(self.labels, self.indices, self.scores, strict=True)
        return {"nodes": [{"label": label, "index": index, "score": round(score, 6)} for label, index, score in rows]}

    def rows(self, limit: int = 5) -> list[str]:
        rows = zip(self.labels, self.scores, strict=True)
        return [f"{score:7.2%}  {node}  {label}" for node, (label, score) in enumerate(rows)]

    def on(self, asked: Mapping[str, Any]) -> NodeLabels:
        """The same, to be drawn on the graph that was asked about."""
        return replace(self, edges=np.asarray(asked["edges"]))

    def files(self) -> Mapping[str, bytes]:
        return self._files

    @functools.cached_property
    def _files(self) -> Mapping[str, bytes]:
        from kerazoo.tasks._drawing import Drawn

        return {} if self.edges is None else Drawn(**{"graph.png": self._repr_png_})

    def _repr_png_(self) -> bytes:
        """The graph: points in the colours of their classes, and lines between."""
        from kerazoo.tasks import _drawing
        from kerazoo.tasks._layout import layout

        edges = np.zeros((0, 2), np.int64) if self.edges is None else self.edges
        return _drawing.network(layout(edges, len(self.indices)), edges, np.array(self.indices), self.names)


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
        return graph_of(self.features)

    @property
    def response(self) -> tuple[Port, ...]:
        return (
            Port("label", "string", (None,), "text"),
            Port("index", "int64", (None,)),
            Port("score", "float32", (None,)),
        )

    @property
    def parts(self) -> Mapping[str, Signature]:
        return {"network": Signature(tensors_of(self.features), (Port("logits", "float32", (None, len(self.labels))),))}

    def golden(self) -> dict[str, Any]:
        return small(self.features)

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        inputs = prepared(ops, request, self.features)
        score, index = ops.top_k(ops.softmax(network.part("network")(inputs)["logits"]), 1)
        return {"label": ops.gather(self.labels, index[:, 0]), "index": index[:, 0], "score": score[:, 0]}

    def read(self, response: Tensors, row: int) -> NodeLabels:
        return NodeLabels(
            tuple(label.decode() for label in response["label"].tolist()),
            tuple(response["index"].tolist()),
            tuple(np.asarray(response["score"], np.float64).tolist()),
            self.labels,
        )


def graph_of(features: int) -> tuple[Port, ...]:
    """The ports of a graph whose nodes come with so many values."""
    return (Port("features", "float32", (None, features), "graph"), Port("edges", "int64", (None, 2), "graph"))


def tensors_of(features: int) -> tuple[Port, ...]:
    """What `prepared` makes of a graph."""
    return (
        Port("features", "float32", (None, features)),
        Port("source", "int32", (None,)),
        Port("target", "int32", (None,)),
        Port("weight", "float32", (None,)),
    )


def small(features: int) -> dict[str, Any]:
    """A graph of six nodes, a few words each as in a citation graph: over many the classes would come out alike."""
    words = np.zeros((6, features), np.float32)
    for word in range(5):
        words[np.arange(6), (np.arange(6) * 101 + word * 37) % features] = 1.0
    edges = [[0, 1], [1, 2], [2, 0], [3, 4], [4, 3], [2, 2]]
    return {"features": words, "edges": np.array(edges, np.int64)}


def prepared(ops: Any, request: Tensors, values: int) -> dict[str, Tensor]:
    """What a graph network takes, by the names of `tensors_of`.

    Args:
        ops: The array functions.
        request: `features` [nodes, values] and `edges` [n, 2].
        values: That a node comes with.

    Raises:
        InputError: There are no nodes, another number of features, or an edge to a node that is not there.
    """
    features, edges = request["features"], request["edges"]
    nodes, width = ops.size(features)
    ops.check(nodes > 0, "The graph has no nodes.")
    ops.check(width == values, f"A node of this model's graphs has {values} features.")
    ops.check((edges >= 0) & (edges < ops.cast(nodes, "int64")), "An edge names a node that the graph does not have.")
    source, target, weight = normalised(ops, edges, nodes)
    return {"features": shares(ops, features), "source": source, "target": target, "weight": weight}


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
