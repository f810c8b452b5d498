"""Embeddings: whether what lies close together is what people find alike."""

from __future__ import annotations

import numpy as np

from kerazoo.errors import InputError
from kerazoo.metrics import plots
from kerazoo.metrics._ranking import ranks
from kerazoo.metrics.report import Asked, Figure, Report, ask
from kerazoo.predictor import Predictor
from kerazoo.sources import texts
from kerazoo.sources.files import Sample

FIGURES = {"Spearman": Figure("", True, 0.005), "Pearson": Figure("", True, 0.005)}


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of the angle between vectors [n, d] row by row; float64 [n], 0 where one is all zeros."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.sum(a * b, axis=-1) / np.where(lengths == 0, 1.0, lengths)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two lists of numbers [n], equal ones sharing a rank; NaN where one is constant."""
    return pearson(ranks(np.asarray(a)), ranks(np.asarray(b)))


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """The correlation of two lists of numbers [n]; NaN where one is constant."""
    a, b = (np.asarray(each, np.float64) - np.mean(each) for each in (a, b))
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else float("nan")


def measure(predictor: Predictor, asked: Asked) -> Report:
    """Of a model that embeds, on pairs whose likeness people judged; see `kerazoo.sources.texts.alike`.

    How alike two texts are is the cosine of the `vector` of each result.

    Raises:
        UsageError: There are no such pairs.
        InputError: Nothing of them can be read.
    """
    pairs = texts.alike(asked.source)
    samples = [
        Sample(f"{pair.name}, {place} text", text, row)
        for row, pair in enumerate(pairs)
        for place, text in zip(("first", "second"), pair.item, strict=True)
    ]
    answers = ask(predictor, samples, asked, "texts")
    found: dict[int, list[np.ndarray]] = {}
    for sample, result in answers:
        found.setdefault(sample.truth, []).append(np.asarray(result.vector))
    rows = [row for row, vectors in found.items() if len(vectors) == 2]
    if len(rows) < 2:
        raise InputError(f"{asked.source}: both texts could be read of {len(rows)} pairs; ranks need two at least.")
    likeness = cosine(*(np.stack([found[row][side] for row in rows]) for side in range(2)))
    judged = np.array([pairs[row].truth for row in rows])
    drawn = {}
    if asked.plots:
        drawn["likeness.png"] = lambda: plots.scatter(
            judged, likeness, ("judged by people", "cosine"), "Likeness of pairs"
        )
    answers.count, answers.what = len(rows), "pairs"
    return answers.report({"Spearman": spearman(likeness, judged), "Pearson": pearson(likeness, judged)}, plots=drawn)
