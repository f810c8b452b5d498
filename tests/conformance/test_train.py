"""Networks learn: gradients reach every trainable weight and are finite, and steps lower the loss."""

import keras
import numpy as np
import tensorflow as tf

from kerazoo.engines import keras as keras_engine
from tests.conformance.models import asked, every_variant, flat, fresh

STEPS = 3


def _data(made, rows, random):
    if list(made.task.parts) == ["network"]:
        inputs = asked(made, keras_engine.network(made), rows).calls[0].inputs
        if made.normalise is not None:
            inputs["image"] = made.normalise(inputs["image"])
        return [tf.constant(inputs[port.name]) for port in made.task.parts["network"].inputs]

    # A model that is trained as a whole and answers in parts.
    def like(tensor):
        shape = [rows, *tensor.shape[1:]]
        if keras.backend.is_int_dtype(tensor.dtype):
            return tf.constant(random.randint(1, 20, shape), tensor.dtype)
        return tf.constant(random.uniform(size=shape), tensor.dtype)

    return [like(tensor) for tensor in made.keras.inputs]


@every_variant
def test_training_steps(name):
    keras.utils.set_random_seed(0)
    made = fresh(name)
    model = made.keras
    for layer in flat(model):
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0  # So that the losses of two steps can be compared.
    random = np.random.RandomState(0)
    inputs = _data(made, 4, random)
    inputs = inputs if len(inputs) > 1 else inputs[0]
    targets = [
        tf.constant(random.standard_normal(output.shape), output.dtype)
        for output in tf.nest.flatten(model(inputs, training=False))
    ]
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    before = [variable.numpy().copy() for variable in model.trainable_variables]
    assert before

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
