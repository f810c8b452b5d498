"""Classifiers: accuracy, confusion, and whether probabilities mean what they say."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.codecs.image import Image
from kerazoo.metrics import plots
from kerazoo.metrics._ranking import average_precision, precision_recall
from kerazoo.metrics.report import Asked, Figure, Report, ask
from kerazoo.predictor import Predictor
from kerazoo.sources import labelled
from kerazoo.sources.files import Sample

FIGURES = {"top-1": Figure("%", True, 0.5), "top-5": Figure("%", True, 0.5), "ECE": Figure("%", False, 2.0)}

CALLED = {"accuracy": ("top-1", 100.0)}
"""What cards of trained models call a figure, and what it is multiplied with."""

BINS = 15
WORST = 24
"""Mistakes that are shown."""


def confusion(truths: Any, guesses: Any, classes: int) -> np.ndarray:
    """How often each class was taken for each.

    Args:
        truths, guesses: Class numbers, arrays of one shape.
        classes: How many there are.

    Returns:
        int64 [classes, classes], a row a true class and a column a guessed one.
    """
    pairs = np.asarray(truths, np.int64).reshape(-1) * classes + np.asarray(guesses, np.int64).reshape(-1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def per_class(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall and F1 in percent of each class, and how many samples are of it.

    Precision is NaN where a class was never guessed, recall where there is none of it, and F1 where there is neither.
    """
    right, truths, guesses = np.diag(matrix).astype(float), matrix.sum(1), matrix.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = {"precision": right / guesses, "recall": right / truths, "F1": 2 * right / (guesses + truths)}
    return {name: 100 * share for name, share in shares.items()} | {"count": truths}


def top(truths: Sequence[int], ranked: Sequence[Sequence[int]], count: int) -> float:
    """Percent of the samples whose class is among the first `count` of theirs, the most probable first."""
    return 100 * float(np.mean([truth in row[:count] for truth, row in zip(truths, ranked, strict=True)]))


@dataclass(frozen=True)
class Calibration:
    """What confidences are worth.

    Attributes:
        error: The expected calibration error in percent.
        counts: Samples in each bin of confidence; bins are equally wide.
        confidence, accuracy: Means in each bin, in 0..1; NaN where it is empty.
    """

    error: float
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def calibration(confidences: Any, right: Any, bins: int = BINS) -> Calibration:
    """How far confidence lies from accuracy: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks",
    ICML 2017, section 2, equation 3.

    Args:
        confidences: Probabilities of what was guessed, [n] in 0..1.
        right: Whether it was right, [n].
        bins: As many, each without its lower end, as there.
    """
    confidences, right = np.asarray(confidences, np.float64), np.asarray(right, np.float64)
    places = np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)
    counts, sure, hits = (np.bincount(places, weights, bins) for weights in (None, confidences, right))
    error = 100 * float(np.sum(np.abs(sure - hits)) / len(right))
    with np.errstate(invalid="ignore"):
        return Calibration(error, counts, sure / counts, hits / counts)


def measure(predictor: Predictor, asked: Asked) -> Report:
    """Of a classifier of pictures or of sentences; see `kerazoo.sources.labelled` for what it takes.

    Raises:
        UsageError: There is no labelled data, or it has classes that the model does not have.
        InputError: Nothing of it can be read.
    """
    task: Any = predictor.task
    of_pictures = isinstance(task.input, Image)
    if of_pictures:
        samples = labelled.pictures(asked.source, task.labels, asked.only, asked.say)
    else:
        samples = labelled.sentences(asked.source, task.labels)
    many = len(task.labels)
    answers = ask(predictor, samples, asked, "pictures" if of_pictures else "texts")
    truths: list[int] = []
    ranked: list[tuple[int, ...]] = []
    sure: list[float] = []
    scores: list[np.ndarray] = []
    worst: list[tuple[float, int, Sample, str]] = []
    for sample, result in answers:
        truths.append(sample.truth)
        ranked.append(result.indices[:5])
        sure.append(result.scores[0])
        if asked.plots and many <= plots.CURVES and len(result.indices) == many:
            scores.append(np.array(result.scores)[np.argsort(result.indices)])
        if asked.plots and ranked[-1][0] != sample.truth:
            how = f"({100 * sure[-1]:.0f}\N{NO-BREAK SPACE}%)"
            line = f"{task.labels[sample.truth]}, not {task.labels[ranked[-1][0]]} {how}"
            heapq.heappush(worst, (sure[-1], -len(truths), sample, line))
            if len(worst) > WORST:
                heapq.heappop(worst)
    guesses = [row[0] for row in ranked]
    matrix = confusion(truths, guesses, many)
    bins = calibration(sure, np.equal(guesses, truths))
    figures = {"top-1": top(truths, ranked, 1), "top-5": top(truths, ranked, 5), "ECE": bins.error}
    drawn: dict[str, Any] = {}
    if asked.plots:
        drawn["confusion.png"] = lambda: plots.confusion(matrix, task.labels)
        drawn["reliability.png"] = lambda: plots.reliability(bins.confidence, bins.accuracy, bins.counts, bins.error)
        if scores:
            curves = _curves(np.array(truths), np.array(scores), task.labels)
            drawn["precision_recall.png"] = lambda: plots.precision_recall(curves)
        if worst:
            shown = [(sample, line) for _, _, sample, line in sorted(worst, key=lambda each: (-each[0], -each[1]))]
            draw = plots.contact_sheet if of_pictures else plots.sentences
            drawn["mistakes.png"] = lambda: draw(shown, f"The {len(shown)} surest mistakes of {answers.count}")
    return answers.report(figures, labels=task.labels, classes=per_class(matrix), confusion=matrix, plots=drawn)


def _curves(truths: np.ndarray, scores: np.ndarray, labels: Sequence[str]) -> Mapping[str, tuple[Any, Any, float]]:
    """Of each class that occurs, against all others: recall, precision, and the area below."""
    found = {}
    for number, label in enumerate(labels):
        precision, recall = precision_recall(truths == number, scores[:, number])
        if not np.isnan(recall).any():
            found[f"{number} {label}" if label in found else label] = (
                recall,
                precision,
                average_precision(precision, recall),
            )
    return found
