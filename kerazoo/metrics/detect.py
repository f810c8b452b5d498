"""Boxes: average precision as COCO and as PASCAL VOC have it, on arrays; boxes are matched by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.metrics._ranking import average_precision, precision_recall
from kerazoo.packages import needed


@dataclass(frozen=True)
class Truth:
    """What there is to find in one picture.

    Attributes:
        boxes: [n, 4], top, left, bottom and right in pixels.
        labels: Class numbers, [n].
        ignored: bool [n], boxes that need not be found and may be (VOC's difficult ones); none by default.
        crowd: bool [n], boxes around many, in which any number may be found (COCO's iscrowd); none by default.
    """

    boxes: np.ndarray
    labels: np.ndarray
    ignored: np.ndarray | None = None
    crowd: np.ndarray | None = None


@dataclass(frozen=True)
class Found:
    """What was found in one picture.

    Attributes:
        boxes: [n, 4], top, left, bottom and right in pixels.
        labels: Class numbers, [n].
        scores: [n].
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Curve:
    """Of one class: precision over recall, from the surest box on, and the area below.

    Attributes:
        precision, recall: In 0..1.
        area: Average precision in percent, at all points; NaN where there is none of the class.
        count: Boxes that there are to be found.
    """

    precision: np.ndarray
    recall: np.ndarray
    area: float
    count: int


COCO = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large", "AR1", "AR10", "AR100", "AR small", "AR medium",
        "AR large")  # fmt: skip

_IGNORED = 1e12
"""An area beyond every range: pycocotools then neither counts nor punishes the box."""


def coco(truths: Sequence[Truth], found: Sequence[Found], classes: int) -> dict[str, float]:
    """The twelve figures of COCO in percent: average precision over overlaps of 0.5 to 0.95, and recall.

    Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, and its evaluation code. -1 of that code, where
    there is nothing of the kind, is NaN.

    Args:
        truths, found: One a picture, in one order.
        classes: How many there are.

    Raises:
        PackageMissing: pycocotools is not installed.
    """
    evaluation = _evaluated(truths, found, classes)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
        evaluation.summarize()
    return {name: 100 * float(v) if v >= 0 else float("nan") for name, v in zip(COCO, evaluation.stats, strict=True)}


def voc(truths: Sequence[Truth], found: Sequence[Found], classes: int, overlap: float = 0.5) -> list[Curve]:
    """Precision and recall of each class at one overlap, and average precision at all points, as VOC since 2010.

    Everingham et al., "The PASCAL Visual Object Classes Challenge: A Retrospective", IJCV 2015, section 3. Unlike
    VOC's own code, a box whose best partner is taken may have the next best that overlaps enough, as COCO has it.

    Args:
        truths, found: One a picture, in one order.
        classes: How many there are.
        overlap: Least intersection over union of a box that is right.

    Raises:
        PackageMissing: pycocotools is not installed.
    """
    evaluation = _evaluated(truths, found, classes, overlap)
    curves = []
    pictures = len(truths)
    for number in range(classes):
        rows = [row for row in evaluation.evalImgs[number * pictures : (number + 1) * pictures] if row is not None]
        counts = np.array([not ignored for row in rows for ignored in row["gtIgnore"]], bool)
        kept = [~np.asarray(row["dtIgnore"][0], bool) for row in rows]
        scores = [np.asarray(row["dtScores"], np.float64)[keep] for row, keep in zip(rows, kept, strict=True)]
        right = [np.asarray(row["dtMatches"][0])[keep] > 0 for row, keep in zip(rows, kept, strict=True)]
        total = int(counts.sum())
        precision, recall = precision_recall(
            np.concatenate([np.zeros(0, bool), *right]), np.concatenate([np.zeros(0), *scores]), total
        )
        area = 100 * average_precision(precision, recall) if total else float("nan")
        curves.append(Curve(precision, recall, area, total))
    return curves


def mean(curves: Sequence[Curve]) -> float:
    """Mean average precision in percent, over the classes that there are."""
    areas = [curve.area for curve in curves if curve.count]
    return float(np.mean(areas)) if areas else float("nan")


def _evaluated(truths: Sequence[Truth], found: Sequence[Found], classes: int, overlap: float | None = None) -> Any:
    """pycocotools' matches, at one overlap and of boxes of all sizes, or at COCO's overlaps and sizes."""
    api, evaluate = needed("pycocotools.coco").COCO, needed("pycocotools.cocoeval").COCOeval
    pictures = [{"id": number} for number in range(len(truths))]
    categories = [{"id": number, "name": str(number)} for number in range(classes)]
    # Numbers from 1: 0 is pycocotools' word for a box that has no partner.
    numbers = iter(range(1, 2**31))
    boxes = [
        {
            "id": next(numbers), "image_id": picture, "category_id": int(label), "bbox": _sides(box),
            "area": _IGNORED if _flag(truth.ignored, row) else _area(box), "iscrowd": int(_flag(truth.crowd, row)),
        }
        for picture, truth in enumerate(truths)
        for row, (box, label) in enumerate(zip(truth.boxes, truth.labels, strict=True))
    ]  # fmt: skip
    guesses = [
        {
            "id": next(numbers), "image_id": picture, "category_id": int(label), "bbox": _sides(box),
            "area": _area(box), "score": float(score), "iscrowd": 0,
        }
        for picture, each in enumerate(found)
        for box, label, score in zip(each.boxes, each.labels, each.scores, strict=True)
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for rows in (boxes, guesses):
            side = api()
            side.dataset = {"info": {}, "images": pictures, "categories": categories, "annotations": rows}
            side.createIndex()
            sides.append(side)
        evaluation = evaluate(*sides, "bbox")
        if overlap is not None:
            evaluation.params.iouThrs = np.array([overlap])
            evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
            evaluation.params.maxDets = [max([1, *(len(each.boxes) for each in found)])]
        evaluation.evaluate()
    return evaluation


def _sides(box: Any) -> list[float]:
    top, left, bottom, right = map(float, box)
    return [left, top, right - left, bottom - top]


def _area(box: Any) -> float:
    return _sides(box)[2] * _sides(box)[3]


def _flag(flags: np.ndarray | None, row: int) -> bool:
    return flags is not None and bool(flags[row])
