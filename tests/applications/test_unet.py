from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from kerazoo.applications import UNet, UNetRetina, unet
from kerazoo.assets import Assets
from kerazoo.errors import UsageError
from kerazoo.loading import load
from tests.applications.common import DATA_ENV, mirror, needs_data
from tests.weights import files


@pytest.mark.parametrize(
    ("channels", "classes", "params"),
    [(1, 2, 31_030_658), (1, 1, 31_030_593), (3, 1, 31_031_745), (3, 2, 31_031_810), (3, 21, 31_033_045)],
)
def test_count(channels, classes, params):
    config = replace(unet.VARIANTS["unet"].config, input_shape=(None, None, channels), classes=classes)
    assert unet.build(config).count_params() == params


def test_sizes_of_figure_1():
    model = UNet()
    assert (model.input_shape, model.output_shape) == ((None, 572, 572, 1), (None, 388, 388, 2))
    sides = {layer.name: layer.output.shape[1] for layer in model.layers}
    assert [sides[f"down{level}_conv2"] for level in range(1, 6)] == [568, 280, 136, 64, 28]
    assert [sides[f"up{level}_conv2"] for level in range(4, 0, -1)] == [52, 100, 196, 388]
    crops = [model.get_layer(f"up{level}_crop").cropping[0][0] for level in range(4, 0, -1)]
    assert crops == [4, 16, 40, 88]


def test_same_padding_keeps_the_size():
    config = replace(unet.VARIANTS["unet_same"].small, input_shape=(None, None, 1))
    assert unet.build(config)(np.zeros((1, 32, 48, 1), np.float32)).shape == (1, 32, 48, 2)


def test_task():
    task = unet.tasks(unet.VARIANTS["unet"].config, Assets(labels=("ground", "cell")))["segment"]
    assert (task.tile, task.shrink, task.overlap, task.labels) == (572, 92, 0, ("ground", "cell"))
    assert task.parts["network"].outputs[0].shape == (None, 388, 388, 2)
    task = unet.tasks(unet.VARIANTS["unet_same"].config, Assets())["segment"]
    assert (task.tile, task.shrink, task.overlap) == (256, 0, 32)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["unet", "unet_same"])
def test_learns_to_find_bright_pixels(variant):
    keras.utils.set_random_seed(1)
    model = unet.build(unet.VARIANTS[variant].small)
    x = np.random.default_rng(0).random((1, *model.input_shape[1:]), np.float32)
    side = model.output_shape[1]
    border = (x.shape[1] - side) // 2
    y = (x[:, border : border + side, border : border + side, 0] > 0.5).astype("int32")
    model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(x, y, epochs=16, verbose=0).history["loss"]
    assert history[-1] < history[0] * 0.9


@pytest.mark.parametrize(("side", "near"), [(187, "188"), (10, "188"), (571, "556 and 572"), (573, "572 and 588")])
def test_a_side_that_does_not_pool_evenly_is_named_with_its_neighbours(side, near):
    with pytest.raises(UsageError, match=near):
        UNet(input_shape=(side, 572, 1))


def test_builder():
    model = UNet(input_shape=(None, None, 3), classes=4, padding="same", classifier_activation=None, name="mine")
    assert (model.name, model.output_shape) == ("mine", (None, None, None, 4))
    for arguments in ({"padding": "full"}, {"classes": 0}, {"input_shape": (572, 572)}, {"weights": "imagenet"}):
        with pytest.raises(UsageError):
            UNet(**arguments)


def test_the_retina_s_file_is_turned(tmp_path):
    """Theano convolves: its kernels stand on their heads."""
    source = UNetRetina(None, (24, 24, 1), classifier_activation=None)
    parts = [*(f"down{level}" for level in (1, 2, 3)), "up2", "up1"]
    layers = [*(f"{part}_conv{index}" for part in parts for index in (1, 2)), "logits"]
    arrays = {}
    for number, name in enumerate(layers, start=1):
        kernel, bias = source.get_layer(name).get_weights()
        word = f"convolution2d_{number}"
        arrays[f"{word}/{word}_W"] = kernel.transpose(3, 2, 0, 1)[:, :, ::-1, ::-1]
        arrays[f"{word}/{word}_b"] = bias
    with h5py.File(tmp_path / "theano.h5", "w") as file:
        file.attrs["layer_names"] = [name.partition("/")[0].encode() for name in arrays if name.endswith("_W")]
        for layer in {name.partition("/")[0] for name in arrays}:
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}_W".encode(), f"{layer}_b".encode()]
            for kind in ("W", "b"):
                group[f"{layer}_{kind}"] = arrays[f"{layer}/{layer}_{kind}"]
    mine = UNetRetina(tmp_path / "theano.h5", (24, 24, 1), classifier_activation=None)
    assert all(np.array_equal(a, b) for a, b in zip(mine.get_weights(), source.get_weights(), strict=True))
    # Our own layers' names mean kernels as they are.
    files.keras_legacy(tmp_path / "own.h5", source)
    again = UNetRetina(tmp_path / "own.h5", (24, 24, 1), classifier_activation=None)
    assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), source.get_weights(), strict=True))


@pytest.mark.slow
@needs_data
def test_the_author_s_predictions_of_vessels(monkeypatch, tmp_path):
    """To the last bit, where all the patches of a pixel lie within the part of the picture that is asked about."""
    mirror(monkeypatch, tmp_path)
    stored = np.load(Path(os.environ[DATA_ENV]) / "retina_unet_check.npz")
    predictor = load("unet_retina:drive", "keras")
    side = 108
    for number, (top, left) in enumerate([(425, 205), (125, 425)]):
        picture, truth = stored["picture"][number], stored["author_prediction"][number]
        part = picture[top : top + side, left : left + side]
        files_ = predictor(part[..., None]).files()
        found = np.asarray(Image.open(io.BytesIO(files_["chance.png"])))
        inner = slice(45, 60)
        expected = truth[top : top + side, left : left + side]
        np.testing.assert_array_equal(found[inner, inner], expected[inner, inner])
        assert expected[inner, inner].std() > 10
