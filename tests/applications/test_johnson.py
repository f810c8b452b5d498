"""Transformers of pictures: counts, the layers' edges, and lengstrom's weights."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from kerazoo.applications import FastStyle, JohnsonSR, JohnsonStyle, johnson
from kerazoo.errors import UsageError
from kerazoo.layers.normalization import moments_given, moments_of
from tests.applications.common import DATA_ENV, needs_data


def _convolution(kernel: int, inputs: int, outputs: int) -> int:
    return kernel**2 * inputs * outputs + outputs


@pytest.mark.parametrize(("half", "a"), [(False, 32), (True, 16)])
def test_counts_by_the_authors_layer_string(half, a):
    """c9s1-32,d64,d128,R128,R128,R128,R128,R128,u64,u32,c9s1-3, and a scale and a shift for each normalised map."""
    b, c = 2 * a, 4 * a
    layers = _convolution(9, 3, a) + _convolution(3, a, b) + _convolution(3, b, c) + 10 * _convolution(3, c, c)
    layers += _convolution(3, c, b) + _convolution(3, b, a) + _convolution(9, a, 3)
    model = JohnsonStyle(half)
    assert model.count_params() == layers + 2 * (a + b + c + 10 * c + b + a)
    strides = [layer.strides[0] for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert strides[:3] == [1, 2, 2] and set(strides[3:13]) == {1}


@pytest.mark.parametrize(("scale", "ups"), [(4, 2), (8, 3)])
def test_counts_of_super_resolution(scale, ups):
    model = JohnsonSR(scale)
    layers = _convolution(9, 3, 64) + (8 + ups) * _convolution(3, 64, 64) + _convolution(9, 64, 3)
    assert model.count_params() == layers + (9 + ups) * 64 * 4
    assert model(np.zeros((1, 5, 6, 3), "f")).shape == (1, 5 * scale, 6 * scale, 3)


@pytest.mark.parametrize("variant", johnson.VARIANTS)
def test_the_stated_context_is_all_that_a_pixel_depends_on(variant):
    """With the means and variances held, a change further away than the context changes nothing; one nearer does."""
    keras.utils.set_random_seed(0)
    config = replace(johnson.VARIANTS[variant].small, blocks=1)
    model = johnson.build(config)
    task = johnson.tasks(config, None)["redraw"]
    side = 2 * task.context + 4 * task.multiple
    seen = np.random.default_rng(0).uniform(0, 255, (1, side, side, 3)).astype("f")
    moments = moments_of(model, seen) if task.moments else None

    def drawn(picture):
        if moments is None:
            return np.asarray(model(picture))
        with moments_given(model, moments):
            return np.asarray(model(picture))

    before = drawn(seen)
    assert task.moments == 0 or moments.shape == (1, task.moments)
    far, near = seen.copy(), seen.copy()
    far[:, : 2 * task.multiple] = 0
    row = (2 * task.multiple + task.context) * task.scale
    np.testing.assert_allclose(drawn(far)[:, row:], before[:, row:], atol=1e-3)
    near[:, 2 * task.multiple + task.context - 1] = 0
    assert np.abs(drawn(near)[:, row] - before[:, row]).max() > 1e-2


def test_moments_given_are_those_kept():
    keras.utils.set_random_seed(0)
    model = johnson.build(johnson.VARIANTS["johnson_style"].small)
    first, second = np.random.default_rng(0).uniform(0, 255, (2, 1, 48, 52, 3)).astype("f")
    plain = np.asarray(model(first))
    with moments_given(model, moments_of(model, first)):
        np.testing.assert_allclose(model(first), plain, atol=1e-3)
    with moments_given(model, moments_of(model, second)):
        assert np.abs(np.asarray(model(first)) - plain).max() > 0.1
    np.testing.assert_allclose(model(first), plain, atol=1e-3)


def test_wrong_arguments():
    for build, arguments in ((JohnsonSR, {"scale": 3}), (FastStyle, {"input_shape": (30, 32, 3)}),
                             (JohnsonStyle, {"input_shape": (None, None, 1)}), (FastStyle, {"weights": "wave"}),
                             (JohnsonStyle, {"input_shape": (64, 64)})):  # fmt: skip
        with pytest.raises(UsageError):
            build(**arguments)


@needs_data
def test_lengstroms_weights_paint_what_they_painted_elsewhere():
    data = Path(os.environ[DATA_ENV])
    known = np.load(data / "dense_checks.npz")
    model = FastStyle(weights=data / "weights" / "faststyle_lengstrom_rain_princess.npz")
    drawn = np.asarray(model(known["faststyle_input"][None].astype("f")))[0]
    np.testing.assert_allclose(drawn, known["faststyle_output"], atol=2e-3)
