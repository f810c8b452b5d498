"""`translate`: a sentence in, a sentence of another language out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from kerazoo.codecs.text import END, PAD, START, UNKNOWN, Text, Vocabulary
from kerazoo.contract import Network, Port, Signature, Tensor, Tensors
from kerazoo.errors import UsageError
from kerazoo.tasks._decode import Rules, beam, greedy, repeated

SEARCHES = ("greedy", "beam")
"""How a translation is looked for."""


@dataclass(frozen=True)
class Translation:
    """One sentence.

    Attributes:
        text: The translation.
        score: Mean log probability of its words, its end included: at most 0, the higher the surer.
    """

    text: str
    score: float

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        return {"text": self.text, "score": round(self.score, 6)}

    def rows(self, limit: int = 5) -> list[str]:
        return [self.text]

    def files(self) -> dict[str, bytes]:
        return {"text.txt": f"{self.text}\n".encode()}


@dataclass(frozen=True)
class Translate:
    """A sentence is read once and written word by word; `<pad>`, `<unk>` and `<start>` are never chosen.

    Attributes:
        source: How a sentence is read: its words, and the encoder's fixed length.
        target: Words of the language that is written, `kerazoo.codecs.text.SPECIAL` first.
        context: What the encoder gives and every step of the decoder sees.
        states: What the encoder gives first, and a step of the decoder takes and gives on, as `next_<name>`.
        limit: Words after which a translation ends.
        search: `greedy` takes the most probable next word, again and again; `beam` keeps the `width` most probable
            beginnings of a sentence. One of `SEARCHES`.
        width, length_penalty: Of a beam, as `kerazoo.tasks._decode.beam` takes them.
    """

    kind: ClassVar[str] = "translate"
    batched: ClassVar[bool] = True

    source: Text
    target: Vocabulary
    context: tuple[Port, ...]
    states: tuple[Port, ...]
    limit: int = 60
    search: str = "greedy"
    width: int = 4
    length_penalty: float = 0.6

    def __post_init__(self) -> None:
        if self.search not in SEARCHES:
            raise UsageError(f"search={self.search!r} is not known; allowed are {', '.join(SEARCHES)}.")
        if self.width < 1 or self.length_penalty < 0:
            raise UsageError(
                f"width={self.width!r} must be at least 1, and length_penalty={self.length_penalty!r} at least 0."
            )

    @property
    def request(self) -> tuple[Port, ...]:
        return (self.source.port,)

    @property
    def response(self) -> tuple[Port, ...]:
        return (Port("translation", "string", (None,), "text"), Port("score", "float32", (None,)))

    @property
    def parts(self) -> Mapping[str, Signature]:
        following = tuple(replace(state, name=f"next_{state.name}") for state in self.states)
        token, logits = Port("token", "int32", (None,)), Port("logits", "float32", (None, len(self.target)))
        return {
            "encoder": Signature((self.source.tensor,), (*self.context, *self.states)),
            "decoder": Signature((token, *self.states, *self.context), (logits, *following)),
        }

    def golden(self) -> dict[str, Any]:
        words = min(5, self.source.length - 1)
        return {"text": " ".join(self.source.words[4 : 4 + words]).encode()}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        summary = network.part("encoder")({"tokens": self.source.prepare(ops, request["text"])})
        decoder = network.part("decoder")
        context = {port.name: summary[port.name] for port in self.context}
        state = {port.name: summary[port.name] for port in self.states}
        if self.search == "beam":
            context = repeated(ops, context, self.width)

        def step(token: Tensor, state: Tensors) -> tuple[Tensor, Tensors]:
            out = decoder({"token": token, **state, **context})
            return out["logits"], {name: out[f"next_{name}"] for name in state}

        rules = Rules(len(self.target), END, self.limit, (PAD, UNKNOWN, START))
        first = ops.full((ops.length(request["text"]),), START, "int32")
        if self.search == "beam":
            written = beam(ops, step, state, first, rules, self.width, self.length_penalty)
        else:
            written = greedy(ops, step, state, first, rules)
        translation = Text(self.target, self.limit).decode(ops, written.tokens)
        return {"translation": translation, "score": written.mean(ops)}

    def read(self, response: Tensors, row: int) -> Translation:
        return Translation(response["translation"][row].decode(), float(response["score"][row]))
