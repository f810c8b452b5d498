from __future__ import annotations

import keras
import numpy as np
import pytest

from kerazoo.applications import VAE, vae
from kerazoo.errors import UsageError


def digits(count=64):
    """Blurred bars as pictures in 0..1."""
    random = np.random.default_rng(0)
    x = np.zeros((count, 28, 28, 1), np.float32)
    for picture in x:
        at = random.integers(4, 20)
        picture[at : at + 4] = random.random() > 0.5
        picture[:, at : at + 3] = 1.0
    return x


def test_count_by_arithmetic():
    encoder = 785 * 400 + 401 * 20 * 2
    decoder = 21 * 400 + 401 * 784
    model = VAE()
    assert model.count_params() == encoder + decoder == vae.VARIANTS["vae"].params == 652_824
    # The form of the paper's MNIST net, with its 500 hidden units.
    assert VAE(hidden=500).count_params() == 815_824


def test_the_divergence_in_the_loss_is_the_papers():
    keras.utils.set_random_seed(0)
    model, x = VAE(), digits(5)
    mean, log_variance, divergence = (np.asarray(part) for part in model.get_layer("encoder")(x))
    expected = -0.5 * (1 + log_variance - mean**2 - np.exp(log_variance))
    np.testing.assert_allclose(divergence, expected, atol=1e-6)
    model(x)
    assert len(model.losses) == 1
    np.testing.assert_allclose(float(model.losses[0]), expected.sum(1).mean(), rtol=1e-5)


def test_the_reported_loss_is_the_negative_lower_bound():
    keras.utils.set_random_seed(0)
    model, x = VAE(), digits(6)
    model.compile("adam", vae.reconstruction())
    logits = np.asarray(model(x), np.float64)  # Outside training the latent is the mean.
    nats = np.logaddexp(0, logits) - x * logits
    divergence = np.asarray(model.get_layer("encoder")(x)[2]).sum(1)
    expected = (nats.sum((1, 2, 3)) + divergence).mean()
    np.testing.assert_allclose(model.evaluate(x, x, batch_size=6, verbose=0), expected, rtol=1e-4)


def test_draws_noise_only_while_training():
    keras.utils.set_random_seed(0)
    model, x = VAE(), digits(2)
    np.testing.assert_array_equal(model(x), model(x))
    assert not np.array_equal(model(x, training=True), model(x, training=True))
    spread = np.asarray([model.get_layer("standard_noise")(np.zeros((200, 20)), training=True)])
    assert abs(spread.std() - 1) < 0.05


def test_learns():
    keras.utils.set_random_seed(0)
    model, x = VAE(), digits()
    model.compile(keras.optimizers.Adam(1e-3), vae.reconstruction())
    history = model.fit(x, x, batch_size=16, epochs=12, verbose=0).history["loss"]
    assert history[-1] < history[0] * 0.6
    assert np.asarray(model.get_layer("encoder")(x)[2]).sum(1).mean() > 1, "the latents say nothing"


def test_decoder_draws():
    assert VAE().get_layer("decoder")(np.zeros((3, 20), np.float32)).shape == (3, 28, 28, 1)


def test_wrong_arguments():
    for arguments in ({"hidden": 0}, {"latents": 2.5}, {"input_shape": (28, 28)}, {"weights": "imagenet"}):
        with pytest.raises(UsageError):
            VAE(**arguments)
