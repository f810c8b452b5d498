import keras
import numpy as np
import pytest
import tensorflow as tf

from kerazoo.layers import RadialBasis, Subsampling2D, TableConv2D, scaled_tanh
from tests.applications.common import close, pictures

TABLE = [[0, 1], [2], [0, 1, 2], [1, 2]]


def test_scaled_tanh_keeps_one():
    close(scaled_tanh(tf.constant([-100.0, -1.0, 0.0, 1.0, 100.0])), [-1.7159, -1, 0, 1, 1.7159], 1e-5)


def test_subsampling_sums_scales_and_shifts():
    layer, x = Subsampling2D(), pictures(2, 6, 4, 3)
    layer.build(x.shape)
    layer.set_weights([np.float32([1, -2, 0.5]), np.float32([0, 1, -1])])
    sums = x[:, 0::2, 0::2] + x[:, 0::2, 1::2] + x[:, 1::2, 0::2] + x[:, 1::2, 1::2]
    close(layer(x), sums * [1, -2, 0.5] + [0, 1, -1], 1e-6)


def test_subsampling_leaves_an_odd_edge_out():
    layer, x = Subsampling2D(), pictures(1, 5, 7, 2)
    assert layer(x).shape == layer.compute_output_shape(x.shape) == (1, 2, 3, 2)
    close(layer(x), layer(x[:, :4, :6]), 1e-6)


def test_table_convolution_is_the_dense_one_with_zeros():
    ours, theirs = TableConv2D(TABLE, 3, "tanh"), keras.layers.Conv2D(4, 3, activation="tanh")
    x = tf.constant(pictures(2, 7, 6, 3))
    for layer in (ours, theirs):
        layer.build(x.shape)
    assert ours.count_params() == 9 * 8 + 4
    kernel, bias = pictures(3, 3, 8), pictures(4, seed=2)
    full, at = np.zeros((3, 3, 3, 4), np.float32), 0
    for made, row in enumerate(TABLE):
        for seen in row:
            full[:, :, seen, made] = kernel[:, :, at]
            at += 1
    ours.set_weights([kernel, bias])
    theirs.set_weights([full, bias])
    results = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y**2)
        results.append([y, *tape.gradient(loss, [x, *(weight.value for weight in layer.trainable_weights)])])
    (y, dx, dk, db), (expected, dx_, dk_, db_) = results
    for found, wanted in ((y, expected), (dx, dx_), (db, db_)):
        close(found, wanted)
    connected = [(seen, made) for made, row in enumerate(TABLE) for seen in row]
    close(dk, np.stack([dk_[:, :, seen, made] for seen, made in connected], axis=-1))
    assert ours.compute_output_shape(x.shape) == tuple(y.shape)


def test_initial_weights_lie_within_the_fan_in_of_their_map():
    keras.utils.set_random_seed(0)
    layer = TableConv2D(TABLE, 5, spread=2.4)
    layer.build((None, 9, 9, 3))
    kernel, at = layer.kernel.numpy(), 0
    for made, row in enumerate(TABLE):
        limit = 2.4 / (25 * len(row))
        largest = np.abs(kernel[:, :, at : at + len(row)]).max()
        assert 0.8 * limit < largest <= limit
        assert 0 < abs(layer.bias.numpy()[made]) <= limit
        at += len(row)


def test_radial_basis_is_the_squared_distance():
    centres, x = pictures(5, 8, seed=2), pictures(3, 8)
    layer = RadialBasis(centres)
    close(layer(x), -((x[:, None] - centres[None]) ** 2).sum(-1), 1e-6)
    assert layer.count_params() == 0
    nearest = np.asarray(layer(centres))
    np.testing.assert_array_equal(nearest.argmax(1), np.arange(5))
    np.testing.assert_array_equal(nearest.max(1), 0)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Subsampling2D(1.5), (6, 6, 3)),
        (TableConv2D(TABLE, 3, scaled_tanh, 1.5), (6, 6, 3)),
        (keras.layers.Activation(scaled_tanh), (6, 6, 3)),
        (RadialBasis(pictures(2, 7)), (7,)),
    ],
    ids=["subsampling", "table", "tanh", "radial"],
)
def test_survives_saving(layer, shape, tmp_path):
    model = keras.Sequential([keras.Input(shape), layer])
    model.save(tmp_path / "model.keras")
    loaded, x = keras.saving.load_model(tmp_path / "model.keras"), pictures(1, *shape)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.layers[0].get_config() == layer.get_config()


def test_initial_pairs_lie_within_a_quarter_of_the_spread():
    layer = Subsampling2D(spread=2.0)
    layer.build((None, 4, 4, 500))
    for weight in layer.get_weights():
        assert 0.45 < np.abs(weight).max() <= 0.5
    assert not np.array_equal(*layer.get_weights())
