"""What several kinds rank by: precision over recall, and ranks themselves."""

from __future__ import annotations

import numpy as np


def precision_recall(
    right: np.ndarray, scores: np.ndarray, positives: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall at every threshold, from the highest score down; equal scores are one threshold.

    Args:
        right: bool [n], whether each is a positive (of a detector: was found where there is one).
        scores: [n].
        positives: How many there are to be found, more than those in `right` where some were never scored.

    Returns:
        Precision and recall in 0..1, [thresholds] each; recall is NaN where there are no positives.
    """
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    hits = np.cumsum(np.asarray(right, bool)[order])
    ends = np.flatnonzero(np.diff(np.asarray(scores)[order], append=-np.inf)) if len(order) else np.zeros(0, int)
    total = int(np.sum(right)) if positives is None else positives
    precision = hits[ends] / (ends + 1.0)
    return precision, hits[ends] / total if total else np.full(len(ends), np.nan)


def average_precision(precision: np.ndarray, recall: np.ndarray) -> float:
    """The area below precision over recall, precision being the best at that recall or beyond.

    At all points, as PASCAL VOC has it since 2010 (Everingham et al., "The PASCAL Visual Object Classes Challenge: A
    Retrospective", IJCV 2015, section 3.2); NaN where there was nothing to find.
    """
    if np.isnan(recall).any():
        return float("nan")
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * best))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing the mean of theirs; float64 [n]."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2.0)[inverse]
