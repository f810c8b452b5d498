"""Learning from inputs with known answers: classifiers, masks, larger pictures, nodes, autoencoders."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kerazoo.errors import UsageError, near
from kerazoo.lazy import keras
from kerazoo.train.descent import Step, descent
from kerazoo.train.quick import COMPUTES, FASTEST, Compute, fastest
from kerazoo.train.recipe import Batch, Figures, Recipe
from kerazoo.train.state import State


@dataclass(frozen=True)
class Supervised:
    """One step of gradient descent on the mean loss of a batch, with the penalties that the layers add to it.

    It runs on each of Keras' backends. On TensorFlow it is traced once for each shape, with batch normalisation fused.

    Attributes:
        loss: From the true answers and the network's output to a number, or one for each sample.
        inputs: How many of a batch's arrays, from the first on, the network takes; the rest is handed to the loss and
            to the metrics: targets, and weights where there are any.
        metrics: Further figures of a batch, by name: from targets and output to a number.
        prepare: Done to the first input in the graph: a `Normalise`.
        compute: A key of `kerazoo.train.quick.COMPUTES`, or `fastest`: a few steps of each are timed on the first
            batch, and which was fastest is part of the state, so that a resumed training goes on as it began.
        say: Is told which was fastest; by default stderr is.
    """

    loss: Callable[..., Any]
    inputs: int = 1
    metrics: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    prepare: Callable[[Any], Any] | None = None
    compute: str = "float32"
    say: Callable[[str], Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        known = (*COMPUTES, FASTEST)
        if self.compute not in known:
            raise UsageError(
                f"compute={self.compute} is not known; known are {', '.join(known)}.{near(self.compute, known)}"
            )

    def __call__(self, state: State, batch: Batch) -> tuple[State, Figures]:
        step = state.once("supervised", lambda: self._made(state, batch))
        figures = step(*batch)
        return state, {name: float(figures[name]) for name in ("loss", *self.metrics)}

    def gradients(self, model: Any, batch: Batch, weights: Sequence[Any]) -> list[np.ndarray]:
        """Of the mean loss of a batch, for the network as it answers: one array a weight."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value, _ = self.judge(model(self.take(batch), training=False), batch)
        found = tape.gradient(value, [weight.value for weight in weights], unconnected_gradients="zero")
        return [np.asarray(gradient) for gradient in found]

    def take(self, batch: Batch) -> Any:
        """The network's input."""
        inputs = list(batch[: self.inputs])
        if self.prepare is not None:
            inputs[0] = self.prepare(keras.ops.cast(inputs[0], "float32"))
        return inputs if self.inputs > 1 else inputs[0]

    def judge(self, output: Any, batch: Batch) -> tuple[Any, Mapping[str, Any]]:
        """The loss of the network's output, a number, and the metrics."""
        known = batch[self.inputs :]
        value = keras.ops.mean(self.loss(*known[:1], output, *known[1:]))
        return value, {name: metric(*known[:1], output, *known[1:]) for name, metric in self.metrics.items()}

    def _made(self, state: State, batch: Batch) -> Step:
        name = next(iter(state.models))
        made: dict[Compute, Step] = {}

        def make(compute: Compute) -> Step:
            if compute not in made:
                made[compute] = descent(state.models[name], state.optimizers[name], self.take, self.judge, compute)
            return made[compute]

        word = self.compute
        if word == FASTEST:
            if "compute" not in state.arrays:
                word, took = fastest(make, state.variables().values(), batch)
                told = ", ".join(f"{each} {ms:.0f} ms a step" for each, ms in took.items())
                (self.say or _told)(f"compute: {word} ({told})")
                state.arrays["compute"] = np.array(word)
            word = str(state.arrays["compute"])
        return make(COMPUTES[word])


def _told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def computed(recipe: Recipe, compute: str, say: Callable[[str], Any] | None = None) -> Recipe:
    """The recipe with its step computed in another way.

    Args:
        compute, say: See `Supervised`.

    Raises:
        UsageError: There is no such way, or the step knows but one.
    """
    if compute == Supervised.compute:
        return recipe
    step: Any = recipe.step
    if not isinstance(step, Supervised):
        raise UsageError(f"compute={compute}: this is taught by a step of its own ({type(step).__name__}), in float32.")
    return replace(recipe, step=replace(step, compute=compute, say=say))
