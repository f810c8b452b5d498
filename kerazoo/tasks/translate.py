"""`translate`: a sentence in, a sentence of another language out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kerazoo.codecs.text import END, PAD, START, UNKNOWN, Text
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

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "score": round(self.score, 6)}

    def rows(self) -> list[str]:
        return [self.text]


@dataclass(frozen=True)
class Translate:
    """Greedy decoding: the most probable next word, again and again, until every sentence has ended.

    `<pad>`, `<unk>` and `<start>` are never chosen.

    Attributes:
        source: Words of the language that is read, `kerazoo.codecs.text.SPECIAL` first.
        target: Words of the language that is written, likewise.
        length: Words of the longest sentence that is read, its end included: the encoder's fixed length.
        units: Size of the decoder's state and of the context.
        limit: Words after which a translation ends.
    """

    kind: ClassVar[str] = "translate"
    batched: ClassVar[bool] = True

    source: tuple[str, ...]
    target: tuple[str, ...]
    length: int
    units: int
    limit: int = 60

    @property
    def request(self) -> tuple[Port, ...]:
        return (Port("text", "string", (None,)),)

    @property
    def response(self) -> tuple[Port, ...]:
        return (Port("translation", "string", (None,)), Port("score", "float32", (None,)))

    @property
    def parts(self) -> Mapping[str, Signature]:
        context = Port("context", "float32", (None, self.units))
        state = Port("state", "float32", (None, self.units))
        encoder = Signature((Port("source", "int32", (None, self.length)),), (context, state))
        decoder = Signature(
            (Port("token", "int32", (None,)), state, context),
            (
                Port("logits", "float32", (None, len(self.target))),
                Port("next_state", "float32", (None, self.units)),
            ),
        )
        return {"encoder": encoder, "decoder": decoder}

    def golden(self) -> dict[str, Any]:
        return {"text": " ".join(self.source[4:9]).encode()}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        source = Text(self.source, self.length).encode(ops, request["text"])
        summary = network.part("encoder")({"source": source})
        decoder, context = network.part("decoder"), summary["context"]
        rows = ops.length(source)
        place = ops.arange(self.limit)[None, :]
        barred = np.zeros(len(self.target), np.float32)
        barred[[PAD, UNKNOWN, START]] = -np.inf

        def unfinished(step: Tensor, token: Tensor, state: Tensor, done: Tensor, *_: Tensor) -> Tensor:
            return (step < self.limit) & (ops.total(ops.cast(~done, "int32"), 0) > 0)

        def next_word(
            step: Tensor, token: Tensor, state: Tensor, done: Tensor, words: Tensor, score: Tensor, count: Tensor
        ) -> tuple[Tensor, ...]:
            out = decoder({"token": token, "state": state, "context": context})
            log_probability = ops.log_softmax(out["logits"])
            best, choice = ops.top_k(log_probability + barred, 1)
            live = ops.cast(~done, "float32")
            token = ops.where(done, ops.full((rows,), END, "int32"), ops.cast(choice[:, 0], "int32"))
            words = ops.where(place == step, token[:, None], words)
            score, count = score + best[:, 0] * live, count + live
            return step + 1, token, out["next_state"], done | (token == END), words, score, count

        start = (
            ops.cast(0, "int32"),
            ops.full((rows,), START, "int32"),
            summary["state"],
            ops.full((rows,), False, "bool"),
            ops.full((rows, self.limit), END, "int32"),
            ops.full((rows,), 0.0, "float32"),
            ops.full((rows,), 0.0, "float32"),
        )
        *_, words, score, count = ops.while_loop(unfinished, next_word, start)
        translation = Text(self.target, self.limit).decode(ops, words)
        return {"translation": translation, "score": score / ops.maximum(count, 1.0)}

    def read(self, response: Tensors, row: int) -> Translation:
        return Translation(response["translation"][row].decode(), float(response["score"][row]))
