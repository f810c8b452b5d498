import dataclasses
import inspect

import keras
import numpy as np
import pytest

from kerazoo import manifest, weights
from kerazoo.applications import vgg
from kerazoo.errors import UsageError
from tests.applications import nchw
from tests.applications.common import close, keras_warns, pictures, scatter, weighted
from tests.weights.files import keras_legacy

OFFICIAL = {"vgg16": "VGG16", "vgg19": "VGG19"}
TINY = {"input_shape": (64, 64, 3), "classes": 7, "width": 4, "units": 9}


def lively(model):
    """Random weights with which ReLU neither weakens nor strengthens a signal, however deep the network."""
    for weight in scatter(model).weights:
        if len(weight.shape) > 1:
            weight.assign(weight * 2)
    return model


@keras_warns
@pytest.mark.slow
@pytest.mark.parametrize("variant", OFFICIAL)
def test_official_files(variant, tmp_path):
    """Files laid out as the official ones, old and new, load by layer name and answer as keras.applications does."""
    arguments = {"input_shape": (48, 48, 3), "classes": 10}
    official = lively(getattr(keras.applications, OFFICIAL[variant])(weights=None, **arguments))
    keras_legacy(tmp_path / "official.h5", official)
    official.save_weights(tmp_path / "official.weights.h5")
    images = pictures(2, 48, 48, 3)
    expected = official(images)
    for name in ("official.h5", "official.weights.h5"):
        mine = getattr(vgg, OFFICIAL[variant])(weights=str(tmp_path / name), **arguments)
        close(mine(images), expected)
    assert weighted(mine) == weighted(official)
    names = [layer.name for layer in mine.layers[1:] if not isinstance(layer, keras.layers.Dropout)]
    assert names == [layer.name for layer in official.layers[1:]]


@keras_warns
@pytest.mark.slow
@pytest.mark.parametrize("variant", OFFICIAL)
def test_official_files_without_top(variant, tmp_path):
    arguments = {"include_top": False, "input_shape": (70, 65, 3), "pooling": "avg"}
    official = lively(getattr(keras.applications, OFFICIAL[variant])(weights=None, **arguments))
    keras_legacy(tmp_path / "official.h5", official)
    official.save_weights(tmp_path / "official.weights.h5")
    images = pictures(2, 70, 65, 3)
    for name in ("official.h5", "official.weights.h5"):
        close(getattr(vgg, OFFICIAL[variant])(weights=str(tmp_path / name), **arguments)(images), official(images))


@pytest.mark.parametrize("variant", OFFICIAL)
def test_signature_is_keras_own(variant):
    official = inspect.signature(getattr(keras.applications, OFFICIAL[variant])).parameters
    mine = inspect.signature(getattr(vgg, OFFICIAL[variant])).parameters
    assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in official.values()]


def torch_file(config):
    """torchvision's names of a small VGG with arrays, and what such a network answers."""
    kernels, place, channels = {}, 0, 3
    for block, convolutions in enumerate(config.convolutions):
        for _ in range(convolutions):
            filters = config.width * min(2**block, 8)
            kernels[f"features.{place}"] = (filters, channels, 3, 3)
            place, channels = place + 2, filters
        place += 1
    side = config.input_shape[0] // 32
    kernels["classifier.0"] = (config.units, channels * side * side)
    kernels["classifier.3"] = (config.units, config.units)
    kernels["classifier.6"] = (config.classes, config.units)
    tensors = nchw.drawn(nchw.layer_shapes(kernels))

    def answer(images):
        x, place = images.transpose(0, 3, 1, 2), 0

        def arrays(layer):
            return tensors[f"{layer}.weight"], tensors[f"{layer}.bias"]

        for convolutions in config.convolutions:
            for _ in range(convolutions):
                x = nchw.relu(nchw.conv(x, *arrays(f"features.{place}"), pad=1))
                place += 2
            x = nchw.max_pool(x, 2)
            place += 1
        for layer in ("classifier.0", "classifier.3"):
            x = nchw.relu(nchw.dense(x, *arrays(layer)))
        return nchw.dense(x, *arrays("classifier.6"))

    return tensors, answer


@pytest.mark.parametrize("variant", vgg.VARIANTS)
def test_torch_weights(variant):
    config = dataclasses.replace(vgg.VARIANTS[variant].config, **TINY)
    tensors, answer = torch_file(config)
    model = vgg.build(config)
    weights.assign(model, vgg.from_torch(config, tensors), "the test")
    images = pictures(2, 64, 64, 3)
    close(model(images), answer(images))


def caffe_file(config):
    """The same arrays as the authors' caffemodels name them."""
    tensors, answer = torch_file(config)
    blocks = enumerate(config.convolutions, 1)
    layers = [f"conv{block}_{number}" for block, count in blocks for number in range(1, count + 1)]
    names = [f"{layer}.{kind}" for layer in [*layers, "fc6", "fc7", "fc8"] for kind in ("weight", "bias")]
    return dict(zip(names, tensors.values(), strict=True)), answer


@pytest.mark.parametrize("variant", OFFICIAL)
def test_caffe_weights(variant):
    config = dataclasses.replace(vgg.VARIANTS[variant].config, **TINY)
    tensors, answer = caffe_file(config)
    assert len(tensors) == 2 * int(variant.removeprefix("vgg"))
    model = vgg.build(config)
    weights.assign(model, vgg.from_caffe(config, tensors), "the test")
    images = pictures(1, 64, 64, 3)
    close(model(images), answer(images))


def test_files_that_do_not_fit_are_refused_by_name():
    config = dataclasses.replace(vgg.VARIANTS["vgg11"].config, **TINY)
    tensors, _ = torch_file(config)
    with pytest.raises(UsageError, match=r"Missing: features\.8\.weight"):
        vgg.from_torch(config, {name: tensors[name] for name in tensors if name != "features.8.weight"})
    deeper, _ = torch_file(dataclasses.replace(vgg.VARIANTS["vgg13"].config, **TINY))
    with pytest.raises(UsageError, match="Unexpected: "):
        vgg.from_torch(config, deeper)
    # A classifier for maps of another size.
    wrong = tensors | {"classifier.0.weight": np.zeros((9, 32 * 9), np.float32)}
    with pytest.raises(UsageError, match=r"classifier\.0\.weight of shape \(9, 288\) does not become fc1/kernel"):
        vgg.from_torch(config, wrong)


@pytest.mark.slow
def test_smallest_and_unknown_sizes():
    model = vgg.VGG11(weights=None, input_shape=(32, 32, 3), classes=4)
    assert model(pictures(1, 32, 32, 3)).shape == (1, 4)
    with pytest.raises(UsageError, match="at least 32"):
        vgg.VGG11(weights=None, input_shape=(31, 40, 3))
    small = vgg.VARIANTS["vgg11"].small
    with pytest.raises(ValueError):
        vgg.build(dataclasses.replace(small, input_shape=(31, 31, 3), include_top=False))
    free = vgg.build(dataclasses.replace(small, input_shape=(None, None, 3), include_top=False, pooling="max"))
    assert free(pictures(2, 50, 33, 3)).shape == (2, 64)
    with pytest.raises(UsageError, match="height and width must be numbers; include_top=False"):
        vgg.VGG11(weights=None, input_shape=(None, None, 3))


def test_half_is_dropped_in_training_only():
    model = vgg.build(vgg.VARIANTS["vgg16"].small)
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.5, 0.5]
    lively(model)
    images = pictures(1, 64, 64, 3)
    calm, again, wild = model(images), model(images), model(images, training=True)
    np.testing.assert_array_equal(calm, again)
    assert np.abs(np.asarray(wild) - calm).max() > 0.01 * np.abs(calm).max()


@pytest.mark.parametrize("variant", vgg.VARIANTS)
def test_pixels_are_normalised_as_the_weights_want_them(variant):
    """Whoever made a file decides, not the variant."""
    entries = manifest.entries_of(variant)
    assert entries[0].weights == "imagenet"
    assert entries[0].file().format == ("keras_h5" if variant in OFFICIAL else "torch")
    for entry in entries:
        torch = entry.file().format == "torch"
        assert entry.preprocessing["channels"] == ("rgb" if torch else "bgr")
        assert entry.preprocessing["mean"] == ([0.485, 0.456, 0.406] if torch else [103.939, 116.779, 123.68])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"classes": 10}, "1000 classes; 10 were asked for"),
        ({"weights": "imagenet-bn"}, "imagenet, imagenet-torchvision, imagenet-caffe"),
        ({"input_shape": (224, 224, 1)}, "3 channels; 1 were asked for"),
    ],
)
def test_wrong_arguments(arguments, told):
    with pytest.raises(UsageError, match=told):
        vgg.VGG16(**arguments)
