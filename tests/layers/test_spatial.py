"""The affine transformer shows what its maps name: exactly where that can be counted, and with true gradients."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerazoo.layers import AffineTransformer, IdentityMap
from tests.applications.common import pictures

IDENTITY = (1, 0, 0, 0, 1, 0)


def seen(x: np.ndarray, theta: Any, height: int | None = None, width: int | None = None) -> np.ndarray:
    """Pictures through one map each, or all through the same."""
    maps = np.broadcast_to(np.asarray(theta, np.float32), (len(x), 6))
    return np.asarray(AffineTransformer(height or x.shape[1], width or x.shape[2])([x, maps]))


def by_hand(picture: np.ndarray, theta: np.ndarray, height: int, width: int) -> np.ndarray:
    """Equation 5 of the paper, pixel by pixel: each input pixel counts by how near it is."""
    rows, columns, channels = picture.shape
    out = np.zeros((height, width, channels))
    for i, y in enumerate(np.linspace(-1, 1, height)):
        for j, x in enumerate(np.linspace(-1, 1, width)):
            right = (np.dot(theta[:3], (x, y, 1)) + 1) * (columns - 1) / 2
            down = (np.dot(theta[3:], (x, y, 1)) + 1) * (rows - 1) / 2
            for n in range(rows):
                for m in range(columns):
                    out[i, j] += picture[n, m] * max(0, 1 - abs(right - m)) * max(0, 1 - abs(down - n))
    return out


def moved(x: np.ndarray, down: int, right: int) -> np.ndarray:
    """Whole pixels downward and to the right, zeros where nothing comes from."""
    out, (_, rows, columns, _) = np.zeros_like(x), x.shape
    out[:, max(down, 0) : rows + min(down, 0), max(right, 0) : columns + min(right, 0)] = x[
        :, max(-down, 0) : rows + min(-down, 0), max(-right, 0) : columns + min(-right, 0)
    ]
    return out


@pytest.mark.parametrize(("rows", "columns"), [(5, 5), (4, 7), (1, 3), (1, 1)])
def test_the_identity_shows_the_picture_as_it_is(rows: int, columns: int) -> None:
    x = pictures(2, rows, columns, 3)
    np.testing.assert_allclose(seen(x, IDENTITY), x, atol=1e-6)


@pytest.mark.parametrize(("down", "right"), [(1, 0), (0, 1), (-1, 0), (0, -1), (2, -3)])
def test_a_shift_by_whole_pixels(down: int, right: int) -> None:
    # The output shows what lies above and to the left of it; two units are all steps between rows - 1 pixels.
    x = pictures(2, 5, 9, 2)
    theta = (1, 0, -2 * right / 8, 0, 1, -2 * down / 4)
    np.testing.assert_allclose(seen(x, theta), moved(x, down, right), atol=2e-6)


def test_flips_and_quarter_turns() -> None:
    x = pictures(2, 6, 6, 2)
    for theta, expected in (
        ((-1, 0, 0, 0, 1, 0), x[:, :, ::-1]),
        ((1, 0, 0, 0, -1, 0), x[:, ::-1]),
        ((-1, 0, 0, 0, -1, 0), x[:, ::-1, ::-1]),
        ((0, 1, 0, 1, 0, 0), x.transpose(0, 2, 1, 3)),
        ((0, -1, 0, 1, 0, 0), np.rot90(x, 1, (1, 2))),
        ((0, 1, 0, -1, 0, 0), np.rot90(x, -1, (1, 2))),
    ):
        np.testing.assert_allclose(seen(x, theta), expected, atol=1e-6)


def test_a_turned_picture_that_is_not_square() -> None:
    x = pictures(1, 3, 5, 1)
    np.testing.assert_allclose(seen(x, (0, 1, 0, 1, 0, 0), 5, 3), x.transpose(0, 2, 1, 3), atol=1e-6)


def test_half_way_between_pixels_is_their_mean() -> None:
    x = np.array([[0.0, 4.0], [8.0, 20.0]], np.float32)[None, ..., None]
    np.testing.assert_allclose(seen(x, (0, 0, 0, 0, 0, 0), 1, 1).reshape(-1), [8.0])
    # A quarter of the way down and half of the way to the right.
    np.testing.assert_allclose(seen(x, (0, 0, 0, 0, 0, -0.5), 1, 1).reshape(-1), [0.75 * 2 + 0.25 * 14])


def test_a_zoom_shows_the_corner() -> None:
    x = pictures(1, 5, 5, 1)
    np.testing.assert_allclose(seen(x, (0.5, 0, -0.5, 0, 0.5, -0.5), 3, 3), x[:, :3, :3], atol=1e-6)


@pytest.mark.parametrize("away", [3.0, -3.0, 1e9, -1e9])
@pytest.mark.parametrize("place", [2, 5])
def test_outside_there_is_nothing(away: float, place: int) -> None:
    theta = list(map(float, IDENTITY))
    theta[place] = away
    assert not seen(np.ones((1, 4, 4, 1), np.float32), theta).any()


def test_half_a_pixel_outside_half_is_left() -> None:
    ones = np.ones((1, 3, 3, 1), np.float32)
    np.testing.assert_allclose(seen(ones, (1, 0, 0.5, 0, 1, 0))[0, :, :, 0], [[1, 1, 0.5]] * 3, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(5, 6), (3, 8), (8, 2)])
def test_each_picture_through_its_own_map(height: int, width: int) -> None:
    x = pictures(4, 5, 6, 2)
    maps = np.asarray(IDENTITY) + 0.6 * pictures(4, 6, seed=2)
    expected = [by_hand(*pair, height, width) for pair in zip(x, maps, strict=True)]
    np.testing.assert_allclose(seen(x, maps, height, width), expected, atol=3e-6)


def test_a_single_row_shows_the_middle() -> None:
    x, theta = pictures(2, 5, 6, 2), np.asarray(IDENTITY) + 0.6 * pictures(2, 6, seed=2)
    np.testing.assert_allclose(seen(x, theta, 1, 4), seen(x, theta, 3, 4)[:, 1:2], atol=3e-6)


def test_gradients_are_those_of_small_steps() -> None:
    x, weigh = pictures(2, 5, 6, 2).astype(np.float64), pictures(2, 4, 4, 2, seed=3).astype(np.float64)
    maps = (np.asarray(IDENTITY) + 0.4 * pictures(2, 6, seed=4)).astype(np.float64)
    layer = AffineTransformer(4, 4, dtype="float64")

    def value(x: Any, maps: Any) -> Any:
        return tf.reduce_sum(layer([x, maps]) * weigh)

    variables = [tf.constant(x), tf.constant(maps)]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        total = value(*variables)
    gradients = tape.gradient(total, variables)
    for which, (array, gradient) in enumerate(zip((x, maps), gradients, strict=True)):
        gradient = tf.convert_to_tensor(gradient).numpy()
        assert np.abs(gradient).max() > 0.1
        stepped = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            ends = []
            for step in (1e-7, -1e-7):
                arrays = [x.copy(), maps.copy()]
                arrays[which][place] += step
                ends.append(float(value(*arrays)))
            stepped[place] = (ends[0] - ends[1]) / 2e-7
        np.testing.assert_allclose(gradient, stepped, atol=1e-6)


def test_a_map_is_found_by_following_its_gradient() -> None:
    # A blob to the right of the middle: the map that shows it in the middle is learned.
    y, x = np.mgrid[-1:1:9j, -1:1:9j]
    here, there = (np.exp(-4 * ((x - at) ** 2 + y**2)).astype(np.float32)[None, ..., None] for at in (0.4, 0.0))
    theta, layer = tf.Variable([list(map(float, IDENTITY))]), AffineTransformer(9, 9)
    for _ in range(100):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(layer([here, theta]) - there))
        theta.assign_sub(0.5 * tape.gradient(loss, theta))
    assert abs(float(theta[0, 2]) - 0.4) < 0.05


def test_sizes_that_are_not_known() -> None:
    image, maps = keras.Input((None, None, 2)), keras.Input((6,))
    model = keras.Model([image, maps], AffineTransformer(3, 4)([image, maps]))
    assert model.output.shape == (None, 3, 4, 2)
    x, theta = pictures(2, 7, 5, 2), np.asarray(IDENTITY) + 0.3 * pictures(2, 6, seed=5)
    np.testing.assert_allclose(model([x, theta.astype(np.float32)]), seen(x, theta, 3, 4), atol=1e-6)


def test_survives_saving(tmp_path: Any) -> None:
    image, maps = keras.Input((5, 5, 1)), keras.Input((6,))
    model = keras.Model([image, maps], AffineTransformer(4, 3)([image, maps]))
    model.save(tmp_path / "model.keras")
    arrays = [pictures(2, 5, 5, 1), pictures(2, 6)]
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(arrays), model(arrays))


@pytest.mark.parametrize("shapes", [((4, 4, 1), (5,)), ((4, 4, 1), (2, 3)), ((4, 4), (6,))])
def test_what_does_not_fit_is_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"maps \[batch, 6\]"):
        AffineTransformer(4, 4)([pictures(1, *shape) for shape in shapes])


def test_a_localisation_layer_that_starts_with_the_identity() -> None:
    layer = keras.layers.Dense(6, kernel_initializer="zeros", bias_initializer=IdentityMap())
    np.testing.assert_array_equal(layer(pictures(3, 8)), [IDENTITY] * 3)
    assert isinstance(keras.initializers.deserialize(keras.initializers.serialize(IdentityMap())), IdentityMap)
    with pytest.raises(ValueError, match="6 numbers"):
        keras.layers.Dense(4, bias_initializer=IdentityMap()).build((1, 8))
