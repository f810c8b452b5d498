"""Learning by the lower bound through groups of latent variables: divergences balanced and warmed up, layers smooth.

Vahdat, Kautz, "NVAE: A Deep Hierarchical Variational Autoencoder", NeurIPS 2020, arXiv:2007.03898, sections 3.2 and 4
and appendix A.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.lazy import keras
from kerazoo.train.quick import every_layer, quickened
from kerazoo.train.recipe import Batch, Figures
from kerazoo.train.state import State

LEAST = 1e-4
"""What a divergence counts in the first step."""

TURNS = 4
"""Of the power iteration in each step, which goes on from where the last one ended."""


@dataclass(frozen=True)
class LowerBound:
    """One step of descent on the negative lower bound of a model that is a hierarchy (`kerazoo.layers.hierarchy`).

    A batch is pictures in 0..1 and noise [batch, latents], which comes with the data so that a resumed training goes on
    as it began. In the first `warm_up` steps divergences count less than one, from 1e-4 in a straight line, and the
    less in a group the less it says of the pictures: so none is given up before it could learn.

    Attributes:
        loss: Of pictures and what the model says of their pixels: nats [batch].
        warm_up: Steps.
        smooth: What the largest singular value of each kernel, and the largest scale of each normalisation, costs.
    """

    loss: Callable[[Any, Any], Any]
    warm_up: int = 0
    smooth: float = 0.0

    def __call__(self, state: State, batch: Batch) -> tuple[State, Figures]:
        step = state.once("hierarchical", lambda: self._traced(state))
        names = [name for name in state.arrays if name.startswith("direction")]
        figures, directions = step(*batch, {name: state.arrays[name] for name in names})
        state.arrays.update({name: np.asarray(each) for name, each in directions.items()})
        return state, {name: float(value) for name, value in figures.items()}

    def _traced(self, state: State) -> Callable[..., Any]:
        import tensorflow as tf

        from kerazoo.layers import hierarchy

        model = hierarchy.describing(state.model)
        optimizer = state.optimizers[next(iter(state.models))]
        weights = state.model.trainable_variables
        sizes = balance(hierarchy.groups(state.model))
        if self.smooth:
            for name, size in directions_of(model).items():
                rng = np.random.default_rng((state.seed, *size))
                state.arrays.setdefault(name, rng.standard_normal(size, np.float32))

        @tf.function(autograph=False)
        def step(pictures: Any, noise: Any, directions: Mapping[str, Any]) -> Any:
            done = tf.cast(optimizer.iterations.value, tf.float32)
            share = tf.clip_by_value(done / max(1, self.warm_up), LEAST, 1.0) if self.warm_up else tf.constant(1.0)
            with tf.GradientTape() as tape, quickened(model):
                described, apart = model([pictures, noise], training=True)
                costs = tf.reduce_mean(self.loss(pictures, described))
                value = costs + share * tf.reduce_sum(weighed(apart, sizes, share))
                if self.smooth:
                    roughness, directions = rough(model, directions)
                    value += self.smooth * roughness
            optimizer.apply(tape.gradient(value, weights), weights)
            nats = tf.reduce_mean(tf.reduce_sum(apart, axis=1))
            figures = {"loss": value, "bound": costs + nats, "divergence": nats}
            return figures, directions

        return step


def balance(shapes: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """How large each group's share of the divergence may be, the smallest 1: its places, shared by its scale's groups.

    Args:
        shapes: Height, width and channels of each group.
    """
    places = np.array([height * width for height, width, _ in shapes], np.float64)
    alike = np.array([np.sum(places == each) for each in places])
    shares = places / alike
    return (shares / shares.min()).astype(np.float32)


def weighed(apart: Any, sizes: np.ndarray, share: Any) -> Any:
    """Mean divergences of the groups, [groups], while they are warmed up each by what it says, with weights of mean 1.

    Args:
        apart: In nats, [batch, groups].
        sizes: See `balance`.
        share: What divergences count by now; at 1 all count the same.
    """
    ops = keras.ops
    says = (ops.mean(ops.abs(apart), axis=0) + 0.01) / sizes
    weights = ops.where(share < 1.0, ops.stop_gradient(says / ops.mean(says)), ops.ones_like(says))
    return weights * ops.mean(apart, axis=0)


def _kernels(model: Any) -> dict[str, list[Any]]:
    """Kernels of a model's convolutions as matrices, those of one shape together, by the shape's name."""
    layers, found = keras.layers, {}  # type: ignore[var-annotated]
    for layer in every_layer(model):
        if not isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            continue
        kernel = layer.normalised if hasattr(layer, "normalised") else layer.kernel
        outputs = kernel.shape[-1] * (kernel.shape[-2] if isinstance(layer, layers.DepthwiseConv2D) else 1)
        matrix = keras.ops.reshape(kernel, (-1, outputs))
        found.setdefault(f"direction {matrix.shape[0]} {outputs}", []).append(matrix)
    return found


def directions_of(model: Any) -> dict[str, tuple[int, int]]:
    """What `rough` keeps from one step to the next: shape of an array by its name."""
    return {name: (len(matrices), int(matrices[0].shape[1])) for name, matrices in _kernels(model).items()}


def rough(model: Any, directions: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The sum of all kernels' largest singular values and of all normalisations' largest scales; and new directions.

    Yoshida, Miyato, "Spectral Norm Regularization for Improving the Generalizability of Deep Learning",
    arXiv:1705.10941, algorithm 1: by a few turns of the power iteration, through which there is no gradient.

    Args:
        directions: Of inputs that are stretched most, by `directions_of`: [kernels, outputs].
    """
    ops, after = keras.ops, {}
    scales = [layer.gamma for layer in every_layer(model) if isinstance(layer, keras.layers.BatchNormalization)]
    total = sum((ops.max(ops.abs(scale)) for scale in scales), start=ops.zeros(()))
    for name, matrices in _kernels(model).items():
        kernels = ops.stack(matrices)
        fixed, right = ops.stop_gradient(kernels), ops.convert_to_tensor(directions[name])[..., None]
        for _ in range(TURNS):
            left = ops.normalize(ops.matmul(fixed, right), axis=1)
            right = ops.normalize(ops.matmul(ops.swapaxes(fixed, 1, 2), left), axis=1)
        total += ops.sum(ops.swapaxes(left, 1, 2) @ kernels @ right)
        after[name] = right[..., 0]
    return total, after


@dataclass(frozen=True)
class Binarised:
    """Grey pictures uint8 as draws of black and white by their levels, new ones in each epoch, and noise.

    Salakhutdinov, Murray, "On the Quantitative Analysis of Deep Belief Networks", ICML 2008, section 6.1; that they are
    drawn anew is called dynamic binarisation.

    Attributes:
        latents: Numbers of noise a picture is described with.
        levels: Keeps the levels as they are, for pictures in colours.
    """

    latents: int
    levels: bool = False

    def __call__(self, batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
        pictures = batch[0].astype(np.float32) / 255
        if not self.levels:
            pictures = (rng.random(pictures.shape, np.float32) < pictures).astype(np.float32)
        return pictures, rng.standard_normal((len(pictures), self.latents), np.float32)
