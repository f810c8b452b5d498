"""The contract that every model, engine and server stands on.

A task is one function from request to response that is handed a network to call. What comes before the call
(decode, fit) and after it (softmax, top-k, encode) is ordinary code on either side of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

Tensor = Any
"""A NumPy array or a TensorFlow tensor, whichever the network's `ops` work on."""

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Port:
    """One named, typed, shaped tensor.

    A port that holds encoded bytes ends in `_bytes`, because TF Serving's REST then base64-encodes it; no code of ours
    asks a name what it means: `media` says it.

    Attributes:
        name: What the tensor is called in requests, signatures and exported files.
        dtype: A NumPy name (`float32`, `int64`), or `string` for bytes and text.
        shape: The whole shape, batch axis included; `None` where any length fits.
        media: What a value is to a person: the name of a module of `kerazoo.codecs`; `None` for plain numbers.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    media: str | None = None


@dataclass(frozen=True)
class Signature:
    """The ports of one network, or of one part of it."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


class Network(Protocol):
    """Named tensors in, named tensors out: a Keras model, an ONNX session, a LiteRT interpreter, a SavedModel."""

    @property
    def ops(self) -> Any:
        """The array functions that fit this network's tensors: `kerazoo.ops.numpy` or `kerazoo.ops.tensorflow`."""
        ...

    def __call__(self, inputs: Tensors) -> Tensors:
        """Runs the network; for a model in parts, only `part(name)` can be called."""
        ...

    def part(self, name: str) -> Network:
        """One part of the network (`encoder`, `decoder`); a single net has the one part `network`, itself."""
        ...


class Result(Protocol):
    """What one request got, read from a response with NumPy alone.

    In a notebook it shows itself where it has `_repr_png_` or `_repr_html_`. One that is looked at on what was asked
    about has `on(item) -> Result` too, which is given the first port's value, or those of all ports by name where
    they make one item, as a graph's do.
    """

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        """The task's own keys of the JSON line (`top`, `mask`, `text`, ...); `limit` bounds rankings."""
        ...

    def rows(self, limit: int = 5) -> list[str]:
        """Lines for people; `limit` bounds rankings."""
        ...

    def files(self) -> Mapping[str, bytes]:
        """What is better looked at or listened to than read: key of `to_json` and suffix (`mask.png`) -> bytes."""
        ...


@runtime_checkable
class Task(Protocol):
    """Structural: a frozen dataclass with these fields is a task. It must also survive `tasks.to_card`.

    It may have three methods more: `golden() -> dict`, one row of a small request, where the examples of its ports'
    media would ask nothing of the network; `compare(expected, got) -> dict`, the difference at each response port,
    where values that lie far apart can mean the same (rankings, boxes); and, with one request port, `whole(item, ask)
    -> Result`, for items of any size: `ask` takes the row of a request and gives its response. With
    `agreement(expected, got) -> float` and the class attribute `AGREES` (name of the measure, how much is enough) it
    says itself how far two responses agree, as `kerazoo.export.agreement` asks. With `derived(part, model)` its parts
    are made of the whole Keras model: functions of a part's tensors, a list where there are several, and `training`.
    """

    kind: ClassVar[str]
    """`classify`, `segment`, ...: the word on the command line; several classes may do the same for a person."""

    batched: ClassVar[bool]
    """False: one request is one graph or one picture of its own size, never micro-batched."""

    @property
    def request(self) -> tuple[Port, ...]: ...

    @property
    def response(self) -> tuple[Port, ...]: ...

    @property
    def parts(self) -> Mapping[str, Signature]:
        """The ports of the network that `answer` calls: `{"network": ...}`, or one signature a part."""
        ...

    def answer(self, network: Network, request: Tensors) -> Tensors:
        """From request ports to response ports, written once for every op set."""
        ...

    def read(self, response: Tensors, row: int) -> Result:
        """The result of one row of a response of NumPy arrays."""
        ...


@dataclass(frozen=True)
class Variant:
    """An architecture with its sizes fixed.

    Attributes:
        config: What the family's `build` takes.
        params: Exact parameter count of `build(config)`, moving statistics included; a test holds it.
        input: Shape of the network's main input without the batch axis, for the tables.
        task: The kind of its default task.
        small: A smaller config with which tests run all layers quickly; `None` where the variant is small.
    """

    config: Any
    params: int
    input: tuple[int | None, ...]
    task: str
    small: Any = None


Answer = Callable[[Tensors], Tensors]
"""Request in, response out: a task bound to a network, or a served signature."""
