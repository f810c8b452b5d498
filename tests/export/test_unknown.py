"""An operation that an exporter does not know is named, with its layer."""

from kerazoo import formats, registry
from kerazoo.codecs.image import Image
from kerazoo.export.convert import convert
from kerazoo.tasks.classify import Classify


def test_the_operation_and_the_layer_are_told(tmp_path):
    import keras
    import tensorflow as tf

    class Strange(keras.layers.Layer):
        def call(self, x):
            return tf.linalg.inv(tf.math.lgamma(tf.abs(x) + 1.5) + 3 * tf.eye(6))

    inputs = keras.Input((6, 6, 3), name="image")
    x = keras.layers.Conv2D(4, 1, name="conv")(inputs)
    x = keras.layers.Permute((3, 1, 2), name="turn")(x)
    x = keras.layers.Flatten(name="flat")(Strange(name="odd_one")(x))
    model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(x), name="net")
    task = Classify(Image(6, 6), ("a", "b", "c"))
    words = [form.name for form in formats.NETWORKS]
    failures = convert(registry.Built("net:test", model, {task.kind: task}), words, tmp_path)
    for word in words:
        assert f"{word} does not know the operation " in failures[word]
        assert " of the layer odd_one; " in failures[word]
