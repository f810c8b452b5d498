"""A functional model as a list of calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kerazoo.errors import UsageError
from kerazoo.lazy import keras


@dataclass(frozen=True)
class Call:
    """One use of a layer.

    Attributes:
        layer: The layer.
        inputs, outputs: Symbolic tensors, in order.
        arguments: Keras' record of what the layer was called with.
    """

    layer: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    arguments: Any

    def again(self, layer: Any, tensors: dict[int, Any]) -> Any:
        """What another layer gives in this one's place.

        Args:
            tensors: What stands for each symbolic tensor, by its `id`.
        """
        args, kwargs = self.arguments.fill_in({id(tensor): tensors[id(tensor)] for tensor in self.inputs})
        return layer(*args, **kwargs)


def calls(model: Any) -> Iterator[Call]:
    """The calls of a functional or sequential model, each after those that it needs.

    Raises:
        UsageError: The model is neither.
    """
    inner = getattr(model, "_functional", None) or model
    if not isinstance(inner, keras.models.Model) or not hasattr(inner, "_nodes_by_depth"):
        raise UsageError(
            f"{getattr(model, 'name', model)} is no functional or sequential Keras model; the others cannot be looked "
            "into.\nBuild it as keras.Model(inputs, outputs)."
        )
    for depth in sorted(inner._nodes_by_depth, reverse=True):
        for node in inner._nodes_by_depth[depth]:
            yield Call(node.operation, tuple(node.input_tensors), tuple(node.output_tensors), node.arguments)
