import dataclasses

import keras
import numpy as np
import pytest

from kerazoo.applications import _branches, inception_v4
from kerazoo.applications.inception_v4 import InceptionV4
from kerazoo.errors import UsageError
from tests.applications.common import close, keras_warns, pictures, scatter

pytestmark = keras_warns

FULL = inception_v4.VARIANTS["inception_v4"].config
SMALL = inception_v4.VARIANTS["inception_v4"].small

# The checkpoint's convolutions, written down from the definition in TF-Slim: the letters of the modules, and a line a
# branch with the scopes after `Conv2d_`, and PyTorch's names where they follow no rule.
STEM = {
    "3a": [["0a_3x3"]],
    "4a": [["0a_1x1", "1a_3x3"], ["0a_1x1", "0b_1x7", "0c_7x1", "1a_3x3"]],
    "5a": [["1a_3x3"]],
}
A = [["0a_1x1"], ["0a_1x1", "0b_3x3"], ["0a_1x1", "0b_3x3", "0c_3x3"], ["0b_1x1"]]
B = [
    ["0a_1x1"],
    ["0a_1x1", "0b_1x7", "0c_7x1"],
    ["0a_1x1", "0b_7x1", "0c_1x7", "0d_7x1", "0e_1x7"],
    ["0b_1x1"],
]
C = [["0a_1x1"], ["0a_1x1", "0b_1x3", "0c_3x1"], ["0a_1x1", "0b_3x1", "0c_1x3", "0d_1x3", "0e_3x1"], ["0b_1x1"]]
MODULES = STEM | {
    **{f"5{letter}": A for letter in "bcde"},
    "6a": [["1a_3x3"], ["0a_1x1", "0b_3x3", "1a_3x3"]],
    **{f"6{letter}": B for letter in "bcdefgh"},
    "7a": [["0a_1x1", "1a_3x3"], ["0a_1x1", "0b_1x7", "0c_7x1", "1a_3x3"]],
    **{f"7{letter}": C for letter in "bcd"},
}
TORCH_C = [["0"], ["1_0", "1_1a", "1_1b"], ["2_0", "2_1", "2_2", "2_3a", "2_3b"], ["3.1"]]


def names():
    """(layer, scope in the checkpoint, path in PyTorch) of every convolution in the order in which they are built."""
    for index, name in enumerate(("1a_3x3", "2a_3x3", "2b_3x3")):
        yield f"conv2d_{name}", f"InceptionV4/Conv2d_{name}", f"features.{index}"
    for index, (module, branches) in enumerate(MODULES.items(), start=3):
        # In 3a and 5a one branch is a pooling alone, before and after the convolution.
        first = 1 if module == "3a" else 0
        for number, branch in enumerate(branches, start=first):
            for place, name in enumerate(branch):
                if module in ("3a", "5a"):
                    torch = "conv"
                elif branches is C:
                    torch = f"branch{TORCH_C[number][place]}"
                elif branch == ["0b_1x1"]:
                    torch = f"branch{number}.1"  # after the average
                else:
                    torch = f"branch{number}.{place}" if len(branch) > 1 else f"branch{number}"
                yield (
                    f"mixed_{module}_branch_{number}_conv2d_{name}",
                    f"InceptionV4/Mixed_{module}/Branch_{number}/Conv2d_{name}",
                    f"features.{index}.{torch}",
                )


@pytest.fixture(scope="module")
def shapes():
    """Variable path -> shape, of the whole network."""
    return {weight.path: tuple(weight.shape) for weight in inception_v4.build(FULL).weights}


class Arrays(dict):
    """Made-up source tensors that take no room: each holds one number throughout."""

    def add(self, name, shape):
        self[name] = np.broadcast_to(np.float32(len(self) + 1), shape)
        return len(self)


def check(found, shapes, expected):
    """Every variable has its shape and the one number that its source tensor holds."""
    assert {path: array.shape for path, array in found.items()} == shapes
    assert {path: float(array.flat[-1]) for path, array in found.items()} == expected


def oihw(shape):
    return (shape[3], shape[2], shape[0], shape[1])


def test_the_checkpoint_s_tensors_find_their_places(shapes):
    tensors, expected = Arrays(), {}
    for layer, scope, _ in names():
        expected[f"{layer}/kernel"] = tensors.add(f"{scope}/weights", shapes[f"{layer}/kernel"])
        tensors.add(f"{scope}/weights/RMSProp", ())
        for name in ("beta", "moving_mean", "moving_variance"):
            path = f"{layer}_bn/{name}"
            expected[path] = tensors.add(f"{scope}/BatchNorm/{name}", shapes[path])
            tensors.add(f"{scope}/BatchNorm/{name}/ExponentialMovingAverage", ())
    expected["predictions/kernel"] = tensors.add("InceptionV4/Logits/Logits/weights", (1536, 1001))
    expected["predictions/bias"] = tensors.add("InceptionV4/Logits/Logits/biases", (1001,))
    for unused in ("Conv2d_1b_1x1/weights", "Conv2d_2a/BatchNorm/beta", "Aux_logits/biases"):
        tensors.add(f"InceptionV4/AuxLogits/{unused}", ())
    tensors.add("global_step", ())
    check(inception_v4.from_slim(FULL, tensors), shapes, expected)
    with pytest.raises(UsageError, match="Unexpected: InceptionV4/Mixed_7e/Branch_0/Conv2d_0a_1x1/weights"):
        inception_v4.from_slim(FULL, tensors | {"InceptionV4/Mixed_7e/Branch_0/Conv2d_0a_1x1/weights": np.zeros(1)})
    del tensors["InceptionV4/Mixed_7d/Branch_2/Conv2d_0e_3x1/BatchNorm/beta"]
    with pytest.raises(UsageError, match="Missing: InceptionV4/Mixed_7d/Branch_2/Conv2d_0e_3x1/BatchNorm/beta"):
        inception_v4.from_slim(FULL, tensors)


def test_the_background_class_is_left_out():
    tensors = Arrays()
    for place in inception_v4._places(FULL):
        for name in ("weights", "BatchNorm/beta", "BatchNorm/moving_mean", "BatchNorm/moving_variance"):
            tensors.add(f"InceptionV4/{place.slim}/{name}", ())
    tensors["InceptionV4/Logits/Logits/weights"] = np.tile(np.arange(1001.0), (1536, 1))
    tensors["InceptionV4/Logits/Logits/biases"] = np.arange(1001.0)
    found = inception_v4.from_slim(FULL, tensors)
    np.testing.assert_array_equal(found["predictions/kernel"][7], np.arange(1, 1001))
    np.testing.assert_array_equal(found["predictions/bias"], np.arange(1, 1001))


def test_timm_s_tensors_find_their_places(shapes):
    tensors, expected = Arrays(), {}
    theirs = {"beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    for layer, _, torch in names():
        kernel = shapes[f"{layer}/kernel"]
        expected[f"{layer}/kernel"] = tensors.add(f"{torch}.conv.weight", oihw(kernel))
        tensors[f"{torch}.bn.weight"] = np.full(kernel[-1], 2, np.float32)
        for name, torch_name in theirs.items():
            expected[f"{layer}_bn/{name}"] = tensors.add(f"{torch}.bn.{torch_name}", kernel[-1:])
        tensors.add(f"{torch}.bn.num_batches_tracked", ())
        expected[f"{layer}/kernel"] *= 2
        expected[f"{layer}_bn/moving_mean"] *= 2
    expected["predictions/kernel"] = tensors.add("last_linear.weight", (1000, 1536))
    expected["predictions/bias"] = tensors.add("last_linear.bias", (1000,))
    check(inception_v4.from_torch(FULL, tensors), shapes, expected)
    del tensors["features.21.branch3.1.bn.weight"]
    with pytest.raises(UsageError, match=r"Missing: features\.21\.branch3\.1\.bn\.weight"):
        inception_v4.from_torch(FULL, tensors)


def test_gamma_goes_into_kernel_and_mean():
    """`gamma (k x - mean) / sqrt(variance + epsilon) + beta` is the same before and after."""
    random = np.random.default_rng(0)
    tensors = {
        "a.conv.weight": random.normal(size=(4, 3, 2, 5)).astype(np.float32),
        "a.bn.weight": random.uniform(-2, 2, 4).astype(np.float32),
        "a.bn.bias": np.zeros(4, np.float32),
        "a.bn.running_mean": random.normal(size=4).astype(np.float32),
        "a.bn.running_var": np.ones(4, np.float32),
    }
    recipe = _branches.torch_recipe([_branches.Place("a", "", "a")], "fc")
    recipe = {path: step for path, step in recipe.items() if not path.startswith("predictions/")}
    found = _branches.folded(tensors, recipe)
    assert set(found) == {"a/kernel", "a_bn/beta", "a_bn/moving_mean", "a_bn/moving_variance"}
    x = random.normal(size=(2, 5, 3))
    before = tensors["a.bn.weight"] * (
        np.einsum("oihw,hwi->o", tensors["a.conv.weight"], x) - tensors["a.bn.running_mean"]
    )
    after = np.einsum("hwio,hwi->o", found["a/kernel"], x) - found["a_bn/moving_mean"]
    np.testing.assert_allclose(after, before, rtol=1e-5)
    with pytest.raises(UsageError, match=r"a\.bn\.weight of shape \(1,\) does not fit 4 filters"):
        _branches.folded(tensors | {"a.bn.weight": np.ones(1, np.float32)}, recipe)


@pytest.mark.slow
@pytest.mark.parametrize("first", [None, 1, 95])
def test_a_numbered_keras_file(shapes, first):
    """Numbers go by order, whatever a session had built before; they are not sorted as text."""
    tensors, expected = Arrays(), {}
    head = (1001,) if first == 1 else (1000,)
    number = "" if first is None else f"_{first}"
    expected["predictions/kernel"] = tensors.add(f"dense{number}/kernel", (1536, *head))
    expected["predictions/bias"] = tensors.add(f"dense{number}/bias", head)
    for index, (layer, _, _) in reversed(list(enumerate(names(), start=first or 0))):
        number = f"_{index}" if index else ""
        expected[f"{layer}/kernel"] = tensors.add(f"conv2d{number}/kernel", shapes[f"{layer}/kernel"])
        for name in ("beta", "moving_mean", "moving_variance"):
            path = f"{layer}_bn/{name}"
            expected[path] = tensors.add(f"batch_normalization{number}/{name}", shapes[path])
    found = inception_v4.from_keras(FULL, tensors)
    check(found, shapes, expected)
    assert inception_v4.from_keras(FULL, found) == found
    del tensors["conv2d_99/kernel"]
    assert "conv2d_98/kernel" in inception_v4.from_keras(FULL, tensors)  # of which the model has none


def test_averages_leave_the_border_out():
    pool = _branches.pooled(keras.Input((4, 4, 1)), _branches.AVERAGE, "pool")
    model = keras.Model(pool._keras_history.operation.input, pool)
    np.testing.assert_allclose(model(np.ones((1, 4, 4, 1), np.float32)), 1)


def test_smallest_input():
    least = dataclasses.replace(SMALL, input_shape=(75, 75, 3))
    assert inception_v4.build(least)(pictures(1, 75, 75, 3)).shape == (1, 50)
    with pytest.raises(ValueError, match="zero or negative"):
        inception_v4.build(dataclasses.replace(SMALL, input_shape=(75, 74, 3)))
    with pytest.raises(UsageError, match="at least 75"):
        InceptionV4(weights=None, input_shape=(75, 74, 3))


def test_known_and_unknown_sizes_agree():
    fixed = scatter(inception_v4.build(dataclasses.replace(SMALL, input_shape=(96, 110, 3))))
    free = inception_v4.build(dataclasses.replace(SMALL, input_shape=(None, None, 3)))
    free.set_weights(fixed.get_weights())
    images = pictures(2, 96, 110, 3)
    close(free(images), fixed(images), relative=1e-6)


def test_without_top():
    for pooling, shape in ((None, (1, 2, 2, 192)), ("max", (1, 192))):
        model = inception_v4.build(dataclasses.replace(SMALL, include_top=False, pooling=pooling))
        assert model(pictures(1, 107, 107, 3)).shape == shape


def test_other_classes_than_the_weights():
    with pytest.raises(UsageError, match="1000 classes; 10 were asked for"):
        InceptionV4(classes=10)


def test_dropout_in_training_alone():
    model = scatter(inception_v4.build(dataclasses.replace(SMALL, dropout=0.5)))
    model.trainable = False  # so that batch normalisation keeps its statistics
    images = pictures(1, 107, 107, 3)
    close(model(images), model(images), relative=1e-6)
    assert np.abs(np.asarray(model(images, training=True)) - np.asarray(model(images))).max() > 0
    assert FULL.dropout == 0.2
