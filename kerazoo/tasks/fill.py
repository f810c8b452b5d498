"""`fill`: a text with a gap in, the most probable pieces for it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kerazoo.codecs._wordpiece import GOES_ON, MASK, WordPiece
from kerazoo.contract import Network, Port, Signature, Tensors
from kerazoo.errors import UsageError
from kerazoo.tasks.classify import Classify, Labels


@dataclass(frozen=True)
class Fill:
    """What stands at `[MASK]`, of which a text has one.

    Attributes:
        input: How a text becomes numbers; `[MASK]` is among its marks.
        part: The part of the network that gives logits of all pieces at each place.
        count: How many candidates an answer holds.
    """

    kind: ClassVar[str] = "fill"
    batched: ClassVar[bool] = True

    input: WordPiece
    part: str = "network"
    count: int = 20

    def __post_init__(self) -> None:
        if MASK not in self.input.marks:
            raise UsageError(f"The texts of this task have a {MASK}; it must be among the marks of their codec.")

    @property
    def request(self) -> tuple[Port, ...]:
        return (self.input.port,)

    @property
    def response(self) -> tuple[Port, ...]:
        k = min(self.count, len(self.input.words))
        return (
            Port("label", "string", (None, k), "text"),
            Port("index", "int64", (None, k)),
            Port("score", "float32", (None, k)),
        )

    @property
    def parts(self) -> Mapping[str, Signature]:
        logits = Port("words", "float32", (None, None, len(self.input.words)))
        return {self.part: Signature((self.input.tensor,), (logits,))}

    def golden(self) -> dict[str, Any]:
        whole = [word for word in self.input.words if word.isalpha() and not word.startswith(GOES_ON)]
        return {"text": f"{whole[0]} {MASK} {whole[-1]}".encode()}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        tokens = self.input.prepare(ops, request[self.input.port.name])
        gap = ops.cast(tokens == self.input.numbers[MASK], "int32")
        ops.check(ops.sum(gap, 1) == 1, f"The text must have one {MASK}, where a word is looked for.")
        logits = network.part(self.part)({self.input.tensor.name: tokens})["words"]
        there = ops.gather_batched(logits, ops.argmax(gap)[:, None])[:, 0]
        scores, index = ops.top_k(ops.softmax(there), min(self.count, len(self.input.words)))
        return {"label": ops.gather(self.input.words, index), "index": index, "score": scores}

    # A ranking is one, whatever is ranked.
    AGREES = Classify.AGREES

    def compare(self, expected: Tensors, got: Tensors) -> dict[str, float]:
        return Classify.compare(self, expected, got)  # type: ignore[arg-type]

    def agreement(self, expected: Tensors, got: Tensors) -> float:
        return Classify.agreement(self, expected, got)  # type: ignore[arg-type]

    def read(self, response: Tensors, row: int) -> Labels:
        return Classify.read(self, response, row)  # type: ignore[arg-type]
