"""MLP and SNN: any widths, any activation, and weights for the default ones alone."""

import inspect
from pathlib import Path

import keras
import numpy as np
import pytest

import kerazoo
from kerazoo import applications
from kerazoo.applications import MLP, SNN, ResNet50, _dense, mlp, snn
from kerazoo.errors import UsageError
from tests.applications.common import close, pictures

SEVEN = Path(__file__).parents[2] / "examples" / "seven.png"
BOTH = pytest.mark.parametrize("build", [MLP, SNN], ids=["mlp", "snn"])


def test_counts_by_arithmetic():
    def dense(*widths):
        return sum((a + 1) * b for a, b in zip(widths, widths[1:], strict=False))

    assert MLP(weights=None).count_params() == mlp.VARIANTS["mlp"].params == dense(784, 512, 512, 10) == 669_706
    assert SNN(weights=None).count_params() == snn.VARIANTS["snn"].params == dense(784, *[256] * 8, 10) == 664_074


@pytest.mark.parametrize(
    ("widths", "shape", "params"),
    [
        ((200, 200), (28, 28, 1), 199_210),
        ((512,), (28, 28, 3), 1_209_866),
        ((512, 512, 512), (28, 28, 3), 1_735_178),
    ],
    ids=["McMahan 2017", "Zhang 2017, one layer", "Zhang 2017, three layers"],
)
def test_sizes_that_papers_count(widths, shape, params):
    assert MLP(widths, input_shape=shape, weights=None).count_params() == params


@BOTH
def test_signature_is_that_of_all_with_three_more(build):
    mine = list(inspect.signature(build).parameters)
    assert mine == ["widths", "dropout", "activation", *inspect.signature(ResNet50).parameters]
    assert build is getattr(applications, build.__name__)


@BOTH
@pytest.mark.parametrize("activation", ["relu", "selu", "swish", "tanh", "sigmoid"])
def test_answers_are_those_of_the_arithmetic(build, activation):
    model = build((12, 7), activation=activation, weights=None, classifier_activation=None, input_shape=(5, 4, 2))
    x = pictures(3, 5, 4, 2)
    y = x.reshape(3, -1)
    for name in ("dense1", "dense2", "predictions"):
        kernel, bias = model.get_layer(name).get_weights()
        y = y @ kernel + bias
        if name != "predictions":
            y = np.asarray(getattr(keras.activations, activation)(y))
    close(model(x), y)


def test_the_activations_that_are_allowed_keep_the_shape():
    names, x = _dense.activations(), pictures(3, 8)
    assert {"relu", "selu", "silu", "swish", "tanh", "gelu", "elu", "linear"} <= set(names)
    for name in names:
        y = np.asarray(keras.activations.get(name)(keras.ops.convert_to_tensor(x)))
        assert y.shape == x.shape and np.isfinite(y).all(), name


def test_a_snn_normalises_itself():
    keras.utils.set_random_seed(0)
    model = SNN(weights=None, widths=(512,) * 16)
    x = np.random.default_rng(0).standard_normal((64, 28, 28, 1)).astype(np.float32)
    hidden = keras.Model(model.input, [model.get_layer(f"dense{i}").output for i in range(1, 17)])
    for y in hidden(x):
        assert abs(float(np.mean(y))) < 0.15 and 0.8 < float(np.std(y)) < 1.2
    for training in (True, False):
        last = model.get_layer("dropout16").output
        y = np.asarray(keras.Model(model.input, last)(x, training=training))
        assert abs(y.mean()) < 0.15 and 0.8 < y.std() < 1.2
    assert all(np.all(model.get_layer(f"dense{i}").get_weights()[1] == 0) for i in range(1, 17))


@pytest.mark.parametrize(("build", "kind"), [(MLP, keras.layers.Dropout), (SNN, keras.layers.AlphaDropout)])
def test_dropout_is_there_and_only_in_training(build, kind):
    model = build((50, 50), dropout=0.3, weights=None, input_shape=(6, 6, 1))
    drops = [layer for layer in model.layers if isinstance(layer, kind)]
    assert [layer.rate for layer in drops] == [0.3, 0.3]
    x = pictures(2, 6, 6, 1)
    np.testing.assert_array_equal(model(x), model(x))
    assert not np.array_equal(model(x, training=True), model(x, training=True))


@BOTH
@pytest.mark.parametrize("pooling", [None, "avg", "max"])
def test_features(build, pooling):
    model = build(include_top=False, pooling=pooling)
    whole = build()
    units = whole.get_layer("predictions").input.shape[-1]
    x = pictures(2, 28, 28, 1)
    assert model(x).shape == (2, units)
    close(model(x), keras.Model(whole.input, whole.get_layer("predictions").input)(x), 1e-6)


@BOTH
def test_input_tensor(build):
    image = keras.Input((4, 4, 1), name="mine")
    model = build([8], input_tensor=image, weights=None, classes=3, name="tiny")
    assert model.name == "tiny" and [tensor.name for tensor in model.inputs] == ["mine"]
    np.testing.assert_allclose(keras.ops.sum(model(pictures(2, 4, 4, 1)), axis=1), 1, rtol=1e-5)


WRONG = [
    ({"widths": ()}, ["widths=()", "(512, 512)"]),
    ({"widths": (512, 0)}, ["widths=(512, 0)", "positive whole numbers"]),
    ({"widths": (512, 2.5)}, ["widths=(512, 2.5)"]),
    ({"widths": (True,)}, ["widths=(True,)"]),
    ({"widths": "512"}, ["positive whole numbers"]),
    ({"widths": 512.0}, ["positive whole numbers"]),
    ({"dropout": 1.0}, ["dropout=1.0", "less than 1"]),
    ({"dropout": -0.1}, ["dropout=-0.1"]),
    ({"dropout": "0.5"}, ["dropout='0.5'"]),
    ({"dropout": True}, ["dropout=True"]),
    ({"activation": "rellu"}, ["activation='rellu'", "allowed are", "swish", "Did you mean relu"]),
    ({"activation": "glu"}, ["activation='glu'", "allowed are"]),
    ({"activation": None}, ["activation=None", "linear"]),
    ({"pooling": "mean"}, ["'mean'", "'avg' and 'max'"]),
    ({"classes": 0, "weights": None}, ["classes=0"]),
    ({"input_shape": (None, None, 1), "weights": None}, ["(None, None, 1)", "one size"]),
    ({"input_shape": (784,), "weights": None}, ["(784,)", "(height, width, channels)"]),
    ({"classes": 3}, ["10 classes; 3 were asked for"]),
    ({"input_shape": (28, 28, 3)}, ["1 channels; 3 were asked for"]),
    ({"input_shape": (32, 32, 1)}, ["input_shape=(28, 28, 1)", "(32, 32, 1)", "weights=None"]),
    ({"widths": (100,)}, ["'mnist'", "(100,)", "weights=None"]),
    ({"activation": "tanh"}, ["'mnist'", "'tanh'", "weights=None"]),
    ({"weights": "imagenet"}, ["it has mnist"]),
]


@BOTH
@pytest.mark.parametrize(("arguments", "told"), WRONG)
def test_wrong_arguments_say_what_is_allowed(build, arguments, told, monkeypatch):
    monkeypatch.setattr(inspect.getmodule(build), "build", lambda *_, **__: pytest.fail("built before it was checked"))
    with pytest.raises(UsageError) as caught:
        build(**arguments)
    for part in told:
        assert part in str(caught.value)


@BOTH
def test_a_file_of_other_widths(build, tmp_path):
    source = build((9, 8), activation="tanh", weights=None)
    np.savez(tmp_path / "mine.npz", **{weight.path: weight.numpy() for weight in source.weights})
    x = pictures(2, 28, 28, 1)
    close(build((9, 8), activation="tanh", weights=str(tmp_path / "mine.npz"))(x), source(x), 1e-6)
    with pytest.raises(UsageError, match="dense2/kernel"):
        build((9, 7), weights=str(tmp_path / "mine.npz"))


@pytest.mark.parametrize("name", ["mlp:mnist", "snn:mnist"])
def test_reads_a_digit(name):
    top = kerazoo.load(name, "keras")(SEVEN).top(2)
    assert top[0][0] == "7" and top[0][1] > 0.9
