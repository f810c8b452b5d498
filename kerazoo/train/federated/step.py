"""A round: clients learn from the same weights, and the server moves these by the mean of what they changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
class Answer:
    """What a client sends.

    Of these nothing is sure before the server has looked: over a network anything may come.

    Attributes:
        samples: That it has learnt from, a whole number.
        loss: Mean of its steps.
        message: A part for each of `travelling`, or, in a secure round, masked numbers.
    """

    samples: Any
    loss: Any
    message: Any


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
        """A round whose clients learn here, one after the other."""
        *samples, ends, seeds, answers = (np.asarray(array) for array in batch)
        rate = rate_of(state)
        sent: dict[int, Answer] = {}
        for client in np.flatnonzero(answers).tolist():
            own, seed = [array[ends[client] : ends[client + 1]] for array in samples], int(seeds[client])
            changes, loss = self.learnt(state, own, seed, rate)
            if not self.secure:
                sent[client] = Answer(len(own[0]), loss, self.encoded(state.model, changes, seed))
            elif all(np.isfinite(change).all() for change in changes):
                # What is not, masked, would spoil the sum, and nobody could say who did.
                sent[client] = Answer(len(own[0]), loss, self._masked(changes, len(own[0]), client, seeds))
        figures = self._summed(state, sent, seeds) if self.secure else self.averaged(state, sent, seeds)
        return state, figures

    # --- a client ---

    def learnt(self, state: State, own: Sequence[np.ndarray], seed: int, rate: float) -> tuple[list[np.ndarray], float]:
        """What a client changes of each of `travelling`, and the mean loss on the way; the weights stay.

        Args:
            own: Its samples, in arrays as `local` takes them.
            seed: That the server gave it for this round.
            rate: Learning rate.
        """
        learn, weights = state.once("client", lambda: self._traced(state)), travelling(state.model)
        before = [variable.numpy() for variable in weights]
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
        loss = float(learn(tuple(own), order, bounds.astype(np.int64), np.float32(rate), bases))
        changes = [variable.numpy() - value for variable, value in zip(weights, before, strict=True)]
        for variable, value in zip(weights, before, strict=True):
            variable.assign(value)
        return changes, loss

    def encoded(self, model: Any, changes: Sequence[np.ndarray], seed: int) -> list[bytes]:
        """What leaves a client: a part for each of `travelling`."""
        ways = enumerate(zip(self._ways(model), changes, strict=True))
        return [way.encode(change, (seed, number)) for number, (way, change) in ways]

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

    def _masked(self, changes: Sequence[np.ndarray], count: int, client: int, seeds: np.ndarray) -> np.ndarray:
        flat = np.concatenate([change.ravel() for change in changes]) * float(count)
        return masking.masked(np.append(flat, float(count)), client, range(len(seeds)), _secret(seeds))

    def _ways(self, model: Any) -> list[Update]:
        """How each of `travelling` does."""
        learning = len(model.trainable_variables)
        return [self.update] * learning + [PLAIN] * (len(travelling(model)) - learning)

    # --- the server ---

    def averaged(
        self,
        state: State,
        sent: Mapping[int, Answer],
        seeds: Sequence[int] | np.ndarray,
        refused: Callable[[int, str], Any] = lambda client, why: None,
    ) -> Figures:
        """Moves the weights by the mean of what clients changed.

        Args:
            sent: By the client's place among those of the round, of those that answered.
            seeds: That each of the round was given.
            refused: Is told whose answer is no change of these weights, and why.
        """
        ways, weights = self._ways(state.model), travelling(state.model)
        shapes = [tuple(weight.shape) for weight in weights]
        total, count, used = [np.zeros(shape) for shape in shapes], 0, {}
        for client, answer in sent.items():
            try:
                samples = counted(answer)
                changes = decoded(ways, answer.message, shapes, int(seeds[client]))
            except InputError as error:
                refused(client, str(error))
                continue
            total = [one + samples * change for one, change in zip(total, changes, strict=True)]
            count += samples
            used[client] = answer
        return _moved(state, [one / max(count, 1) for one in total], sent, used, len(seeds))

    def _summed(self, state: State, sent: Mapping[int, Answer], seeds: np.ndarray) -> Figures:
        """The same, of masked changes."""
        shapes = [tuple(weight.shape) for weight in travelling(state.model)]
        if not sent:
            return _moved(state, [np.zeros(shape) for shape in shapes], sent, sent, len(seeds))
        lost = [client for client in range(len(seeds)) if client not in sent]
        told = {(one, other): masking.seed_of(one, other, _secret(seeds)) for one in sent for other in lost}
        summed = masking.total({client: answer.message for client, answer in sent.items()}, lost, told)
        places = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
        mean = [
            (summed[start:end] / summed[-1]).reshape(shape)
            for start, end, shape in zip(places, places[1:], shapes, strict=False)
        ]
        return _moved(state, mean, sent, sent, len(seeds))


def _moved(
    state: State, mean: Sequence[np.ndarray], sent: Mapping[int, Answer], used: Mapping[int, Answer], drawn: int
) -> Figures:
    """Moves the weights by the mean change; what the round came to."""
    for variable, change in zip(travelling(state.model), mean, strict=True):
        variable.assign_add(change.astype(np.float32))
    optimizer = next(iter(state.optimizers.values()))
    optimizer.iterations.assign_add(1)
    losses = [answer.loss for answer in used.values()]
    return {
        "loss": float(np.mean(losses)) if losses else 0.0,
        "sent_mb": sum(_size(answer.message) for answer in sent.values()) / 1e6,
        "lost": float(drawn - len(used)),
    }


def counted(answer: Answer) -> int:
    """For how many samples an answer counts.

    Raises:
        InputError: It says no number of samples, or no finite loss.
    """
    if not isinstance(answer.samples, int) or answer.samples < 1:
        raise InputError(f"A number of samples was awaited, not {answer.samples!r}.")
    if not isinstance(answer.loss, float) or not math.isfinite(answer.loss):
        raise InputError(f"A finite loss was awaited, not {answer.loss!r}.")
    return answer.samples


def decoded(ways: Sequence[Update], message: Any, shapes: Sequence[tuple[int, ...]], seed: int) -> list[np.ndarray]:
    """A client's change of each weight.

    Args:
        ways: How each travels.
        message: A part for each.

    Raises:
        InputError: It is no change of these weights, or holds what is not finite.
    """
    if not isinstance(message, list) or len(message) != len(shapes) or not all(isinstance(p, bytes) for p in message):
        raise InputError(f"Changes of {len(shapes)} weights were awaited.")
    parts = enumerate(zip(ways, message, shapes, strict=True))
    changes = [way.decode(part, shape, (seed, number)) for number, (way, part, shape) in parts]
    if not all(np.isfinite(change).all() for change in changes):
        raise InputError("A change is not finite.")
    return changes


def rate_of(state: State) -> float:
    """The learning rate of this round."""
    return float(next(iter(state.optimizers.values())).learning_rate)


def travelling(model: Any) -> list[Any]:
    """What learns first, then moving statistics; the states of dropout's generators stay."""
    others = [each for each in model.non_trainable_variables if each.dtype.startswith("float")]
    return [*model.trainable_variables, *others]


def _size(message: Any) -> int:
    """Bytes that travel."""
    if isinstance(message, np.ndarray):
        return message.nbytes
    return sum(len(part) for part in message if isinstance(part, bytes)) if isinstance(message, list) else 0


def _secret(seeds: np.ndarray) -> int:
    """Of a round; a simulation draws it where clients would agree on it."""
    return int(np.bitwise_xor.reduce(seeds))
