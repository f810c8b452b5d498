"""`detect`: a picture in, what is in it and where out."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from kerazoo.codecs.image import Image
from kerazoo.contract import Network, Port, Signature, Tensor, Tensors
from kerazoo.tasks import _drawing
from kerazoo.tasks._boxes import nms, overlaps

WIDEST = 10.0
"""A box is at most e to the power of it times its anchor: no logit makes it endless."""

SAME = 0.5
"""Two answers mean the same box where they overlap by more of their union."""

NEAR = 0.01
"""A box whose score is no further than this from the least that is shown may be missing from an equal answer."""


@dataclass(frozen=True)
class Boxes:
    """What is in one picture, the surest first; it may be nothing.

    Attributes:
        labels, indices, scores: Of equal length; scores are probabilities.
        boxes: Left, top, right and bottom of each, in pixels of the picture from its top left corner.
        size: Height and width of the picture.
        ground: The picture itself, where boxes are to be drawn on it.
    """

    labels: tuple[str, ...]
    indices: tuple[int, ...]
    scores: tuple[float, ...]
    boxes: tuple[tuple[float, float, float, float], ...]
    size: tuple[int, int]
    ground: bytes | None = None

    def on(self, picture: bytes) -> Boxes:
        """The same, shown on the picture that was asked about."""
        return replace(self, ground=picture)

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        """Every box: they are no ranking, each is there beside the others."""
        rows = zip(self.labels, self.indices, self.scores, self.boxes, strict=True)
        return {
            "boxes": [
                {"label": label, "index": index, "score": round(score, 6), "box": [round(side, 2) for side in box]}
                for label, index, score, box in rows
            ]
        }

    def rows(self, limit: int = 5) -> list[str]:
        rows = zip(self.labels, self.scores, self.boxes, strict=True)
        return [f"{score:7.2%}  {' '.join(f'{side:7.1f}' for side in box)}  {label}" for label, score, box in rows] or [
            "nothing"
        ]

    def files(self) -> dict[str, bytes]:
        if self.ground is None:
            return {}
        captions = [f"{label} {score:.2f}" for label, score in zip(self.labels, self.scores, strict=True)]
        return {"boxes.png": _drawing.boxed(self.boxes, captions, self.indices, self.size, self.ground)}


DETECTION = "detection"
"""The signature of `Named`."""


@dataclass(frozen=True)
class Head:
    """One output of the network, with some anchors at each place.

    Attributes:
        stride: Pixels of the network's picture between two places.
        anchors: Width and height of each, in those pixels.
        reach: How far a centre moves from its place's middle: over this many places in all. More than 1 lets it reach
            the border of its place.
    """

    stride: int
    anchors: tuple[tuple[float, float], ...]
    reach: float = 1.0

    def places(self, tall: int, wide: int) -> tuple[np.ndarray, np.ndarray]:
        """Of each anchor of each place, row by row: where its place begins, right and down in places, and its sides.

        Args:
            tall, wide: Places of the output.

        Returns:
            float32 [tall * wide * anchors, 2], twice; the anchors' width and height are in pixels.
        """
        down, across, anchor = (
            axis.reshape(-1) for axis in np.meshgrid(range(tall), range(wide), range(len(self.anchors)), indexing="ij")
        )
        return np.stack([across, down], -1).astype(np.float32), np.asarray(self.anchors, np.float32)[anchor]


class _Detector:
    """What detectors share: from boxes in the network's picture, and scores, to those of the request's."""

    kind: ClassVar[str] = "detect"
    batched: ClassVar[bool] = True

    input: Image
    labels: tuple[str, ...]
    count: int
    least: float
    overlap: float

    def found(self, ops: Any, outputs: Tensors) -> tuple[Tensor, Tensor]:
        """What the network says to boxes [batch, n, 4], top, left, bottom and right in its pixels, and scores
        [batch, n, classes]."""
        raise NotImplementedError

    @property
    def request(self) -> tuple[Port, ...]:
        return (self.input.port,)

    @property
    def response(self) -> tuple[Port, ...]:
        shape = (None, self.count)
        return (
            Port("box", "float32", (*shape, 4)),
            Port("label", "string", shape, "text"),
            Port("index", "int64", shape),
            Port("score", "float32", shape),
            Port("count", "int32", (None,)),
            Port("size", "float32", (None, 2)),
        )

    @property
    def also(self) -> Mapping[str, Any]:
        """What a bundle answers under further signatures."""
        return {DETECTION: Named(self)}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        seen, placements = self.input.place(ops, request["image_bytes"])
        boxes, scores = self.found(ops, network({self.input.tensor.name: seen}))

        # One picture at a time: what overlaps what takes memory, and with it that is bounded.
        def kept(row: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            chosen = nms(ops, boxes[row][None], scores[row][None], self.count, self.overlap, self.least)
            box, score, index, count = (field[0] for field in chosen)
            placed = placements.of(row).boxes(ops, box)
            # A box of zeros fills up; in the picture it would lie elsewhere.
            shown = ops.cast(ops.arange(self.count) < count, "float32")[:, None]
            return ops.stack([placed[:, side] for side in (1, 0, 3, 2)], -1) * shown, score, index, count

        shapes = ((self.count, 4), (self.count,), (self.count,), ())
        rows = ops.arange(ops.length(seen))
        box, score, index, count = ops.map_items(kept, rows, shapes, ("float32", "float32", "int64", "int32"))
        shown = ops.arange(self.count)[None] < count[:, None]
        none = ops.full((1, 1), len(self.labels), "int64")
        label = ops.gather((*self.labels, ""), ops.where(shown, index, none))
        return {"box": box, "label": label, "index": index, "score": score, "count": count, "size": placements.size}

    def read(self, response: Tensors, row: int) -> Boxes:
        count = int(response["count"][row])
        height, width = response["size"][row]
        return Boxes(
            tuple(label.decode() for label in response["label"][row][:count].tolist()),
            tuple(response["index"][row][:count].tolist()),
            tuple(np.asarray(response["score"][row][:count], np.float64).tolist()),
            tuple(tuple(box) for box in np.asarray(response["box"][row][:count], np.float64).tolist()),
            (int(height), int(width)),
        )

    def compare(self, expected: Tensors, got: Tensors) -> dict[str, float]:
        """Each box by the one of its class that is most like it: of two as sure, rounding chooses the order.

        Places differ by the share of the union that is not shared, the counts by the share of boxes without a partner
        in the other answer. One that is hardly shown, or that a full answer has no more room for, needs none.
        """
        apart, scores, alone, whole, names = [0.0], [0.0], 0, 0, 0.0
        for row in range(len(expected["count"])):
            mine, theirs = (self.read(response, row) for response in (expected, got))
            for one, other in ((mine, theirs), (theirs, mine)):
                full = len(other.scores) == self.count
                least = max(self.least, other.scores[-1] if full else 0.0) + NEAR
                box, its = (np.array(each.boxes).reshape(-1, 4) for each in (one, other))
                shared = overlaps(box, its)
                # A box beside the picture, on the ground of its letterbox, has no area within it.
                flat, its_flat = (np.any(each[:, 2:] <= each[:, :2], axis=-1) for each in (box, its))
                near = np.abs(box[:, None] - its[None]).max(-1, initial=0.0) < 1.0
                shared[np.logical_and.outer(flat, its_flat) & near] = 1.0
                shared *= np.array(one.indices)[:, None] == np.array(other.indices)[None]
                # Boxes that end at the picture's border may be the same and yet two: then the score tells.
                differ = np.abs(np.array(one.scores)[:, None] - np.array(other.scores)[None])
                unlike = np.where(shared > SAME, 1.0 - shared + differ, np.inf)
                for index, score in enumerate(one.scores):
                    partner = int(unlike[index].argmin()) if other.scores else -1
                    if partner >= 0 and shared[index, partner] > SAME:
                        apart.append(1.0 - shared[index, partner])
                        scores.append(differ[index, partner])
                        names = max(names, float(one.labels[index] != other.labels[partner]))
                    else:
                        alone += score > least
                    whole += 1
        sizes = np.abs(np.asarray(expected["size"], np.float64) - np.asarray(got["size"], np.float64))
        return {
            "box": float(max(apart)),
            "label": names,
            "score": float(max(scores)),
            "count": alone / max(whole, 1),
            "size": float(sizes.max(initial=0.0)),
        }


@dataclass(frozen=True)
class Anchored(_Detector):
    """Boxes as YOLOv3 predicts them: for each anchor a centre, a size, whether anything is there, and what.

    Source: Redmon, Farhadi, arXiv:1804.02767, sections 2.1 and 2.2; classes do not exclude each other.

    Attributes:
        input: How a picture is made to fit; sides are multiples of every stride.
        labels: One name a class, in the order of the logits.
        heads: The network's outputs.
        count: How many boxes an answer holds; fewer are filled up with zeros.
        least: Boxes are shown whose score, there times class, is above it.
        overlap: Intersection over union beyond which two boxes of a class show the same.
    """

    input: Image
    labels: tuple[str, ...]
    heads: tuple[Head, ...]
    count: int = 100
    least: float = 0.5
    overlap: float = 0.45

    @property
    def parts(self) -> Mapping[str, Signature]:
        return {
            "network": Signature((self.input.tensor,), tuple(self._port(index) for index in range(len(self.heads))))
        }

    def _port(self, index: int) -> Port:
        head = self.heads[index]
        places = (self.input.height // head.stride, self.input.width // head.stride)
        return Port(f"head{index}", "float32", (None, *places, len(head.anchors) * (5 + len(self.labels))))

    @property
    def coarsest(self) -> int:
        """Sides of the network's picture are multiples of so many pixels."""
        return max(head.stride for head in self.heads)

    def found(self, ops: Any, outputs: Tensors) -> tuple[Tensor, Tensor]:
        found = [self._decoded(ops, index, outputs[self._port(index).name]) for index in range(len(self.heads))]
        boxes, scores = (ops.concat([each[field] for each in found], 1) for field in range(2))
        return boxes, scores

    @functools.cached_property
    def _places(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each head where a centre's reach begins, and half of the anchors' sides, in pixels."""
        found = []
        for index, head in enumerate(self.heads):
            _, tall, wide, _ = self._port(index).shape
            place, sides = head.places(int(tall or 0), int(wide or 0))
            found.append(((place - np.float32((head.reach - 1) / 2)) * np.float32(head.stride), sides / 2))
        return found

    def _decoded(self, ops: Any, index: int, output: Tensor) -> tuple[Tensor, Tensor]:
        """A head's boxes and scores."""
        head, (_, tall, wide, _) = self.heads[index], self._port(index).shape
        each, classes = len(head.anchors), len(self.labels)
        values = ops.reshape(output, (ops.length(output), int(tall or 0) * int(wide or 0) * each, 5 + classes))
        place, sides = self._places[index]
        centre = ops.sigmoid(values[:, :, :2]) * np.float32(head.reach * head.stride) + place
        half = ops.exp(ops.minimum(values[:, :, 2:4], np.float32(WIDEST))) * sides
        near, far = centre - half, centre + half
        boxes = ops.stack([near[:, :, 1], near[:, :, 0], far[:, :, 1], far[:, :, 0]], -1)
        return boxes, ops.sigmoid(values[:, :, 4:5]) * ops.sigmoid(values[:, :, 5:])


@dataclass(frozen=True)
class Anchors:
    """Boxes that a network says how to move: at each place of each of its maps one of every area and proportion.

    Attributes:
        strides: Pixels of the network's picture between two places of each map, the finest map first.
        sides: Of each map the roots of the areas, in those pixels.
        ratios: Height over width.
        whole: torchvision's form: sides are rounded so that half of each is a whole number, the first place is the
            picture's corner, and places are as far apart as whole pixels let them fill the picture. Else a place is the
            middle of the pixels that it stands for.
    """

    strides: tuple[int, ...]
    sides: tuple[tuple[float, ...], ...]
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    whole: bool = False

    @property
    def each(self) -> int:
        """How many there are at a place."""
        return len(self.ratios) * len(self.sides[0])

    def boxes(self, height: int, width: int) -> np.ndarray:
        """Those of a picture, map by map, row by row, at each place ratio by ratio: float32 [n, 4].

        Top, left, bottom and right in pixels, which may lie outside of the picture.
        """
        found = []
        for stride, sides in zip(self.strides, self.sides, strict=True):
            areas, ratios = np.meshgrid(np.asarray(sides, np.float64), np.sqrt(self.ratios))
            half = np.stack([areas * ratios, areas / ratios], -1).reshape(-1, 2) / 2
            cells = [-(-side // stride) for side in (height, width)]
            if self.whole:
                half = np.rint(half.astype(np.float32))
                steps = [side // cell for cell, side in zip(cells, (height, width), strict=True)]
                centres = [np.arange(cell) * float(step) for cell, step in zip(cells, steps, strict=True)]
            else:
                centres = [(np.arange(cell) + 0.5) * stride for cell in cells]
            centre = np.stack(np.meshgrid(*centres, indexing="ij"), -1)[:, :, None]
            found.append(np.concatenate([centre - half, centre + half], -1).reshape(-1, 4))
        return np.concatenate(found).astype(np.float32)


CORNER = 0.2
"""What fizyr's networks say of a corner is counted in so much of the anchor's sides."""

TALLEST = float(np.log(1000 / 16))
"""A box is at most e to the power of it times its anchor, as torchvision has it: 62.5 times."""


@dataclass(frozen=True)
class Retina(_Detector):
    """Boxes as RetinaNet predicts them: of each anchor how it is moved, and of each class whether it is that.

    Source: Lin, Goyal, Girshick, He, Dollar, arXiv:1708.02002, section 4; how a box is moved: Girshick et al.,
    arXiv:1311.2524, appendix C.

    Attributes:
        input: How a picture is made to fit; sides are multiples of 32.
        labels: One name a class, in the order of the logits; classes do not exclude each other.
        anchors: What is moved.
        corners: Whether each corner is moved by itself, in sides of the anchor times `CORNER`, as in fizyr's networks;
            else the centre in sides of the anchor, and the sides by the logarithm of their factor.
        count: How many boxes an answer holds; fewer are filled up with zeros.
        least: Boxes are shown whose score is above it.
        overlap: Intersection over union beyond which two boxes of a class show the same.
    """

    input: Image
    labels: tuple[str, ...]
    anchors: Anchors
    corners: bool = False
    count: int = 100
    least: float = 0.5
    overlap: float = 0.5

    coarsest: ClassVar[int] = 32

    @property
    def parts(self) -> Mapping[str, Signature]:
        many = len(self._anchors)
        moves = Port("moves", "float32", (None, many, 4))
        logits = Port("logits", "float32", (None, many, len(self.labels)))
        return {"network": Signature((self.input.tensor,), (moves, logits))}

    @functools.cached_property
    def _anchors(self) -> np.ndarray:
        return self.anchors.boxes(self.input.height, self.input.width)

    def found(self, ops: Any, outputs: Tensors) -> tuple[Tensor, Tensor]:
        # Of what lies outside of the picture, nothing is seen.
        limits = np.tile(np.array([self.input.height, self.input.width], np.float32), 2)
        boxes = ops.minimum(ops.maximum(self.moved(ops, outputs["moves"]), np.float32(0.0)), limits)
        return boxes, ops.sigmoid(outputs["logits"])

    def moved(self, ops: Any, moves: Tensor) -> Tensor:
        """What the network says of the anchors, left before top, to boxes [batch, n, 4], top before left."""
        near, far = self._anchors[:, :2], self._anchors[:, 2:]
        sides = far - near
        moves = ops.stack([moves[:, :, side] for side in (1, 0, 3, 2)], -1)
        if self.corners:
            boxes = moves * np.tile(sides * np.float32(CORNER), 2) + self._anchors
            # Of corners that have crossed nothing is left.
            return ops.concat([boxes[:, :, :2], ops.maximum(boxes[:, :, 2:], boxes[:, :, :2])], -1)
        centre = moves[:, :, :2] * sides + (near + np.float32(0.5) * sides)
        half = ops.exp(ops.minimum(moves[:, :, 2:], np.float32(TALLEST))) * (sides * np.float32(0.5))
        return ops.concat([centre - half, centre + half], -1)


@dataclass(frozen=True)
class Named:
    """The same answer, called and written as by TensorFlow's object detection API, whose clients then work.

    Boxes are top, left, bottom and right in shares of the picture's height and width; classes are counted from 1, 0
    fills up; all numbers are floats.

    Attributes:
        task: Whose answer it is.
    """

    batched: ClassVar[bool] = True

    task: Any

    @property
    def request(self) -> tuple[Port, ...]:
        return self.task.request

    @property
    def response(self) -> tuple[Port, ...]:
        shape = (None, self.task.count)
        return (
            Port("detection_boxes", "float32", (*shape, 4)),
            Port("detection_classes", "float32", shape),
            Port("detection_scores", "float32", shape),
            Port("num_detections", "float32", (None,)),
        )

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops, answered = network.ops, self.task.answer(network, request)
        box, size, count = (answered[name] for name in ("box", "size", "count"))
        sides = [box[:, :, side] / size[:, 1 - side % 2][:, None] for side in (1, 0, 3, 2)]
        shown = ops.cast(ops.arange(self.task.count)[None] < count[:, None], "float32")
        return {
            "detection_boxes": ops.stack(sides, -1),
            "detection_classes": (ops.cast(answered["index"], "float32") + 1.0) * shown,
            "detection_scores": answered["score"],
            "num_detections": ops.cast(count, "float32"),
        }
