"""`write`: the beginning of a text and a seed in, how it goes on out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from kerazoo.codecs._characters import Characters
from kerazoo.contract import Network, Port, Signature, Tensor, Tensors
from kerazoo.errors import UsageError
from kerazoo.tasks._decode import Rules, draw

PART = "step"
"""The part of a network that reads characters and says what may come next."""


@dataclass(frozen=True)
class Continuation:
    """How a text goes on.

    Attributes:
        text: What was written, without what it was begun with.
        score: Mean log probability of its characters: at most 0, the higher the surer.
    """

    text: str
    score: float

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        return {"text": self.text, "score": round(self.score, 6)}

    def rows(self, limit: int = 5) -> list[str]:
        return self.text.split("\n")

    def files(self) -> dict[str, bytes]:
        return {"text.txt": self.text.encode()}


@dataclass(frozen=True)
class Write:
    """Characters drawn one after the other, each by its probability behind those before it.

    The same seed draws the same on every engine: see `ops.uniform`.

    Attributes:
        input: How texts become numbers.
        states: What a step takes and gives on, as `next_<name>`; it begins as zeros.
        length: Characters that are written.
        temperature: Divides the logits: below 1 the probable becomes more probable.
        top_k: Only so many of the most probable characters are drawn from; 1 is no drawing at all, 0 is all.
    """

    kind: ClassVar[str] = "write"
    batched: ClassVar[bool] = True

    input: Characters
    states: tuple[Port, ...]
    length: int = 200
    temperature: float = 0.8
    top_k: int = 0

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and self.length > 0 and self.top_k >= 0):
            raise UsageError(
                f"length={self.length} and temperature={self.temperature} must be positive, top_k={self.top_k} not "
                "negative."
            )

    @property
    def request(self) -> tuple[Port, ...]:
        return (self.input.port, Port("seed", "int64", (None,), "seed"))

    @property
    def response(self) -> tuple[Port, ...]:
        return (Port("continuation", "string", (None,), "text"), Port("score", "float32", (None,)))

    @property
    def parts(self) -> Mapping[str, Signature]:
        following = tuple(replace(state, name=f"next_{state.name}") for state in self.states)
        token = Port("token", "int32", (None, 1))
        logits = Port("logits", "float32", (None, 1, len(self.input.words)))
        return {PART: Signature((token, *self.states), (logits, *following))}

    def golden(self) -> dict[str, Any]:
        letters = [letter for letter in self.input.characters if letter.isalpha()]
        return {"text": "".join(letters[:5]).encode(), "seed": 7}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        numbers, count = self.input.prepare(ops, request["text"])
        step, state = self.begun(network, ops.length(count))
        state = _read(ops, step, state, numbers, count)
        last = ops.gather_batched(numbers, (count - 1)[:, None])[:, 0]
        # Nothing ends a text; what is no character is never written.
        rules = Rules(len(self.input.words), 0, self.length, (0,))
        seeds, top_k = request["seed"], self.top_k or None
        written = draw(ops, step, state, last, rules, seeds, self.temperature, top_k)
        return {"continuation": self.input.decode(ops, written.tokens), "score": written.mean(ops)}

    def begun(
        self, network: Network, rows: Tensor
    ) -> tuple[Callable[[Tensor, Tensors], tuple[Tensor, Tensors]], Tensors]:
        """The network's step (see `kerazoo.tasks._decode`), and its state before it has read anything."""
        ops, part = network.ops, network.part(PART)

        def step(token: Tensor, state: Tensors) -> tuple[Tensor, Tensors]:
            out = part({"token": token[:, None], **state})
            return out["logits"][:, 0], {name: out[f"next_{name}"] for name in state}

        return step, {port.name: ops.full((rows, *port.shape[1:]), 0, port.dtype) for port in self.states}

    def read(self, response: Tensors, row: int) -> Continuation:
        return Continuation(response["continuation"][row].decode(), float(response["score"][row]))


def _read(ops: Any, step: Any, state: Tensors, numbers: Tensor, count: Tensor) -> Tensors:
    """The state after all characters but the last of each row, [rows, n], of which the first `count` are some."""
    names, columns = tuple(state), ops.transpose(numbers, (1, 0))

    def more(at: Tensor, *states: Tensor) -> Tensor:
        return ops.sum(ops.cast(at < count - 1, "int32"), 0) > 0

    def further(at: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        _, following = step(ops.gather(columns, at), dict(zip(names, states, strict=True)))
        reads = (at < count - 1)[:, None]
        kept = [ops.where(reads, following[name], old) for name, old in zip(names, states, strict=True)]
        return (at + 1, *kept)

    _, *states = ops.while_loop(more, further, (ops.cast(0, "int32"), *state.values()))
    return dict(zip(names, states, strict=True))
