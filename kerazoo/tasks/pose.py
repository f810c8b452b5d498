"""`pose`: a picture of one person in, where its joints are out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from kerazoo.codecs.image import Image
from kerazoo.contract import Network, Port, Signature, Tensor, Tensors
from kerazoo.tasks import _drawing

SHOWN = 0.2
"""A joint is drawn whose heat is more, as COCO's protocol counts them."""

BONES = (
    ("left ankle", "left knee"), ("left knee", "left hip"), ("right ankle", "right knee"), ("right knee", "right hip"),
    ("left hip", "right hip"), ("left shoulder", "left hip"), ("right shoulder", "right hip"),
    ("left shoulder", "right shoulder"), ("left shoulder", "left elbow"), ("right shoulder", "right elbow"),
    ("left elbow", "left wrist"), ("right elbow", "right wrist"), ("left eye", "right eye"), ("nose", "left eye"),
    ("nose", "right eye"), ("left eye", "left ear"), ("right eye", "right ear"), ("left ear", "left shoulder"),
    ("right ear", "right shoulder"),
)  # fmt: skip
"""Joints between which a line is drawn, as COCO draws its people."""


@dataclass(frozen=True)
class Joints:
    """The joints of one person.

    Attributes:
        labels: Their names.
        points: Right and down, in pixels of the picture, from the top left corner.
        scores: How warm the map is at each; about 1 where a joint is plain to see.
        size: Height and width of the picture.
        ground: The picture itself, where the joints are to be drawn on it.
    """

    labels: tuple[str, ...]
    points: tuple[tuple[float, float], ...]
    scores: tuple[float, ...]
    size: tuple[int, int]
    ground: bytes | None = None

    def on(self, picture: bytes) -> Joints:
        """The same, shown on the picture that was asked about."""
        return replace(self, ground=picture)

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        rows = zip(self.labels, self.points, self.scores, strict=True)
        return {
            "joints": [
                {"label": label, "point": [round(x, 2), round(y, 2)], "score": round(score, 6)}
                for label, (x, y), score in rows
            ]
        }

    def rows(self, limit: int = 5) -> list[str]:
        rows = zip(self.labels, self.points, self.scores, strict=True)
        return [f"{score:6.3f}  {x:7.1f} {y:7.1f}  {label}" for label, (x, y), score in rows]

    def files(self) -> dict[str, bytes]:
        if self.ground is None:
            return {}
        shown = np.array(self.scores) > SHOWN
        bones = bones_of(self.labels)
        return {"pose.png": _drawing.skeleton(np.array(self.points), shown, bones, self.size, self.ground)}


def bones_of(labels: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of joints, by number, between which a line is drawn."""
    number = {label: index for index, label in enumerate(labels)}
    return [(number[a], number[b]) for a, b in BONES if a in number and b in number]


@dataclass(frozen=True)
class Pose:
    """Of each joint's heat map the warmest place, moved by a quarter of a pixel to its warmer neighbour on each axis.

    Source: Sun et al., arXiv:1902.09212, section 3, and the authors' `lib/core/inference.py`.

    Attributes:
        input: How a picture is made to fit: the person should fill it.
        labels: One name a joint, in the order of the maps.
        mirror: Whether the mirrored picture is asked too, and the mean of both maps taken: the mirrored one's is moved
            by a pixel to the right, for its places are counted from the other side.
    """

    kind: ClassVar[str] = "pose"
    batched: ClassVar[bool] = True

    input: Image
    labels: tuple[str, ...]
    mirror: bool = False

    @property
    def request(self) -> tuple[Port, ...]:
        return (self.input.port,)

    @property
    def response(self) -> tuple[Port, ...]:
        joints = len(self.labels)
        return (
            Port("points", "float32", (None, joints, 2)),
            Port("score", "float32", (None, joints)),
            Port("size", "float32", (None, 2)),
        )

    @property
    def bones(self) -> list[tuple[int, int]]:
        """What a page draws between the joints."""
        return bones_of(self.labels)

    @property
    def parts(self) -> Mapping[str, Signature]:
        """The maps may be coarser than what the network sees."""
        heat = Port("logits", "float32", (None, None, None, len(self.labels)))
        return {"network": Signature((self.input.tensor,), (heat,))}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        seen, placements = self.input.place(ops, request["image_bytes"])
        heat = network({"image": seen})["logits"]
        if self.mirror:
            other = network({"image": seen[:, :, ::-1]})["logits"][:, :, ::-1]
            sides = ops.stack([other[..., index] for index in self._sides()], -1)
            heat = (heat + ops.concat([sides[:, :, :1], sides[:, :, :-1]], 2)) * 0.5
        places, score = _warmest(ops, heat)
        tall, wide = ops.size(heat[0])
        cells = ops.stack([ops.cast(tall, "float32"), ops.cast(wide, "float32")], 0)
        sides = np.array([self.input.height, self.input.width], np.float32)
        # A place of the map is one of the network's picture, and lies there where the authors' affine map takes it.
        fitted = places * (sides / cells)
        points = (fitted - placements.offset[:, None]) / placements.scale[:, None]
        return {"points": points[..., ::-1], "score": score, "size": placements.size}

    def _sides(self) -> list[int]:
        """For each joint the one that the mirror makes of it."""
        swap = {"left": "right", "right": "left"}
        mirrored = [" ".join(swap.get(word, word) for word in label.split(" ")) for label in self.labels]
        return [self.labels.index(label) if label in self.labels else index for index, label in enumerate(mirrored)]

    def read(self, response: Tensors, row: int) -> Joints:
        points = tuple((float(x), float(y)) for x, y in response["points"][row])
        height, width = response["size"][row]
        return Joints(self.labels, points, tuple(response["score"][row].tolist()), (int(height), int(width)))

    def compare(self, expected: Tensors, got: Tensors) -> dict[str, float]:
        """Places by the share of the picture that they differ by: of two places as warm, rounding chooses."""
        sides = np.asarray(expected["size"])[:, None, ::-1]
        apart = np.abs(np.asarray(expected["points"]) - np.asarray(got["points"])) / sides
        score = np.abs(np.asarray(expected["score"]) - np.asarray(got["score"]))
        scale = max(float(np.abs(np.asarray(expected["score"])).max()), 1e-9)
        return {"points": float(np.median(apart)), "score": float(score.max()) / scale, "size": 0.0}


def _warmest(ops: Any, heat: Tensor) -> tuple[Tensor, Tensor]:
    """Heat [batch, h, w, joints] to places, down and across, [batch, joints, 2], and how warm they are."""
    rows, joints = ops.length(heat), heat.shape[-1]
    tall, wide = ops.size(heat[0])
    flat = ops.reshape(ops.transpose(heat, (0, 3, 1, 2)), (rows, joints, tall * wide))
    index = ops.cast(ops.argmax(flat, axis=-1), "int32")
    down, across = index // wide, index % wide

    def at(y: Tensor, x: Tensor) -> Tensor:
        inside = ops.minimum(ops.maximum(y, 0), tall - 1) * wide + ops.minimum(ops.maximum(x, 0), wide - 1)
        pairs = ops.reshape(flat, (rows * joints, tall * wide))
        return ops.reshape(ops.gather_batched(pairs, ops.reshape(inside, (rows * joints, 1))), (rows, joints))

    score = at(down, across)
    within = (down > 1) & (down < tall - 1) & (across > 1) & (across < wide - 1)
    places = []
    for place, before, after in (
        (down, at(down - 1, across), at(down + 1, across)),
        (across, at(down, across - 1), at(down, across + 1)),
    ):
        step = ops.cast(after > before, "float32") - ops.cast(after < before, "float32")
        places.append(ops.cast(place, "float32") + 0.25 * step * ops.cast(within, "float32"))
    # Where nothing is warm, the authors say the corner.
    warm = ops.cast(score > 0.0, "float32")
    return ops.stack(places, -1) * warm[..., None], score
