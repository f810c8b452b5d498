"""Embeddings: whether what lies close together is what people find alike."""

from __future__ import annotations

import time

import numpy as np

from kerazoo import words
from kerazoo.errors import InputError
from kerazoo.metrics import plots
from kerazoo.metrics._ranking import ranks
from kerazoo.metrics.report import Asked, Figure, Report, ask
from kerazoo.predictor import Predictor
from kerazoo.sources import files, texts
from kerazoo.sources.files import Sample

FIGURES = {
    "Spearman": Figure("", True, 0.005),
    "Pearson": Figure("", True, 0.005),
    "analogies": Figure("%", True, 0.1),
    "semantic": Figure("%", True, 0.1),
    "syntactic": Figure("%", True, 0.1),
}

SYNTACTIC = "gram"
"""What the sections of questions on grammar begin with."""


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
    """Of a model that embeds, on pairs whose likeness people judged, or on analogies in a .txt.

    How alike two texts are is the cosine of the `vector` of each result; see `kerazoo.sources.texts.alike`.

    Raises:
        UsageError: There is nothing of the kind, or analogies are asked of a model that is not of single words.
        InputError: Nothing of them can be read.
    """
    if asked.source.suffix == ".txt" and files.text(asked.source).startswith(":"):
        return analogies(predictor, asked)
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


def analogies(predictor: Predictor, asked: Asked) -> Report:
    """Of vectors of words, on questions such as Mikolov et al.'s (arXiv:1301.3781, section 4.1).

    Right is the one word nearest to b - a + c, these three left out. As the word2vec program counts, all words are in
    capitals, and questions with a word that is not known are left out; the report counts those that were asked.

    Raises:
        UsageError: There are no questions, or the model's items are not single words.
        InputError: Every question has a word that is not known.
    """
    start = time.perf_counter()
    table = words.table(predictor)
    numbers = {word.upper(): number for number, word in reversed([*enumerate(table.words)])}
    read = texts.analogies(asked.source)
    known = [(section, four) for section, four in read if all(word.upper() in numbers for word in four)]
    if not known:
        raise InputError(f"{asked.source}: every question has a word that {predictor.name} does not know.")
    if len(known) < len(read):
        asked.say(f"{len(read) - len(known)} of {len(read)} questions have a word that is not known and are left out.")
    fours = np.array([[numbers[word.upper()] for word in four] for _, four in known])
    right = table.answers(fours[:, :3]) == fours[:, 3]
    grammar = np.array([section.startswith(SYNTACTIC) for section, _ in known])
    sides = {"semantic": right[~grammar], "syntactic": right[grammar]}
    figures = {"analogies": 100 * float(right.mean())}
    figures |= {name: 100 * float(side.mean()) for name, side in sides.items() if side.size}
    return Report(figures, len(known), "questions", seconds=time.perf_counter() - start)
