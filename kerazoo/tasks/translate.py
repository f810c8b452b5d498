"""`translate`: a sentence in, a sentence of another language out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from kerazoo.codecs._spelling import Spelling
from kerazoo.codecs._subwords import Subwords
from kerazoo.codecs._wordpiece import WordPiece
from kerazoo.codecs.text import END, SPECIAL, Text, Vocabulary, small
from kerazoo.contract import Network, Port, Signature, Tensor, Tensors
from kerazoo.errors import UsageError
from kerazoo.tasks import _drawing
from kerazoo.tasks._decode import Rules, check_search, repeated, searched
from kerazoo.tasks.caption import Sentence


@dataclass(frozen=True)
class Translation(Sentence):
    """One sentence.

    Attributes:
        text: The translation.
        score: Mean log probability of its words, its end included: at most 0, the higher the surer.
    """


@dataclass(frozen=True)
class Aligned(Translation):
    """A sentence, and where the network looked when it wrote it.

    Attributes:
        source, target: The words that were read and written, the end last.
        attention: Shares of the source's words in what was looked at before each word, float32 [target, source].
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    attention: np.ndarray

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        shares = [[round(float(share), 4) for share in row] for row in self.attention]
        words = {"source": list(self.source), "target": list(self.target)}
        return {**super().to_json(limit), **words, "attention": shares}

    def files(self) -> dict[str, bytes]:
        return {"attention.png": _drawing.aligned(self.source, self.target, self.attention)}


@dataclass(frozen=True)
class Translate:
    """A sentence is read once and written word by word; what its codec has as `never` is not chosen.

    Attributes:
        source: How a sentence is read: its words, subwords or characters, or BERT's pieces, and the encoder's fixed
            length.
        target: Words of the language that is written, or subwords or characters.
        context: What the encoder gives and every step of the decoder sees.
        states: What the encoder gives first, and a step of the decoder takes and gives on, as `next_<name>`.
        blank: What else a step takes and gives on, and what begins as zeros.
        limit: Words after which a translation ends.
        search: `greedy` takes the most probable next word, again and again; `beam` keeps the `width` most probable
            beginnings of a sentence.
        width, length_penalty: Of a beam, as `kerazoo.tasks._decode.beam` takes them.
        block: Whether the decoder reads tokens side by side, [rows, n], and gives logits for each: a step gives it one.
        looks: Whether a step also says, as `attention` [rows, length], which words of the source it looked at.
        attention: Whether the answer tells of each word that was written where it looked, too.
    """

    kind: ClassVar[str] = "translate"
    batched: ClassVar[bool] = True

    source: Text | Subwords | Spelling | WordPiece
    target: Vocabulary
    context: tuple[Port, ...]
    states: tuple[Port, ...]
    blank: tuple[Port, ...] = ()
    limit: int = 60
    search: str = "greedy"
    width: int = 4
    length_penalty: float = 0.6
    block: bool = False
    looks: bool = False
    attention: bool = False

    def __post_init__(self) -> None:
        check_search(self.search, self.width, self.length_penalty)
        if self.attention and not self.looks:
            raise UsageError("This model does not say which words of the source it looks at, so it has no attention.")

    @property
    def request(self) -> tuple[Port, ...]:
        return (self.source.port,)

    @property
    def response(self) -> tuple[Port, ...]:
        said = (Port("translation", "string", (None,), "text"), Port("score", "float32", (None,)))
        if not self.attention:
            return said
        read, written = self.source.length, self.limit
        words = Port("source", "string", (None, read), "text"), Port("target", "string", (None, written), "text")
        return (*said, *words, Port("attention", "float32", (None, written, read)))

    @property
    def also(self) -> Mapping[str, Any]:
        """What a bundle answers under a further signature: where it looked, too."""
        return {"attention": replace(self, attention=True)} if self.looks and not self.attention else {}

    @property
    def parts(self) -> Mapping[str, Signature]:
        states = (*self.states, *self.blank)
        following = tuple(replace(state, name=f"next_{state.name}") for state in states)
        side, words = (1,) * self.block, len(self.written().pieces)
        token, logits = Port("token", "int32", (None, *side)), Port("logits", "float32", (None, *side, words))
        return {
            "encoder": Signature((self.source.tensor,), (*self.context, *self.states)),
            "decoder": Signature((token, *states, *self.context), (logits, *following, *self._attention)),
        }

    @property
    def _attention(self) -> tuple[Port, ...]:
        return (Port("attention", "float32", (None, self.source.length)),) * self.looks

    def written(self, length: int | None = None) -> Text | Subwords | Spelling:
        """How sentences of the target are written and read, up to a length."""
        return self.source.other(self.target, length or self.limit)

    @property
    def small(self) -> bool:
        """Whether it writes small letters alone."""
        return small(self.target)

    def golden(self) -> dict[str, Any]:
        return {"text": self.source.some.encode()}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        times = self.width if self.search == "beam" else 1
        source, target = self.source.prepare(ops, request["text"]), self.written()
        step, state = self.begun(network, source, times)
        rules = Rules(len(target.pieces), target.end, self.limit, target.never)
        first = ops.full((ops.length(request["text"]),), target.start, "int32")
        written = searched(ops, step, state, first, rules, self.search, self.width, self.length_penalty)
        translation = target.decode(ops, written.tokens)
        said = {"translation": translation, "score": written.mean(ops)}
        if not self.attention:
            return said
        words = ops.gather(self.source.pieces, source), ops.gather(target.pieces, written.tokens)
        looked = self._looked(network, source, first, written.tokens)
        return {**said, "source": words[0], "target": words[1], "attention": looked}

    def _looked(self, network: Network, source: Tensor, first: Tensor, tokens: Tensor) -> Tensor:
        """Where the decoder looks before each token [rows, limit], float32 [rows, limit, length].

        It is asked once more, with the tokens that it has written: whatever they were found by, these are their steps.
        """
        ops = network.ops
        step, state = self.begun(network, source, seen=True)
        columns, place = ops.transpose(tokens, (1, 0)), ops.arange(self.limit)[None, :, None]
        names, nowhere = tuple(state), ops.full((ops.length(tokens), self.limit, self.source.length), 0.0, "float32")

        def look(at: Tensor, token: Tensor, looked: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
            _, following = step(token, dict(zip(names, states, strict=True)))
            looked = ops.where(place == at, following["attention"][:, None, :], looked)
            return (at + 1, ops.gather(columns, at), looked, *(following[name] for name in names))

        begin = (ops.cast(0, "int32"), first, nowhere, *state.values())
        return ops.while_loop(lambda at, *_: at < self.limit, look, begin)[2]

    def begun(
        self, network: Network, tokens: Tensor, times: int = 1, seen: bool = False
    ) -> tuple[Callable[[Tensor, Tensors], tuple[Tensor, Tensors]], Tensors]:
        """The decoder's step (see `kerazoo.tasks._decode`) after sentences were read, and its first state.

        Args:
            tokens: Numbers of the sentences' words, as `source` prepares them.
            times: Rows that the step is asked for at a time, of each sentence; the state has one of each.
            seen: Whether the state holds `attention`, too, which is where the last step looked.
        """
        ops, decoder = network.ops, network.part("decoder")
        summary = network.part("encoder")({self.source.tensor.name: tokens})
        context: Tensors = {port.name: summary[port.name] for port in self.context}
        context = repeated(ops, context, times) if times > 1 else context

        def step(token: Tensor, state: Tensors) -> tuple[Tensor, Tensors]:
            carried = {name: value for name, value in state.items() if name != "attention"}
            out = decoder({"token": token[:, None] if self.block else token, **carried, **context})
            logits = out["logits"][:, 0] if self.block else out["logits"]
            following = {name: out[f"next_{name}"] for name in carried}
            return logits, following | ({"attention": out["attention"]} if seen else {})

        rows = ops.length(tokens)
        state = {port.name: summary[port.name] for port in self.states}
        blank = (*self.blank, *self._attention * seen)
        return step, state | {port.name: ops.full((rows, *port.shape[1:]), 0, port.dtype) for port in blank}

    def read(self, response: Tensors, row: int) -> Translation:
        said = response["translation"][row].decode(), float(response["score"][row])
        if not self.attention:
            return Translation(*said)
        source, target = (_until_end(response[side][row]) for side in ("source", "target"))
        return Aligned(*said, source, target, np.asarray(response["attention"][row][: len(target), : len(source)]))


def _until_end(words: Sequence[bytes]) -> tuple[str, ...]:
    """The words up to the end of the sentence, which is the last of them."""
    plain = [word.decode() for word in words]
    return tuple(plain[: plain.index(SPECIAL[END]) + 1] if SPECIAL[END] in plain else plain)
