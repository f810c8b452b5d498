"""Autoencoders: what their halves take and give, and that few numbers come to hold a picture."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kerazoo.applications import Autoencoder2006, AutoencoderConv, AutoencoderDenoising
from kerazoo.errors import UsageError
from kerazoo.train import product
from kerazoo.train import state as state_
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.jobs.redraw import Error, Noisy
from kerazoo.train.losses import squared_a_sample
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Constant
from kerazoo.train.steps.supervised import Supervised


def bars(count: int = 64, side: int = 8) -> np.ndarray:
    """A row and a column of light at random places: two numbers tell them."""
    random, pictures = np.random.default_rng(0), np.zeros((count, side, side, 1), np.uint8)
    for picture in pictures:
        picture[random.integers(side)] = picture[:, random.integers(side)] = 255
    return pictures


@pytest.mark.parametrize(
    ("build", "code", "encoder"),
    [
        (Autoencoder2006, 30, 785 * 1000 + 1001 * 500 + 501 * 250 + 251 * 30),
        (AutoencoderConv, 30, 10 * 32 + (9 * 32 + 1) * 64 + (7 * 7 * 64 + 1) * 30),
        (AutoencoderDenoising, 7 * 7 * 32, 10 * 32 + (9 * 32 + 1) * 32),
    ],
)
def test_the_halves_make_the_whole(build, code, encoder):
    keras.utils.set_random_seed(0)
    model = build()
    first, second = model.get_layer("encoder"), model.get_layer("decoder")
    assert first.count_params() == encoder
    seen = np.random.default_rng(0).uniform(size=(2, 28, 28, 1)).astype("f")
    middle = first(seen)
    assert middle.shape == (2, code)
    np.testing.assert_allclose(second(middle), model(seen), atol=1e-6)
    assert 0 <= np.min(model(seen)) < np.max(model(seen)) <= 1


def test_few_numbers_come_to_hold_a_picture():
    pictures = bars()
    recipe = Recipe(
        "bars",
        lambda: Autoencoder2006((32,), latents=8, input_shape=(8, 8, 1)),
        Arrays((pictures,)),
        Supervised(squared_a_sample),
        schedule=Constant(5e-3),
        augment=Noisy(),
        batch=16,
    )
    state, error = state_.begin(recipe), Error(pictures, Noisy())
    before = error(state)["loss"]
    for step in range(120):
        rows = np.arange(16) + step * 16
        batch = Noisy()((pictures[rows % len(pictures)],), np.random.default_rng(0), 0)
        state, _ = recipe.step(state, batch)
    assert error(state)["loss"] < before / 4


def test_noise_stays_within_the_range_and_the_target_has_none():
    noisy, clean = Noisy(0.4)((bars(4),), np.random.default_rng(0), 0)
    assert noisy.dtype == clean.dtype == np.float32
    assert noisy.min() == 0 and noisy.max() == 1 and set(np.unique(clean)) == {0, 1}
    assert 0.1 < np.abs(noisy - clean).mean() < 0.3


def test_weights_of_eight_bits_are_read_again_to_half_a_level(tmp_path):
    keras.utils.set_random_seed(0)
    model = Autoencoder2006((12, 6), latents=3, input_shape=(4, 4, 1))
    path = product.eight_bits(model, tmp_path / "small.npz")
    again = Autoencoder2006((12, 6), latents=3, input_shape=(4, 4, 1), weights=path)
    for mine, theirs in zip(again.weights, model.weights, strict=True):
        levels = np.abs(theirs.numpy()).max(0) / 127
        assert np.all(np.abs(mine.numpy() - theirs.numpy()) <= 0.501 * levels + 1e-3 * np.abs(theirs.numpy()))


def test_wrong_arguments():
    for build, arguments in ((Autoencoder2006, {"widths": ()}), (Autoencoder2006, {"widths": (3, 0)}),
                             (Autoencoder2006, {"latents": 1.5}), (AutoencoderConv, {"input_shape": (30, 28, 1)}),
                             (AutoencoderDenoising, {"input_shape": (28, 28)}),
                             (AutoencoderConv, {"weights": "imagenet"})):  # fmt: skip
        with pytest.raises(UsageError):
            build(**arguments)
