"""Losses and figures of a batch, as functions of the truth and the network's output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kerazoo.lazy import keras


def cross_entropy(labels: Any, logits: Any) -> Any:
    """Of class numbers [...] and logits [..., classes], one number for each."""
    return keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def right(labels: Any, logits: Any) -> Any:
    """1.0 where the label [...] has the largest of the logits [..., classes], else 0.0."""
    ops = keras.ops
    same = ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), ops.cast(labels, "int32"))
    return ops.cast(same, "float32")


def accuracy(labels: Any, logits: Any) -> Any:
    """The share of the labels [...] that have the largest of the logits [..., classes]."""
    return keras.ops.mean(right(labels, logits))


def squared(targets: Any, output: Any) -> Any:
    """The mean squared difference."""
    return keras.ops.mean(keras.ops.square(output - targets))


def psnr(targets: Any, output: Any) -> Any:
    """Peak signal-to-noise ratio in dB of values 0..1."""
    return -10.0 * keras.ops.log10(squared(targets, output))


def within(figure: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The figure of the middle of an output [batch, h, w, c], as large as the target: what saw no edge."""

    def inner(targets: Any, output: Any) -> Any:
        top, left = ((output.shape[axis] - targets.shape[axis]) // 2 for axis in (1, 2))
        return figure(targets, output[:, top : top + targets.shape[1], left : left + targets.shape[2]])

    return inner


def over_known(figure: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """The mean of a figure of each node over those whose weight is not 0: of labels, logits and weights [nodes]."""

    def mean(labels: Any, logits: Any, known: Any) -> Any:
        return keras.ops.sum(figure(labels, logits) * known) / keras.ops.sum(known)

    return mean


def of_probabilities(labels: Any, probabilities: Any) -> Any:
    """Cross-entropy of class numbers [...] and probabilities [..., classes], one number for each."""
    return keras.ops.sparse_categorical_crossentropy(labels, probabilities, from_logits=False)
