import dataclasses

import numpy as np
import pytest

from kerazoo import applications
from kerazoo.applications import resnet_basic
from kerazoo.errors import UsageError
from tests.applications import resnets
from tests.applications.common import close, pictures, scatter
from tests.weights import files

# What torchvision's networks answer to `resnets.picture(65, 50)`, filled with `resnets.filled`.
TORCHVISION = {
    "resnet18": [-5.17901, -64.0703, -6.08654, 37.3013, -43.0265, 44.3071, -21.7124, 46.8255],
    "resnet34": [1176.34, -621.27, 481.372, 816.801, 1460.55, 488.983, -220.477, -114.305],
}
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
BUILDERS = {"resnet18": "ResNet18", "resnet34": "ResNet34"}


@pytest.mark.parametrize("variant", BLOCKS)
def test_a_torchvision_file_answers_as_torchvision_does(variant, tmp_path):
    tensors = resnets.filled(resnets.shapes(BLOCKS[variant], bottleneck=False))
    files.torch_zip(tmp_path / "mine.pth", tensors)
    build = getattr(applications, BUILDERS[variant])
    model = build(weights=str(tmp_path / "mine.pth"), input_shape=(65, 50, 3), classifier_activation=None)
    close(resnets.sample(model(resnets.picture(65, 50))), TORCHVISION[variant])
    bare = build(weights=str(tmp_path / "mine.pth"), input_shape=(65, 50, 3), include_top=False, pooling="avg")
    top = model.get_layer("predictions").get_weights()
    close(np.asarray(bare(resnets.picture(65, 50))) @ top[0] + top[1], model(resnets.picture(65, 50)))


@pytest.mark.parametrize("variant", BLOCKS)
def test_count(variant):
    """The declared figure is that of torchvision's tensors, whose names and shapes the tests write down anew."""
    counted = resnets.count(resnets.shapes(BLOCKS[variant], bottleneck=False))
    assert resnet_basic.VARIANTS[variant].params == counted
    assert len([name for name in resnets.shapes(BLOCKS[variant], bottleneck=False) if ".conv" in name]) + 2 == int(
        variant.removeprefix("resnet")
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"layer2.0.downsample.0.weight": None}, "Missing: layer2.0.downsample.0.weight"),
        ({"layer4.2.conv1.weight": np.zeros(1)}, "Unexpected: layer4.2.conv1.weight"),
        ({"conv1.weight": np.zeros(9408)}, r"conv1.weight of shape \(9408,\) does not become conv1_conv/kernel"),
    ],
)
def test_a_file_that_does_not_fit(change, told):
    tensors = {name: np.zeros(shape, "f") for name, shape in resnets.shapes((2, 2, 2, 2), bottleneck=False).items()}
    tensors = {name: value for name, value in (tensors | change).items() if value is not None}
    with pytest.raises(UsageError, match=told):
        resnet_basic.from_torch(resnet_basic.VARIANTS["resnet18"].config, tensors)


def test_files_from_before_batches_were_counted():
    found = resnets.shapes((2, 2, 2, 2), bottleneck=False)
    tensors = {name: np.zeros(shape, "f") for name, shape in found.items() if not name.endswith("tracked")}
    converted = resnet_basic.from_torch(resnet_basic.VARIANTS["resnet18"].config, tensors)
    assert len(converted) == len(tensors)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (None, None, 3)])
def test_smallest_and_unknown_sizes(shape):
    model = applications.ResNet18(weights=None, input_shape=shape, classes=3)
    assert model(pictures(1, shape[0] or 21, shape[1] or 40, 3)).shape == (1, 3)


def test_known_and_unknown_sizes_agree():
    config = dataclasses.replace(resnet_basic.VARIANTS["resnet18"].small, input_shape=(51, 38, 3))
    fixed = scatter(resnet_basic.build(config))
    free = resnet_basic.build(dataclasses.replace(config, input_shape=(None, None, 3)))
    free.set_weights(fixed.get_weights())
    close(free(pictures(1, 51, 38, 3)), fixed(pictures(1, 51, 38, 3)), relative=1e-6)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"classes": 10}, "1000 classes; 10 were asked for"),
        ({"weights": "imagenet-a2"}, "it has imagenet, imagenet-a1"),
        ({"weights": "imagenet-gluon"}, "has weights of that name"),
        ({"weights": None, "input_shape": (0, 8, 3)}, "at least 1"),
    ],
)
def test_wrong_arguments(arguments, told):
    with pytest.raises(UsageError, match=told):
        applications.ResNet18(**arguments)
