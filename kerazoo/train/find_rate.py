"""The learning-rate range test: the rate rises from step to step, and the loss tells which ones a network can bear.

Smith, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186, section 3.3, and "A disciplined
approach to neural network hyper-parameters", arXiv:1803.09820, section 4.1. The rate rises by a factor here, as it is
commonly done since, so that a few steps see all magnitudes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from kerazoo.errors import GateError, UsageError
from kerazoo.train import state as state_
from kerazoo.train.recipe import Batch, Recipe
from kerazoo.train.run import batches
from kerazoo.train.schedules import Constant

SMOOTHING, BEYOND, LEAST, SAFE = 0.9, 4.0, 0.02, 0.1
"""Of the loss, from step to step; so many times the least loss ends the test; so large a share of the first loss must
be learnt away for the test to say anything; and so large a share of the rate where the loss is least is suggested."""


@dataclass(frozen=True)
class Found:
    """What the test came to.

    Attributes:
        rates, losses, smoothed: Of each step that was done, as far as the loss was a number.
        suggested: A tenth of `highest`: one to train with. Where the loss falls most steeply is lost in the noise of
            small batches; this is not.
        highest: The rate at which the smoothed loss was least. Beyond it the loss grew; the upper bound of a cycle lies
            below.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggested: float
    highest: float


def range_test(recipe: Recipe, lowest: float = 1e-6, highest: float = 1.0, steps: int = 100) -> Found:
    """Trains from the recipe's first state at rising rates, and forgets what was learnt.

    Args:
        recipe: What is tested; its schedule has no part in it.
        lowest, highest: The first rate, and the last.
        steps: From the one to the other; fewer are done where the loss explodes before.

    Raises:
        UsageError: The rates do not rise, or the steps are too few.
        GateError: No rate made the loss fall.
    """
    if not 0 < lowest < highest or steps < 10:
        raise UsageError(f"From {lowest:g} to {highest:g} in {steps} steps: the rate must rise, in at least 10 steps.")
    state = state_.begin(replace(recipe, schedule=Constant(lowest)))
    rates = np.geomspace(lowest, highest, steps)
    losses: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    for rate, batch in zip(rates, _endless(recipe), strict=False):
        for optimizer in state.optimizers.values():
            optimizer.learning_rate = float(rate)
        state, figures = recipe.step(state, batch)
        loss = float(figures.get("loss", next(iter(figures.values()))))
        if not math.isfinite(loss):
            break
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        losses.append(loss)
        smoothed.append(mean / (1 - SMOOTHING ** len(losses)))
        if smoothed[-1] > min(smoothed) + (BEYOND - 1) * abs(min(smoothed)):
            break
    return _judged(tuple(rates[: len(losses)].tolist()), tuple(losses), tuple(smoothed))


def _endless(recipe: Recipe) -> Iterator[Batch]:
    for epoch in itertools.count():
        yield from batches(recipe, epoch)


def _judged(rates: tuple[float, ...], losses: tuple[float, ...], smoothed: tuple[float, ...]) -> Found:
    least = int(np.argmin(smoothed)) if smoothed else 0
    first = losses[: max(5, len(losses) // 10)]
    base, noise = (float(figure(first)) if first else 0.0 for figure in (np.mean, np.std))
    # Batches differ: what one of them is better than another is no fall.
    if least < 2 or base - smoothed[least] < max(LEAST * abs(base), noise):
        ends = f"from {rates[0]:.2g} to {rates[-1]:.2g}" if rates else "at the first rate"
        raise GateError(
            f"No rate {ends} made the loss fall; after {len(losses)} steps it is no better than at first.\n"
            "Try larger batches, more steps, or other bounds."
        )
    return Found(rates, losses, smoothed, SAFE * rates[least], rates[least])
