"""Detection without a network: how boxes overlap, which of many stay, and what average precision counts.

    python docs/learn/detection.py [--draw docs/images/learn/detection.png]

Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 88(2), 2010; Lin et al., "Focal Loss for Dense
Object Detection", ICCV 2017, arXiv:1708.02002.
"""

from __future__ import annotations

import sys

import numpy as np

TRUTH = np.array([[10, 10, 50, 50], [60, 20, 90, 70]], float)
"""Left, top, right and bottom of two objects."""

SAID = np.array([[12, 8, 52, 49], [9, 13, 47, 52], [62, 22, 92, 68], [55, 10, 80, 60], [20, 60, 40, 90]], float)
SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5])


def iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box with each of others [n, 4]: 0 where they do not touch, 1 where they are one."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    return shared / (np.prod(box[2:] - box[:2]) + areas - shared)


def suppressed(boxes: np.ndarray, scores: np.ndarray, overlap: float = 0.45) -> list[int]:
    """Which boxes stay, surest first: none that overlaps a surer one that stays by more than so much."""
    stay: list[int] = []
    for index in np.argsort(-scores):
        if not stay or iou(boxes[index], boxes[stay]).max() <= overlap:
            stay.append(int(index))
    return stay


def average_precision(boxes: np.ndarray, scores: np.ndarray, truth: np.ndarray, least: float = 0.5) -> float:
    """The area below precision over recall; an object is found once, by the surest box that overlaps it enough."""
    right, taken = [], np.zeros(len(truth), bool)
    for index in np.argsort(-scores):
        overlaps = iou(boxes[index], truth)
        best = int(overlaps.argmax())
        right.append(overlaps[best] >= least and not taken[best])
        taken[best] |= right[-1]
    found = np.cumsum(right)
    precision, recall = found / np.arange(1, len(right) + 1), found / len(truth)
    return float(np.sum(np.diff(recall, prepend=0) * np.maximum.accumulate(precision[::-1])[::-1]))


def focal(chance: float, gamma: float) -> float:
    """The loss of something that is there and is given this chance; cross-entropy where gamma is 0."""
    return float(-((1 - chance) ** gamma) * np.log(chance))


def drawn(path: str) -> None:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    stay = suppressed(SAID, SCORES)
    figure = Figure(figsize=(7, 3), layout="constrained")
    for axes, shown, title in zip(figure.subplots(1, 2), (range(len(SAID)), stay), ("said", "what stays"), strict=True):
        for box in TRUTH:
            axes.add_patch(Rectangle(box[:2], *(box[2:] - box[:2]), facecolor="0.85"))
        for index in shown:
            box = SAID[index]
            axes.add_patch(Rectangle(box[:2], *(box[2:] - box[:2]), fill=False, edgecolor="#ef6c00", linewidth=1.5))
            axes.annotate(f"{SCORES[index]:.1f}", box[:2] + (1, 6), fontsize=8)
        axes.set(xlim=(0, 100), ylim=(100, 0), aspect="equal", title=title, xticks=[], yticks=[])
    figure.savefig(path, dpi=110)


def main(arguments: list[str]) -> None:
    print("overlap with the first object:", " ".join(f"{value:.2f}" for value in iou(TRUTH[0], SAID)))
    stay = suppressed(SAID, SCORES)
    print("boxes that stay:", " ".join(str(index) for index in stay))
    print(f"average precision of all five: {average_precision(SAID, SCORES, TRUTH):.3f}")
    print(f"average precision of what stays: {average_precision(SAID[stay], SCORES[stay], TRUTH):.3f}")
    for chance in (0.1, 0.5, 0.9, 0.99):
        plain, focused = focal(chance, 0), focal(chance, 2)
        print(f"given {chance:.2f}: cross-entropy {plain:.4f}, focal {focused:.6f}, {plain / focused:.1f} times less")
    if arguments[:1] == ["--draw"]:
        drawn(arguments[1])


if __name__ == "__main__":
    main(sys.argv[1:])
