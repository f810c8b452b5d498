import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerazoo.layers import GroupedConv2D, convolution
from tests.applications.common import close, pictures


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize(
    "options",
    [{"padding": "same"}, {"strides": 2}, {"padding": "same", "strides": 2}, {"dilation_rate": 2}, {"use_bias": False}],
)
def test_answers_and_gradients_are_those_of_keras(groups, options):
    same(groups, options)


@pytest.mark.parametrize("groups, options", [(2, {"padding": "same", "strides": 2}), (8, {"dilation_rate": 2})])
def test_where_tensorflow_has_no_gradients_of_groups_ours_are_those_of_keras(groups, options, monkeypatch):
    monkeypatch.setattr(convolution, "_has_gradients", lambda: False)
    same(groups, options)


def same(groups, options):
    theirs = keras.layers.Conv2D(16, 3, groups=groups, activation="relu", **options)
    ours = GroupedConv2D(16, 3, groups=groups, activation="relu", **options)
    x = tf.constant(pictures(2, 11, 9, 8))
    for layer in (theirs, ours):
        layer.build(x.shape)
    ours.set_weights(theirs.get_weights())
    found, expected = [], []
    for layer, kept in ((ours, found), (theirs, expected)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y**2)
        kept += [y, *tape.gradient(loss, [x, *(weight.value for weight in layer.trainable_weights)])]
    for one, other in zip(found, expected, strict=True):
        close(one, other)


def test_no_xla_in_the_graph():
    layer = GroupedConv2D(8, 3, groups=4)
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec((1, 8, 8, 8), tf.float32)).graph
    attributes = [op.node_def.attr for op in graph.get_operations()]
    assert not [a for a in attributes if "_XlaMustCompile" in a and a["_XlaMustCompile"].b]
    kinds = {op.type for op in graph.get_operations()}
    # TensorFlow would fuse that into a kernel without groups, see below.
    assert "Conv2D" in kinds and "BiasAdd" not in kinds


@pytest.mark.slow
@pytest.mark.parametrize("used", ["0", "1"])
def test_answers_in_a_graph_with_onednn_and_without(used):
    """Processors without AVX-512 do without it."""
    script = (
        "import numpy as np, tensorflow as tf; from kerazoo.layers import GroupedConv2D;"
        "layer = GroupedConv2D(8, 3, groups=2, activation='relu', bias_initializer='ones');"
        "x = tf.constant(np.random.default_rng(0).normal(0, 1, (1, 9, 9, 4)), tf.float32);"
        "layer.build(x.shape);"
        "print(float(np.abs(tf.function(layer)(x) - layer(x)).max()))"
    )
    env = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": used}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-800:]
    assert float(done.stdout) < 1e-5


def test_survives_saving(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 4)), GroupedConv2D(4, 3, groups=2)])
    model.save(tmp_path / "model.keras")
    x = pictures(1, 8, 8, 4)
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(x), model(x))
