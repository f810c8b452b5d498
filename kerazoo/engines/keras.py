"""The `keras` engine: the functional model itself, with the weights' normalisation before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.codecs.image import Normalise
from kerazoo.contract import Signature, Tensors
from kerazoo.registry import Built


@dataclass(frozen=True)
class KerasNetwork:
    """A Keras model behind named ports, in the order of its signature.

    With NumPy ops it takes and gives arrays; with TensorFlow ops it can be traced into a SavedModel.
    """

    model: Any
    parts: dict[str, Signature]
    normalise: Normalise | None
    ops: Any
    here: str = "network"

    def __call__(self, inputs: Tensors) -> Tensors:
        signature = self.parts[self.here]
        tensors = [
            self.normalise(inputs[port.name]) if self.normalise and port.name == "image" else inputs[port.name]
            for port in signature.inputs
        ]
        outputs = self.model(tensors if len(tensors) > 1 else tensors[0], training=False)
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        if self.ops.__name__.endswith("numpy"):
            outputs = [np.asarray(output) for output in outputs]
        return dict(zip((port.name for port in signature.outputs), outputs, strict=True))

    def part(self, name: str) -> KerasNetwork:
        model = self.model if name == "network" else self.model.get_layer(name)
        return KerasNetwork(model, self.parts, self.normalise, self.ops, name)


def network(built: Built, ops: Any = None) -> KerasNetwork:
    """The network of a built model, on NumPy ops unless others are given."""
    if ops is None:
        from kerazoo.ops import numpy as ops
    return KerasNetwork(built.keras, dict(built.task.parts), built.normalise, ops)
