"""The same network in the form that TensorFlow trains fastest."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.lazy import keras


@dataclass(frozen=True)
class Compute:
    """How a step is computed.

    Attributes:
        policy: Keras' dtype policy of every layer while the step is traced; variables stay float32. `None` leaves the
            layers theirs.
        xla: Whether XLA compiles the step.
    """

    policy: str | None = None
    xla: bool = False


COMPUTES = {
    "float32": Compute(),
    "bfloat16": Compute("mixed_bfloat16"),
    "xla": Compute(xla=True),
    "xla_bfloat16": Compute("mixed_bfloat16", xla=True),
}
"""Words for how a step is computed."""

FASTEST = "fastest"
"""The word for whichever of them a few steps show to be fastest."""

ROUNDS = 3


@contextlib.contextmanager
def quickened(model: Any, policy: str | None = None) -> Iterator[None]:
    """While it lasts, calls of the network are traced in a faster form; the network itself is not changed.

    Keras' batch normalisation trains in a dozen operations, each of which goes over the feature maps once or twice.
    TensorFlow's fused one (`FusedBatchNormV3`, to which its compiler also adds the rectifier) gives the same numbers
    to rounding, in a third of the time.

    Args:
        model: Whose layers are meant, those of networks within it too.
        policy: A dtype policy for all layers, such as `mixed_bfloat16`; `None` for theirs.
    """
    layers = list(every_layer(model))
    norms = [layer for layer in layers if type(layer) is keras.layers.BatchNormalization and not layer.renorm]
    before = [(layer, layer.dtype_policy) for layer in layers] if policy else []
    try:
        for norm in norms:
            vars(norm)["call"] = functools.partial(_normalised, norm)
        for layer, _ in before:
            layer.dtype_policy = policy
        yield
    finally:
        for layer, own in before:
            layer.dtype_policy = own
        for norm in norms:
            vars(norm).pop("call", None)


def every_layer(model: Any) -> Iterator[Any]:
    """A model's layers, those of networks within it too, each network before its own."""
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from every_layer(layer)


def _normalised(norm: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    """What `keras.layers.BatchNormalization.call` does, fused where its batch statistics are asked for."""
    import tensorflow as tf

    fits = len(inputs.shape) == 4 and norm.axis in (-1, 3) and norm.epsilon >= 1e-5
    if not (training and norm.trainable and fits) or mask is not None or norm.synchronized:
        return type(norm).call(norm, inputs, training=training, mask=mask)
    channels = inputs.shape[-1]
    gamma, beta = (
        tf.fill([channels], neutral) if variable is None else tf.cast(variable, tf.float32)
        for variable, neutral in ((norm.gamma, 1.0), (norm.beta, 0.0))
    )
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs, scale=gamma, offset=beta, mean=[], variance=[], epsilon=norm.epsilon, is_training=True
    )
    # It gives the unbiased variance, as PyTorch keeps it; Keras keeps the mean of the squares.
    count = tf.cast(tf.size(inputs) // channels, tf.float32)
    variance *= (count - 1.0) / count
    for moving, new in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
        moving.assign(moving * norm.momentum + new * (1.0 - norm.momentum))
    return outputs


def fastest(
    make: Callable[[Compute], Callable[..., Any]], variables: Iterable[Any], batch: Iterable[Any]
) -> tuple[str, dict[str, float]]:
    """The word in `COMPUTES` of the fastest step, and the milliseconds that each took: of the processor, or with a GPU
    of the clock.

    XLA is tried where there is a GPU: on a CPU it made the steps measured in benchmarks/results/train.json slower by
    half and more, and takes longest to compile.

    Args:
        make: From how it is computed to a step.
        variables: All that a step changes; they are as they were afterwards.
        batch: What the step is tried with.
    """
    import tensorflow as tf

    accelerated = bool(tf.config.list_logical_devices("GPU"))
    # Other work on the machine lengthens the time that passes by more than what the processor spends on this.
    clock = time.perf_counter if accelerated else time.process_time
    kept = [(variable, np.array(variable.numpy())) for variable in variables]
    steps = {word: make(compute) for word, compute in COMPUTES.items() if accelerated or not compute.xla}
    took = {word: list[float]() for word in steps}
    for round_ in range(1 + ROUNDS):
        for word, step in steps.items():
            begun = clock()
            for value in step(*batch).values():
                float(value)  # Waits for it.
            if round_:  # The first one traces.
                took[word].append(1000 * (clock() - begun))
    for variable, value in kept:
        variable.assign(value)
    least = {word: min(times) for word, times in took.items()}
    return min(least, key=lambda word: least[word]), least
