import dataclasses

import keras
import numpy as np
import pytest

from kerazoo import applications, manifest
from kerazoo.applications import resnet_d
from kerazoo.errors import UsageError
from tests.applications import resnets
from tests.applications.common import close, pictures
from tests.weights import files

SIZES = {
    "resnet18d": {"blocks": (2, 2, 2, 2), "bottleneck": False},
    "resnet34d": {"blocks": (3, 4, 6, 3), "bottleneck": False},
    "resnet50d": {"blocks": (3, 4, 6, 3)},
    "resnet101d": {"blocks": (3, 4, 23, 3)},
    "resnet152d": {"blocks": (3, 8, 36, 3)},
}
# What timm's networks answer to `resnets.picture(97, 66)`, filled with `resnets.filled`. Behind the stem and the
# stages 97 becomes 49, 25, 13, 7 and 4: every shortcut but the last pools an odd number of rows.
TIMM = {
    "resnet18d": [-12.3433, 15.3416, -1.49276, 33.2874, 48.8314, 8.97894, 16.1988, -40.5373],
    "resnet34d": [225.19, -360.435, 302.184, 4119.99, 2913.55, -1328.46, -2904.12, 5326.76],
    "resnet50d": [2586.45, -11032.9, -942.751, -5853.48, -3923.5, -5460.74, -2257.19, 11770.7],
}
BUILDERS = {"resnet18d": "ResNet18D", "resnet34d": "ResNet34D", "resnet50d": "ResNet50D"}


@pytest.mark.parametrize("variant", TIMM)
def test_a_timm_file_answers_as_timm_does(variant, tmp_path):
    files.torch_zip(tmp_path / "mine.pth", resnets.filled(resnets.shapes(**SIZES[variant], tweaks=True)))
    build = getattr(applications, BUILDERS[variant])
    model = build(weights=str(tmp_path / "mine.pth"), input_shape=(97, 66, 3), classifier_activation=None)
    close(resnets.sample(model(resnets.picture(97, 66))), TIMM[variant])


@pytest.mark.slow
@pytest.mark.parametrize("variant", SIZES)
def test_every_tensor_of_a_timm_file_has_its_place(variant):
    """Names, shapes and the declared count, for the deep ones, too."""
    found = resnets.shapes(**SIZES[variant], tweaks=True)
    described = resnet_d.VARIANTS[variant]
    assert described.params == resnets.count(found)
    tensors = {name: np.broadcast_to(np.float32(0), shape) for name, shape in found.items()}
    converted = resnet_d.from_torch(described.config, tensors)
    model = resnet_d.build(described.config)
    assert {weight.path: tuple(weight.shape) for weight in model.weights} == {
        path: tensor.shape for path, tensor in converted.items()
    }


def test_shortcuts_of_odd_maps_average_what_is_there():
    """A window over the edge has fewer pixels, and divides by fewer."""
    model = resnet_d.build(resnet_d.VARIANTS["resnet50d"].small)
    pool = model.get_layer("conv3_block1_0_pool")
    maps = pictures(2, 5, 4, 3)
    expected = np.stack(
        [np.stack([maps[:, i : i + 2, j : j + 2].mean((1, 2)) for j in (0, 2)], 1) for i in (0, 2, 4)], 1
    )
    close(pool(maps), expected, relative=1e-6)


def test_only_striding_shortcuts_pool():
    model = resnet_d.build(dataclasses.replace(resnet_d.VARIANTS["resnet50d"].small, blocks=(1, 1, 1, 1)))
    pools = [layer.name for layer in model.layers if isinstance(layer, keras.layers.AveragePooling2D)]
    assert pools == [f"conv{stage}_block1_0_pool" for stage in (3, 4, 5)]
    assert [layer.strides for layer in model.layers if layer.name.endswith("_0_conv")] == [(1, 1)] * 4


def test_a_file_of_the_plain_network_is_refused():
    tensors = {name: np.zeros(shape, "f") for name, shape in resnets.shapes((2, 2, 2, 2), bottleneck=False).items()}
    with pytest.raises(UsageError, match="Missing: conv1.0.weight"):
        resnet_d.from_torch(resnet_d.VARIANTS["resnet18d"].config, tensors)


@pytest.mark.parametrize("variant", SIZES)
def test_the_default_size_is_that_of_the_default_weights(variant):
    described = resnet_d.VARIANTS[variant]
    assert [*described.input[:2]] == manifest.find(variant).preprocessing["size"]
    assert described.config.input_shape == described.input


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 2, 3), (None, None, 3)])
def test_smallest_and_unknown_sizes(shape):
    model = applications.ResNet18D(weights=None, input_shape=shape, classes=3)
    assert model(pictures(1, shape[0] or 33, shape[1] or 47, 3)).shape == (1, 3)


def test_wrong_arguments():
    with pytest.raises(UsageError, match="it has imagenet, imagenet-gluon, imagenet-ra4"):
        applications.ResNet50D(weights="imagenet-v2")
    with pytest.raises(UsageError, match="1000 classes; 5 were asked for"):
        applications.ResNet34D(classes=5)
