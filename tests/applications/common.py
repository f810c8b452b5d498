"""What the tests of classifier families share."""

import contextlib
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from kerazoo import manifest
from kerazoo.assets import labels
from kerazoo.codecs.image import from_preprocessing
from kerazoo.ops import numpy as ops
from tests.weights.files import keras_legacy

DATA_ENV = "KERAZOO_TEST_DATA"

needs_data = pytest.mark.skipif(
    DATA_ENV not in os.environ, reason=f"{DATA_ENV} does not name the folder of real weights and photographs"
)

# Keras turns its own variables into arrays in a way that NumPy 2 deprecates.
keras_warns = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


def scatter(model, seed=0):
    """Random weights whose signal neither vanishes nor explodes, statistics of batch normalisation included."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        value = weight.numpy()
        if value.ndim > 1:
            value = random.normal(0, 0.7 / np.sqrt(value.size / max(value.shape[-1], 1)), value.shape)
        else:
            low, high = (0.5, 1.5) if weight.path.endswith(("gamma", "variance")) else (-0.3, 0.3)
            value = random.uniform(low, high, value.shape)
        weight.assign(value)
    return model


def pictures(*shape, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def close(found, expected, relative=1e-5):
    """Equal up to `relative` of the largest magnitude; a flat reference proves nothing and is refused."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert expected.std() > 1e-4 * np.abs(expected).max() > 0
    assert np.abs(found - expected).max() <= relative * np.abs(expected).max()


def weighted(model):
    """Every weight by layer and order, as official files hold them."""
    return [
        (layer.name, [(weight.name, tuple(weight.shape)) for weight in layer.weights])
        for layer in model.layers
        if layer.weights
    ]


def mirror(monkeypatch, tmp_path):
    """Weights come from the data folder through the code that downloads take."""
    monkeypatch.setenv("KERAZOO_MIRROR", str(Path(os.environ[DATA_ENV]) / "weights"))
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path))


def classify(model, name, *photos):
    """The most probable label of each photograph."""
    entry = manifest.load()[name]
    image, normalise = from_preprocessing(entry.preprocessing)
    data = [(Path(os.environ[DATA_ENV]) / "photos" / photo).read_bytes() for photo in photos]
    scores = np.asarray(model(normalise(image.prepare(ops, data))))
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    return [labels(entry.labels)[index] for index in scores.argmax(axis=1)]


def keras_3(path, model):
    """Keras 3's own layout."""
    model.save_weights(path)


def keras_3_without_names(path, model):
    """As the first releases of Keras 3 wrote: layers go by class and place in the model alone."""
    import h5py

    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        for layer in file["layers"].values():
            layer["vars"].attrs.pop("name", None)


every_layout = pytest.mark.parametrize(
    ("top", "save"),
    [
        (True, keras_legacy),
        pytest.param(False, keras_legacy, marks=pytest.mark.slow),
        (True, keras_3),
        pytest.param(False, keras_3, marks=pytest.mark.slow),
        pytest.param(True, keras_3_without_names, marks=pytest.mark.slow),
        pytest.param(False, keras_3_without_names, marks=pytest.mark.slow),
    ],
)
"""Official files with and without their classifier, in every layout that Keras has written."""


@contextlib.contextmanager
def in_float64():
    """Builds networks in double precision."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def numbers_of(model):
    """Gives a model weights that make differences, float64 by path."""
    random = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(random.normal(0, 0.5, variable.shape))
    return {variable.path: variable.numpy().astype(np.float64) for variable in model.weights}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    shares = np.exp(x - x.max())
    return shares / shares.sum()


def lstm(w, name, x, h, c):
    """One step of an LSTM whose weights are called so: hidden state and cell."""
    i, f, g, o = np.split(x @ w[f"{name}/kernel"] + h @ w[f"{name}/recurrent_kernel"] + w[f"{name}/bias"], 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c
