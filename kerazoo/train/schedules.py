"""Optimisers and learning rates over time, as data: what a recipe names, and what Keras makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kerazoo.errors import UsageError, near
from kerazoo.lazy import keras


class Schedule(Protocol):
    def rate(self, steps: int, epochs: int) -> Any:
        """A learning rate, or Keras' schedule of it.

        Args:
            steps: Steps an epoch.
            epochs: Of the whole training.
        """
        ...


@dataclass(frozen=True)
class Constant:
    """The same rate all along."""

    value: float = 1e-3

    def rate(self, steps: int, epochs: int) -> Any:
        return self.value


@dataclass(frozen=True)
class Line:
    """A straight line down.

    Attributes:
        value: The rate at first.
        end: The last rate, as a share of the first.
    """

    value: float
    end: float = 0.0

    def rate(self, steps: int, epochs: int) -> Any:
        return keras.optimizers.schedules.PolynomialDecay(self.value, steps * epochs, self.value * self.end)


@dataclass(frozen=True)
class Cosine:
    """A straight line up, then half a cosine down.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, arXiv:1608.03983, equation
    5 without restarts; the warm-up of Goyal et al., arXiv:1706.02677, section 2.2.

    Attributes:
        peak: The rate after the warm-up.
        start: The rate at the very beginning.
        warm_up: Epochs of the way up; parts of one are counted in whole steps.
        end: What is left at the end, as a share of the peak.
    """

    peak: float
    start: float = 1e-4
    warm_up: float = 1.0
    end: float = 0.0

    def rate(self, steps: int, epochs: int) -> Any:
        up = int(steps * self.warm_up)
        down = max(1, steps * epochs - up)
        if not up:
            return keras.optimizers.schedules.CosineDecay(self.peak, down, alpha=self.end)
        return keras.optimizers.schedules.CosineDecay(
            self.start, down, warmup_target=self.peak, warmup_steps=up, alpha=self.end
        )


@dataclass(frozen=True)
class Steps:
    """The rate falls by a factor at certain shares of the training.

    Attributes:
        value: The rate at first.
        at: Shares of all steps, ascending.
        factor: What each multiplies the rate by.
    """

    value: float
    at: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1

    def rate(self, steps: int, epochs: int) -> Any:
        values = [self.value * self.factor**count for count in range(len(self.at) + 1)]
        places = [int(share * steps * epochs) for share in self.at]
        return keras.optimizers.schedules.PiecewiseConstantDecay(places, values)


@dataclass(frozen=True)
class InverseRoot:
    """A straight line up, then a fall as one over the root of the step.

    Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, section 5.3, equation 3: there the way up has 4,000
    steps, and the peak is `(width * 4000) ** -0.5`.

    Attributes:
        peak: The rate after the warm-up.
        warm_up: Epochs of the way up; parts of one are counted in whole steps.
    """

    peak: float
    warm_up: float = 1.0

    def rate(self, steps: int, epochs: int) -> Any:
        from kerazoo.train.rates import Roots

        return Roots(self.peak, max(1, int(steps * self.warm_up)))


@dataclass(frozen=True)
class Triangular:
    """Straight up and down between two rates, again and again.

    Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, arXiv:1506.01186, section 3.

    Attributes:
        low: The rate at the beginning of a cycle.
        high: The rate in its middle.
        half: Epochs from one to the other; the paper advises 2 to 10.
        fall: What the height of each cycle is times that of the one before: 1 is the paper's `triangular`, 0.5 its
            `triangular2`.
    """

    low: float = 1e-3
    high: float = 6e-3
    half: float = 2.0
    fall: float = 1.0

    def rate(self, steps: int, epochs: int) -> Any:
        from kerazoo.train.rates import Triangles

        return Triangles(self.low, self.high, max(1, round(self.half * steps)), self.fall)


@dataclass(frozen=True)
class OneCycle:
    """Once up and down, then far below where it began; an SGD's momentum goes the other way round.

    Smith and Topin, "Super-Convergence", arXiv:1708.07120; Smith, "A disciplined approach to neural network
    hyper-parameters: Part 1", arXiv:1803.09820, sections 4.1 to 4.3.

    Attributes:
        peak: The rate in the middle, from a range test.
        divide: The peak over the rate at first.
        end: The last rate over the one at first.
        tail: Share of the steps in which the rate falls from the one at first to the last.
        momentum: Greatest and least.
    """

    peak: float
    divide: float = 10.0
    end: float = 0.01
    tail: float = 0.1
    momentum: tuple[float, float] = (0.95, 0.85)

    def rate(self, steps: int, epochs: int) -> Any:
        from kerazoo.train.rates import Lines

        first, last = self.peak / self.divide, max(2, steps * epochs - 1)
        down = round(last * (1 - self.tail))
        places = (0, down / 2, down, last)
        momenta = Lines(places, (*self.momentum, self.momentum[0], self.momentum[0]))
        return Lines(places, (first, self.peak, first, first * self.end), momenta)


OPTIMIZERS = {
    "sgd": "SGD",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "adamax": "Adamax",
    "adamw": "AdamW",
}
"""Words for Keras' optimisers."""


@dataclass(frozen=True)
class Optimizer:
    """One of Keras' optimisers.

    Attributes:
        kind: A key of `OPTIMIZERS`.
        decay: Weight decay in units of the learning rate, decoupled as Keras has it; 0 for none.
        spared: Variables whose names hold one of these words do not decay.
        settings: What else the optimiser takes: `momentum`, `nesterov`, `beta_1`, `clipnorm`.
    """

    kind: str = "adam"
    decay: float = 0.0
    spared: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def build(self, rate: Any) -> Any:
        """Keras' optimiser with this learning rate.

        Raises:
            UsageError: There is none of that kind.
        """
        if self.kind not in OPTIMIZERS:
            hint = near(self.kind, OPTIMIZERS)
            raise UsageError(f"The optimizer {self.kind!r} is not known; known are {', '.join(OPTIMIZERS)}.{hint}")
        more: dict[str, Any] = {"weight_decay": self.decay} if self.decay or self.kind == "adamw" else {}
        more |= self.settings
        if self.kind == "sgd" and more.get("momentum") and getattr(rate, "momenta", None) is not None:
            from kerazoo.train.rates import CycledSGD

            made = CycledSGD(rate, **{name: value for name, value in more.items() if name != "momentum"})
        else:
            made = getattr(keras.optimizers, OPTIMIZERS[self.kind])(rate, **more)
        if self.spared:
            made.exclude_from_weight_decay(var_names=list(self.spared))
        return made
