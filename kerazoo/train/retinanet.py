"""What RetinaNet learns from: which anchors answer for a box, the focal loss, and how far they are to be moved.

Lin, Goyal, Girshick, He, Dollar, "Focal Loss for Dense Object Detection", arXiv:1708.02002, sections 3.2 and 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.lazy import keras
from kerazoo.tasks._boxes import overlaps
from kerazoo.tasks.detect import CORNER, Anchors
from kerazoo.train import losses
from kerazoo.train.recipe import Batch

NOTHING, ASIDE = -1, -2
"""In place of a class: of an anchor where nothing is, and of one that is not asked."""


@dataclass(frozen=True)
class Dense:
    """Focal loss of all anchors and smooth L1 of those that answer for a box, both over how many those are.

    An anchor answers for the box that it overlaps most, where that is by `near` or more; says that nothing is there
    where it is by less than `far`; and is not asked in between. Of each box the anchor that overlaps it most answers
    for it, however little that is: the rule (i) of Ren et al., arXiv:1506.01497, section 3.1.2, on which the paper's
    rests.

    Attributes:
        anchors, corners: As `kerazoo.tasks.detect.Retina` has them.
        classes: How many there are.
        gamma, alpha: See `kerazoo.train.losses.focal_terms`; without a `gamma` it is plain cross-entropy.
        near, far: Intersection over union.
    """

    anchors: Anchors
    corners: bool
    classes: int
    gamma: float = 2.0
    alpha: float = 0.25
    near: float = 0.5
    far: float = 0.4

    def assigned(self, batch: Batch, rng: Any = None, epoch: int = 0) -> Batch:
        """What each anchor should say.

        Args:
            batch: Pictures [batch, height, width, channels], and boxes float32 [batch, most, 5] as
                `kerazoo.train.data.boxes.Boxed` gives them.
            rng, epoch: Not needed; an augmentation of a recipe is called with them.

        Returns:
            The pictures; and float32 [batch, anchors, 5] of how it is moved and the class, or `NOTHING` or `ASIDE`.
        """
        pictures, boxes = batch
        anchors = self.anchors.boxes(*pictures.shape[1:3])
        targets = np.zeros((len(boxes), len(anchors), 5), np.float32)
        targets[..., 4] = NOTHING
        for its, row in zip(targets, boxes, strict=True):
            found = row[row[:, 4] >= 0]
            if not len(found):
                continue
            shared = overlaps(anchors, found[:, :4])
            best, most = shared.argmax(1), shared.max(1)
            closest = shared.argmax(0)
            best[closest], most[closest] = np.arange(len(found)), 1.0
            its[:, :4] = moves(anchors, found[best, :4], self.corners)
            its[:, 4] = np.where(most >= self.near, found[best, 4], np.where(most >= self.far, ASIDE, NOTHING))
        return pictures, targets

    def __call__(self, targets: Any, outputs: Any) -> Any:
        """One number, of what `assigned` gives and the network's outputs."""
        ops = keras.ops
        said, logits = outputs
        kinds = targets[..., 4]
        sure = ops.cast(kinds >= 0, "float32")
        asked = ops.cast(kinds != ASIDE, "float32")[..., None]
        wanted = ops.one_hot(ops.cast(ops.maximum(kinds, 0), "int32"), self.classes) * sure[..., None]
        # Weights of a half each, counted twice, are none.
        entropy = losses.focal(wanted, logits, asked, *((self.gamma, self.alpha) if self.gamma else (0.0, 0.5)))
        classes = entropy if self.gamma else 2 * entropy
        places = ops.sum(losses.smooth_l1(targets[..., :4], said), -1) * sure
        return classes + ops.sum(places) / ops.maximum(ops.sum(sure), 1.0)


def moves(anchors: np.ndarray, boxes: np.ndarray, corners: bool) -> np.ndarray:
    """What is to be said of anchors [n, 4] so that they become boxes [n, 4]: the inverse of `Retina.moved`."""
    boxes, anchors = boxes.astype(np.float64), anchors.astype(np.float64)
    sides = anchors[:, 2:] - anchors[:, :2]
    if corners:
        found = (boxes - anchors) / (np.tile(sides, 2) * CORNER)
    else:
        wanted = boxes[:, 2:] - boxes[:, :2]
        apart = (boxes[:, :2] + boxes[:, 2:] - anchors[:, :2] - anchors[:, 2:]) / 2
        found = np.concatenate([apart / sides, np.log(wanted / sides)], -1)
    return found[:, [1, 0, 3, 2]].astype(np.float32)
