"""A recurrence that reads any number of steps, and one without a loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

KINDS = {"rnn": (1, 1), "lstm": (4, 2), "peephole_lstm": (4, 2), "gru": (3, 1)}
"""Kind of cell -> products of input and kernel, and states."""


@keras.saving.register_keras_serializable(package="kerazoo")
class Recurrent(keras.layers.Layer):
    """One layer of recurrent units, handed its states and handing them on.

    All steps' inputs meet the kernel in one product, before the loop. A single step is computed without one, which goes
    into every format. Weights are shaped, ordered and named as those of Keras' `SimpleRNN`, `LSTM` and `GRU`.

    Sources, `x` the input and `h` the output: Elman, "Finding Structure in Time", 1990 (`rnn`, `h = tanh(W x + U h +
    b)`); Hochreiter, Schmidhuber, "Long Short-Term Memory", 1997, with the forget gate of Gers, Schmidhuber, Cummins,
    "Learning to Forget", 2000 (`lstm`); Gers, Schraudolph, Schmidhuber, "Learning Precise Timing with LSTM Recurrent
    Networks", 2002 (`peephole_lstm`: input and forget gate see the cell as it was, the output gate as it is, each by a
    vector); Cho et al., arXiv:1406.1078, with the reset gate behind the product (`gru`, Keras' `reset_after=True`).

    Args:
        units: Of the layer.
        kind: A key of `KINDS`.
    """

    def __init__(self, units: int, kind: str = "lstm", **options: Any) -> None:
        super().__init__(**options)
        if kind not in KINDS:
            raise ValueError(f"kind={kind!r} is not known; known are {', '.join(KINDS)}.")
        self.units, self.kind = units, kind

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        products, states = KINDS[self.kind]
        if len(input_shape) != 1 + states:
            raise ValueError(f"{self.name} takes its input and {states} states, not {input_shape}.")
        width = products * self.units
        self.kernel = self.add_weight(shape=(input_shape[0][-1], width), initializer="glorot_uniform", name="kernel")
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, width), initializer="orthogonal", name="recurrent_kernel"
        )
        # Of a GRU there is one before the product with the recurrent kernel is reset, too.
        shape = (2, width) if self.kind == "gru" else (width,)
        self.bias = self.add_weight(shape=shape, initializer=self._begin, name="bias")
        if self.kind == "peephole_lstm":
            self.peephole = self.add_weight(shape=(3, self.units), initializer="zeros", name="peephole")

    def _begin(self, shape: Any, dtype: Any = None) -> Any:
        """Zeros, but that an LSTM begins by forgetting nothing."""
        zeros = keras.ops.zeros(shape, dtype)
        if KINDS[self.kind][1] == 1:
            return zeros
        here = keras.ops.arange(shape[0]) // self.units
        return zeros + keras.ops.cast(here == 1, zeros.dtype)

    def call(self, inputs: Any) -> Any:
        """Reads.

        Args:
            inputs: A list of the input [batch, n, d] and the states [batch, units]: output, and of an LSTM the cell.

        Returns:
            A list of the output of each step [batch, n, units], and of the states after the last.
        """
        x, *states = inputs
        ops = keras.ops
        bias = self.bias[0] if self.kind == "gru" else self.bias
        seen = ops.matmul(x, self.kernel) + bias
        if x.shape[1] == 1:
            states = self._step(seen[:, 0], states)
            return [ops.expand_dims(states[0], 1), *states]

        def step(carried: Any, seen: Any) -> Any:
            following = self._step(seen, ops.split(carried, len(states), axis=-1))
            following = ops.concatenate(following, axis=-1)
            return following, following

        # On TensorFlow, Keras' scan carries one tensor, and gives out what is shaped like it.
        last, all_ = ops.scan(step, ops.concatenate(states, axis=-1), ops.transpose(seen, (1, 0, 2)))
        return [ops.transpose(all_[..., : self.units], (1, 0, 2)), *ops.split(last, len(states), axis=-1)]

    def _step(self, seen: Any, states: Sequence[Any]) -> list[Any]:
        """The states after one step: what the kernel made of its input, [batch, products * units], and the states."""
        ops, before = keras.ops, states[0]
        told = ops.matmul(before, self.recurrent_kernel)
        if self.kind == "rnn":
            return [ops.tanh(seen + told)]
        if self.kind == "gru":
            (update, reset, new), (kept, held, old) = (
                ops.split(each, 3, axis=-1) for each in (seen, told + self.bias[1])
            )
            update, reset = ops.sigmoid(update + kept), ops.sigmoid(reset + held)
            return [update * before + (1.0 - update) * ops.tanh(new + reset * old)]
        cell = states[1]
        enter, forget, new, leave = ops.split(seen + told, 4, axis=-1)
        if self.kind == "peephole_lstm":
            enter, forget = enter + self.peephole[0] * cell, forget + self.peephole[1] * cell
        cell = ops.sigmoid(forget) * cell + ops.sigmoid(enter) * ops.tanh(new)
        if self.kind == "peephole_lstm":
            leave = leave + self.peephole[2] * cell
        return [ops.sigmoid(leave) * ops.tanh(cell), cell]

    def compute_output_spec(self, inputs: Any) -> Any:
        x, *states = inputs
        shapes = [(*x.shape[:2], self.units), *((x.shape[0], self.units) for _ in states)]
        return [keras.KerasTensor(shape, dtype=self.compute_dtype) for shape in shapes]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "kind": self.kind}
