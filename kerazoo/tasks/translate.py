"""`translate`: a sentence in, a sentence of another language out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from kerazoo.codecs._subwords import Subwords
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
        source: How a sentence is read: its words or subwords, and the encoder's fixed length.
        target: Words of the language that is written, or subwords as those of `source`.
        context: What the encoder gives and every step of the decoder sees.
        states: What the encoder gives first, and a step of the decoder takes and gives on, as `next_<name>`.
        blank: What else a step takes and gives on, and what begins as zeros.
        limit: Words after which a translation ends.
        search: `greedy` takes the most probable next word, again and again; `beam` keeps the `width` most probable
            beginnings of a sentence. One of `SEARCHES`.
        width, length_penalty: Of a beam, as `kerazoo.tasks._decode.beam` takes them.
        block: Whether the decoder reads tokens side by side, [rows, n], and gives logits for each: a step gives it one.
    """

    kind: ClassVar[str] = "translate"
    batched: ClassVar[bool] = True

    source: Text | Subwords
    target: Vocabulary
    context: tuple[Port, ...]
    states: tuple[Port, ...]
    blank: tuple[Port, ...] = ()
    limit: int = 60
    search: str = "greedy"
    width: int = 4
    length_penalty: float = 0.6
    block: bool = False

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
        states = (*self.states, *self.blank)
        following = tuple(replace(state, name=f"next_{state.name}") for state in states)
        side, words = (1,) * self.block, len(self.written().pieces)
        token, logits = Port("token", "int32", (None, *side)), Port("logits", "float32", (None, *side, words))
        return {
            "encoder": Signature((self.source.tensor,), (*self.context, *self.states)),
            "decoder": Signature((token, *states, *self.context), (logits, *following)),
        }

    def written(self, length: int | None = None) -> Text | Subwords:
        """How sentences of the target are written and read, up to a length."""
        return replace(self.source, words=self.target, length=length or self.limit, lower=self.small)

    @property
    def small(self) -> bool:
        """Whether it writes small letters alone."""
        return all(word == word.lower() for word in self.target)

    def golden(self) -> dict[str, Any]:
        # Of subwords every letter may be a piece of its own.
        words = self.source.pieces[4 : 4 + min(5, self.source.length - 1)]
        return {"text": " ".join(words).encode()}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        times = self.width if self.search == "beam" else 1
        step, state = self.begun(network, self.source.prepare(ops, request["text"]), times)
        rules = Rules(len(self.written().pieces), END, self.limit, (PAD, UNKNOWN, START))
        first = ops.full((ops.length(request["text"]),), START, "int32")
        if self.search == "beam":
            written = beam(ops, step, state, first, rules, self.width, self.length_penalty)
        else:
            written = greedy(ops, step, state, first, rules)
        translation = self.written().decode(ops, written.tokens)
        return {"translation": translation, "score": written.mean(ops)}

    def begun(
        self, network: Network, tokens: Tensor, times: int = 1
    ) -> tuple[Callable[[Tensor, Tensors], tuple[Tensor, Tensors]], Tensors]:
        """The decoder's step (see `kerazoo.tasks._decode`) after sentences were read, and its first state.

        Args:
            tokens: Numbers of the sentences' words, as `source` prepares them.
            times: Rows that the step is asked for at a time, of each sentence; the state has one of each.
        """
        ops, decoder = network.ops, network.part("decoder")
        summary = network.part("encoder")({self.source.tensor.name: tokens})
        context: Tensors = {port.name: summary[port.name] for port in self.context}
        context = repeated(ops, context, times) if times > 1 else context

        def step(token: Tensor, state: Tensors) -> tuple[Tensor, Tensors]:
            out = decoder({"token": token[:, None] if self.block else token, **state, **context})
            logits = out["logits"][:, 0] if self.block else out["logits"]
            return logits, {name: out[f"next_{name}"] for name in state}

        rows = ops.length(tokens)
        state = {port.name: summary[port.name] for port in self.states}
        return step, state | {port.name: ops.full((rows, *port.shape[1:]), 0, port.dtype) for port in self.blank}

    def read(self, response: Tensors, row: int) -> Translation:
        return Translation(response["translation"][row].decode(), float(response["score"][row]))
