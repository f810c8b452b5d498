import keras
import numpy as np
import pytest
import tensorflow as tf

from kerazoo.layers import BilinearResize


def resized(maps, size, align_corners, known=True):
    shape = maps.shape[1:] if known else (None, None, maps.shape[-1])
    inputs = keras.Input(shape), keras.Input((*size, 1) if known else (None, None, 1))
    model = keras.Model(inputs, BilinearResize(align_corners)(list(inputs)))
    return np.asarray(model([maps, np.zeros((len(maps), *size, 1), np.float32)]))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("small", "size"), [((1, 1), (7, 5)), ((3, 4), (9, 4)), ((33, 5), (257, 3)), ((9, 8), (5, 31))]
)
def test_aligned_corners_are_tensorflow_1_s(small, size, known):
    maps = np.random.default_rng(0).normal(size=(2, *small, 3)).astype(np.float32)
    expected = tf.compat.v1.image.resize_bilinear(maps, size, align_corners=True)
    np.testing.assert_allclose(resized(maps, size, True, known), expected, atol=2e-5)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("small", "size"), [((1, 1), (7, 5)), ((3, 4), (9, 4)), ((9, 8), (5, 31))])
def test_others_are_keras_own(small, size, known):
    maps = np.random.default_rng(0).normal(size=(2, *small, 3)).astype(np.float32)
    expected = tf.image.resize(maps, size)
    np.testing.assert_allclose(resized(maps, size, False, known), expected, atol=2e-5)


def test_what_has_its_size_is_not_touched():
    maps = np.random.default_rng(0).normal(size=(1, 3, 4, 2)).astype(np.float32)
    np.testing.assert_array_equal(resized(maps, (3, 4), True), maps)
