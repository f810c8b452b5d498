"""Boxes: average precision as COCO and as PASCAL VOC have it, on arrays; boxes are matched by pycocotools."""

from __future__ import annotations

import contextlib
import functools
import heapq
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.errors import InputError
from kerazoo.metrics import plots
from kerazoo.metrics._ranking import average_precision, precision_recall
from kerazoo.metrics.report import Asked, Figure, Report, ask
from kerazoo.packages import needed
from kerazoo.predictor import Predictor
from kerazoo.sources import boxes as sources
from kerazoo.sources.boxes import Marked
from kerazoo.sources.pictures import opened
from kerazoo.tasks._boxes import overlaps

MEAN, COCO_MEAN = "mAP@.5", "COCO mAP"

FIGURES = {
    MEAN: Figure("%", True, 0.5),
    COCO_MEAN: Figure("%", True, 0.5),
}

CALLED = {"map50": (MEAN, 100.0)}
"""What cards of trained models call a figure, and what it is multiplied with."""

LEAST = 0.005
"""A box is measured whose score is above it, whatever a task shows to people: darknet's `detector valid` has it so."""

COUNT = 100
"""Boxes of a picture that are measured, at least: COCO looks at so many."""

SHOWN = 6
"""Pictures that are drawn: those in which most was missed or taken for what it is not."""

RIGHT = 0.5
"""Intersection over union of a box that is right, in what is drawn."""


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
    return _twelve(_accumulated(truths, found, classes))


def coco_classes(truths: Sequence[Truth], found: Sequence[Found], classes: int) -> list[float]:
    """COCO's average precision of each class in percent, over overlaps of 0.5 to 0.95; NaN where there is none of it.

    Args:
        truths, found, classes: As for `coco`.
    """
    return _of_classes(_accumulated(truths, found, classes))


def _accumulated(truths: Sequence[Truth], found: Sequence[Found], classes: int) -> Any:
    evaluation = _evaluated(truths, found, classes)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _twelve(evaluation: Any) -> dict[str, float]:
    return {name: 100 * float(v) if v >= 0 else float("nan") for name, v in zip(COCO, evaluation.stats, strict=True)}


def _of_classes(evaluation: Any) -> list[float]:
    # Overlaps, recalls, classes, sizes, numbers of boxes: of all sizes, and as many boxes as there may be.
    precision = evaluation.eval["precision"][..., 0, -1]
    each = [precision[..., number] for number in range(precision.shape[-1])]
    return [100 * float(table[table > -1].mean()) if (table > -1).any() else float("nan") for table in each]


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


def in_full(task: Any) -> Any:
    """A task that answers as much as is measured, instead of what people want to be shown."""
    return replace(task, least=LEAST, count=max(COUNT, task.count))


def found(result: Any) -> Found:
    """A `kerazoo.tasks.detect.Boxes` as arrays."""
    boxes = np.array(result.boxes, np.float64).reshape(-1, 4)[:, [1, 0, 3, 2]]
    return Found(boxes, np.array(result.indices, np.int64), np.array(result.scores, np.float64))


def measure(predictor: Predictor, asked: Asked) -> Report:
    """Of a model that detects, on pictures with boxes; see `kerazoo.sources.boxes.marked`.

    Raises:
        UsageError: There are none, or a box is of a class that the model does not have.
        InputError: Nothing of it can be read.
    """
    needed("pycocotools.cocoeval")
    task: Any = predictor.task
    labels, least = tuple(task.labels), task.least
    numbers = {label: number for number, label in enumerate(labels)}
    source = sources.marked(asked.source, asked.only, asked.say)
    source.check(labels, predictor.name)
    samples = source.measured(asked.say)
    if predictor.network is not None:
        task = in_full(task)
        predictor = replace(predictor, task=task, answer=functools.partial(task.answer, predictor.network))
    else:
        asked.say(f"The engine {predictor.engine} shows boxes above {least:g} alone; the others count as not found.")
    truths: list[Truth] = []
    guesses: list[Found] = []
    before: list[Marked] = []
    after: list[Marked] = []
    worst: list[tuple[int, int, Any]] = []
    answers, ties = ask(predictor, samples, asked, "pictures"), itertools.count()
    for sample, result in answers:
        try:
            marked = sample.truth()
            within = marked.within(*result.size)
        except InputError as error:
            answers.leave_out(sample, error, counted=True)
            continue
        before.append(marked)
        after.append(within)
        truths.append(
            Truth(within.boxes, np.array([numbers[name] for name in within.names], int), within.difficult, within.crowd)
        )
        guesses.append(found(result))
        if asked.plots:
            shown = _shown(guesses[-1], least)
            wrong = int(np.sum(~_right(truths[-1], shown))) + int(np.sum(~_right(shown, truths[-1])))
            heapq.heappush(worst, (wrong, -next(ties), (sample, truths[-1], shown)))
            if len(worst) > SHOWN:
                heapq.heappop(worst)
    for line in sources.remarks(before, after):
        asked.say(line)
    if not any(len(truth.labels) for truth in truths):
        raise InputError(f"None of the {len(samples)} pictures of {asked.source} has a box.")
    curves = voc(truths, guesses, len(labels))
    evaluation = _accumulated(truths, guesses, len(labels))
    coco_ = _twelve(evaluation)
    drawn: dict[str, Any] = {}
    if asked.plots:
        rows = [each for _, _, each in sorted(worst, key=lambda each: (-each[0], -each[1]))]
        drawn["boxes.png"] = lambda: plots.boxes([_row(*row) for row in rows], labels)
        ranked = {
            label: (curve.recall, curve.precision, curve.area / 100)
            for label, curve in zip(labels, curves, strict=True)
            if curve.count and len(curve.recall)
        }
        if ranked:
            drawn["precision_recall.png"] = lambda: plots.precision_recall(ranked)
    classes = {
        "AP@.5": [curve.area for curve in curves],
        "COCO AP": _of_classes(evaluation),
        "boxes": [curve.count for curve in curves],
    }
    left_out = sum(len(one.names) - len(other.names) for one, other in zip(before, after, strict=True))
    details = {
        "boxes": sum(len(truth.labels) for truth in truths),
        "boxes left out": left_out,
        "coco": {name: round(value, 4) for name, value in coco_.items() if value == value},
    }
    figures = {MEAN: mean(curves), COCO_MEAN: coco_["AP"]}
    return answers.report(figures, labels=labels, classes=classes, plots=drawn, details=details)


def _shown(each: Found, least: float) -> Found:
    kept = each.scores > least
    return Found(each.boxes[kept], each.labels[kept], each.scores[kept])


def _right(boxes: Any, others: Any) -> np.ndarray:
    """Which boxes overlap one of their class among the others by more than `RIGHT`: bool [n]."""
    shared = overlaps(boxes.boxes, others.boxes) * (boxes.labels[:, None] == others.labels[None])
    return np.asarray(shared.max(-1, initial=0.0) > RIGHT)


def _row(sample: Any, truth: Truth, shown: Found) -> Any:
    picture = np.asarray(opened(sample))
    return sample.name, picture, (truth, ~_right(truth, shown)), (shown, ~_right(shown, truth))
