"""An ONNX graph without what tf2onnx needs of TensorFlow's ways: the same numbers by half of the nodes.

TensorFlow multiplies a tensor of many axes by a matrix in five steps that ONNX has as one, Keras normalises layers by
eleven operations of which runtimes know no whole, and looks numbers up in ten where one would do. Networks of
attention, that hardly do anything else, answer in two thirds of the time without them. What is not exactly as it is
looked for here stays as it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np


def simplify(proto: Any) -> None:
    """Rewrites a `ModelProto` in place: see `_dense`, `_norm`, `_index` and `_erf`."""
    if any(attribute.HasField("g") or attribute.graphs for node in proto.graph.node for attribute in node.attribute):
        return  # A graph within the graph may read what looks unread.
    graph = _Graph.of(proto)
    for rewrite in (_dense, _norm, _index, _erf):
        for node in proto.graph.node:
            rewrite(graph, node)
    _drop_unread(proto.graph)


@dataclass(frozen=True)
class _Graph:
    """What is known of a graph's tensors, by name.

    Attributes:
        proto: The `GraphProto`.
        makers: The node that gives it.
        readers: How many nodes, or outputs of the graph, want it.
        constants: Its values, where they are known.
        shapes: Its sizes, with `None` for those that are not known.
    """

    proto: Any
    makers: dict[str, Any]
    readers: Counter[str]
    constants: dict[str, np.ndarray]
    shapes: dict[str, list[int | None]]

    @classmethod
    def of(cls, proto: Any) -> _Graph:
        from onnx import numpy_helper, shape_inference

        graph, shapes = proto.graph, {}
        known = shape_inference.infer_shapes(proto, data_prop=True).graph
        for value in (*known.value_info, *known.input, *known.output):
            if value.type.tensor_type.HasField("shape"):
                dims = value.type.tensor_type.shape.dim
                shapes[value.name] = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
        constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        readers = Counter(name for node in graph.node for name in node.input)
        readers.update(output.name for output in graph.output)
        makers = {name: node for node in graph.node for name in node.output}
        return cls(graph, makers, readers, constants, shapes)

    def maker(self, name: str, operation: str) -> Any | None:
        """The node that gives a tensor, where it is of that operation."""
        node = self.makers.get(name)
        return node if node is not None and node.op_type == operation else None

    def source(self, name: str) -> str:
        """The tensor that it is, whatever its type."""
        while (cast := self.maker(name, "Cast")) is not None:
            name = cast.input[0]
        return name

    def chain(self, name: str, *operations: str, through_casts: bool = False) -> list[Any] | None:
        """The nodes that give a tensor, its first input, that one's first input and so on."""
        found: list[Any] = []
        for operation in operations:
            name = self.source(name) if through_casts else name
            node = self.maker(name, operation)
            if node is None:
                return None
            found.append(node)
            name = node.input[0]
        return found

    def constant(self, name: str, value: Any) -> str:
        """Adds a constant by that name."""
        from onnx import numpy_helper

        self.proto.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def holds(self, name: str, values: list[int]) -> bool:
        """Whether a tensor is known to be these whole numbers."""
        return name in self.constants and self.constants[name].ravel().tolist() == values


def _dense(graph: _Graph, node: Any) -> None:
    """`Reshape(MatMul(Reshape(x, [-1, k]), w), [sizes of x but the last, n])` to `MatMul(x, w)`, which is the same.

    Of `tf.tensordot`, by which Keras multiplies tensors of more than two axes.
    """
    found = graph.chain(node.output[0], "Reshape", "MatMul", "Reshape")
    if found is None:
        return
    _, product, flat = found
    x, matrix = flat.input[0], graph.constants.get(product.input[1])
    shape = graph.shapes.get(x)
    if matrix is None or matrix.ndim != 2 or not shape or shape[-1] != len(matrix):
        return
    if graph.readers[product.output[0]] != 1 or not graph.holds(flat.input[1], [-1, len(matrix)]):
        return
    sizes = graph.chain(node.input[1], "Concat", "Gather", "Shape", through_casts=True)
    if sizes is None:
        return
    joined, gathered, measured = sizes
    leading = list(range(len(shape) - 1))
    if measured.input[0] != x or not graph.holds(gathered.input[1], leading):
        return
    if len(joined.input) != 2 or not graph.holds(joined.input[1], [matrix.shape[1]]):
        return
    product.input[0], name = x, node.output[0]
    node.output[0] = f"{name}/reshaped"  # Nobody reads it.
    product.output[0] = name
    graph.makers[name] = product


def _norm(graph: _Graph, node: Any) -> None:
    """`x * s + (-mean * s + beta)`, with `s = gamma / sqrt(variance + epsilon)`, to one node for the last axis.

    As Keras writes it: `keras.layers.LayerNormalization` by way of `keras.ops.layer_normalization`.
    """
    from onnx import helper

    scaled = graph.maker(node.input[0], "Mul") if node.op_type == "Add" else None
    shift = graph.maker(node.input[1], "Add") if scaled is not None else None
    if scaled is None or shift is None:
        return
    x, scale = scaled.input
    moved = graph.chain(shift.input[0], "Mul", "Neg", "ReduceMean")
    spread = graph.chain(scale, "Mul", "Reciprocal", "Sqrt", "Add", "ReduceMean", "Mul", "Sub")
    if moved is None or spread is None:
        return
    (by, _, mean), (gained, _, _, padded, variance, square, apart) = moved, spread
    gamma, beta, epsilon = (graph.constants.get(each.input[1]) for each in (gained, shift, padded))
    shape = graph.shapes.get(x)
    if gamma is None or beta is None or epsilon is None or epsilon.size != 1 or not shape or shape[-1] is None:
        return
    same = by.input[1] == scale and square.input[0] == square.input[1]
    same = same and mean.input[0] == x and list(apart.input) == [x, mean.output[0]]
    if not same or not gamma.size == beta.size == shape[-1] or gamma.dtype != np.float32:
        return
    if not all(_over_the_last(graph, each, len(shape)) for each in (mean, variance)):
        return
    if not all(value.shape[-1:] == (shape[-1],) for value in (gamma, beta)):
        return
    names = [
        graph.constant(f"{node.output[0]}/{kind}", value.ravel()) for kind, value in (("gamma", gamma), ("beta", beta))
    ]
    whole = helper.make_node(
        "LayerNormalization", [x, *names], list(node.output), name=node.name, axis=-1, epsilon=float(epsilon.item())
    )
    node.CopyFrom(whole)


def _over_the_last(graph: _Graph, mean: Any, axes: int) -> bool:
    """Whether a `ReduceMean` is over the last of so many axes alone, and keeps it."""
    keeps = all(attribute.i == 1 for attribute in mean.attribute if attribute.name == "keepdims")
    return keeps and len(mean.input) == 2 and any(graph.holds(mean.input[1], [axis]) for axis in (-1, axes - 1))


def _index(graph: _Graph, node: Any) -> None:
    """`Gather(table, where(i < 0, i + rows, i))` to `Gather(table, i)`, which counts from the end itself.

    Of `keras.ops.take`, and so of `keras.layers.Embedding`; the choice is written as a sum of two products.
    """
    chosen = graph.maker(node.input[1], "Add") if node.op_type == "Gather" else None
    table = graph.constants.get(node.input[0])
    if chosen is None or table is None or any(attribute.i for attribute in node.attribute):
        return
    for wrapped, plain in (chosen.input, reversed(chosen.input)):
        wrap, keep = graph.maker(wrapped, "Mul"), graph.maker(plain, "Mul")
        if wrap is None or keep is None:
            continue
        for index, unless in (keep.input, reversed(keep.input)):
            negative = graph.chain(unless, "Not", "Less", through_casts=True)
            if negative is not None and _wraps(graph, wrap, negative[1], index, len(table)):
                node.input[1] = index
                return


def _wraps(graph: _Graph, wrap: Any, less: Any, index: str, rows: int) -> bool:
    """Whether `wrap` is `(index < 0) * (index + rows)`, by the comparison `less`."""
    if graph.source(less.input[0]) != graph.source(index) or not graph.holds(less.input[1], [0]):
        return False
    for moved, condition in (wrap.input, reversed(wrap.input)):
        add = graph.maker(moved, "Add")
        if add is None or graph.source(condition) != less.output[0]:
            continue
        if any(one == index and graph.holds(other, [rows]) for one, other in (add.input, reversed(add.input))):
            return True
    return False


def _erf(graph: _Graph, node: Any) -> None:
    """`erf(x * 0.7071)` to `erf(x / 1.4142)`, by which runtimes know a `gelu`, and give it whole."""
    scaled = graph.maker(node.input[0], "Mul") if node.op_type == "Erf" else None
    if scaled is None:
        return
    for x, factor in (scaled.input, reversed(scaled.input)):
        value = graph.constants.get(factor)
        if value is not None and value.size == 1 and value.dtype == np.float32 and value.item() == _HALF_ROOT:
            scaled.op_type = "Div"
            scaled.input[:] = [x, graph.constant(f"{scaled.output[0]}/root", np.sqrt(np.float32(2)))]
            return


_HALF_ROOT = float(np.float32(np.sqrt(0.5)))


def _drop_unread(graph: Any) -> None:
    """Nodes and constants that nothing reads any more go."""
    kept, wanted = [], {output.name for output in graph.output}
    for node in reversed(graph.node):  # In an ONNX graph what gives a tensor stands before what reads it.
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    constants = [each for each in graph.initializer if each.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(constants)
