"""A step of training after which pruned weights are zero, whatever the optimiser did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.prune import masks
from kerazoo.prune.graph import Kernel, kernels
from kerazoo.prune.schedules import Course
from kerazoo.train.recipe import Batch, Figures
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised

MASK = "mask/"
"""Of the names of masks among a state's arrays."""


@dataclass(frozen=True)
class Masked:
    """Another step, and masks outside of the layers: the network stays a plain one, and so does its file.

    Masks are made of the weights as they are when their turn comes; what is zero stays zero. They travel in the
    state, so that a training goes on from its file.

    Attributes:
        step: The training.
        course: When how much is pruned.
        steps: Steps an epoch.
        method: A word of `kerazoo.prune.masks.METHODS`.
        scope: A word of `kerazoo.prune.masks.SCOPES`.
        structure: `none` or `2:4`.
        keep: Patterns of layers that stay as they are.
        seed: Of the random baseline.
    """

    step: Supervised
    course: Course
    steps: int
    method: str = "magnitude"
    scope: str = "global"
    structure: str = "none"
    keep: tuple[str, ...] = ()
    seed: int = 0

    def __call__(self, state: State, batch: Batch) -> tuple[State, Figures]:
        share = self.course.at(state.epoch * self.steps + state.index)
        if share is not None:
            self.prune(state, share, batch)
        state, figures = self.step(state, batch)
        if not any(name.startswith(MASK) for name in state.arrays):
            return state, {**figures, "sparsity": 0.0}
        self._apply(state)
        return state, {**figures, "sparsity": sparsity(state.arrays)}

    def prune(self, state: State, share: float, batch: Batch | None = None) -> None:
        """Makes masks of the weights as they are, and zeroes what they say.

        Args:
            batch: What the gradient method looks at.
        """
        found = kernels(state.model, self.keep)
        scores = self._scores(state, found, batch)
        before = {name.removeprefix(MASK): array for name, array in state.arrays.items() if name.startswith(MASK)}
        if self.structure == "2:4":
            made = masks.two_of_four(found, scores)
        else:
            made = masks.unstructured(scores, share, self.scope, before or None)
        state.arrays |= {f"{MASK}{path}": mask for path, mask in made.items()}
        for variable, kept in self._held(state):
            kept.assign(state.arrays[f"{MASK}{variable.path}"].astype(np.float32))
        self._apply(state)

    def _scores(self, state: State, found: list[Kernel], batch: Batch | None) -> Mapping[str, np.ndarray]:
        if self.method == "magnitude":
            return masks.magnitude(found)
        if self.method == "random":
            return masks.random(found, self.seed)
        if batch is None:
            raise ValueError("Gradients want a batch.")
        weights = [kernel.variable for kernel in found]
        gradients = self.step.gradients(state.model, batch, weights)
        return {
            kernel.path: np.abs(gradient * kernel.variable.numpy())
            for kernel, gradient in zip(found, gradients, strict=True)
        }

    def _held(self, state: State) -> list[tuple[Any, Any]]:
        """Each pruned variable, and its mask as a variable of the graph."""

        def made() -> list[tuple[Any, Any]]:
            import tensorflow as tf

            variables = {kernel.path: kernel.variable for kernel in kernels(state.model, self.keep)}
            return [
                (variables[path], tf.Variable(mask.astype(np.float32), trainable=False))
                for path, mask in ((name.removeprefix(MASK), mask) for name, mask in state.arrays.items())
                if path in variables
            ]

        return state.once("masks", made)

    def _apply(self, state: State) -> None:
        held = self._held(state)

        def made() -> Callable[[], None]:
            import tensorflow as tf

            @tf.function
            def apply() -> None:
                for variable, kept in held:
                    variable.assign(variable.value * kept)

            return apply

        state.once("masked", made)()


def sparsity(arrays: Mapping[str, np.ndarray]) -> float:
    """The share of the masked weights that is zero."""
    found = [array for name, array in arrays.items() if name.startswith(MASK)]
    return 1 - sum(int(array.sum()) for array in found) / sum(array.size for array in found)
