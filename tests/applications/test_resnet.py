import dataclasses

import keras
import numpy as np
import pytest

from kerazoo import weights
from kerazoo.applications import resnet
from kerazoo.errors import UsageError
from tests.applications.common import close, keras_warns, pictures, scatter, weighted
from tests.weights.files import keras_legacy, torch_zip

pytestmark = keras_warns

OFFICIAL = {"resnet50": "ResNet50", "resnet101": "ResNet101", "resnet152": "ResNet152"}
# With the classifier and without, counted by keras.applications.
PARAMS = {
    "resnet50": (25_636_712, 23_587_712),
    "resnet101": (44_707_176, 42_658_176),
    "resnet152": (60_419_944, 58_370_944),
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", OFFICIAL)
def test_official_file(variant, tmp_path):
    """A file laid out as the official one loads by layer name and answers as keras.applications does."""
    official = scatter(getattr(keras.applications, OFFICIAL[variant])(weights=None, input_shape=(64, 64, 3)))
    keras_legacy(tmp_path / "official.h5", official)
    mine = getattr(resnet, OFFICIAL[variant])(weights=str(tmp_path / "official.h5"), input_shape=(64, 64, 3))
    assert weighted(mine) == weighted(official)
    assert [layer.name for layer in mine.layers[1:]] == [layer.name for layer in official.layers[1:]]
    assert mine.count_params() == PARAMS[variant][0] == resnet.VARIANTS[variant].params
    images = pictures(2, 64, 64, 3)
    close(mine(images), official(images))


@pytest.mark.slow
def test_official_file_without_top(tmp_path):
    official = scatter(
        keras.applications.ResNet50(weights=None, include_top=False, input_shape=(64, 64, 3), pooling="max")
    )
    keras_legacy(tmp_path / "official.h5", official)
    mine = resnet.ResNet50(
        weights=str(tmp_path / "official.h5"), include_top=False, input_shape=(64, 64, 3), pooling="max"
    )
    assert mine.count_params() == PARAMS["resnet50"][1]
    images = pictures(2, 64, 64, 3)
    close(mine(images), official(images))


def at_64(variant, **changes):
    """A variant's config at full width for small pictures."""
    return dataclasses.replace(resnet.VARIANTS[variant].config, input_shape=(64, 64, 3), **changes)


@pytest.mark.slow
def test_count_without_top():
    config = at_64("resnet101", include_top=False)
    assert resnet.build(config).count_params() == PARAMS["resnet101"][1]


@pytest.fixture(scope="module")
def small():
    """A ResNet-50 as `build` makes it, at 64x64."""
    return scatter(resnet.build(at_64("resnet50")))


def test_a_full_file_without_its_classifier(small, tmp_path):
    np.savez(tmp_path / "full.npz", **{weight.path: weight.numpy() for weight in small.weights})
    features = resnet.ResNet50(weights=str(tmp_path / "full.npz"), include_top=False, input_shape=(64, 64, 3))
    images = pictures(1, 64, 64, 3)
    expected = keras.Model(small.input, small.get_layer("conv5_block3_out").output)(images)
    close(features(images), expected)


@pytest.mark.slow
def test_a_deeper_network_s_file_is_no_full_file(small, tmp_path):
    """Only the classifier may be left out."""
    tensors = {weight.path: weight.numpy() for weight in small.weights} | {"conv4_block7_1_conv/bias": np.zeros(256)}
    np.savez(tmp_path / "deeper.npz", **tensors)
    with pytest.raises(UsageError, match="Unexpected: conv4_block7_1_conv/bias") as caught:
        resnet.ResNet50(weights=str(tmp_path / "deeper.npz"), include_top=False, input_shape=(64, 64, 3))
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.slow
def test_behind_layers_of_the_caller_s(small, tmp_path):
    """Only the network's own weights are the file's business."""
    np.savez(tmp_path / "full.npz", **{weight.path: weight.numpy() for weight in small.weights})
    grey = keras.Input((64, 64, 1))
    coloured = keras.layers.Conv2D(3, 1, name="colours")(grey)
    model = resnet.ResNet50(weights=str(tmp_path / "full.npz"), input_tensor=coloured, classifier_activation=None)
    assert model.input_shape == (None, 64, 64, 1)
    images = pictures(1, 64, 64, 1)
    close(model(images), small(model.get_layer("colours")(images)))


def test_nothing_changes_unless_everything_fits(small, tmp_path):
    model = resnet.build(at_64("resnet50"))
    before = [weight.numpy() for weight in model.weights]
    tensors = {weight.path: weight.numpy() for weight in small.weights}
    tensors["predictions/kernel"] = np.full_like(tensors["predictions/kernel"], np.inf)
    with pytest.raises(weights.WeightsDamaged, match="NaN or infinity in predictions/kernel"):
        weights.assign(model, tensors, "the test")
    tensors["predictions/kernel"] = tensors["predictions/kernel"].T.copy()
    with pytest.raises(UsageError, match=r"\(1000, 2048\), expected \(2048, 1000\)"):
        weights.assign(model, tensors, "the test")
    for weight, old in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), old)


@pytest.mark.slow
def test_a_head_of_one_s_own_trains():
    """The README's promise: a backbone without weights or with, a layer on it, and `fit`."""
    keras.utils.set_random_seed(0)
    backbone = resnet.ResNet50(weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg")
    model = keras.Sequential([backbone, keras.layers.Dense(3, activation="softmax")])
    # Eager steps: compiling so deep a graph would take longer than training it.
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", run_eagerly=True)
    labels = np.arange(12) % 3
    images = pictures(12, 32, 32, 3) / 2
    images[np.arange(12), ..., labels] += 1
    first = backbone.get_layer("conv1_conv").get_weights()[0]
    history = model.fit(images, labels, epochs=3, batch_size=12, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert history[-1] < 0.7 * history[0]
    assert np.abs(backbone.get_layer("conv1_conv").get_weights()[0] - first).max() > 0


def test_a_file_of_torchvision_s_form_is_refused(tmp_path):
    """Its blocks stride elsewhere, so that its weights would load into another function."""
    torch_zip(tmp_path / "mine.pth", {"conv1.weight": pictures(64, 3, 7, 7)})
    with pytest.raises(UsageError, match="resnet50 has no converter from PyTorch"):
        resnet.ResNet50(weights=str(tmp_path / "mine.pth"), input_shape=(32, 32, 3))
