"""Learning from inputs with known answers: classifiers, masks, larger pictures, nodes, autoencoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kerazoo.train.recipe import Batch, Figures
from kerazoo.train.state import State


@dataclass(frozen=True)
class Supervised:
    """One step of gradient descent on the mean loss of a batch, with the penalties that the layers add to it.

    Keras' `fit` traces its step with an unknown batch size, which made ResNet-20 half as fast on a CPU; this one is
    traced once for each shape.

    Attributes:
        loss: From the true answers and the network's output to a number, or one for each sample.
        inputs: How many of a batch's arrays, from the first on, the network takes; the rest is handed to the loss and
            to the metrics: targets, and weights where there are any.
        metrics: Further figures of a batch, by name: from targets and output to a number.
        prepare: Done to the first input in the graph: a `Normalise`.
        trained: Which of the network's variables learn: from a model to a list; all that are trainable by default.
    """

    loss: Callable[..., Any]
    inputs: int = 1
    metrics: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    prepare: Callable[[Any], Any] | None = None

    def __call__(self, state: State, batch: Batch) -> tuple[State, Figures]:
        name = next(iter(state.models))
        step = state.once("supervised", lambda: self._traced(state.models[name], state.optimizers[name]))
        return state, {name: float(value) for name, value in step(*batch).items()}

    def gradients(self, model: Any, batch: Batch, weights: Sequence[Any]) -> list[np.ndarray]:
        """Of the mean loss of a batch, for the network as it answers: one array a weight."""
        import tensorflow as tf

        inputs, known = list(batch[: self.inputs]), batch[self.inputs :]
        if self.prepare is not None:
            inputs[0] = self.prepare(tf.cast(inputs[0], tf.float32))
        with tf.GradientTape() as tape:
            output = model(inputs if self.inputs > 1 else inputs[0], training=False)
            value = tf.reduce_mean(self.loss(*known[:1], output, *known[1:]))
        found = tape.gradient(value, [weight.value for weight in weights], unconnected_gradients="zero")
        return [np.asarray(gradient) for gradient in found]

    def _traced(self, model: Any, optimizer: Any) -> Callable[..., Any]:
        import tensorflow as tf

        weights = model.trainable_variables

        @tf.function
        def step(*batch: Any) -> Any:
            inputs, known = list(batch[: self.inputs]), batch[self.inputs :]
            if self.prepare is not None:
                inputs[0] = self.prepare(tf.cast(inputs[0], tf.float32))
            with tf.GradientTape() as tape:
                output = model(inputs if self.inputs > 1 else inputs[0], training=True)
                value = tf.reduce_mean(self.loss(*known[:1], output, *known[1:]))
                if model.losses:
                    value += tf.add_n(model.losses)
            optimizer.apply(tape.gradient(value, weights), weights)
            further = {name: metric(*known[:1], output, *known[1:]) for name, metric in self.metrics.items()}
            return {"loss": value, **further}

        return step
