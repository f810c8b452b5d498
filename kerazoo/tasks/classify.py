"""`classify`: a picture or a sentence in, the most probable labels out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kerazoo.codecs import number, text
from kerazoo.codecs.image import Image
from kerazoo.codecs.text import Text
from kerazoo.contract import Network, Port, Signature, Tensor, Tensors
from kerazoo.errors import UsageError

OUTPUTS = ("logits", "probabilities", "independent")
"""What a network can end in: logits of classes that exclude each other; probabilities, of which kind ever; logits of
classes that do not exclude each other."""


@dataclass(frozen=True)
class Labels:
    """The classes of one item, most probable first.

    Attributes:
        labels, indices, scores: Of equal length; scores are probabilities.
    """

    labels: tuple[str, ...]
    indices: tuple[int, ...]
    scores: tuple[float, ...]

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        return list(zip(self.labels[:count], self.scores[:count], strict=True))

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        rows = zip(self.labels[:limit], self.indices[:limit], self.scores[:limit], strict=True)
        return {"top": [{"label": label, "index": index, "score": round(score, 6)} for label, index, score in rows]}

    def rows(self, limit: int = 5) -> list[str]:
        return [f"{score:7.2%}  {label}" for label, score in self.top(limit)]

    def files(self) -> dict[str, bytes]:
        return {}


@dataclass(frozen=True)
class Classify:
    """The classes by their probability.

    Attributes:
        input: How a picture is made to fit, or a sentence becomes numbers.
        labels: One name a class, in the order of the network's output.
        count: How many classes an answer holds (fewer where there are fewer).
        output: What the network ends in, one of `OUTPUTS`.
        background: `first` or `last` where the network has one output more, for none of the classes, which is left out.
        single: Whether the network's one output is the second of two classes.
    """

    kind: ClassVar[str] = "classify"
    batched: ClassVar[bool] = True

    input: Image | Text
    labels: tuple[str, ...]
    count: int = 100
    output: str = "logits"
    background: str | None = None
    single: bool = False

    def __post_init__(self) -> None:
        if self.output not in OUTPUTS:
            raise UsageError(f"output={self.output!r} is not known; allowed are {', '.join(OUTPUTS)}.")
        if self.background not in (None, "first", "last"):
            raise UsageError(f"background={self.background!r} is not known; allowed are None, first and last.")
        if self.single and (len(self.labels) != 2 or self.background):
            raise UsageError(f"A single output tells two classes apart; there are {len(self.labels)} labels.")

    @property
    def units(self) -> int:
        """Outputs of the network."""
        return 1 if self.single else len(self.labels) + (self.background is not None)

    @property
    def request(self) -> tuple[Port, ...]:
        return (self.input.port,)

    @property
    def response(self) -> tuple[Port, ...]:
        k = min(self.count, len(self.labels))
        return (
            Port("label", "string", (None, k), "text"),
            Port("index", "int64", (None, k)),
            Port("score", "float32", (None, k)),
        )

    @property
    def parts(self) -> Mapping[str, Signature]:
        name = "scores" if self.output == "probabilities" else "logits"
        return {"network": Signature((self.input.tensor,), (Port(name, "float32", (None, self.units)),))}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        signature = self.parts["network"]
        fitted = self.input.prepare(ops, request[self.input.port.name])
        output = network({self.input.tensor.name: fitted})[signature.outputs[0].name]
        scores, index = ops.top_k(self._scores(ops, output), min(self.count, len(self.labels)))
        return {"label": ops.gather(self.labels, index), "index": index, "score": scores}

    def _scores(self, ops: Any, output: Tensor) -> Tensor:
        if self.single:
            second = output if self.output == "probabilities" else ops.sigmoid(output)
            return ops.concat([1.0 - second, second], -1)
        if self.background == "first":
            output = output[:, 1:]
        elif self.background == "last":
            output = output[:, :-1]
        if self.output == "logits":
            return ops.softmax(output)
        if self.output == "independent":
            return ops.sigmoid(output)
        # Without the background, what is left is shared out again: what a softmax over the rest would have said.
        return output / ops.sum(output, -1, keepdims=True) if self.background else output

    def compare(self, expected: Tensors, got: Tensors) -> dict[str, float]:
        """Class by class, since neighbours of equal score may change places."""
        mine, theirs = (_by_class(response) for response in (expected, got))
        shared = [key for key in mine if key in theirs]
        labels = [text.distance(mine[key][0], theirs[key][0]) for key in shared]
        pairs = [(mine[key][1], theirs[key][1]) for key in shared]
        # A class that one ranking does not hold has at most the least score that this ranking holds.
        for ranking, other in ((mine, got), (theirs, expected)):
            least = np.min(other["score"], axis=-1)
            beyond = [(row, score) for (row, index), (_, score) in ranking.items() if index not in other["index"][row]]
            pairs += [(score, min(score, least[row])) for row, score in beyond]
        scores = np.asarray(pairs, np.float64).reshape(-1, 2)
        number.distance(expected["score"], got["score"])  # Shapes, and that all are numbers.
        apart = np.abs(scores[:, 0] - scores[:, 1]).max(initial=0.0) / np.max(expected["score"])
        return {"label": float(np.mean(labels)) if labels else 1.0, "score": float(apart)}

    AGREES: ClassVar[tuple[str, float]] = ("equal first classes", 0.98)

    def agreement(self, expected: Tensors, got: Tensors) -> float:
        """The share of rows whose first class is the same."""
        return float(np.mean(np.asarray(expected["index"])[:, 0] == np.asarray(got["index"])[:, 0]))

    def read(self, response: Tensors, row: int) -> Labels:
        return Labels(
            tuple(label.decode() for label in response["label"][row].tolist()),
            tuple(response["index"][row].tolist()),
            tuple(np.asarray(response["score"][row], np.float64).tolist()),
        )


def _by_class(response: Tensors) -> dict[tuple[int, int], tuple[Any, float]]:
    """(row, class) -> label and score."""
    index = np.asarray(response["index"])
    return {
        (row, int(i)): (response["label"][row][rank], float(response["score"][row][rank]))
        for (row, rank), i in np.ndenumerate(index)
    }
