"""Learning from one long text: states go on from batch to batch, gradients end at its beginning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kerazoo.lazy import keras
from kerazoo.train.recipe import Batch, Figures
from kerazoo.train.state import State


@dataclass(frozen=True)
class Carried:
    """One step of gradient descent through a window of characters, behind all that its row has read in this epoch.

    Williams, Peng, "An Efficient Gradient-Based Algorithm for On-Line Training of Recurrent Network Trajectories",
    1990: back-propagation through time that is cut off after so many steps.

    Attributes:
        states: Names of the network's states: of layers between which its step lies, as `kerazoo.tasks.write` has it.
        loss: Of the true characters [batch, n] and logits [batch, n, characters], one number each.
        metrics: Further figures, by name, likewise.
    """

    states: Sequence[str]
    loss: Callable[..., Any]
    metrics: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def __call__(self, state: State, batch: Batch) -> tuple[State, Figures]:
        step = state.once("carried", lambda: self._traced(state))
        model, rows = state.model, int(batch[0].shape[0])
        carried = [state.arrays.get(name) for name in self.states]
        if state.index == 0 or any(each is None for each in carried):
            carried = [np.zeros((rows, model.get_layer(name).output.shape[-1]), np.float32) for name in self.states]
        figures, following = step(*batch, *carried)
        state.arrays.update(zip(self.states, (each.numpy() for each in following), strict=True))
        return state, {name: float(value) for name, value in figures.items()}

    def _traced(self, state: State) -> Callable[..., Any]:
        import tensorflow as tf

        name = next(iter(state.models))
        part, optimizer = stepping(state.models[name], self.states), state.optimizers[name]
        weights = state.models[name].trainable_variables

        @tf.function(autograph=False)
        def step(characters: Any, following: Any, *carried: Any) -> Any:
            with tf.GradientTape() as tape:
                logits, *after = part([characters, *carried], training=True)
                loss = tf.reduce_mean(self.loss(following, logits))
            optimizer.apply(tape.gradient(loss, weights), weights)
            further = {name: tf.reduce_mean(metric(following, logits)) for name, metric in self.metrics.items()}
            return {"loss": loss, **further}, after

        return step


def stepping(model: Any, states: Sequence[str]) -> Any:
    """The model's step on any number of characters: they and the states in, logits and the states after them out."""
    given = [model.get_layer(name).output for name in ("token", *states)]
    found = [model.get_layer(name).output for name in ("logits", *(f"next_{name}" for name in states))]
    return keras.Model(given, found, name="step")


def read(part: Any, numbers: np.ndarray, sizes: Sequence[int], window: int = 512) -> np.ndarray:
    """Logits of a text from its beginning to its end, the states carried: int32 [n] to float32 [n, characters].

    Args:
        part: See `stepping`; or what is traced of it.
        numbers: Of the text.
        sizes: Of the states.
        window: Characters that are read at once.
    """
    states: list[Any] = [np.zeros((1, size), np.float32) for size in sizes]
    found = []
    for start in range(0, len(numbers), window):
        logits, *states = part([numbers[None, start : start + window], *states])
        found.append(np.asarray(logits)[0])
    return np.concatenate(found)
