"""What YOLOv3 learns from: which anchor answers for a box, and darknet's losses.

Redmon, Farhadi, "YOLOv3: An Incremental Improvement", arXiv:1804.02767, sections 2.1 and 2.2, and `src/yolo_layer.c` of
the authors' darknet, whose gradients are those of these losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.lazy import keras
from kerazoo.tasks.detect import WIDEST, Head
from kerazoo.train.recipe import Batch


@dataclass(frozen=True)
class Yolo:
    """Darknet's losses of one batch: the sum over all anchors, a picture.

    An object's box is answered for by the anchor, of all outputs', whose shape overlaps it most, at the place of its
    middle: there centre, whether anything is there and each class cost their cross-entropy, width and height the
    squared difference of logarithms. Small boxes count up to twice. All other anchors should say that nothing is there,
    but for those whose box overlaps an object by more than `ignored`.

    Attributes:
        heads: The network's outputs.
        classes: How many there are.
        ignored: Intersection over union.
    """

    heads: tuple[Head, ...]
    classes: int
    ignored: float = 0.7

    def assigned(self, batch: Batch, rng: Any = None, epoch: int = 0) -> Batch:
        """What each anchor should say; of two objects that share one, the later.

        Args:
            batch: Pictures [batch, height, width, channels], and boxes float32 [batch, most, 5] as
                `kerazoo.train.data.boxes.Boxed` gives them.
            rng, epoch: Not needed; an augmentation of a recipe is called with them.

        Returns:
            The pictures; float32 [batch, anchors, 6] of the centre within its place and the logarithm of the sides in
            anchors, the weight of these and the class, -1 where nothing is; and the boxes float32 [batch, most, 4],
            left, top, right, bottom, of no area where there is none.
        """
        pictures, boxes = batch
        shapes = [(pictures.shape[1] // head.stride, pictures.shape[2] // head.stride) for head in self.heads]
        counts = [len(head.anchors) for head in self.heads]
        starts = np.cumsum([0, *(tall * wide * count for (tall, wide), count in zip(shapes, counts, strict=True))])
        anchors = np.concatenate([np.asarray(head.anchors) for head in self.heads])
        of_head, first = np.repeat(np.arange(len(self.heads)), counts), np.cumsum([0, *counts])
        targets = np.zeros((len(boxes), int(starts[-1]), 6), np.float32)
        targets[..., 5] = -1
        for row, found in enumerate(boxes):
            for top, left, bottom, right, kind in found[found[:, 4] >= 0].astype(np.float64):
                sides = np.array([right - left, bottom - top])
                shared = np.minimum(anchors, sides).prod(-1)
                best = int((shared / (anchors.prod(-1) + sides.prod() - shared)).argmax())
                level = int(of_head[best])
                head, (tall, wide) = self.heads[level], shapes[level]
                centre = np.array([left + right, top + bottom]) / (2 * head.stride)
                place = np.minimum(centre.astype(int), (wide - 1, tall - 1))
                within = (centre - place + (head.reach - 1) / 2) / head.reach
                index = starts[level] + (place[1] * wide + place[0]) * len(head.anchors) + best - first[level]
                weight = 2 - sides.prod() / (pictures.shape[1] * pictures.shape[2])
                targets[row, index] = *within, *np.log(sides / anchors[best]), weight, kind
        corners = np.where(boxes[..., 4:] >= 0, boxes[..., [1, 0, 3, 2]], 0).astype(np.float32)
        return pictures, targets, corners

    def __call__(self, targets: Any, outputs: Any, corners: Any) -> Any:
        """One number, of what `assigned` gives and the network's outputs."""
        ops = keras.ops
        values, boxes, reach = self._found(outputs)
        sure = ops.cast(targets[..., 5] >= 0, "float32")
        weight = targets[..., 4] * sure
        # Of a centre that reaches further, darknet leaves the gradient as large as its distance in places.
        centre = ops.sum(_entropy(targets[..., :2], values[..., :2]), -1) * reach
        sides = ops.sum(ops.square(targets[..., 2:4] - values[..., 2:4]), -1) / 2
        kinds = ops.one_hot(ops.cast(ops.maximum(targets[..., 5], 0), "int32"), self.classes)
        kind = ops.sum(_entropy(kinds, values[..., 5:]), -1) * sure
        overlap = ops.stop_gradient(ops.max(_overlaps(boxes, corners), -1))
        asked = ops.maximum(sure, ops.cast(overlap <= self.ignored, "float32"))
        there = _entropy(sure, values[..., 4]) * asked
        return ops.sum(weight * (centre + sides) + kind + there) / ops.shape(values)[0]

    def _found(self, outputs: Any) -> tuple[Any, Any, np.ndarray]:
        """Values [batch, anchors, 5 + classes], boxes [batch, anchors, 4], and how far each anchor's centre reaches."""
        ops = keras.ops
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        values, boxes, reach = [], [], []
        for head, output in zip(self.heads, outputs, strict=True):
            place, anchors = head.places(*output.shape[1:3])
            value = ops.reshape(output, (-1, len(place), 5 + self.classes))
            moved = ops.sigmoid(value[..., :2]) * head.reach - (head.reach - 1) / 2
            centre = (moved + place) * head.stride
            half = ops.exp(ops.minimum(value[..., 2:4], WIDEST)) * (anchors / 2)
            values.append(value)
            boxes.append(ops.concatenate([centre - half, centre + half], -1))
            reach.append(np.full(len(place), head.reach, np.float32))
        return ops.concatenate(values, 1), ops.concatenate(boxes, 1), np.concatenate(reach)


def _entropy(wanted: Any, logits: Any) -> Any:
    """Of shares in 0..1 and logits, one number each."""
    return keras.ops.softplus(logits) - logits * wanted


def _overlaps(boxes: Any, others: Any) -> Any:
    """Intersection over union of boxes [batch, n, 4] and [batch, m, 4], corners: [batch, n, m]."""
    ops = keras.ops
    shared = [
        ops.maximum(
            ops.minimum(boxes[..., None, axis + 2], others[:, None, :, axis + 2])
            - ops.maximum(boxes[..., None, axis], others[:, None, :, axis]),
            0.0,
        )
        for axis in range(2)
    ]
    both = shared[0] * shared[1]
    areas = [(each[..., 2] - each[..., 0]) * (each[..., 3] - each[..., 1]) for each in (boxes, others)]
    return both / ops.maximum(areas[0][..., None] + areas[1][:, None] - both, 1e-9)
