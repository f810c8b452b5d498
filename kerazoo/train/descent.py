"""One step of gradient descent on each of Keras' backends: all that they do differently."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.train.quick import COMPUTES, Compute, quickened

Take = Callable[[tuple[Any, ...]], Any]
"""From a batch to the network's input."""

Judge = Callable[[Any, tuple[Any, ...]], tuple[Any, Mapping[str, Any]]]
"""From the network's output and the batch to the loss, a number, and further figures."""

Step = Callable[..., Mapping[str, Any]]
"""From the arrays of a batch to figures, `loss` among them; it changes the model's and the optimiser's variables."""


def descent(model: Any, optimizer: Any, take: Take, judge: Judge, compute: Compute = COMPUTES["float32"]) -> Step:
    """A step of descent on the loss and the penalties that the layers add to it, compiled where the backend compiles.

    Args:
        model, optimizer: Built; the optimizer of the model's trainable variables.
        take, judge: In `keras.ops`, so that they can be differentiated and traced.
        compute: How, on TensorFlow.

    Raises:
        UsageError: The backend knows no such way.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _tensorflow(model, optimizer, take, judge, compute)
    if compute != COMPUTES["float32"]:
        raise UsageError(f"compute= is for Keras' TensorFlow backend; on {backend} leave it at float32.")
    if backend not in _OTHERS:
        raise UsageError(f"Keras' backend {backend} is not known here; tensorflow, {', '.join(_OTHERS)} are.")
    return _OTHERS[backend](model, optimizer, take, judge)


def _tensorflow(model: Any, optimizer: Any, take: Take, judge: Judge, compute: Compute) -> Step:
    """On every device of the strategy in whose scope it is made, each with its share of the batch."""
    import tensorflow as tf

    weights = model.trainable_variables
    strategy = tf.distribute.get_strategy()
    devices = strategy.num_replicas_in_sync

    def part(*batch: Any) -> Any:
        with tf.GradientTape() as tape:
            output = keras.tree.map_structure(_full, model(take(batch), training=True))
            value, further = judge(output, batch)
            if model.losses:
                value += tf.add_n(model.losses)
            # Gradients are added up over the devices.
            shared = value / devices
        optimizer.apply(tape.gradient(shared, weights), weights)
        return {"loss": value, **further}

    @tf.function(autograph=False, jit_compile=compute.xla or None)
    def whole(*batch: Any) -> Any:
        with quickened(model, compute.policy):
            return part(*batch)

    @tf.function(autograph=False)
    def parts(*batch: Any) -> Any:
        count, left = divmod(batch[0].shape[0], devices)
        if left:
            raise UsageError(
                f"A batch of {batch[0].shape[0]} cannot be shared out evenly among {devices} devices.\n"
                f"Set a multiple of {devices}: --set batch={(count + 1) * devices}."
            )

        def own(*batch: Any) -> Any:
            context = tf.distribute.get_replica_context()
            first = context.replica_id_in_sync_group * count
            return part(*(array[first : first + count] for array in batch))

        # Around all devices: they are traced on threads that take turns.
        with quickened(model, compute.policy):
            figures = strategy.run(own, args=batch)
        return {name: strategy.reduce("MEAN", value, axis=None) for name, value in figures.items()}

    return whole if devices == 1 else parts


def _full(output: Any) -> Any:
    """In float32, in which losses are computed."""
    return keras.ops.cast(output, "float32") if output.dtype == "bfloat16" else output


def _jax(model: Any, optimizer: Any, take: Take, judge: Judge) -> Step:
    import jax

    groups = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)

    def loss(weights: Any, others: Any, batch: Any) -> Any:
        output, others, penalties = model.stateless_call(
            weights, others, take(batch), training=True, return_losses=True
        )
        value, further = judge(output, batch)
        return value + sum(penalties), (further, others)

    @jax.jit
    def step(weights: Any, others: Any, moments: Any, batch: Any) -> Any:
        (value, (further, others)), gradients = jax.value_and_grad(loss, has_aux=True)(weights, others, batch)
        weights, moments = optimizer.stateless_apply(moments, gradients, weights)
        return (weights, others, moments), {"loss": value, **further}

    def call(*batch: Any) -> Any:
        found, figures = step(*([variable.value for variable in group] for group in groups), batch)
        for group, values in zip(groups, found, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return figures

    return call


def _torch(model: Any, optimizer: Any, take: Take, judge: Judge) -> Step:
    import torch

    weights = model.trainable_variables

    def step(*batch: Any) -> Any:
        batch = tuple(keras.ops.convert_to_tensor(array) for array in batch)
        model.zero_grad()
        value, further = judge(model(take(batch), training=True), batch)
        value = value + sum(model.losses)
        value.backward()
        with torch.no_grad():
            optimizer.apply([variable.value.grad for variable in weights], weights)
        return {name: torch.as_tensor(figure).detach() for name, figure in {"loss": value, **further}.items()}

    return step


_OTHERS = {"jax": _jax, "torch": _torch}


def answering(model: Any, take: Callable[[Any], Any] = lambda inputs: inputs) -> Callable[[Any], Any]:
    """The network's answer to inputs, without training it, compiled where the backend compiles.

    Args:
        model: Built.
        take: Done to the inputs first.
    """

    def answer(inputs: Any) -> Any:
        return model(take(keras.ops.convert_to_tensor(inputs)), training=False)

    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            return tf.function(answer, autograph=False, reduce_retracing=True)
        case "torch":
            import torch

            return torch.no_grad()(answer)
    return answer
