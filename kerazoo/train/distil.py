"""Learning from another network's answers.

Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, section 2; the sum of both
losses is that of He et al., "Bag of Tricks", arXiv:1812.01187, section 5.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from kerazoo.codecs.image import Normalise
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.train.losses import with_loss
from kerazoo.train.recipe import Batch, Figures, Recipe
from kerazoo.train.state import State


@dataclass(frozen=True)
class Distillation:
    """`loss(labels, logits)` and `temperature^2` times the cross-entropy of the softened answers of both networks.

    Attributes:
        loss: Of labels and logits, one number a sample.
        temperature: What both networks' logits are divided by; 20 in the Bag of Tricks.
        weight: What the second term counts.
    """

    loss: Callable[..., Any]
    temperature: float = 20.0
    weight: float = 1.0

    def __call__(self, labels: Any, logits: Any, teacher: Any) -> Any:
        """Of labels, logits [batch, classes], and the teacher's logits [batch, classes]."""
        ops = keras.ops
        wanted = ops.softmax(teacher / self.temperature)
        soft = ops.categorical_crossentropy(wanted, logits / self.temperature, from_logits=True)
        return self.loss(labels, logits) + self.weight * self.temperature**2 * soft


@dataclass(frozen=True)
class Taught:
    """A step that is handed the teacher's logits as one more array of the batch.

    Attributes:
        step: Whose loss takes labels, output and the teacher's logits.
        word: The teacher's name and weights, for people and for the recipe's identity.
        teacher: From pictures 0..255 [batch, height, width, channels] to logits [batch, classes].
    """

    step: Any
    word: str
    teacher: Callable[[Any], Any] = field(repr=False)

    def __call__(self, state: State, batch: Batch) -> tuple[State, Figures]:
        return self.step(state, (*batch, self.teacher(batch[0])))


def taught(recipe: Recipe, word: str, temperature: float, classes: int, shape: tuple[int, ...]) -> Recipe:
    """The recipe of a classifier with a teacher.

    Args:
        recipe: Its step has a `loss` of labels and logits.
        word: A model: `variant:weights`, or a `.keras` file.
        temperature: See `Distillation`.
        classes: How many the learner has.
        shape: Height, width and channels of the pictures that it learns from.

    Raises:
        UsageError: The teacher does not classify such pictures into as many classes.
    """
    from kerazoo import own

    built = own.find(word).build()
    model, task = built.keras, built.task
    labels = getattr(task, "labels", None)
    if model is None or labels is None or getattr(task, "output", "") != "logits":
        raise UsageError(f"teacher={word} is no Keras classifier that ends in logits.")
    wants = tuple(model.input.shape[1:])
    if len(labels) != classes or any(a is not None and a != b for a, b in zip(wants, shape, strict=True)):
        raise UsageError(
            f"teacher={word} tells {len(labels)} classes of pictures of {wants} apart; "
            f"here are {classes} classes and pictures of {shape}."
        )
    step = with_loss(recipe.step, lambda loss: Distillation(loss, temperature))
    return replace(recipe, step=Taught(step, f"{word} {built.weights_sha256}", Teacher(model, built.normalise)))


class Teacher:
    """A network that does not learn, traced once for each shape of batch."""

    def __init__(self, model: Any, normalise: Normalise | None) -> None:
        import tensorflow as tf

        def answer(pictures: Any) -> Any:
            pictures = tf.cast(pictures, tf.float32)
            return model(pictures if normalise is None else normalise(pictures), training=False)

        self._answer = tf.function(answer, reduce_retracing=True)

    def __call__(self, pictures: Any) -> Any:
        return self._answer(pictures)
