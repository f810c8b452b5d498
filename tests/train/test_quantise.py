"""Learning for integers: the network that learns is the file that comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kerazoo import cli, loading
from kerazoo.codecs.image import Normalise
from kerazoo.errors import UsageError
from kerazoo.layers import FakeQuant, FakeQuantProduct
from kerazoo.layers.quantised import symmetric
from kerazoo.train import quantize
from tests.prune import networks


def learned(kind: str) -> tuple[Any, Any, Any]:
    """The network in floats, the one that learns, and the folded one, after their ranges were seen."""
    model = networks.KINDS[kind]()
    made = quantize.quantised(model, (-1.0, 1.0))
    for _ in range(3):
        made(networks.pictures(16), training=True)
    return model, made, quantize.folded(made)


@pytest.mark.parametrize("kind", networks.KINDS)
def test_eight_bits_say_nearly_what_floats_do_and_the_fold_changes_nothing(kind: str, tmp_path: Path) -> None:
    model, made, folded = learned(kind)
    x = networks.pictures(16)
    expected, got, after = (np.asarray(each(x, training=False)) for each in (model, made, folded))
    scale = np.abs(expected).max()
    assert 0 < np.abs(got - expected).max() < 0.08 * scale
    np.testing.assert_allclose(after, got, atol=0.02 * scale)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)
    assert len(np.unique(got)) <= 256
    folded.save(tmp_path / "folded.keras")
    again = keras.models.load_model(tmp_path / "folded.keras")
    np.testing.assert_array_equal(np.asarray(again(x, training=False)), after)


def test_weights_come_to_lie_on_a_grid_of_each_output() -> None:
    _, _, folded = learned("separable")
    for layer in folded.layers:
        if isinstance(layer, FakeQuantProduct):
            kernel = np.asarray(layer.flat(layer.inner.kernel)).reshape(
                -1, layer.high.shape[0] if layer.high.shape else 1
            )
            assert np.abs(kernel).max(0) == pytest.approx(layer.high.numpy(), rel=1e-5)
            np.testing.assert_array_equal(layer.low.numpy(), -layer.high.numpy())


def test_rounding_lets_gradients_through_and_stops_them_beyond_the_range() -> None:
    import tensorflow as tf

    layer = FakeQuant(least=-1.0, most=1.0)
    x = tf.Variable([[-3.0, -0.4, 0.301, 5.0]])
    layer(x)
    with tf.GradientTape() as tape:
        y = layer(x)
    assert np.abs(y.numpy()[0, 1:3] - [-0.4, 0.301]).max() <= 1 / 255 + 1e-6
    assert tape.gradient(y, x).numpy().tolist() == [[0.0, 1.0, 1.0, 0.0]]


def test_a_range_is_learnt_while_training_and_stays_while_answering() -> None:
    layer = FakeQuant(momentum=0.5)
    layer(np.array([[0.0, 4.0]], np.float32), training=True)
    assert (float(layer.low), float(layer.high)) == (0.0, 4.0)
    layer(np.array([[-2.0, 8.0]], np.float32), training=True)
    assert (float(layer.low), float(layer.high)) == (-1.0, 6.0)
    layer(np.array([[-9.0, 9.0]], np.float32), training=False)
    assert (float(layer.low), float(layer.high)) == (-1.0, 6.0)


def test_what_is_added_up_side_by_side_or_passed_on_is_rounded_once() -> None:
    names = {layer.name for layer in quantize.quantised(networks.fire(), (0.0, 1.0)).layers}
    assert "concat_range" in names
    assert not {"expand1x1_range", "expand3x3_range"} & names
    names = {layer.name for layer in quantize.quantised(networks.residual(), (0.0, 1.0)).layers}
    assert {"out1_range", "conv2_range"} <= names
    assert not {"add1_range", "widen_range", "conv1_range"} & names


def test_the_input_has_the_range_of_pixels() -> None:
    assert quantize.known(Normalise("rgb", 2 / 255, (1.0,))) == pytest.approx((-1.0, 1.0))
    assert quantize.known(None) == (0.0, 255.0)


def test_scales_are_never_zero() -> None:
    assert float(symmetric(np.zeros((3, 2), np.float32))[0]) > 0


def test_what_cannot_learn_for_integers_says_why() -> None:
    inputs = keras.Input((8, 8, 3))
    with pytest.raises(UsageError, match="nothing to round"):
        quantize.quantised(keras.Model(inputs, keras.layers.Flatten()(inputs)), (0.0, 1.0))
    layer = keras.layers.Dense(3, name="twice")
    both = keras.Model(inputs, layer(layer(inputs)))
    with pytest.raises(UsageError, match="twice is used twice"):
        quantize.quantised(both, (0.0, 1.0))
    with pytest.raises(UsageError, match="int8"):
        quantize.at("int4")


def test_a_training_for_integers_leaves_integer_files_that_answer(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 256, (4, 8, 8, 3))
    labels = rng.integers(0, 4, 160)
    pictures = np.clip(kinds[labels] + rng.normal(0, 30, (160, 8, 8, 3)), 0, 255).astype(np.uint8)
    parts = {"x_train": pictures[:128], "y_train": labels[:128], "x_test": pictures[128:], "y_test": labels[128:]}
    np.savez(tmp_path / "kinds.npz", **parts)
    import kerazoo

    keras.utils.set_random_seed(1)
    fresh = keras.models.clone_model(networks.plain())
    kerazoo.save(fresh, tmp_path / "mine.keras", labels=list("0123"), normalise="tf")
    more = ["--set=batch=16", "--set=rate=0.005", "--set=augment=none", "--epochs=12", "--validation=0"]
    out = tmp_path / "out"
    data = str(tmp_path / "kinds.npz")
    asked = ["train", str(tmp_path / "mine.keras"), "--data", data, "-o", str(out), "--quantize=int8", *more]
    assert cli.run(asked) == 0
    assert {"model.keras", "model.int8.tflite", "model.int8.onnx"} <= {path.name for path in out.iterdir()}
    from kerazoo.evaluation import evaluate

    found = {
        path: evaluate(loading.load(out / path), data).figures["top-1"]
        for path in ("model.int8.tflite", "model.int8.onnx")
    }
    keras_ = evaluate(loading.load(out / "model.keras", "keras"), data).figures["top-1"]
    assert keras_ > 80
    for path, value in found.items():
        assert abs(value - keras_) <= 4, path
    _only_integers(out)


def _only_integers(out: Path) -> None:
    import onnx
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(out / "model.int8.tflite"))
    interpreter.allocate_tensors()
    floats = [each["shape"].prod() for each in interpreter.get_tensor_details() if each["dtype"] == np.float32]
    # Pixels come in as floats and logits go out as such; no weights do.
    assert max(floats) <= 8 * 8 * 3
    weights = [each for each in onnx.load(str(out / "model.int8.onnx")).graph.initializer if len(each.dims) == 4]
    assert weights
    assert {each.data_type for each in weights} == {onnx.TensorProto.INT8}
