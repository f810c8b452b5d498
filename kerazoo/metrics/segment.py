"""Masks: intersection over union from one confusion matrix, and pixels."""

from __future__ import annotations

import heapq
import io
import itertools
from typing import Any

import numpy as np

from kerazoo.codecs import image
from kerazoo.errors import InputError, UsageError
from kerazoo.metrics import plots
from kerazoo.metrics.classify import confusion
from kerazoo.metrics.report import Asked, Figure, Report, ask
from kerazoo.predictor import Predictor
from kerazoo.sources import pictures
from kerazoo.sources.files import Sample

FIGURES = {
    "mean IoU": Figure("%", True, 0.5),
    "pixel accuracy": Figure("%", True, 0.5),
    "pixel error": Figure("%", False, 0.5),
}

CALLED = {"accuracy": ("pixel accuracy", 100.0), "iou": ("mean IoU", 100.0)}
"""What cards of trained models call a figure, and what it is multiplied with."""

VOID = 255
"""The number in masks of pixels that belong to no class, as PASCAL VOC has it."""

SHOWN = 6
"""Pictures that are drawn: those with the most wrong pixels."""


def matrix(truth: np.ndarray, guess: np.ndarray, classes: int, void: int = VOID) -> np.ndarray:
    """How many pixels of each class were taken for each; those that are void count for nothing.

    Args:
        truth, guess: Class numbers, whole numbers of one shape.
        classes: How many there are.
        void: The number in `truth` of pixels that belong to no class.

    Returns:
        int64 [classes, classes], a row a true class; matrices of several pictures are added up.
    """
    known = truth != void
    return confusion(truth[known], guess[known], classes)


def overlaps(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union in percent of each class, NaN where there is none of it and it was never guessed.

    Everingham et al., "The PASCAL Visual Object Classes Challenge: A Retrospective", IJCV 2015, section 4.2.2: of all
    pixels of all pictures together, not the mean over pictures.
    """
    shared = np.diag(confusion).astype(float)
    with np.errstate(invalid="ignore"):
        return 100 * shared / (confusion.sum(0) + confusion.sum(1) - shared)


def figures(confusion: np.ndarray) -> dict[str, float]:
    """Mean intersection over union, and the share of pixels that are right, all in percent."""
    right = 100 * float(np.trace(confusion) / confusion.sum())
    return {"mean IoU": float(np.nanmean(overlaps(confusion))), "pixel accuracy": right, "pixel error": 100 - right}


def opened(data: Any) -> np.ndarray:
    """A mask as it is stored, encoded or an array, to its numbers [h, w]; a palette's colours do not matter.

    Raises:
        InputError: It cannot be read, or has more than one number a pixel.
    """
    if isinstance(data, np.ndarray):
        return data
    from PIL import Image as Pillow

    try:
        with Pillow.open(io.BytesIO(data), formats=("PNG", "BMP", "TIFF", "GIF")) as mask:
            mode, numbers = mask.mode, np.asarray(mask)
    except Exception as error:  # Pillow raises whatever its decoders raise.
        raise InputError(f"its mask cannot be read: {error}") from None
    if numbers.ndim != 2 or numbers.dtype.kind not in "iub":
        raise InputError(f"its mask is {mode}; a mask has one whole number a pixel, that of its class.")
    return numbers


def measure(predictor: Predictor, asked: Asked) -> Report:
    """Of a model that segments, on pictures with masks; see `kerazoo.sources.pictures.masked`.

    Masks of a model of two classes that hold nothing but 0 and 255 are black and white: 255 is the second class. That
    is said, and `void` says otherwise.

    Raises:
        UsageError: There are none, or a mask holds a class that the model does not have.
        InputError: Nothing of it can be read.
    """
    task: Any = predictor.task
    labels = tuple(task.labels)
    samples = pictures.masked(asked.source, asked.only, asked.say)
    void, white = (VOID if asked.void is None else asked.void), False
    if asked.void is None and len(labels) == 2 and _black_and_white(samples):
        white = True
        asked.say(f"The masks are black and white: 0 is {labels[0]}, 255 is {labels[1]} (void pixels: --void N).")
    total = np.zeros((len(labels), len(labels)), np.int64)
    worst: list[tuple[float, int, Any]] = []
    answers, ties = ask(predictor, samples, asked, "pictures"), itertools.count()
    for sample, result in answers:
        guess = np.asarray(image.opened(result.picture)).astype(np.int64)
        try:
            truth = opened(sample.truth()).astype(np.int64)
            if truth.shape != guess.shape:
                (high, wide), (tall, broad) = truth.shape, guess.shape
                raise InputError(f"its mask is {wide} x {high} pixels, the picture {broad} x {tall}.")
        except InputError as error:
            answers.leave_out(sample, error, counted=True)
            continue
        if white:
            truth = truth // 255
        _check(truth, labels, void, sample.name)
        total += matrix(truth, guess, len(labels), void)
        if asked.plots:
            error_ = float(np.mean((truth != guess) & (truth != void)))
            small = truth.astype(np.int32), guess.astype(np.uint8)
            heapq.heappush(worst, (error_, -next(ties), (sample, *small)))
            if len(worst) > SHOWN:
                heapq.heappop(worst)
    if not total.sum():
        raise InputError(f"No pixel of the {len(samples)} masks of {asked.source} belongs to a class.")
    drawn: dict[str, Any] = {}
    if asked.plots:
        rows = [
            (sample.name.rsplit("/", 1)[-1], np.asarray(pictures.opened(sample)), truth, guess)
            for _, _, (sample, truth, guess) in sorted(worst, key=lambda each: (-each[0], -each[1]))
        ]
        drawn["masks.png"] = lambda: plots.masks(rows, labels, void)
        drawn["confusion.png"] = lambda: plots.confusion(total, labels)
    classes = {"IoU": overlaps(total), "pixels": total.sum(1)}
    return answers.report(figures(total), labels=labels, classes=classes, confusion=total, plots=drawn)


def _black_and_white(samples: list[Sample]) -> bool:
    found: set[int] = set()
    for sample in samples:
        try:
            found |= set(np.unique(opened(sample.truth())).tolist())
        except InputError:  # It is named when its turn comes.
            continue
        if not found <= {0, 255}:
            return False
    return 255 in found


def _check(truth: np.ndarray, labels: tuple[str, ...], void: int, name: str) -> None:
    other = sorted(set(np.unique(truth).tolist()) - set(range(len(labels))) - {void})
    if other:
        raise UsageError(
            f"The mask of {name} holds {', '.join(map(str, other[:5]))}; the model has the classes 0 to "
            f"{len(labels) - 1} ({', '.join(labels[:5])}{', ...' if len(labels) > 5 else ''}).\n"
            f"Pixels that belong to no class are {void}; --void N says otherwise."
        )
