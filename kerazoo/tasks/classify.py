"""`classify`: a picture in, the most probable labels out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kerazoo.codecs.image import Image
from kerazoo.contract import Network, Port, Signature, Tensors


@dataclass(frozen=True)
class Labels:
    """The classes of one picture, most probable first.

    Attributes:
        labels, indices, scores: Of equal length; scores are probabilities.
    """

    labels: tuple[str, ...]
    indices: tuple[int, ...]
    scores: tuple[float, ...]

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        return list(zip(self.labels[:count], self.scores[:count], strict=True))

    def to_json(self, top: int = 5) -> dict[str, Any]:
        rows = zip(self.labels[:top], self.indices[:top], self.scores[:top], strict=True)
        return {"top": [{"label": label, "index": index, "score": round(score, 6)} for label, index, score in rows]}

    def rows(self, top: int = 5) -> list[str]:
        return [f"{score:7.2%}  {label}" for label, score in self.top(top)]


@dataclass(frozen=True)
class Classify:
    """Softmax over the classes, sorted.

    Attributes:
        image: How a picture is made to fit.
        labels: One name a class, in the order of the logits.
        count: How many classes an answer holds (fewer where there are fewer).
    """

    kind: ClassVar[str] = "classify"
    batched: ClassVar[bool] = True

    image: Image
    labels: tuple[str, ...]
    count: int = 100

    @property
    def request(self) -> tuple[Port, ...]:
        return (Port("image_bytes", "string", (None,)),)

    @property
    def response(self) -> tuple[Port, ...]:
        k = min(self.count, len(self.labels))
        return (
            Port("label", "string", (None, k)),
            Port("index", "int64", (None, k)),
            Port("score", "float32", (None, k)),
        )

    @property
    def parts(self) -> Mapping[str, Signature]:
        image = Port("image", "float32", (None, self.image.height, self.image.width, self.image.channels))
        return {"network": Signature((image,), (Port("logits", "float32", (None, len(self.labels))),))}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        image = self.image.decode(ops, request["image_bytes"])
        logits = network({"image": image})["logits"]
        scores, index = ops.top_k(ops.softmax(logits), min(self.count, len(self.labels)))
        return {"label": ops.gather(self.labels, index), "index": index, "score": scores}

    def read(self, response: Tensors, row: int) -> Labels:
        return Labels(
            tuple(label.decode() for label in response["label"][row].tolist()),
            tuple(response["index"][row].tolist()),
            tuple(np.asarray(response["score"][row], np.float64).tolist()),
        )
