"""What the recipes share: a compiled training step, and augmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras as keras_


def train_step(model: keras_.Model, optimizer: Any, loss: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled step for a classifier that ends in logits.

    `Model.fit` traces its step with an unknown batch size, which made ResNet-20 half as fast on a CPU; this one is
    traced once for each picture size.

    Returns:
        A function of pictures [batch, height, width, channels] and int labels [batch] that updates the model and
        returns the batch's mean loss and accuracy.
    """
    import tensorflow as tf

    weights = model.trainable_variables
    optimizer.build(weights)

    @tf.function
    def step(pictures: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(pictures, training=True)
            value = loss(labels, logits)
        optimizer.apply(tape.gradient(value, weights), weights)
        right = tf.equal(tf.argmax(logits, axis=1), tf.cast(labels, tf.int64))
        return value, tf.reduce_mean(tf.cast(right, tf.float32))

    return lambda pictures, labels: step(tf.constant(pictures), tf.constant(labels))
