"""A round: clients learn from the same weights, and the server moves these by the mean of what they changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.errors import InputError
from kerazoo.train.federated import masking
from kerazoo.train.federated.updates import PLAIN, Update
from kerazoo.train.recipe import Batch, Figures
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised

Learn = Callable[..., Any]


@dataclass(frozen=True)
class Averaging:
    """Federated averaging (arXiv:1602.05629, algorithm 1): clients count by their samples.

    A batch is that of `clients.Clients`. Moving statistics are averaged as weights are, and travel as they are. A
    client that does not answer, or sends what is no change of these weights or not finite, is left out of the round;
    where none is left, the round changes nothing.

    Attributes:
        local: What a client does with a batch of its own: its loss and its preprocessing.
        epochs, batch: See `kerazoo.train.federated.Plan`.
        update: How a change travels.
        secure: Whether the server sees the sum alone.
    """

    local: Supervised
    epochs: int = 1
    batch: int = 10
    update: Update = PLAIN
    secure: bool = False

    def __call__(self, state: State, batch: Batch) -> tuple[State, Figures]:
        *samples, ends, seeds, answers = (np.asarray(array) for array in batch)
        optimizer = next(iter(state.optimizers.values()))
        rate, learn = float(optimizer.learning_rate), state.once("client", lambda: self._traced(state))
        weights = _travelling(state.model)
        before = [variable.numpy() for variable in weights]
        sent: dict[int, tuple[float, list[bytes] | np.ndarray]] = {}
        losses = []
        for client in np.flatnonzero(answers).tolist():
            own = [array[ends[client] : ends[client + 1]] for array in samples]
            for variable, value in zip(weights, before, strict=True):
                variable.assign(value)
            losses.append(self._learnt(state, learn, own, int(seeds[client]), rate))
            changes = [variable.numpy() - value for variable, value in zip(weights, before, strict=True)]
            if self.secure and not all(np.isfinite(change).all() for change in changes):
                continue  # Masked, it would spoil the sum, and nobody could say who did.
            sent[client] = float(len(own[0])), self._sent(state, changes, client, seeds, float(len(own[0])))
        mean, lost = self._received(state, sent, [value.shape for value in before], seeds)
        for variable, value, change in zip(weights, before, mean, strict=True):
            variable.assign(value + change)
        optimizer.iterations.assign_add(1)
        return state, {
            "loss": float(np.mean(losses)) if losses else 0.0,
            "sent_mb": sum(_size(message) for _, message in sent.values()) / 1e6,
            "lost": float(len(seeds) - len(sent) + lost),
        }

    # --- a client ---

    def _learnt(self, state: State, learn: Learn, own: Sequence[np.ndarray], seed: int, rate: float) -> float:
        """Goes downhill on a client's own samples; the mean loss."""
        count = len(own[0])
        size = self.batch or count
        starts = np.arange(0, count, size)
        bounds = np.concatenate([starts + epoch * count for epoch in range(self.epochs)] + [[count * self.epochs]])
        rng = np.random.default_rng((seed, 0xC11E))
        order = np.concatenate([rng.permutation(count) for _ in range(self.epochs)])
        bases = [
            self.update.basis(tuple(weight.shape), (seed, number))
            for number, weight in enumerate(state.model.trainable_variables)
        ]
        return float(learn(tuple(own), order, bounds.astype(np.int64), np.float32(rate), bases))

    def _traced(self, state: State) -> Learn:
        import tensorflow as tf

        model, weights = state.model, state.model.trainable_variables

        @tf.function(autograph=False, reduce_retracing=True)
        def learn(samples: Any, order: Any, bounds: Any, rate: Any, bases: Any) -> Any:
            def step(number: Any, total: Any) -> Any:
                rows = order[bounds[number] : bounds[number + 1]]
                batch = tuple(tf.gather(array, rows) for array in samples)
                with tf.GradientTape() as tape:
                    value, _ = self.local.judge(model(self.local.take(batch), training=True), batch)
                    if model.losses:
                        value += tf.add_n(model.losses)
                gradients = tape.gradient(value, weights, unconnected_gradients="zero")
                for weight, gradient, basis in zip(weights, gradients, bases, strict=True):
                    weight.assign_sub(rate * self.update.confined(gradient, basis))
                return number + 1, total + value

            steps = tf.size(bounds) - 1
            _, total = tf.while_loop(lambda number, _: number < steps, step, (0, 0.0))
            return total / tf.cast(steps, "float32")

        return learn

    def _sent(
        self, state: State, changes: list[np.ndarray], client: int, seeds: np.ndarray, count: float
    ) -> list[bytes] | np.ndarray:
        """What leaves a client."""
        if self.secure:
            flat = np.concatenate([change.ravel() for change in changes]) * count
            return masking.masked(np.append(flat, count), client, range(len(seeds)), _secret(seeds))
        ways = self._ways(state)
        return [
            way.encode(each, (int(seeds[client]), i)) for i, (way, each) in enumerate(zip(ways, changes, strict=True))
        ]

    def _ways(self, state: State) -> list[Update]:
        """How each of `_travelling` does."""
        learning = len(state.model.trainable_variables)
        return [self.update] * learning + [PLAIN] * (len(_travelling(state.model)) - learning)

    # --- the server ---

    def _received(
        self,
        state: State,
        sent: dict[int, tuple[float, Any]],
        shapes: Sequence[tuple[int, ...]],
        seeds: np.ndarray,
    ) -> tuple[list[np.ndarray], int]:
        """The mean change of each weight, and how many clients sent what could not be used."""
        if self.secure:
            return self._summed(sent, shapes, seeds), 0
        total, count, lost = [np.zeros(shape) for shape in shapes], 0.0, 0
        for client, (samples, message) in sent.items():
            try:
                changes = decoded(self._ways(state), message, shapes, int(seeds[client]))
            except InputError:
                lost += 1
                continue
            total = [one + samples * change for one, change in zip(total, changes, strict=True)]
            count += samples
        return [(one / max(count, 1.0)).astype(np.float32) for one in total], lost

    def _summed(
        self, sent: dict[int, tuple[float, Any]], shapes: Sequence[tuple[int, ...]], seeds: np.ndarray
    ) -> list[np.ndarray]:
        if not sent:
            return [np.zeros(shape, np.float32) for shape in shapes]
        lost = [client for client in range(len(seeds)) if client not in sent]
        told = {(one, other): masking.seed_of(one, other, _secret(seeds)) for one in sent for other in lost}
        summed = masking.total({client: message for client, (_, message) in sent.items()}, lost, told)
        places = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
        return [
            (summed[start:end] / summed[-1]).astype(np.float32).reshape(shape)
            for start, end, shape in zip(places, places[1:], shapes, strict=False)
        ]


def decoded(ways: Sequence[Update], message: Any, shapes: Sequence[tuple[int, ...]], seed: int) -> list[np.ndarray]:
    """A client's change of each weight.

    Args:
        ways: How each travels.
        message: A part for each.

    Raises:
        InputError: It is no change of these weights, or holds what is not finite.
    """
    if not isinstance(message, list) or len(message) != len(shapes):
        raise InputError(f"Changes of {len(shapes)} weights were awaited.")
    parts = enumerate(zip(ways, message, shapes, strict=True))
    changes = [way.decode(part, shape, (seed, number)) for number, (way, part, shape) in parts]
    if not all(np.isfinite(change).all() for change in changes):
        raise InputError("A change is not finite.")
    return changes


def _travelling(model: Any) -> list[Any]:
    """What learns first, then moving statistics; the states of dropout's generators stay."""
    others = [each for each in model.non_trainable_variables if each.dtype.startswith("float")]
    return [*model.trainable_variables, *others]


def _size(message: list[bytes] | np.ndarray) -> int:
    """Bytes that travel."""
    return message.nbytes if isinstance(message, np.ndarray) else sum(map(len, message))


def _secret(seeds: np.ndarray) -> int:
    """Of a round; a simulation draws it where clients would agree on it."""
    return int(np.bitwise_xor.reduce(seeds))
