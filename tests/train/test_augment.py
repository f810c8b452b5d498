"""Augmentation: what comes out lies in what went in, and the generator decides everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerazoo.train.augment import affine, crops


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
