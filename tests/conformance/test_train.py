"""Networks learn: gradients reach every trainable weight and are finite, and steps lower the loss."""

import keras
import numpy as np
import tensorflow as tf

from tests.conformance.models import every_variant, fresh

STEPS = 3


def _data(model, rows, random):
    def like(tensor):
        shape = [rows if index == 0 else side or 16 for index, side in enumerate(tensor.shape)]
        if keras.backend.is_int_dtype(tensor.dtype):
            return tf.constant(random.randint(0, 2, shape), tensor.dtype)
        return tf.constant(random.standard_normal(shape), tensor.dtype)

    return [like(tensor) for tensor in model.inputs]


@every_variant
def test_training_steps(name):
    model = fresh(name).keras
    random = np.random.RandomState(0)
    inputs = _data(model, 4, random)
    inputs = inputs if len(inputs) > 1 else inputs[0]
    targets = [
        tf.constant(random.standard_normal(output.shape), output.dtype)
        for output in tf.nest.flatten(model(inputs, training=False))
    ]
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    before = [variable.numpy().copy() for variable in model.trainable_variables]
    assert before

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            outputs = tf.nest.flatten(model(inputs, training=True))
            losses = [tf.reduce_mean(tf.square(a - b)) for a, b in zip(outputs, targets, strict=True)]
            loss = tf.add_n(losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    losses = [float(step()) for _ in range(STEPS)]
    assert np.isfinite(losses).all()
    assert min(losses[1:]) < losses[0]
    for variable, old in zip(model.trainable_variables, before, strict=True):
        new = variable.numpy()
        assert np.isfinite(new).all(), variable.path
        assert not np.array_equal(new, old), f"{variable.path} did not change"
