"""How many channels of which family stay, for a wanted number of multiply-adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.errors import UsageError
from kerazoo.prune.channels import Traced, families, trace

Gradients = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Choice:
    """How channels are chosen.

    Attributes:
        share: Of the multiply-adds that go, at least.
        method: A word of `kerazoo.prune.masks.METHODS`.
        scope: `layer` takes the same share of each family, `global` the cheapest channels wherever they are.
        multiple: What a family's number of channels stays a multiple of, for kernels compute in blocks: onnxruntime
            16 channels at once with AVX-512, 8 with AVX2. A family of less than two such blocks can go down to half.
        keep: Patterns of layers whose outputs stay as many as they are.
        seed: Of the random baseline.
    """

    share: float
    method: str = "magnitude"
    scope: str = "layer"
    multiple: int = 16
    keep: tuple[str, ...] = ()
    seed: int = 0


def going(model: Any, choice: Choice, gradients: Gradients | None = None) -> tuple[Traced, np.ndarray]:
    """The groups of channels that go.

    Args:
        model: A functional model.
        choice: How many, and which.
        gradients: For the gradient method: of the loss, by the path of the variable.

    Returns:
        The trace, and group numbers.

    Raises:
        UsageError: No channel can go, or not so many.
    """
    traced = trace(model)
    found = [groups for groups in families(traced) if not _kept(traced, groups, choice.keep)]
    if not found:
        raise UsageError(f"No channel of {model.name} can go: its convolutions lead to outputs, or to unknown layers.")
    ordered = _ordered(traced, found, choice, gradients)
    cost = _Cost(traced, found)
    goal = (1 - choice.share) * cost.whole
    blocks = [max(1, min(choice.multiple, len(groups) // 2)) for groups in found]
    least = cost([len(groups) - block for groups, block in zip(found, blocks, strict=True)])
    if least > goal:
        raise UsageError(
            f"--sparsity {choice.share:g}: of {model.name}'s multiply-adds at most {1 - least / cost.whole:.3f} can go "
            f"by blocks of {choice.multiple} channels."
        )
    gone = (_by_layer if choice.scope == "layer" else _by_price)(cost, ordered, blocks, goal)
    return traced, np.concatenate([groups[:count] for (groups, _), count in zip(ordered, gone, strict=True)])


def _kept(traced: Traced, groups: np.ndarray, keep: Sequence[str]) -> bool:
    import fnmatch

    makers = {
        side.variable.path.split("/")[-2]
        for side in traced.sides
        if side.makes and np.isin(traced.groups(side.channels), groups).any()
    }
    return any(fnmatch.filter(makers, pattern) for pattern in keep)


class _Cost:
    """Multiply-adds of the network as a function of how many groups of each family are gone."""

    def __init__(self, traced: Traced, found: Sequence[np.ndarray]) -> None:
        family = {int(group): number for number, groups in enumerate(found) for group in groups}

        def counted(channels: np.ndarray) -> tuple[int, np.ndarray]:
            """How many channels there are, and how many go with one group of each family."""
            numbers = [family[group] for group in map(int, traced.groups(channels)) if group in family]
            counts = np.bincount(numbers, minlength=len(found)) if numbers else np.zeros(len(found))
            return len(channels), counts / np.array([len(groups) for groups in found])

        self.parts = [
            (counted(each.inputs) if each.inputs is not None else (1, np.zeros(len(found))), counted(each.outputs),
             each.each)
            for each in traced.products
        ]  # fmt: skip
        self.whole = self([0] * len(found))

    def __call__(self, gone: Sequence[int]) -> float:
        gone_ = np.asarray(gone, float)
        return float(sum((a - b @ gone_) * (c - d @ gone_) * each for (a, b), (c, d), each in self.parts))


Ordered = list[tuple[np.ndarray, np.ndarray]]


def _ordered(traced: Traced, found: list[np.ndarray], choice: Choice, gradients: Gradients | None) -> Ordered:
    """Each family's groups and their scores, the least important first."""
    scores = _scores(traced, choice, gradients)
    out = []
    for groups in found:
        values = np.array([scores.get(int(group), 0.0) for group in groups])
        order = np.argsort(values, kind="stable")
        out.append((groups[order], values[order]))
    return out


def _scores(traced: Traced, choice: Choice, gradients: Gradients | None) -> dict[int, float]:
    """How much each group matters.

    Magnitude is the norm of a channel's weights wherever they are made and read, as a share of the mean of their
    variable: Li et al., arXiv:1608.08710, section 3.1, over a whole group. The gradient's is the change of the loss
    that a first-order expansion foresees, Molchanov et al., arXiv:1906.10771, equation 8.
    """
    if choice.method == "random":
        draws = np.random.default_rng(choice.seed).random(len(traced.parents))
        return dict(enumerate(draws.tolist()))
    total: dict[int, float] = {}
    for side in traced.sides:
        values = side.variable.numpy()
        others = tuple(axis for axis in range(values.ndim) if axis != side.axis)
        if choice.method == "magnitude":
            if values.ndim < 2:
                continue  # Norms of single numbers say little: a bias shifts.
            norms = np.sqrt(np.square(values).sum(others))
            each = norms / max(float(norms.mean()), 1e-12)
        else:
            if side.variable.path not in (gradients or {}) or values.ndim > 1 and not side.makes:
                continue
            each = np.square((values * (gradients or {})[side.variable.path]).sum(others))
        for group, value in zip(traced.groups(side.channels), each, strict=True):
            total[int(group)] = total.get(int(group), 0.0) + float(value)
    return total


def _by_layer(cost: _Cost, ordered: Ordered, blocks: list[int], goal: float) -> list[int]:
    """The smallest share that reaches the goal, the same of each family, in whole blocks."""

    def gone(share: float) -> list[int]:
        out = []
        for (groups, _), block in zip(ordered, blocks, strict=True):
            size = len(groups)
            out.append(max(0, size - max(1, round((1 - share) * size / block)) * block))
        return out

    for share in np.linspace(0, 1, 1001):
        if cost(gone(float(share))) <= goal:
            break
    return gone(float(share))


def _by_price(cost: _Cost, ordered: Ordered, blocks: list[int], goal: float) -> list[int]:
    """Block by block the one whose channels matter least for the multiply-adds that they cost."""
    gone = [0] * len(ordered)
    now = cost(gone)
    while now > goal:
        best: tuple[float, int, int, float] | None = None
        for number, ((groups, scores), block) in enumerate(zip(ordered, blocks, strict=True)):
            left = len(groups) - gone[number]
            size = left % block or block  # What is over a whole number of blocks goes first.
            if left - size < block:
                continue
            gone[number] += size
            after = cost(gone)
            gone[number] -= size
            price = float(scores[gone[number] : gone[number] + size].sum()) / max(now - after, 1e-9)
            if best is None or price < best[0]:
                best = (price, number, size, after)
        if best is None:
            break
        _, number, size, now = best
        gone[number] += size
    return gone
