"""Augmentation: what comes out lies in what went in, and the generator decides everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerazoo.train.augment import affine, colours, crops, cutout, distorted, mixup


@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 6), st.integers(0, 2**31))
def test_crops_are_squares_of_the_pictures(count: int, size: int, room: int, seed: int) -> None:
    side = size + room
    # Every pixel says where it was.
    pictures = np.arange(count * side * side).reshape(count, side, side, 1)
    out = crops(pictures, size, np.random.default_rng(seed))
    assert out.shape == (count, size, size, 1)
    for index, square in enumerate(out[..., 0] - index_base(count, side)):
        assert square.min() >= 0 and square.max() < side * side, index
        steps = np.diff(square, axis=1)
        assert np.all(steps == 1) or np.all(steps == -1)
        assert np.all(np.diff(square, axis=0) == side)
    assert np.array_equal(out, crops(pictures, size, np.random.default_rng(seed)))


def index_base(count: int, side: int) -> np.ndarray:
    return (np.arange(count) * side * side)[:, None, None]


def test_crops_larger_than_the_picture_are_refused() -> None:
    with pytest.raises(ValueError, match="Squares of 9"):
        crops(np.zeros((1, 8, 8, 3)), 9, np.random.default_rng(0))


def test_affine_without_movement_is_the_picture() -> None:
    pictures = np.random.default_rng(0).random((3, 7, 5, 2), np.float32)
    out = affine(pictures, np.random.default_rng(1), degrees=0, scale=0, shift=0)
    np.testing.assert_allclose(out, pictures, atol=1e-6)


@given(st.integers(0, 2**31), st.floats(0, 45), st.floats(0, 0.5), st.floats(0, 10))
def test_affine_stays_within_the_values(seed: int, degrees: float, scale: float, shift: float) -> None:
    pictures = np.random.default_rng(0).random((4, 9, 9, 1), np.float32)
    out = affine(pictures, np.random.default_rng(seed), degrees, scale, shift)
    assert out.shape == pictures.shape
    assert out.dtype == np.float32
    assert out.min() >= 0 and out.max() <= pictures.max() + 1e-6


def blob(size: int, row: float, column: float) -> np.ndarray:
    y, x = np.mgrid[0:size, 0:size]
    return 255 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8)[None, ..., None]


def place(picture: np.ndarray) -> np.ndarray:
    """Row and column of the centre of mass."""
    weights = picture[..., 0] / picture.sum()
    y, x = np.mgrid[0 : weights.shape[0], 0 : weights.shape[1]]
    return np.array([(y * weights).sum(), (x * weights).sum()])


def test_distorted_without_distortion_is_the_picture() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 9, 9, 2), np.uint8)
    out = distorted(pictures, np.random.default_rng(1), side=9, degrees=0, scale=(1, 1))
    np.testing.assert_allclose(out, pictures, atol=1e-3)
    assert out.dtype == np.float32


def test_rts_digits_are_turned_scaled_and_moved_within_the_square() -> None:
    # Two blobs: their distance says the scale, their direction the turn.
    pair = [np.repeat(blob(28, 14 - 4.5, 13.5), 200, 0), np.repeat(blob(28, 13.5 + 4, 13.5), 200, 0)]
    ends = [distorted(one, np.random.default_rng(3), 42, 45, (0.7, 1.2)) for one in pair]
    assert ends[0].shape == (200, 42, 42, 1)
    places = np.array([[place(one) for one in end] for end in ends])
    down, right = (places[1] - places[0]).T
    scale, turn = np.hypot(down, right) / 8, np.degrees(np.arctan2(right, down))
    assert 0.69 < scale.min() < 0.72 and 1.17 < scale.max() < 1.21
    assert -46 < turn.min() < -42 and 42 < turn.max() < 46
    middle = places.mean(axis=0)
    # The smallest can go by 11.2 pixels to every side, the largest by 4.2.
    assert middle.min() < 13 and middle.max() > 28
    assert np.all(np.abs(middle - 20.5).max(axis=1) <= (42 - 28 * scale) / 2 + 0.5)
    # All of each blob is still there: its mass grows with the square of its scale.
    np.testing.assert_allclose(ends[0].sum(axis=(1, 2, 3)) / pair[0][0].sum(), scale**2, rtol=0.04)


def test_distortion_is_the_generators() -> None:
    pictures = np.random.default_rng(0).random((4, 28, 28, 1), np.float32)
    first, second, third = (distorted(pictures, np.random.default_rng(s), 28, 90, (1, 1)) for s in (5, 5, 6))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


def test_distorted_pictures_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit into 30"):
        distorted(np.zeros((1, 28, 28, 1)), np.random.default_rng(0), 30, 45, (0.7, 1.2))


def test_colours_that_may_not_move_stay() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 6, 5, 3)).astype(np.uint8)
    out = colours(pictures, np.random.default_rng(1), 0, 0, 0)
    np.testing.assert_allclose(out, pictures, atol=1e-3)


def test_brightness_multiplies_contrast_keeps_the_mean_and_colour_the_grey() -> None:
    pictures = np.random.default_rng(0).integers(90, 120, (50, 6, 5, 3)).astype(np.uint8)
    bright = colours(pictures, np.random.default_rng(1), 0.4, 0, 0) / pictures
    assert np.ptp(bright, axis=(1, 2, 3)).max() < 1e-5 and 0.6 <= bright.min() < 0.7 and 1.3 < bright.max() <= 1.4001
    strong = colours(pictures, np.random.default_rng(1), 0, 0.4, 0)
    np.testing.assert_allclose(strong.mean(axis=(1, 2, 3)), pictures.mean(axis=(1, 2, 3)), rtol=1e-4)
    rich = colours(pictures, np.random.default_rng(1), 0, 0, 0.4)
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(rich @ luma, pictures @ luma, rtol=1e-4)
    assert np.abs(rich - pictures).max() > 1


@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 2**31))
def test_cutout_is_one_square_of_the_mean_and_nothing_else(size: int, side: int, seed: int) -> None:
    pictures = np.random.default_rng(0).random((6, side, side + 2, 2))
    out = cutout(pictures, np.random.default_rng(seed), size)
    for before, after in zip(pictures, out, strict=True):
        hole = (before != after).any(axis=2)
        rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
        assert 1 <= len(rows) <= size and 1 <= len(columns) <= size
        assert hole.sum() == len(rows) * len(columns)
        np.testing.assert_allclose(after[hole], np.broadcast_to(before.mean(axis=(0, 1)), after[hole].shape))


@given(st.integers(1, 9), st.floats(0.05, 5), st.integers(0, 2**31))
def test_mixup_mixes_pictures_and_labels_alike(count: int, alpha: float, seed: int) -> None:
    rng = np.random.default_rng(0)
    # Each picture is its own label, painted out.
    shares = np.eye(4, dtype=np.float32)[rng.integers(0, 4, count)]
    pictures = np.broadcast_to(shares[:, None, None, :], (count, 3, 3, 4))
    mixed, labels = mixup(pictures, shares, np.random.default_rng(seed), alpha)
    assert mixed.dtype == labels.dtype == np.float32
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(mixed, np.broadcast_to(labels[:, None, None, :], mixed.shape), atol=1e-6)
