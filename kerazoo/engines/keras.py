"""The `keras` engine: the functional model itself, with the weights' normalisation before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kerazoo.codecs.image import Normalise
from kerazoo.contract import Network, Signature, Tensors
from kerazoo.lazy import keras
from kerazoo.registry import Built


@dataclass(frozen=True)
class KerasNetwork:
    """A Keras model behind named ports, in the order of its signature.

    With NumPy ops it takes and gives arrays; with TensorFlow ops it can be traced into a SavedModel.

    Attributes:
        model: Called with the tensors of the part `here`, and with `training=False`.
        parts: All of the model's.
        normalise: What is done to pictures first.
        ops: The array functions.
        here: The part that a call runs.
        derived: Part -> what makes it of the whole model, for those that are no layer of it.
    """

    model: Any
    parts: Mapping[str, Signature]
    normalise: Normalise | None
    ops: Any
    here: str = "network"
    derived: Mapping[str, Callable[[str, Any], Any]] = field(default_factory=dict)
    cut: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Parts that were made of the model, by name: each once."""

    def __call__(self, inputs: Tensors) -> Tensors:
        signature = self.parts[self.here]
        tensors = [
            self.normalise(inputs[port.name])
            if self.normalise is not None and port.media == self.normalise.media
            else inputs[port.name]
            for port in signature.inputs
        ]
        outputs = self.model(tensors if len(tensors) > 1 else tensors[0], training=False)
        if isinstance(outputs, Mapping):
            outputs = [outputs[port.name] for port in signature.outputs]
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        if self.ops.__name__.endswith("numpy"):
            outputs = [keras.ops.convert_to_numpy(output) for output in outputs]
        # A model of mixed precision may end in half precision, which a task would go on in.
        outputs = [
            self.ops.cast(output, port.dtype) if port.dtype == "float32" else output
            for output, port in zip(outputs, signature.outputs, strict=True)
        ]
        return dict(zip((port.name for port in signature.outputs), outputs, strict=True))

    def part(self, name: str) -> KerasNetwork:
        if name not in self.cut:
            self.cut[name] = self._made(name)
        return replace(self, model=self.cut[name], here=name, derived={}, cut={})

    def _made(self, name: str) -> Any:
        if name in self.derived:
            return self.derived[name](name, self.model)
        alone = len(self.parts) == 1 and name == "network"
        return self.model if alone else _part(self.model, name, self.parts.get(name))


def _part(model: Any, name: str, signature: Signature | None) -> Any:
    """A model within the model; or what lies between layers that are called like the part's ports; or all of it."""
    inner = {layer.name: layer for layer in model.layers}
    if name in inner:
        return inner[name]
    if signature is None or not all(port.name in inner for port in (*signature.inputs, *signature.outputs)):
        return model
    named = set(model.output) if isinstance(model.output, Mapping) else set()
    if {port.name for port in signature.outputs} <= named and len(model.inputs) == len(signature.inputs):
        return model  # Which says by name what is asked of it.
    first, last = ([inner[port.name].output for port in ports] for ports in (signature.inputs, signature.outputs))
    return keras.Model(first if len(first) > 1 else first[0], last, name=name)


def network(built: Built, ops: Any = None) -> Network:
    """The network of a built model, on NumPy ops unless others are given."""
    if ops is None:
        from kerazoo.ops import numpy as ops
    if built.adapter is not None:
        from kerazoo.engines.adapter import adapted
        from kerazoo.engines.savedmodel import SavedModelNetwork

        inner = SavedModelNetwork(built.keras, ops=ops)
        return adapted(inner, built.adapter, built.parts, built.normalise)
    derived = {part: task.derived for task in built.tasks.values() if hasattr(task, "derived") for part in task.parts}
    return KerasNetwork(built.keras, built.parts, built.normalise, ops, derived=derived)
