"""`SignatureDef`s of a card's ports, for bundles that have no SavedModel to read them from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from kerazoo.contract import Port
from kerazoo.engines.card import Card
from kerazoo.export.verify import ANSWER
from kerazoo.serve.models.inference import METHODS
from kerazoo.serve.wire import protos, tensors


def of_card(card: Card) -> dict[str, Any]:
    """What a bundle of Kerazoo's has: a signature a part, and one a task from request to response.

    The default task's is `serving_default`, the others have the names of their kinds; a task may have more.
    """
    found = {name: _signature(name, each.inputs, each.outputs) for name, each in card.parts.items()}
    return found | {key: _signature(key, each.request, each.response) for key, each in answered(card).items()}


def answered(card: Card) -> dict[str, Any]:
    """Signature -> what answers it from request to response: a task, or another way to say its answer."""
    found: dict[str, Any] = {key: card.tasks[name] for key, name in of_tasks(card).items()}
    return found | {key: each for task in card.tasks.values() for key, each in getattr(task, "also", {}).items()}


def of_tasks(card: Card) -> dict[str, str]:
    """Signature -> the kind of the task that it answers."""
    return {name if index else ANSWER: name for index, name in enumerate(card.tasks)}


def _signature(key: str, inputs: Iterable[Port], outputs: Iterable[Port]) -> Any:
    made = protos.core("SignatureDef")(method_name=METHODS["predict"])
    for ports, infos, prefix in ((inputs, made.inputs, key), (outputs, made.outputs, "StatefulPartitionedCall")):
        for index, port in enumerate(ports):
            info = infos[port.name]
            info.name = f"{prefix}_{port.name}:0" if prefix == key else f"{prefix}:{index}"
            info.dtype = tensors.number_of(np.empty(0, object if port.dtype == "string" else port.dtype))
            info.tensor_shape.SetInParent()
            for size in port.shape:
                info.tensor_shape.dim.add(size=-1 if size is None else size)
    return made
