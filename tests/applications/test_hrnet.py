import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerazoo import applications, weights
from kerazoo.applications import hrnet
from kerazoo.applications._builder import restore
from kerazoo.errors import UsageError
from kerazoo.weights.recipes import TORCH_NORM
from recipes import seeded
from tests.applications.common import close, keras_warns, pictures, scatter
from tests.reference import references
from tests.weights import files

pytestmark = keras_warns

PARAMS = {"hrnet_w18": 21_350_220, "hrnet_w32": 41_307_304, "hrnet_w48": 77_571_240}
SMALL = hrnet.VARIANTS["hrnet_w18"].small
BIASES = [*(f"downsamp_modules.{number}.0.bias" for number in range(3)), "final_layer.0.bias"]
# What timm 1.0.31's hrnet_w18 with the tensors of `tests/goldens/reference` answers to `picture()`.
TIMM = [-0.107475, -1.10496, -0.537847, -0.085331, 0.568376, 0.428879, -0.492672, 0.704202]


def picture():
    return seeded.pictures(3, (64, 93, 3), 1.0)[:1]


def empty(variant):
    """timm's names and shapes, with a counter beside each normalisation."""
    rows = references.golden(variant)["tensors"].items()
    return {name: np.broadcast_to(np.float32(0), tuple(row[0])) for name, row in rows}


def as_torch(model, config):
    """The weights of one of our models under PyTorch's names."""
    values, found = {weight.path: weight.numpy() for weight in model.weights}, {}
    for name, kernel, norm in hrnet._names(config):
        found[f"{kernel}.weight"] = values[f"{name}_conv/kernel"].transpose(3, 2, 0, 1)
        if f"{name}_conv/bias" in values:
            found[f"{kernel}.bias"] = values[f"{name}_conv/bias"]
        found |= {f"{norm}.{its}": values[f"{name}_bn/{mine}"] for mine, its in TORCH_NORM.items()}
    found["classifier.weight"] = values["predictions/kernel"].T
    found["classifier.bias"] = values["predictions/bias"]
    return {name: np.ascontiguousarray(value) for name, value in found.items()}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The whole network for any size, from a file such as timm publishes."""
    path = tmp_path_factory.mktemp("hrnet") / "model.safetensors"
    files.safetensors(path, references.tensors("hrnet_w18"))
    return applications.HRNetW18(weights=str(path), input_shape=(None, None, 3), classifier_activation=None)


@pytest.mark.slow
def test_a_timm_file_answers_as_timm_does(full):
    close(np.asarray(full(picture()))[0, ::125], TIMM)


@pytest.mark.slow
def test_sizes_are_free_where_none_is_known(full):
    assert full(pictures(2, 29, 61, 3)).shape == (2, 1000)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Incompatible shapes: \[1,10,16,18\] vs. \[1,12,16,18\]"):
        full(pictures(1, 40, 64, 3))


@pytest.mark.slow
def test_every_tensor_of_a_file_has_its_place(full):
    found = hrnet.from_torch(hrnet.VARIANTS["hrnet_w18"].config, empty("hrnet_w18"))
    assert {path: array.shape for path, array in found.items()} == {
        weight.path: tuple(weight.shape) for weight in full.weights
    }


@pytest.mark.parametrize("variant", PARAMS)
def test_counts(variant):
    """All that a file holds, but for the counters, is what the variant says it has."""
    described = hrnet.VARIANTS[variant]
    found = hrnet.from_torch(described.config, empty(variant))
    assert sum(array.size for array in found.values()) == described.params == PARAMS[variant]


def test_four_resolutions_side_by_side():
    """W, 2W, 4W and 8W filters on a quarter, an eighth, a sixteenth and a thirty-second of the pixels."""
    model = hrnet.build(SMALL)
    expected = {
        "stage1_block1_out": (16, 16, 32), "transition1_branch1_relu": (16, 16, 4),
        "stage2_module1_to1_relu": (16, 16, 4), "stage2_module1_to2_relu": (8, 8, 8),
        "stage4_module1_to1_relu": (16, 16, 4), "stage4_module1_to2_relu": (8, 8, 8),
        "stage4_module1_to3_relu": (4, 4, 16), "stage4_module1_to4_relu": (2, 2, 32),
        "head_branch1_out": (16, 16, 16), "head_add3": (2, 2, 128), "head_last_relu": (2, 2, 64),
    }  # fmt: skip
    assert {name: model.get_layer(name).output.shape[1:] for name in expected} == expected


def test_maps_grow_by_repeating_what_was_normalised():
    model = scatter(hrnet.build(SMALL))
    at = "stage4_module1_from4_to2"
    norm, grown = (model.get_layer(f"{at}_{part}").output for part in ("bn", "up"))
    before, after = keras.Model(model.input, [norm, grown])(pictures(1, 64, 64, 3))
    np.testing.assert_array_equal(after, np.repeat(np.repeat(before, 4, axis=1), 4, axis=2))


def test_an_exchange_ends_in_relu_and_only_the_last_step_down_goes_without():
    model = hrnet.build(SMALL)
    names = {layer.name for layer in model.layers if isinstance(layer, keras.layers.Activation)}
    steps = {name for name in names if name.startswith("stage4_module1_from")}
    assert steps == {f"stage4_module1_from{ends}_relu" for ends in ("1_to3_1", "1_to4_1", "1_to4_2", "2_to4_1")}
    assert {f"stage4_module1_to{target}_relu" for target in range(1, 5)} <= names


def test_initial_weights_and_normalisation_are_the_authors():
    keras.utils.set_random_seed(0)
    model = hrnet.build(SMALL)
    kernel = model.get_layer("head_last_conv").kernel.numpy()
    assert kernel.shape == (1, 1, 128, 64)
    assert kernel.std() == pytest.approx(np.sqrt(2 / 64), rel=0.05)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(norm.epsilon, norm.momentum) for norm in norms} == {(1e-5, 0.9)}
    assert {layer.name for layer in model.layers if getattr(layer, "use_bias", False)} == {
        "head_down1_conv", "head_down2_conv", "head_down3_conv", "head_last_conv", "predictions"
    }  # fmt: skip


def test_a_file_without_the_head_s_biases():
    """PaddlePaddle's network has none; one that has some of them is damaged."""
    tensors = empty("hrnet_w18")
    config = hrnet.VARIANTS["hrnet_w18"].config
    fewer = {name: array for name, array in tensors.items() if name not in BIASES}
    assert len(tensors) - len(fewer) == 4
    found, expected = hrnet.from_torch(config, fewer), hrnet.from_torch(config, tensors)
    assert found.keys() == expected.keys()
    for number, filters in enumerate((256, 512, 1024), start=1):
        np.testing.assert_array_equal(found[f"head_down{number}_conv/bias"], np.zeros(filters, np.float32))
    np.testing.assert_array_equal(found["head_last_conv/bias"], np.zeros(2048, np.float32))
    with pytest.raises(UsageError, match=r"Missing: downsamp_modules\.0\.0\.bias"):
        hrnet.from_torch(config, {name: array for name, array in tensors.items() if name != BIASES[0]})


@pytest.mark.parametrize("changed", ["stage4.2.fuse_layers.3.0.2.0.weight", "incre_modules.0.0.downsample.1.bias"])
def test_another_file_is_refused(changed):
    tensors = empty("hrnet_w18")
    tensors[f"{changed}_"] = tensors.pop(changed)
    with pytest.raises(UsageError) as caught:
        hrnet.from_torch(hrnet.VARIANTS["hrnet_w18"].config, tensors)
    assert f"Missing: {changed}." in str(caught.value)
    assert f"Unexpected: {changed}_." in str(caught.value)


@pytest.mark.slow
def test_a_file_s_classifier_is_left_out(tmp_path):
    described = dataclasses.replace(hrnet.VARIANTS["hrnet_w18"], config=SMALL)
    family = SimpleNamespace(build=hrnet.build, SOURCES=hrnet.SOURCES, VARIANTS={"hrnet_w18": described})
    whole = scatter(hrnet.build(SMALL))
    files.torch_zip(tmp_path / "mine.pth", as_torch(whole, SMALL))
    config = dataclasses.replace(SMALL, include_top=False, pooling="avg")
    mine = hrnet.build(config)
    restore(mine, family, "hrnet_w18", config, tmp_path / "mine.pth")
    images = pictures(2, 64, 64, 3)
    close(mine(images), keras.Model(whole.input, whole.get_layer("avg_pool").output)(images))
    assert hrnet.build(dataclasses.replace(SMALL, include_top=False)).output_shape == (None, 2, 2, 64)


@pytest.mark.parametrize(
    "shape", [(29, 29), *(pytest.param(each, marks=pytest.mark.slow) for each in [(32, 61), (62, 95), (63, 64)])]
)
def test_sizes_that_fit(shape):
    """What rounds up to a multiple of 32 in four steps; the same answer as where the size is not known."""
    fixed = scatter(hrnet.build(dataclasses.replace(SMALL, input_shape=(*shape, 3))))
    free = hrnet.build(dataclasses.replace(SMALL, input_shape=(None, None, 3)))
    free.set_weights(fixed.get_weights())
    images = pictures(1, *shape, 3)
    close(free(images), fixed(images), relative=1e-6)


@pytest.mark.parametrize("shape", [(33, 64, 3), (64, 60, 3), (40, None, 3), (None, 224 + 16, 3), (65, 64, 3)])
def test_sizes_that_do_not_fit(shape):
    with pytest.raises(UsageError, match="multiple of 32, or at most 3 less than one") as caught:
        applications.HRNetW18(weights=None, input_shape=shape)
    assert str(shape) in str(caught.value)
    with pytest.raises(UsageError, match="multiple of 32"):
        applications.HRNetW48(weights=None, input_tensor=keras.Input(shape))


def test_smallest_size():
    with pytest.raises(UsageError, match="height and width at least 29"):
        applications.HRNetW32(weights=None, input_shape=(28, 64, 3))
    assert hrnet.LEAST == 29
    model = hrnet.build(dataclasses.replace(SMALL, input_shape=(29, 29, 3)))
    assert model(pictures(1, 29, 29, 3)).shape == (1, 20)


def test_weights_by_name():
    assert weights.words("hrnet_w18") == ("imagenet", "imagenet-cutmix", "imagenet-ssld")
    assert weights.words("hrnet_w32") == ("imagenet",)
    assert weights.words("hrnet_w48") == ("imagenet", "imagenet-ssld")
    with pytest.raises(UsageError, match="hrnet_w18 has weights of that name"):
        applications.HRNetW32(weights="imagenet-ssld")
    with pytest.raises(UsageError, match="1000 classes; 10 were asked for"):
        applications.HRNetW48(classes=10)
