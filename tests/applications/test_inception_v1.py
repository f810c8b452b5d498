import dataclasses

import keras
import numpy as np
import pytest

from kerazoo import weights
from kerazoo.applications import inception_v1
from kerazoo.applications.inception_v1 import InceptionV1, InceptionV1Torchvision
from kerazoo.errors import UsageError
from tests.applications.common import close, keras_warns, pictures, scatter
from tests.reference import references
from tests.weights import files

pytestmark = keras_warns

SLIM, TORCH = (described.config for described in inception_v1.VARIANTS.values())
SMALL = inception_v1.VARIANTS["inception_v1"].small
BOTH = pytest.mark.parametrize("name", list(inception_v1.VARIANTS))

# The checkpoint's scopes after `Conv2d_` and torchvision's names, a line a branch, from both definitions.
BRANCHES = {
    "Branch_0": {"0a_1x1": "branch1"},
    "Branch_1": {"0a_1x1": "branch2.0", "0b_3x3": "branch2.1"},
    "Branch_2": {"0a_1x1": "branch3.0", "0b_3x3": "branch3.1"},
    "Branch_3": {"0b_1x1": "branch4.1"},
}
MODULES = {
    "Mixed_3b": "3a", "Mixed_3c": "3b", "Mixed_4b": "4a", "Mixed_4c": "4b", "Mixed_4d": "4c", "Mixed_4e": "4d",
    "Mixed_4f": "4e", "Mixed_5b": "5a", "Mixed_5c": "5b",
}  # fmt: skip


def names():
    """(layer, scope in the checkpoint, path in torchvision) of every convolution."""
    for place, torch in {"1a_7x7": "conv1", "2b_1x1": "conv2", "2c_3x3": "conv3"}.items():
        yield f"conv2d_{place}", f"InceptionV1/Conv2d_{place}", torch
    for module, paper in MODULES.items():
        for branch, places in BRANCHES.items():
            for place, torch in places.items():
                layer = f"{module}_{branch}_conv2d_{place}".lower()
                if (module, branch, place) == ("Mixed_5b", "Branch_2", "0b_3x3"):
                    place = "0a_3x3"  # A slip of the definition that the checkpoint keeps.
                yield layer, f"InceptionV1/{module}/{branch}/Conv2d_{place}", f"inception{paper}.{torch}"


@pytest.fixture(scope="module")
def shapes():
    """Variable path -> shape, of the whole network."""
    return {weight.path: tuple(weight.shape) for weight in inception_v1.build(SLIM).weights}


class Arrays(dict):
    """Made-up source tensors that take no room: each holds one number throughout."""

    def add(self, name, shape):
        self[name] = np.broadcast_to(np.float32(len(self) + 1), shape)
        return len(self)


def check(found, shapes, expected):
    """Every variable has its shape and the one number that its source tensor holds."""
    assert {path: array.shape for path, array in found.items()} == shapes
    assert {path: float(array.flat[-1]) for path, array in found.items()} == expected


@BOTH
def test_count_and_maps(name):
    described = inception_v1.VARIANTS[name]
    model = inception_v1.build(described.config)
    assert model.count_params() == described.params == 6_632_184
    maps = {"conv2d_1a_7x7": 112, "max_pool_2a_3x3": 56, "max_pool_3a_3x3": 28, "mixed_3c": 28}
    maps |= {"max_pool_4a_3x3": 14, "mixed_4f": 14, "max_pool_5a_2x2": 7, "mixed_5c": 7}
    for layer, side in maps.items():
        assert model.get_layer(layer).output.shape[1:3] == (side, side), layer
    assert not [weight.path for weight in model.weights if "gamma" in weight.path]
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 57 and {layer.epsilon for layer in norms} == {1e-3}


def checkpoint(shapes):
    """TF-Slim's tensors, and what each variable should get."""
    tensors, expected = Arrays(), {}
    for layer, scope, _ in names():
        expected[f"{layer}/kernel"] = tensors.add(f"{scope}/weights", shapes[f"{layer}/kernel"])
        for name in ("beta", "moving_mean", "moving_variance"):
            path = f"{layer}_bn/{name}"
            expected[path] = tensors.add(f"{scope}/BatchNorm/{name}", shapes[path])
    head = "InceptionV1/Logits/Conv2d_0c_1x1"
    expected["predictions/kernel"] = tensors.add(f"{head}/weights", (1, 1, 1024, 1001))
    expected["predictions/bias"] = tensors.add(f"{head}/biases", (1001,))
    return tensors, expected


def test_the_checkpoint_s_tensors_find_their_places(shapes):
    tensors, expected = checkpoint(shapes)
    tensors.add("global_step", ())
    for slot in ("RMSProp", "RMSProp_1", "Momentum", "ExponentialMovingAverage"):
        tensors.add(f"InceptionV1/Conv2d_1a_7x7/weights/{slot}", ())
    check(inception_v1.from_slim(SLIM, tensors), shapes, expected)
    with pytest.raises(UsageError, match="Unexpected: InceptionV1/Mixed_5b/Branch_2/Conv2d_0b_3x3/weights"):
        inception_v1.from_slim(SLIM, tensors | {"InceptionV1/Mixed_5b/Branch_2/Conv2d_0b_3x3/weights": np.zeros(1)})
    del tensors["InceptionV1/Mixed_5b/Branch_2/Conv2d_0a_3x3/weights"]
    with pytest.raises(UsageError, match="Missing: InceptionV1/Mixed_5b/Branch_2/Conv2d_0a_3x3/weights"):
        inception_v1.from_slim(SLIM, tensors)


def test_the_background_class_is_left_out(shapes):
    tensors, _ = checkpoint(shapes)
    head = "InceptionV1/Logits/Conv2d_0c_1x1"
    tensors[f"{head}/weights"] = np.tile(np.arange(1001.0), (1, 1, 1024, 1))
    tensors[f"{head}/biases"] = np.arange(1001.0)
    found = inception_v1.from_slim(SLIM, tensors)
    np.testing.assert_array_equal(found["predictions/kernel"][7], np.arange(1, 1001))
    np.testing.assert_array_equal(found["predictions/bias"], np.arange(1, 1001))


def test_a_checkpoint_file(shapes, tmp_path):
    """From the container that TF-Slim's archive holds, through the builder."""
    tensors, expected = checkpoint(shapes)
    rows = files.checkpoint_rows({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})
    path = tmp_path / "inception_v1.ckpt"
    path.write_bytes(files.sorted_table(rows))
    model = InceptionV1(weights=str(path), include_top=False, pooling="avg")
    assert model.output_shape == (None, 1024)
    for weight in model.weights:
        assert np.all(weight.numpy() == expected[weight.path]), weight.path


def test_torchvision_s_tensors_find_their_places(shapes):
    """`gamma` is two throughout, and doubles kernels and means; the auxiliary classifiers are left out."""
    tensors, expected = Arrays(), {}
    theirs = {"beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    for layer, _, torch in names():
        *kernel, inputs, outputs = shapes[f"{layer}/kernel"]
        expected[f"{layer}/kernel"] = 2 * tensors.add(f"{torch}.conv.weight", (outputs, inputs, *kernel))
        tensors[f"{torch}.bn.weight"] = np.full(outputs, 2, np.float32)
        for name, leaf in theirs.items():
            expected[f"{layer}_bn/{name}"] = tensors.add(f"{torch}.bn.{leaf}", (outputs,))
        tensors.add(f"{torch}.bn.num_batches_tracked", ())
        expected[f"{layer}_bn/moving_mean"] *= 2
    expected["predictions/kernel"] = tensors.add("fc.weight", (1000, 1024))
    expected["predictions/bias"] = tensors.add("fc.bias", (1000,))
    for unused in ("aux1.conv.conv.weight", "aux1.conv.bn.num_batches_tracked", "aux2.fc2.bias"):
        tensors.add(unused, ())
    check(inception_v1.from_torch(TORCH, tensors), shapes, expected)
    with pytest.raises(UsageError, match=r"Unexpected: aux3\.fc\.weight"):
        inception_v1.from_torch(TORCH, tensors | {"aux3.fc.weight": np.zeros(1)})
    del tensors["inception4e.branch4.1.bn.weight"]
    with pytest.raises(UsageError, match=r"Missing: inception4e\.branch4\.1\.bn\.weight"):
        inception_v1.from_torch(TORCH, tensors)


def test_files_of_the_other_variant_are_refused(tmp_path):
    with pytest.raises(UsageError, match="inception_v1_torchvision takes torchvision's file"):
        inception_v1.from_torch(SLIM, {})
    with pytest.raises(UsageError, match="inception_v1 takes TF-Slim's checkpoint"):
        inception_v1.from_slim(TORCH, {})


@pytest.mark.slow
def test_the_two_paddings():
    """At 223 pixels they are the same, which ties TF-Slim's network to the one compared with torchvision; at the
    weights' 224 they are not."""
    tensors = inception_v1.from_torch(TORCH, references.tensors("inception_v1_torchvision"))
    for side in (223, 224):
        answers = []
        for config in (SLIM, TORCH):
            model = inception_v1.build(dataclasses.replace(config, input_shape=(side, side, 3)))
            weights.assign(model, tensors, "the reference")
            answers.append(model(references.images("inception_v1_torchvision")[:, :side, :side], training=False))
        if side == 223:
            close(*answers)
        else:
            assert references.agreement(*answers).error > 1e-3


def test_the_first_convolution_s_padding():
    """TF-Slim's first window begins two pixels before the picture at 224 pixels, torchvision's three."""
    for config, before in ((SLIM, 2), (TORCH, 3)):
        model = inception_v1.build(dataclasses.replace(config, divisor=8, modules=("3a",)))
        conv = model.get_layer("conv2d_1a_7x7")
        kernel = np.zeros((7, 7, 3, 8), np.float32)
        kernel[0, 0, 0, 0] = 1
        conv.set_weights([kernel])
        image = pictures(1, 224, 224, 3)
        maps = np.asarray(keras.Model(model.input, conv.output)(image))[0, :, :, 0]
        expected = np.pad(image[0, :, :, 0], (before, 0))[::2, ::2][:112, :112]
        np.testing.assert_allclose(maps, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "build", "least"),
    [("inception_v1", InceptionV1, 1), ("inception_v1_torchvision", InceptionV1Torchvision, 15)],
)
def test_smallest_and_unknown_sizes(name, build, least):
    whole = dataclasses.replace(inception_v1.VARIANTS[name].small, modules=SLIM.modules)
    for shape in ((least, least, 3), (least + 1, least + 6, 3), (None, None, 3)):
        model = inception_v1.build(dataclasses.replace(whole, input_shape=shape))
        assert model(pictures(1, shape[0] or 50, shape[1] or 33, 3)).shape == (1, 50)
    with pytest.raises(UsageError, match=f"at least {least}"):
        build(weights=None, input_shape=(least - 1, least, 3))


def test_torchvision_s_pools_need_pixels():
    small = inception_v1.VARIANTS["inception_v1_torchvision"].small
    with pytest.raises(ValueError, match="zero or negative|negative dimension"):
        inception_v1.build(dataclasses.replace(small, input_shape=(14, 15, 3)))


@BOTH
def test_known_and_unknown_sizes_agree(name):
    small = inception_v1.VARIANTS[name].small
    fixed = scatter(inception_v1.build(dataclasses.replace(small, input_shape=(70, 91, 3))))
    free = inception_v1.build(dataclasses.replace(small, input_shape=(None, None, 3)))
    free.set_weights(fixed.get_weights())
    images = pictures(2, 70, 91, 3)
    close(free(images), fixed(images), relative=1e-6)


def test_dropout_in_training_alone():
    model = scatter(inception_v1.build(SMALL))
    model.trainable = False  # so that batch normalisation keeps its statistics
    images = pictures(1, 67, 67, 3)
    close(model(images), model(images), relative=1e-6)
    assert np.abs(np.asarray(model(images, training=True)) - np.asarray(model(images))).max() > 0
    assert SLIM.dropout == 0.2


def test_words_and_wrong_arguments():
    assert weights.words("inception_v1") == weights.words("inception_v1_torchvision") == ("imagenet",)
    with pytest.raises(UsageError, match="1000 classes; 10 were asked for"):
        InceptionV1(classes=10)
    with pytest.raises(UsageError, match="it has imagenet"):
        InceptionV1(weights="imagenet-torchvision")
