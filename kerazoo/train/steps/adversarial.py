"""Learning against each other: a generator draws, and a discriminator tells what is drawn from what is real."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.errors import UsageError, near
from kerazoo.lazy import keras
from kerazoo.train.recipe import Batch, Figures
from kerazoo.train.state import State

OBJECTIVES = ("non_saturating", "wasserstein")
"""Goodfellow et al., arXiv:1406.2661, section 3, its second form of the generator's loss; Arjovsky et al.,
arXiv:1701.07875, equation 3."""


@dataclass(frozen=True)
class Adversarial:
    """One step of the discriminator, and after so many of these one of the generator.

    The state's models are `generator`, `discriminator` and `average`, a generator whose weights follow those of the
    first. A batch is real pictures, noise for either step [batch, latents], and shares in 0..1 [batch, 1, 1, 1]: what
    is drawn at random comes with the data, so that a resumed training goes on as it began. A pair that is told classes
    gets those of the real pictures, int32 [batch], at the batch's end; what is drawn is of the same ones.

    Attributes:
        objective: One of `OBJECTIVES`.
        critic: Steps of the discriminator for one of the generator.
        clip: Its weights are kept within so much of 0 (algorithm 1 of Wasserstein GAN); 0 for as they are.
        penalty: What its slope between real and drawn pictures costs where it is not 1: Gulrajani et al.,
            arXiv:1704.00028, equation 3; 0 for nothing.
        follow: What the average keeps of itself at each step of the generator; at step `n` no more than
            `(1 + n) / (10 + n)`, so that it soon forgets the weights that training began with.
    """

    objective: str = "non_saturating"
    critic: int = 1
    clip: float = 0.0
    penalty: float = 0.0
    follow: float = 0.999

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise UsageError(
                f"objective={self.objective} is not known; known are {', '.join(OBJECTIVES)}."
                f"{near(self.objective, OBJECTIVES)}"
            )

    def __call__(self, state: State, batch: Batch) -> tuple[State, Figures]:
        judge = state.once("judge", lambda: self._judging(state))
        draw = state.once("draw", lambda: self._drawing(state))
        real, first, second, share, *told = batch
        loss, apart = judge(real, first, share, *told)
        if state.index % self.critic == self.critic - 1:
            state.arrays["generator"] = np.asarray(draw(second, *told))
        figures = {"loss": float(loss), "apart": float(apart)}
        return state, {**figures, "generator": float(state.arrays.get("generator", 0.0))}

    def _judging(self, state: State) -> Callable[..., Any]:
        import tensorflow as tf

        generator, discriminator = state.models["generator"], state.models["discriminator"]
        optimizer, weights = state.optimizers["discriminator"], discriminator.trainable_variables

        @tf.function(autograph=False)
        def step(real: Any, noise: Any, share: Any, *told: Any) -> Any:
            def verdict(pictures: Any) -> Any:
                return discriminator(_with(pictures, told), training=True)

            drawn = generator(_with(noise, told), training=True)
            with tf.GradientTape() as tape:
                yes, no = verdict(real), verdict(drawn)
                if self.objective == "wasserstein":
                    loss = tf.reduce_mean(no) - tf.reduce_mean(yes)
                else:
                    loss = tf.reduce_mean(tf.nn.softplus(-yes)) + tf.reduce_mean(tf.nn.softplus(no))
                if self.penalty:
                    loss += self.penalty * slope_penalty(verdict, real, drawn, share)
            optimizer.apply(tape.gradient(loss, weights), weights)
            if self.clip:
                for weight in weights:
                    weight.assign(tf.clip_by_value(weight.value, -self.clip, self.clip))
            return loss, tf.reduce_mean(yes) - tf.reduce_mean(no)

        return step

    def _drawing(self, state: State) -> Callable[..., Any]:
        import tensorflow as tf

        generator, discriminator, average = (state.models[each] for each in ("generator", "discriminator", "average"))
        optimizer, weights = state.optimizers["generator"], generator.trainable_variables

        @tf.function(autograph=False)
        def step(noise: Any, *told: Any) -> Any:
            with tf.GradientTape() as tape:
                drawn = generator(_with(noise, told), training=True)
                verdict = discriminator(_with(drawn, told), training=True)
                wasserstein = self.objective == "wasserstein"
                loss = tf.reduce_mean(-verdict if wasserstein else tf.nn.softplus(-verdict))
            optimizer.apply(tape.gradient(loss, weights), weights)
            done = tf.cast(optimizer.iterations.value, tf.float32)
            keep = tf.minimum(self.follow, done / (done + 9))  # The optimizer counts this step, too.
            for mine, theirs in zip(average.weights, generator.weights, strict=True):
                mine.assign(keep * mine + (1 - keep) * theirs)
            return loss

        return step


def _with(first: Any, told: Sequence[Any]) -> Any:
    """What a model is called with that takes classes too, where there are any."""
    return [first, *told] if told else first


def slope_penalty(verdict: Callable[[Any], Any], real: Any, drawn: Any, share: Any) -> Any:
    """The mean of `(|slope| - 1)^2` of a critic at pictures between real and drawn ones, one share of each pair.

    Args:
        verdict: From pictures [batch, height, width, channels] to [batch, 1].
        real, drawn: Pictures.
        share: Of the real one, in 0..1, [batch, 1, 1, 1].
    """
    import tensorflow as tf

    between = tf.convert_to_tensor(share * real + (1 - share) * drawn)
    with tf.GradientTape() as tape:
        tape.watch(between)
        total = tf.reduce_sum(verdict(between))
    slope = tape.gradient(total, between)
    # The root of 0 has no slope of its own.
    length = tf.sqrt(tf.reduce_sum(tf.square(slope), axis=(1, 2, 3)) + 1e-12)
    return tf.reduce_mean(tf.square(length - 1))


@dataclass(frozen=True)
class Pair:
    """The models of an adversarial training, from a network that has both halves as layers.

    Attributes:
        network: Makes it.
    """

    network: Callable[[], Any]

    def __call__(self) -> dict[str, Any]:
        whole = self.network()
        generator, discriminator = whole.get_layer("generator"), whole.get_layer("discriminator")
        average = keras.models.clone_model(generator)
        average.set_weights(generator.get_weights())
        return {"generator": generator, "discriminator": discriminator, "average": average}


@dataclass(frozen=True)
class Noised:
    """Pictures uint8 in the generator's range, with all that a step draws at random, and with their classes if any.

    Attributes:
        latents: Numbers of noise a picture is made from.
        signed: Whether the generator draws in -1..1; else in 0..1.
    """

    latents: int
    signed: bool = True

    def __call__(self, batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
        pictures, *classes = batch
        real = pictures.astype(np.float32) / 255
        noise = rng.standard_normal((2, len(real), self.latents), np.float32)
        share = rng.random((len(real), 1, 1, 1), np.float32)
        told = [each.astype(np.int32) for each in classes]
        return 2 * real - 1 if self.signed else real, noise[0], noise[1], share, *told
