"""Networks that are one line of arithmetic, and pictures, for tests of what tasks do around a network."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from kerazoo import tasks


@dataclass(frozen=True)
class Stub:
    """Parts as functions of `ops` and the inputs."""

    ops: Any
    parts: Mapping[str, Callable[..., Any]]
    here: str = "network"
    calls: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, inputs: Mapping[str, Any]) -> Any:
        self.calls.append(dict(inputs))
        return self.parts[self.here](self.ops, **inputs)

    def part(self, name: str) -> Stub:
        return Stub(self.ops, self.parts, name, self.calls)


def both(task: Any, request: Mapping[str, Any], **parts: Callable[..., Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answer on NumPy ops and, from a traced graph, on TensorFlow's, as NumPy arrays."""
    import tensorflow as tf

    from kerazoo.ops import numpy as host
    from kerazoo.ops import tensorflow as graph

    specs = [tf.TensorSpec(port.shape, port.dtype, name=port.name) for port in task.request]

    @tf.function(input_signature=specs)
    def serving(*tensors: Any) -> Any:
        return task.answer(Stub(graph, parts), dict(zip((port.name for port in task.request), tensors, strict=True)))

    first = task.answer(Stub(host, parts), request)
    second = serving(*[tf.constant(plain(request[port.name]), port.dtype) for port in task.request])
    return dict(first), {name: value.numpy() for name, value in second.items()}


def again(task: Any) -> Any:
    """The task, as a card brings it back."""
    card, files = tasks.to_card(task)
    return tasks.from_card(json.loads(json.dumps(card)), files.__getitem__)


def plain(array: Any) -> Any:
    array = np.asarray(array)
    return array.tolist() if array.dtype == object else array


def text(*items: str | bytes) -> np.ndarray:
    """Strings or bytes as a request's array."""
    array = np.empty(len(items), object)
    array[:] = [item.encode() if isinstance(item, str) else item for item in items]
    return array


def scene(height: int, width: int) -> np.ndarray:
    """uint8 [height, width, 3] with slopes, edges and texture."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(y / 7 + x / 11), np.cos(x / 5), np.sin(y / 3) * np.cos(x / 9)], -1)
    noise = np.random.default_rng(0).normal(0, 12, waves.shape)
    return np.clip(np.rint(waves * 100 + 128 + noise), 0, 255).astype(np.uint8)


def png(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(out, "PNG")
    return out.getvalue()


def pixels(data: Any) -> np.ndarray:
    """A PNG's pixels."""
    return np.asarray(Image.open(io.BytesIO(data)))
