"""Which weights go: scores of weights, and masks made of scores.

Blalock, Ortiz, Frankle, Guttag, "What is the State of Neural Network Pruning?", MLSys 2020, arXiv:2003.03033, names
the baselines that every method should be held against: magnitude and gradient times weight, each over all layers
together or layer by layer, and random.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from kerazoo.errors import UsageError
from kerazoo.prune.graph import Kernel

METHODS = ("magnitude", "gradient", "random")
SCOPES = ("global", "layer")
STRUCTURES = ("none", "2:4", "channel")

Arrays = Mapping[str, np.ndarray]


def random(kernels: Sequence[Kernel], seed: int) -> dict[str, np.ndarray]:
    """Scores that say nothing, the same for a seed."""
    return {
        kernel.path: np.random.default_rng((seed, zlib.crc32(kernel.path.encode()))).random(kernel.variable.shape)
        for kernel in kernels
    }


def magnitude(kernels: Sequence[Kernel]) -> dict[str, np.ndarray]:
    """How far each weight is from zero."""
    return {kernel.path: np.abs(kernel.variable.numpy()) for kernel in kernels}


def unstructured(scores: Arrays, sparsity: float, scope: str, before: Arrays | None = None) -> dict[str, np.ndarray]:
    """Masks that zero exactly that share of the weights, those with the lowest scores.

    Args:
        scores: One array a kernel, by path.
        sparsity: Share of the weights that become zero, at least 0 and below 1.
        scope: `global` compares the weights of all kernels, `layer` those of each.
        before: Earlier masks: what they zero stays zero.

    Returns:
        Booleans by path, true where a weight stays.
    """
    flat = {path: score.astype(np.float64).ravel() for path, score in scores.items()}
    if before is not None:
        flat = {path: np.where(before[path].ravel(), score, -np.inf) for path, score in flat.items()}
    if scope == "layer":
        kept = {path: _kept(score, sparsity) for path, score in flat.items()}
    else:
        whole = _kept(np.concatenate(list(flat.values())), sparsity)
        ends = np.cumsum([len(score) for score in flat.values()])[:-1]
        kept = dict(zip(flat, np.split(whole, ends), strict=True))
    return {path: kept[path].reshape(score.shape) for path, score in scores.items()}


def _kept(scores: np.ndarray, sparsity: float) -> np.ndarray:
    kept = np.ones(len(scores), bool)
    # Of equals the first go, so that the same scores give the same mask.
    kept[np.argsort(scores, kind="stable")[: round(sparsity * len(scores))]] = False
    return kept


def two_of_four(kernels: Sequence[Kernel], scores: Arrays) -> dict[str, np.ndarray]:
    """Masks that keep two of every four weights of an output, in the order in which a kernel's inputs lie.

    That is what sparse tensor cores multiply: Mishra et al., "Accelerating Sparse Deep Neural Networks",
    arXiv:2104.08378, section 3.

    Raises:
        UsageError: The weights of an output do not divide by four; the layers are named.
    """
    uneven = [kernel for kernel in kernels if _inputs(kernel) % 4]
    if uneven:
        told = ", ".join(f"{kernel.layer} ({_inputs(kernel)})" for kernel in uneven[:5])
        raise UsageError(
            f"2:4 takes two of every four weights of an output, and these do not divide by four: {told}"
            f"{', ...' if len(uneven) > 5 else ''}.\nLeave such layers as they are: "
            + " ".join(f"--keep {kernel.layer}" for kernel in uneven[:5])
        )
    return {kernel.path: _two_of_four(scores[kernel.path]) for kernel in kernels}


def _inputs(kernel: Kernel) -> int:
    """Weights of one output; of a depthwise convolution those of one channel."""
    return math.prod(kernel.variable.shape[: -2 if kernel.depthwise else -1])


def _two_of_four(scores: np.ndarray) -> np.ndarray:
    fours = scores.reshape(-1, 4, scores.shape[-1])
    order = np.argsort(np.argsort(-fours, axis=1, kind="stable"), axis=1, kind="stable")
    return (order < 2).reshape(scores.shape)
