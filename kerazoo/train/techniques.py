"""What settings say of losses, regularisation, balance and networks, done to a recipe."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.train import augment, balance, losses
from kerazoo.train.distil import taught
from kerazoo.train.recipe import Recipe
from kerazoo.train.remodel import Remodelled
from kerazoo.train.schedules import OneCycle
from kerazoo.train.settings import DISCIPLINED, Settings


def applied(recipe: Recipe, settings: Settings, labels: np.ndarray, classes: int) -> Recipe:
    """The recipe with the techniques that are set; the same recipe where none is.

    Args:
        recipe: Of a classifier: its step has a `loss` of class numbers and logits, its data begins with pictures and
            their class numbers.
        settings: What was asked for.
        labels: The class number of each sample.
        classes: How many there are.

    Raises:
        UsageError: A word is not known, or a technique does not fit the network.
    """
    step: Any = recipe.step
    if settings.wants_logits or settings.loss != "own":
        if step.loss is not losses.cross_entropy:
            raise UsageError(
                "This network has a loss of its own, or ends in probabilities. loss, smoothing, mixup, teacher and "
                f"balance are for those that end in logits.\nIt was asked for {settings.wants_logits or settings.loss}."
            )
        kind = "cross_entropy" if settings.loss == "own" else settings.loss
        if kind != "cross_entropy" or settings.smoothing or settings.mixup:
            step = replace(step, loss=losses.Classes(kind, settings.smoothing))
    made = replace(recipe, step=step)
    if settings.balance != "none":
        made = balance.balanced(made, settings.balance, labels, classes)
    if settings.teacher:
        example = made.data.batch(np.zeros(1, np.int64), np.random.default_rng(0))
        made = taught(made, settings.teacher, settings.temperature, classes, example[0].shape[1:])
    if settings.mixup:
        before = (made.augment,) if made.augment else ()
        made = replace(made, augment=augment.Chain((*before, augment.Mixed(classes, settings.mixup))))
    return made


def general(recipe: Recipe, settings: Settings) -> Recipe:
    """The recipe, of whatever task, with what settings change of its network and with a schedule from a range test."""
    if settings.remodelled:
        begun = getattr(getattr(recipe.model, "start", None), "built", None)
        recipe = replace(recipe, model=Remodelled(recipe.model, **settings.remodelled, fresh=begun is None))
    return disciplined(recipe) if settings.schedule == DISCIPLINED else recipe


def refuse(kind: str, settings: Settings) -> None:
    """Refuses what is set for another kind of task.

    Raises:
        UsageError: It would do nothing.
    """
    if kind == "translate":  # Its loss smooths labels itself.
        settings = replace(settings, smoothing=0.0)
    if kind == "detect":  # It says itself which losses it has.
        settings = replace(settings, loss="own")
    asked = settings.wants_logits or (f"loss={settings.loss}" if settings.loss != "own" else "")
    if asked and kind != "classify":
        raise UsageError(f"{asked}: that is for classifiers; what does {kind} is taught with a loss of its own.")
    if settings.features and kind != "redraw":
        raise UsageError(f"features={settings.features}: that is for what draws larger pictures, not for {kind}.")


@dataclass(frozen=True)
class Disciplined:
    """`OneCycle` whose peak a range test of the recipe finds, each time that a training begins or is gone on with.

    Smith, "A disciplined approach to neural network hyper-parameters: Part 1", arXiv:1803.09820, sections 4.1 and 4.2.
    The peak is the rate at which the loss was least: a cycle only touches it.

    Attributes:
        recipe: Whose schedule this is, with any other in its place.
    """

    recipe: Recipe = field(repr=False)

    @functools.cached_property
    def peak(self) -> float:
        from kerazoo.train.find_rate import range_test

        return range_test(self.recipe).highest

    def rate(self, steps: int, epochs: int) -> Any:
        return OneCycle(self.peak).rate(steps, epochs)


def disciplined(recipe: Recipe) -> Recipe:
    """The recipe with one cycle of its rate, and of an SGD's momentum, set by a range test."""
    return replace(recipe, schedule=Disciplined(recipe))


def perceived(features: str, white: float = 1.0) -> losses.Perceptual:
    """A loss of pictures: how far apart they are for another network, and as pixels.

    Args:
        features: `MODEL/LAYER+LAYER`: `vgg19:imagenet/block3_conv3`.
        white: The pictures' brightest value; the model gets 0..255. Grey ones are given to all of its channels.

    Raises:
        UsageError: There is no such model or layer.
    """
    from kerazoo import own

    word, _, layers = features.rpartition("/")
    if not word:
        raise UsageError(f"features={features}: write MODEL/LAYER, as in vgg19:imagenet/block3_conv3.")
    built = own.find(word).build()
    channels, normalise = built.keras.input.shape[-1], built.normalise

    def prepare(pictures: Any) -> Any:
        pictures = pictures * (255.0 / white)
        if pictures.shape[-1] == 1 and channels == 3:
            pictures = keras.ops.repeat(pictures, 3, axis=-1)
        return normalise(pictures) if normalise is not None else pictures

    maps = losses.features_of(built.keras, layers.split("+"), prepare)
    return losses.Perceptual(losses.Named(f"{features} {built.weights_sha256}", maps), pixels=1.0)
