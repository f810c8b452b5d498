from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from kerazoo.applications import UNet, unet
from kerazoo.assets import Assets
from kerazoo.errors import UsageError


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
