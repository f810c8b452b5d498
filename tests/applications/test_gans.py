"""Adversarial nets: what others' files give, and that the two halves learn against each other."""

from __future__ import annotations

import os
from pathlib import Path

import keras
import numpy as np
import pytest

from kerazoo.applications import DCGAN28, DCGAN32, GAN, WGAN, WGANGP, ConditionalGAN, cgan, dcgan, gan, wgan
from kerazoo.errors import UsageError
from kerazoo.weights import Source, load
from tests.applications.common import DATA_ENV

CASES = [
    (gan, "gan_mlp", 283_920, 267_009),
    (cgan, "cgan_mlp", 288_628, 335_105),
    (dcgan, "dcgan_28", 856_193, 393_729),
    (dcgan, "dcgan_32", 1_066_880 + 896, 661_248 + 768),
    (wgan, "wgan_gp", 1_554_177, 1_030_145),
]


@pytest.mark.parametrize(("family", "variant", "generator", "discriminator"), CASES)
def test_counts_of_either_half(family, variant, generator, discriminator):
    model = family.build(family.VARIANTS[variant].config)
    assert model.get_layer("generator").count_params() == generator
    assert model.get_layer("discriminator").count_params() == discriminator
    assert generator + discriminator == family.VARIANTS[variant].params


@pytest.mark.parametrize("build", [GAN, DCGAN28, WGANGP])
def test_pictures_have_their_range(build):
    keras.utils.set_random_seed(0)
    model = build()
    noise = np.random.default_rng(0).normal(size=(3, model.input.shape[1])).astype("f") * 50
    drawn = np.asarray(model.get_layer("generator")(noise))
    assert drawn.shape == (3, 28, 28, 1)
    least = 0 if build is WGANGP else -1
    assert least <= drawn.min() < drawn.max() <= 1
    np.testing.assert_allclose(model(noise), model.get_layer("discriminator")(drawn), rtol=1e-5, atol=1e-5)


def test_either_half_is_told_the_class():
    keras.utils.set_random_seed(0)
    model = ConditionalGAN(classes=3)
    noise, label = np.random.default_rng(0).normal(size=(3, 64)).astype("f"), np.array([0, 1, 2], np.int32)
    generator, discriminator = model.get_layer("generator"), model.get_layer("discriminator")
    drawn = np.asarray(generator([noise, label]))
    assert drawn.shape == (3, 28, 28, 1) and -1 <= drawn.min() < drawn.max() <= 1
    np.testing.assert_allclose(model([noise, label]), discriminator([drawn, label]), rtol=1e-5, atol=1e-5)
    # The same noise draws another picture for another class, and the same picture gets another verdict.
    for half, given in ((generator, noise[:1]), (discriminator, drawn[:1])):
        said = np.asarray(half([np.repeat(given, 3, 0), label])).reshape(3, -1)
        assert min(np.abs(said[a] - said[b]).max() for a, b in ((0, 1), (0, 2), (1, 2))) > 1e-3


def test_torch_names_and_axes_of_the_convolutions():
    """A transposed convolution from one pixel is a dense layer, and kernels are turned as torch has them."""
    config = dcgan.Config("small", (32, 32, 1), latents=5, maps=16, kernel=4)
    model, random = dcgan.build(config), np.random.default_rng(0)
    tensors = {}
    shapes = {"generator": [(5, 16), (16, 8), (8, 4), (4, 1)], "discriminator": [(4, 1), (8, 4), (16, 8), (1, 16)]}
    for part, layers in shapes.items():
        for index, (first, second) in enumerate(layers):
            tensors[f"{part}.main.{3 * index}.weight"] = random.normal(size=(first, second, 4, 4)).astype("f")
            normed = second if part == "generator" else first
            if (part == "generator" and index < 3) or (part == "discriminator" and 0 < index < 3):
                for name in ("weight", "bias", "running_mean", "running_var"):
                    tensors[f"{part}.main.{3 * index + 1}.{name}"] = random.uniform(0.5, 1, normed).astype("f")
                tensors[f"{part}.main.{3 * index + 1}.num_batches_tracked"] = np.array(3)
    found = dcgan.from_torch(config, tensors)
    assert found.keys() == {weight.path for weight in model.weights}
    assert all(found[weight.path].shape == tuple(weight.shape) for weight in model.weights)
    kernel = tensors["generator.main.0.weight"]
    noise = random.normal(size=5)
    expected = np.einsum("i,iohw->hwo", noise, kernel)
    np.testing.assert_allclose((noise @ found["project/kernel"]).reshape(4, 4, 16), expected, rtol=1e-5)


def test_a_part_alone_leaves_the_other_as_it_was(tmp_path):
    trained, fresh = GAN(hidden=8, latents=4), GAN(hidden=8, latents=4)
    kept = [weight.numpy() for weight in fresh.get_layer("discriminator").weights]
    path = tmp_path / "generator.npz"
    np.savez(path, **{weight.path: weight.numpy() for weight in trained.get_layer("generator").weights})
    load(fresh, None, {}, Source("gan_mlp:one", {"part:generator": path}, "npz", {}))
    for mine, theirs in zip(fresh.get_layer("generator").weights, trained.get_layer("generator").weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for mine, old in zip(fresh.get_layer("discriminator").weights, kept, strict=True):
        np.testing.assert_array_equal(mine, old)


def test_wrong_arguments():
    for build, arguments in ((GAN, {"latents": 0}), (DCGAN32, {"latents": 1.5}), (WGAN, {"latents": "x"}),
                             (WGANGP, {"maps": 0}), (GAN, {"input_shape": (28, 28)}), (ConditionalGAN, {"classes": 0}),
                             (DCGAN28, {"weights": "imagenet"})):  # fmt: skip
        with pytest.raises(UsageError):
            build(**arguments)


@pytest.mark.skipif(DATA_ENV not in os.environ, reason=f"{DATA_ENV} names no folder of data")
@pytest.mark.parametrize(
    ("model", "noise", "drawn"),
    [("gan_mlp:mnist-csinva", "gan_z", "gan_output"), ("dcgan_28:mnist-kerasgan", "dcgan_z", "dcgan_output")],
)
def test_real_weights_draw_what_they_drew_elsewhere(model, noise, drawn, monkeypatch):
    from kerazoo import registry

    data = Path(os.environ[DATA_ENV])
    monkeypatch.setenv("KERAZOO_MIRROR", str(data / "weights"))

    known = np.load(data / "dense_checks.npz")
    generator = registry.build(model).keras.get_layer("generator")
    found = np.asarray(generator(known[noise], training=False))[..., 0]
    np.testing.assert_allclose(found, known[drawn], atol=5e-6)
