"""`caption`: a picture in, a sentence about it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from kerazoo.codecs.image import Image
from kerazoo.codecs.text import END, PAD, START, UNKNOWN, Text, Vocabulary
from kerazoo.contract import Network, Port, Signature, Tensor, Tensors
from kerazoo.errors import UsageError
from kerazoo.tasks._decode import Rules, check_search, searched


@dataclass(frozen=True)
class Sentence:
    """What was written.

    Attributes:
        text: The sentence.
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
class Caption:
    """A picture is seen once, and told word by word; `<pad>`, `<unk>` and `<start>` are never chosen.

    Attributes:
        input: How a picture is made to fit.
        words: Of the language that is written.
        states: What the encoder gives first, and a step of the decoder takes and gives on, as `next_<name>`.
        limit: Words after which a sentence ends.
        search: `greedy` takes the most probable next word, again and again; `beam` keeps the `width` most probable
            beginnings of a sentence.
        width, length_penalty: Of a beam, as `kerazoo.tasks._decode.beam` takes them.
    """

    kind: ClassVar[str] = "caption"
    batched: ClassVar[bool] = True

    input: Image
    words: Vocabulary
    states: tuple[Port, ...]
    limit: int = 24
    search: str = "greedy"
    width: int = 3
    length_penalty: float = 0.6

    def __post_init__(self) -> None:
        check_search(self.search, self.width, self.length_penalty)
        if self.limit < 1:
            raise UsageError(f"limit={self.limit!r} must be at least 1.")

    @property
    def request(self) -> tuple[Port, ...]:
        return (self.input.port,)

    @property
    def response(self) -> tuple[Port, ...]:
        return (Port("caption", "string", (None,), "text"), Port("score", "float32", (None,)))

    @property
    def parts(self) -> Mapping[str, Signature]:
        following = tuple(replace(state, name=f"next_{state.name}") for state in self.states)
        token, logits = Port("token", "int32", (None, 1)), Port("logits", "float32", (None, 1, len(self.words)))
        return {
            "encoder": Signature((self.input.tensor,), self.states),
            "decoder": Signature((token, *self.states), (logits, *following)),
        }

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        pictures = self.input.prepare(ops, request[self.input.port.name])
        step, state = self.begun(network, pictures)
        rules = Rules(len(self.words), END, self.limit, (PAD, UNKNOWN, START))
        first = ops.full((ops.length(pictures),), START, "int32")
        written = searched(ops, step, state, first, rules, self.search, self.width, self.length_penalty)
        return {"caption": Text(self.words, self.limit).decode(ops, written.tokens), "score": written.mean(ops)}

    def begun(
        self, network: Network, pictures: Tensor
    ) -> tuple[Callable[[Tensor, Tensors], tuple[Tensor, Tensors]], Tensors]:
        """The decoder's step (see `kerazoo.tasks._decode`) after pictures were seen, and its first state.

        Args:
            pictures: Pixels, as `input` prepares them.
        """
        decoder = network.part("decoder")
        seen = network.part("encoder")({self.input.tensor.name: pictures})

        def step(token: Tensor, state: Tensors) -> tuple[Tensor, Tensors]:
            out = decoder({"token": token[:, None], **state})
            return out["logits"][:, 0], {name: out[f"next_{name}"] for name in state}

        return step, {port.name: seen[port.name] for port in self.states}

    def read(self, response: Tensors, row: int) -> Sentence:
        return Sentence(response["caption"][row].decode(), float(response["score"][row]))
