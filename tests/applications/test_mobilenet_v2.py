import inspect

import keras
import numpy as np
import pytest

from kerazoo import store
from kerazoo.applications import mobilenet_v2
from kerazoo.applications.mobilenet_v2 import MobileNetV2
from kerazoo.errors import UsageError
from tests.applications.common import close, keras_warns, pictures, scatter, weighted
from tests.weights import files

pytestmark = keras_warns


def test_signature_is_keras_own():
    official = inspect.signature(keras.applications.MobileNetV2).parameters
    mine = inspect.signature(MobileNetV2).parameters
    assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in official.values()]


@pytest.mark.parametrize(
    ("alpha", "size"),
    [(0.35, 96), *(pytest.param(a, s, marks=pytest.mark.slow) for a, s in [(1.0, 64), (1.4, 96), (0.5, 97)])],
)
def test_official_file(alpha, size, tmp_path):
    for include_top in (True, False):
        arguments = {"alpha": alpha, "input_shape": (size, size, 3), "include_top": include_top, "pooling": "avg"}
        official = scatter(keras.applications.MobileNetV2(weights=None, **arguments))
        files.keras_legacy(tmp_path / "official.h5", official)
        mine = MobileNetV2(weights=str(tmp_path / "official.h5"), **arguments)
        assert weighted(mine) == weighted(official)
        assert mine.name == official.name
        images = pictures(2, size, size, 3)
        close(mine(images), official(images))


def test_another_width():
    official = keras.applications.MobileNetV2(weights=None, alpha=0.6, include_top=False)
    mine = MobileNetV2(weights=None, alpha=0.6, include_top=False)
    assert weighted(mine) == weighted(official)


@pytest.mark.parametrize("stride", [8, 16])
def test_a_lower_output_stride_sees_as_far(stride):
    """At the places that both have, maps without steps and with wider filters are the maps of the steps."""
    config = mobilenet_v2.Config("net", (65, 65, 3), alpha=0.35, include_top=False)
    usual = scatter(mobilenet_v2.build(config))
    dense = mobilenet_v2.build(mobilenet_v2.replace(config, output_stride=stride))
    dense.set_weights(usual.get_weights())
    images = pictures(1, 65, 65, 3)
    step = 32 // stride
    maps = np.asarray(dense(images))
    assert maps.shape[1] == (65 - 1) // stride + 1
    close(maps[:, ::step, ::step], usual(images))


@pytest.mark.parametrize(
    ("alpha", "size", "word"),
    [(1.0, 224, "imagenet"), (0.5, 96, "imagenet-96"), (0.75, 100, "imagenet"), (1.4, 192, "imagenet")],
)
def test_imagenet_means_the_weights_of_the_input_s_size(alpha, size, word, monkeypatch):
    asked = []

    def fetch_all(entry, top=True, progress=None):
        asked.append((entry.weights, *entry.roles(top)))
        raise UsageError("far enough")

    monkeypatch.setattr(store, "fetch_all", fetch_all)
    for include_top in (True, False):
        with pytest.raises(UsageError, match="far enough"):
            MobileNetV2(alpha=alpha, input_shape=(size, size, 3), include_top=include_top)
    assert asked == [(word, "full"), (word, "no_top")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"alpha": 0.6}, "alpha 1.0, 0.35, 0.5"),
        ({"alpha": 0.01, "weights": None}, "at least 1/32"),
        ({"alpha": "wide", "weights": None}, "alpha='wide'"),
        ({"classes": 10}, "1000 classes; 10 were asked for"),
        ({"input_shape": (16, 16, 3)}, "at least 32"),
        ({"weights": "imagenet-200"}, "imagenet, imagenet-192"),
    ],
)
def test_wrong_arguments(arguments, told):
    with pytest.raises(UsageError, match=told):
        MobileNetV2(**arguments)
