import inspect

import keras
import numpy as np
import pytest

from kerazoo import manifest, store
from kerazoo.applications import mobilenet_v1
from kerazoo.applications.mobilenet_v1 import MobileNet
from kerazoo.errors import UsageError
from tests.applications.common import classify, close, keras_warns, mirror, needs_data, pictures, scatter, weighted
from tests.weights import files

pytestmark = keras_warns

# With the classifier and without, counted by keras.applications.
PARAMS = {
    1.0: (4_253_864, 3_228_864),
    0.75: (2_601_976, 1_832_976),
    0.5: (1_342_536, 829_536),
    0.25: (475_544, 218_544),
}


def test_signature_is_keras_own():
    official = inspect.signature(keras.applications.MobileNet).parameters
    mine = inspect.signature(MobileNet).parameters
    assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in official.values()]


@pytest.mark.parametrize(
    ("alpha", "size"),
    [
        (0.25, 96),
        *(
            pytest.param(a, s, marks=pytest.mark.slow)
            for a, s in [(1.0, 96), (0.75, 96), (0.5, 96), (0.25, 32), (0.25, 128), (0.25, 160)]
        ),
    ],
)
def test_official_file(alpha, size, tmp_path):
    for include_top in (True, False):
        arguments = {"alpha": alpha, "input_shape": (size, size, 3), "include_top": include_top, "pooling": "avg"}
        official = scatter(keras.applications.MobileNet(weights=None, **arguments))
        files.keras_legacy(tmp_path / "official.h5", official)
        mine = MobileNet(weights=str(tmp_path / "official.h5"), **arguments)
        assert weighted(mine) == weighted(official)
        assert mine.name == official.name
        assert mine.count_params() == PARAMS[alpha][not include_top]
        images = pictures(2, size, size, 3)
        close(mine(images), official(images))


def test_every_width_is_a_variant():
    for described in mobilenet_v1.VARIANTS.values():
        assert described.params == PARAMS[described.config.alpha][0]


def test_all_layers_are_keras_own():
    official = keras.applications.MobileNet(weights=None, alpha=0.25)
    named = {"global_average_pooling2d": "avg_pool"}
    expected = [
        next((new for old, new in named.items() if layer.name.startswith(old)), layer.name) for layer in official.layers
    ]
    assert [layer.name for layer in MobileNet(weights=None, alpha=0.25).layers[1:]] == expected[1:]


def test_other_multipliers():
    official = keras.applications.MobileNet(
        weights=None, alpha=0.35, depth_multiplier=2, input_shape=(64, 64, 3), classes=7
    )
    mine = MobileNet(weights=None, alpha=0.35, depth_multiplier=2, input_shape=(64, 64, 3), classes=7)
    assert weighted(mine) == weighted(official)


def litert_tensors(model):
    """TensorFlow's file of a model: batch normalisation folded, 1001 classes, kernels OHWI."""
    values = {weight.path: weight.numpy().astype(np.float64) for weight in model.weights}
    tensors = {}

    def fold(layer, axis, kernel, bias):
        scale = values[f"{layer}_bn/gamma"] / np.sqrt(values[f"{layer}_bn/moving_variance"] + 1e-3)
        folded = values[f"{layer}/kernel"] * np.expand_dims(scale, [i for i in range(4) if i != axis])
        tensors[kernel] = folded.transpose(3, 0, 1, 2)
        tensors[bias] = values[f"{layer}_bn/beta"] - scale * values[f"{layer}_bn/moving_mean"]

    inner = "MobilenetV1/MobilenetV1/"
    fold("conv1", 3, "MobilenetV1/Conv2d_0/weights", f"{inner}Conv2d_0/Conv2D_bias")
    for i in range(1, 14):
        dw, pw = f"Conv2d_{i}_depthwise", f"Conv2d_{i}_pointwise"
        fold(f"conv_dw_{i}", 2, f"MobilenetV1/{dw}/depthwise_weights", f"{inner}{dw}/depthwise_bias")
        fold(f"conv_pw_{i}", 3, f"MobilenetV1/{pw}/weights", f"{inner}{pw}/Conv2D_bias")
    head = "MobilenetV1/Logits/Conv2d_1c_1x1/"
    kernel = values["conv_preds/kernel"].transpose(3, 0, 1, 2)
    tensors[f"{head}weights"] = np.concatenate([np.full_like(kernel[:1], 9), kernel])
    tensors[f"{head}Conv2D_bias"] = np.concatenate([[9], values["conv_preds/bias"]])
    return tensors


def test_litert_file(tmp_path):
    source = scatter(MobileNet(alpha=0.25, weights=None, input_shape=(64, 64, 3), classifier_activation=None))
    files.tflite(tmp_path / "folded.tflite", litert_tensors(source))
    arguments = {"alpha": 0.25, "weights": str(tmp_path / "folded.tflite"), "input_shape": (64, 64, 3)}
    images = pictures(2, 64, 64, 3)
    close(MobileNet(**arguments, classifier_activation=None)(images), source(images))
    features = keras.Model(source.input, source.get_layer("conv_pw_13_relu").output)
    close(MobileNet(**arguments, include_top=False)(images), features(images))


def test_folded_normalisation_changes_nothing():
    """In float32 the variance that is set and epsilon make exactly 1."""
    assert np.float32(1 - mobilenet_v1.EPSILON) + np.float32(mobilenet_v1.EPSILON) == np.float32(1)
    layer = keras.layers.BatchNormalization(epsilon=mobilenet_v1.EPSILON, name="bn")
    x = pictures(2, 5, 5, 3)
    layer.build(x.shape)
    beta = np.float32([0.1, -0.2, 0.3])
    layer.set_weights([np.ones(3), beta, np.zeros(3), np.full(3, 1 - mobilenet_v1.EPSILON)])
    np.testing.assert_array_equal(layer(x, training=False), x + beta)


@pytest.mark.parametrize(
    ("alpha", "size", "word"),
    [
        (1.0, 224, "imagenet"),
        (1.0, 160, "imagenet-160"),
        (0.5, 128, "imagenet-128"),
        (0.75, 100, "imagenet"),
        (0.25, 224, "imagenet"),
        (0.25, 192, "imagenet-keras-192"),
    ],
)
def test_imagenet_means_the_weights_of_the_input_s_size(alpha, size, word, monkeypatch):
    asked = []

    def fetch_all(entry, top=True, progress=None):
        asked.append((entry.weights, *entry.roles(top)))
        raise UsageError("far enough")

    monkeypatch.setattr(store, "fetch_all", fetch_all)
    with pytest.raises(UsageError, match="far enough"):
        MobileNet(alpha=alpha, input_shape=(size, size, 3))
    with pytest.raises(UsageError, match="far enough"):
        MobileNet(alpha=alpha, input_shape=(size, size, 3), include_top=False)
    folded = (alpha, size) == (0.25, 224)
    assert asked == [(word, "full"), (word, "full" if folded else "no_top")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"alpha": 0.35}, "alpha 1.0, 0.75, 0.5, 0.25"),
        ({"depth_multiplier": 2}, "depth_multiplier=1"),
        ({"alpha": 0.01, "weights": None}, "at least 1/32"),
        ({"alpha": "wide", "weights": None}, "alpha='wide'"),
        ({"depth_multiplier": 0, "weights": None}, "positive whole number"),
        ({"classes": 10}, "1000 classes; 10 were asked for"),
        ({"input_shape": (16, 16, 3)}, "at least 32"),
        ({"weights": "imagenet-200"}, "imagenet, imagenet-192"),
    ],
)
def test_wrong_arguments(arguments, told):
    with pytest.raises(UsageError, match=told):
        MobileNet(**arguments)


@needs_data
def test_real_file_classifies(monkeypatch, tmp_path):
    mirror(monkeypatch, tmp_path)
    name = "mobilenet_v1_025:imagenet"
    assert manifest.load()[name].file().format == "litert"
    parrot, hot_dog, cat = classify(MobileNet(alpha=0.25), name, "parrot.jpg", "hot_dog.jpg", "cat_720p.jpg")
    assert (parrot, hot_dog) == ("macaw", "hotdog")
    assert "cat" in cat or cat == "tabby"
