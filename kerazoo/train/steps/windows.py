"""Learning word vectors: from each word of a sentence and those around it, by hand-made updates and no gradient."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from kerazoo.train import words
from kerazoo.train.recipe import Batch, Figures
from kerazoo.train.state import State


@dataclass(frozen=True)
class Windows:
    """Reads a batch's sentences at the optimiser's learning rate.

    The output vectors, or the tree's nodes, are the state's array `sought`; the network holds the others alone.

    Attributes:
        counts: How often each word occurs, int64 [words].
        way: How is learnt; `epochs`, `start` and `seed` are the recipe's own.
    """

    counts: np.ndarray = field(repr=False)
    way: words.Way

    def __call__(self, state: State, batch: Batch) -> tuple[State, Figures]:
        numbers, lengths = (np.asarray(each) for each in batch)
        tables = state.once("tables", lambda: words.Tables.of(self.counts, self.way))
        (vectors,), (optimizer,) = state.model.trainable_variables, state.optimizers.values()
        given = np.array(vectors.numpy())
        sought = state.arrays.setdefault("sought", np.zeros_like(given))
        step, rng = float(optimizer.learning_rate), np.random.default_rng((state.seed, state.epoch, state.index))
        words.read(given, sought, numbers, np.repeat(np.arange(len(lengths)), lengths), tables, self.way, step, rng)
        vectors.assign(given)
        optimizer.iterations.assign_add(1)
        return state, {"rate": step}
