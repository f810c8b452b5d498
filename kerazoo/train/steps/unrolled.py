"""Learning from sentences with a network that is unrolled to a fixed length: at the length that a batch has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kerazoo.train.recipe import Batch, Figures
from kerazoo.train.state import State


@dataclass(frozen=True)
class Unrolled:
    """One step of gradient descent, through a network of the same weights that is as long as the batch.

    Weights of a recurrence do not depend on how often it is unrolled; of short sentences the rest would be padding.

    Attributes:
        loss: Of the true words and the network's output, a number.
        built: A network for sentences of a length; its weights are not used.
        metrics: Further figures of a batch, by name: from true words and output to a number.
    """

    loss: Callable[..., Any]
    built: Callable[[int], Any]
    metrics: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def __call__(self, state: State, batch: Batch) -> tuple[State, Figures]:
        length = int(batch[0].shape[1])
        step = state.once(f"unrolled {length}", lambda: self._traced(state, length))
        return state, {name: float(value) for name, value in step(*batch).items()}

    def _traced(self, state: State, length: int) -> Callable[..., Any]:
        import tensorflow as tf

        name = next(iter(state.models))
        model, optimizer = state.models[name], state.optimizers[name]
        short = model if model.inputs[0].shape[1] == length else self.built(length)
        learning = model.trainable_variables
        # What is frozen in the one learns in the other.
        mine = {id(other): own for own, other in zip(model.variables, short.variables, strict=True)}
        kinds = [
            [mine[id(each)] for each in kind] for kind in (short.trainable_variables, short.non_trainable_variables)
        ]

        @tf.function
        def step(source: Any, before: Any, words: Any) -> Any:
            with tf.GradientTape() as tape:
                values = [[variable.value for variable in kind] for kind in kinds]
                output, changed = short.stateless_call(*values, [source, before], training=True)
                loss = self.loss(words, output)
            optimizer.apply(tape.gradient(loss, learning), learning)
            for variable, value in zip(kinds[1], changed, strict=True):
                variable.assign(value)
            return {"loss": loss, **{name: metric(words, output) for name, metric in self.metrics.items()}}

        return step
