"""Embeddings: whether what lies close together is what people find alike."""

from __future__ import annotations

import numpy as np

from kerazoo.metrics._ranking import ranks


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
