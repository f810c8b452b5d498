from __future__ import annotations

import keras
import numpy as np
import pytest

from kerazoo.applications import ESPCN, espcn
from kerazoo.errors import UsageError


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_count_by_arithmetic(scale):
    maps = scale**2
    expected = (5 * 5 * 1 + 1) * 64 + (3 * 3 * 64 + 1) * 32 + (3 * 3 * 32 + 1) * maps
    assert ESPCN(scale).count_params() == expected == espcn.VARIANTS[f"espcn_x{scale}"].params


def test_blocks_stand_in_the_channels_row_by_row():
    model = ESPCN(3)
    inside = keras.Model(model.input, model.get_layer("conv3").output)
    x = np.random.default_rng(0).random((2, 5, 7, 1), np.float32)
    large, packed = np.asarray(model(x)), np.asarray(inside(x))
    assert large.shape == (2, 15, 21, 1)
    for row in range(3):
        for column in range(3):
            np.testing.assert_allclose(large[:, row::3, column::3, 0], packed[..., row * 3 + column], rtol=1e-6)


def test_hidden_layers_are_tanh():
    model = ESPCN(2)
    assert [model.get_layer(f"conv{i}").activation.__name__ for i in (1, 2, 3)] == ["tanh", "tanh", "linear"]


def test_the_other_forms():
    colour, relu = ESPCN(3, form="ycbcr"), ESPCN(3, form="relu")
    assert colour.output.shape == (None, None, None, 3)
    assert [relu.get_layer(f"conv{i}").activation.__name__ for i in (1, 2, 3)] == ["relu", "relu", "linear"]
    x = np.random.default_rng(0).random((1, 5, 7, 1), np.float32) * 1000
    assert np.abs(relu(x)).max() <= 1
    # A block of each channel, pixel by pixel.
    inside = keras.Model(colour.input, colour.get_layer("conv3").output)
    x = np.random.default_rng(0).random((1, 2, 2, 3), np.float32)
    large, packed = np.asarray(colour(x)), np.asarray(inside(x))
    np.testing.assert_allclose(large[0, 1, 2], packed[0, 0, 0].reshape(3, 3, 3)[1, 2], rtol=1e-6)


def test_learns_to_enlarge():
    keras.utils.set_random_seed(0)
    y, x = np.mgrid[0:32, 0:32]
    large = np.stack([np.sin(x / (3 + k)) * np.cos(y / (4 + k)) / 2 + 0.5 for k in range(8)])[..., None]
    large = large.astype(np.float32)
    small = large.reshape(8, 16, 2, 16, 2, 1).mean((2, 4))
    model = ESPCN(2)
    model.compile(keras.optimizers.Adam(3e-3), "mse")
    history = model.fit(small, large, epochs=40, verbose=0).history["loss"]
    assert history[-1] < history[0] * 0.2


def test_wrong_arguments():
    for arguments in ({"scale": 5}, {"input_shape": (3, 3)}, {"weights": "imagenet"}, {"form": "rgb"}):
        with pytest.raises(UsageError):
            ESPCN(**arguments)
