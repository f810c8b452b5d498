"""Labels of a row of places, each chosen with an eye to its neighbours': a Markov chain, solved exactly."""

from __future__ import annotations

from typing import Any

from kerazoo.contract import Tensor


def smoothed(ops: Any, scores: Tensor, reward: float) -> Tensor:
    """The labels that maximise the sum of their scores, plus the reward for each two neighbours that have the same.

    Source: Karpathy, Fei-Fei, arXiv:1412.2306, section 3.1.4, equations 10 to 12, with the sign that favours equal
    neighbours; by Viterbi's dynamic programming. A change costs the same whatever it leads to, so that the best
    beginning before it is one for all labels: a step takes time in proportion to the labels, not to their pairs.

    Args:
        ops: The array functions.
        scores: Float32 [rows, places, labels]; places and labels are known in a graph too.
        reward: At least 0, with which each place has the label that scores highest.

    Returns:
        int64 [rows, places].
    """
    places, labels = scores.shape[1], scores.shape[2]
    every = ops.cast(ops.arange(labels), "int64")[None]
    total, before = scores[:, 0], []
    for place in range(1, places):
        best = ops.argmax(total)[:, None]
        kept, changed = total + reward, ops.gather_batched(total, best)
        before.append(ops.where(kept >= changed, every, best))
        total = ops.maximum(kept, changed) + scores[:, place]
    chosen = [ops.argmax(total)[:, None]]
    for earlier in reversed(before):
        chosen.append(ops.gather_batched(earlier, chosen[-1]))
    return ops.concat(chosen[::-1], 1)
