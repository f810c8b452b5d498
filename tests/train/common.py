"""Tiny recipes that learn in a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerazoo.train.data.arrays import Arrays
from kerazoo.train.losses import accuracy, cross_entropy
from kerazoo.train.recipe import Batch, Figures, Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised


def kinds(count: int = 64, seed: int = 0) -> Arrays:
    """Four kinds of noise, learnt at once."""
    rng = np.random.default_rng(seed)
    pictures = np.random.default_rng(7).integers(0, 256, (4, 6, 6, 1)).astype(np.uint8)
    labels = rng.integers(0, 4, count)
    return Arrays((pictures[labels], labels))


def network() -> Any:
    """With dropout, whose generator is part of the state."""
    layers = keras.layers
    inputs = keras.Input((6, 6, 1), name="image")
    x = layers.Dropout(0.3, name="dropout")(layers.Flatten(name="flatten")(inputs))
    x = layers.BatchNormalization(name="norm")(layers.Dense(8, activation="relu", name="hidden")(x))
    return keras.Model(inputs, layers.Dense(4, name="predictions")(x), name="tiny")


def noisy(batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
    return batch[0] / np.float32(255) + rng.normal(0, 0.1, batch[0].shape).astype(np.float32), *batch[1:]


def classifier(**changes: Any) -> Recipe:
    settings: dict[str, Any] = {
        "name": "tiny:kinds",
        "model": network,
        "data": kinds(),
        "step": Supervised(cross_entropy, metrics={"accuracy": accuracy}),
        "optimizer": Optimizer("adamw", decay=1e-2),
        "schedule": Cosine(3e-2, start=1e-2),
        "augment": noisy,
        "seed": 3,
        "batch": 16,
        "epochs": 3,
    }
    return Recipe(**(settings | changes))


@dataclass(frozen=True)
class Adversarial:
    """Two networks with an optimiser each, and noise: nothing that the loop knows of."""

    def __call__(self, state: State, batch: Batch) -> tuple[State, Figures]:
        import tensorflow as tf

        generator, critic = state.models["generator"], state.models["critic"]
        drawn = state.arrays.get("drawn", np.zeros((), np.int64))
        noise = np.random.default_rng((state.seed, int(drawn))).standard_normal((len(batch[0]), 2)).astype(np.float32)
        real = tf.cast(tf.reshape(batch[0], (len(batch[0]), -1)), tf.float32) / 255.0
        with tf.GradientTape() as tape:
            told = tf.concat([critic(real), critic(generator(noise))], 0)
            truth = tf.concat([tf.ones((len(real), 1)), tf.zeros((len(real), 1))], 0)
            sharp = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(truth, told))
        weights = critic.trainable_variables
        state.optimizers["critic"].apply(tape.gradient(sharp, weights), weights)
        with tf.GradientTape() as tape:
            fooled = tf.reduce_mean(tf.nn.softplus(-critic(generator(noise))))
        weights = generator.trainable_variables
        state.optimizers["generator"].apply(tape.gradient(fooled, weights), weights)
        state.arrays["drawn"] = drawn + 1
        return state, {"critic": float(sharp), "generator": float(fooled)}


def pair() -> dict[str, Any]:
    layers = keras.layers
    return {
        "generator": keras.Sequential([keras.Input((2,)), layers.Dense(36, activation="sigmoid", name="draw")]),
        "critic": keras.Sequential([keras.Input((36,)), layers.Dense(1, name="judge")]),
    }


def adversarial(**changes: Any) -> Recipe:
    both = {"generator": Optimizer("adam"), "critic": Optimizer("sgd", settings={"momentum": 0.5})}
    return classifier(name="pair:kinds", model=pair, step=Adversarial(), optimizer=both, augment=None, **changes)


def values(state: State) -> list[np.ndarray]:
    return [variable.numpy() for variable in state.variables().values()]
