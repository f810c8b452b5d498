"""`translate`: a sentence in, a sentence of another language out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from kerazoo.codecs.text import END, PAD, START, UNKNOWN, Text, Vocabulary
from kerazoo.contract import Network, Port, Signature, Tensor, Tensors


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
    """Greedy decoding: the most probable next word, again and again, until every sentence has ended.

    `<pad>`, `<unk>` and `<start>` are never chosen.

    Attributes:
        source: How a sentence is read: its words, and the encoder's fixed length.
        target: Words of the language that is written, `kerazoo.codecs.text.SPECIAL` first.
        context: What the encoder gives and every step of the decoder sees.
        states: What the encoder gives first, and a step of the decoder takes and gives on, as `next_<name>`.
        limit: Words after which a translation ends.
    """

    kind: ClassVar[str] = "translate"
    batched: ClassVar[bool] = True

    source: Text
    target: Vocabulary
    context: tuple[Port, ...]
    states: tuple[Port, ...]
    limit: int = 60

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
        return {"text": " ".join(self.source.words[4:9]).encode()}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        summary = network.part("encoder")({"tokens": self.source.prepare(ops, request["text"])})
        decoder = network.part("decoder")
        context = {port.name: summary[port.name] for port in self.context}
        names = [port.name for port in self.states]
        rows = ops.length(request["text"])
        place = ops.arange(self.limit)[None, :]
        barred = np.zeros(len(self.target), np.float32)
        barred[[PAD, UNKNOWN, START]] = -np.inf

        def unfinished(step: Tensor, token: Tensor, done: Tensor, *_: Tensor) -> Tensor:
            return (step < self.limit) & (ops.sum(ops.cast(~done, "int32"), 0) > 0)

        def next_word(
            step: Tensor, token: Tensor, done: Tensor, words: Tensor, score: Tensor, count: Tensor, *states: Tensor
        ) -> tuple[Tensor, ...]:
            out = decoder({"token": token, **dict(zip(names, states, strict=True)), **context})
            log_probability = ops.log_softmax(out["logits"])
            best, choice = ops.top_k(log_probability + barred, 1)
            live = ops.cast(~done, "float32")
            token = ops.where(done, ops.full((rows,), END, "int32"), ops.cast(choice[:, 0], "int32"))
            words = ops.where(place == step, token[:, None], words)
            score, count = score + best[:, 0] * live, count + live
            return (step + 1, token, done | (token == END), words, score, count, *(out[f"next_{n}"] for n in names))

        start = (
            ops.cast(0, "int32"),
            ops.full((rows,), START, "int32"),
            ops.full((rows,), False, "bool"),
            ops.full((rows, self.limit), END, "int32"),
            ops.full((rows,), 0.0, "float32"),
            ops.full((rows,), 0.0, "float32"),
            *(summary[name] for name in names),
        )
        _, _, _, words, score, count, *_ = ops.while_loop(unfinished, next_word, start)
        translation = Text(self.target, self.limit).decode(ops, words)
        return {"translation": translation, "score": score / ops.maximum(count, 1.0)}

    def read(self, response: Tensors, row: int) -> Translation:
        return Translation(response["translation"][row].decode(), float(response["score"][row]))
