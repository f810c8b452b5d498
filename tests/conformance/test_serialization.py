"""A saved model comes back as it was, with Keras alone: no part of this package is needed to open it but its layers."""

import dataclasses

import keras
import numpy as np

from kerazoo.engines import keras as keras_engine
from tests.conformance.models import built, config, every_kind, family, golden


def _says_the_same(name, model):
    network = keras_engine.network(dataclasses.replace(built(name), keras=model))
    for call in golden(name).calls[:4]:
        outputs = network.part(call.part)(call.inputs)
        for port, array in call.outputs.items():
            np.testing.assert_allclose(outputs[port], array, rtol=0, atol=1e-6 * np.abs(array).max(), err_msg=port)


def _paths(model):
    return [(variable.path, tuple(variable.shape)) for variable in model.weights]


@every_kind
def test_keras_file(name, tmp_path):
    model = built(name).keras
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert loaded.name == model.name
    assert _paths(loaded) == _paths(model)
    _says_the_same(name, loaded)


@every_kind
def test_weights_file(name, tmp_path):
    model = built(name).keras
    model.save_weights(tmp_path / "model.weights.h5")
    other = family(name).build(config(name))
    other.load_weights(tmp_path / "model.weights.h5")
    for mine, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=mine.path)


@every_kind
def test_config(name):
    model = built(name).keras
    other = type(model).from_config(model.get_config())
    assert _paths(other) == _paths(model)
    other.set_weights(model.get_weights())
    _says_the_same(name, other)
