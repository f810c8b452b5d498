import dataclasses

import keras
import numpy as np
import pytest

from kerazoo.applications import xception
from kerazoo.applications._builder import restore
from kerazoo.applications.xception import Xception
from kerazoo.errors import UsageError
from tests.applications.common import close, every_layout, keras_warns, pictures, scatter
from tests.weights.files import keras_legacy

pytestmark = keras_warns

DESCRIBED = xception.VARIANTS["xception"]
SHORTCUTS = {f"block{block}_residual_{part}" for block in (2, 3, 4, 13) for part in ("conv", "bn")}


@pytest.fixture(scope="module")
def official():
    """Keras' own definition, whose unnamed layers are numbered from wherever the session stands."""
    keras.layers.Conv2D(1, 1)
    return scatter(
        keras.applications.Xception(weights=None, input_shape=(96, 96, 3), classifier_activation=None), seed=3
    )


@pytest.mark.slow
def test_all_logits_at_full_size():
    """Both definitions with the same arrays, in the order in which Keras creates its layers."""
    reference = scatter(keras.applications.Xception(weights=None, classifier_activation=None))
    mine = xception.build(DESCRIBED.config)
    mine.set_weights(reference.get_weights())
    assert mine.count_params() == reference.count_params() == DESCRIBED.params == 22_910_480
    assert sum(int(np.prod(weight.shape)) for weight in mine.trainable_weights) == 22_855_952
    images = pictures(2, 299, 299, 3)
    close(mine(images), reference(images), relative=1e-4)


@pytest.fixture(scope="module")
def full():
    return xception.build(DESCRIBED.config)


def test_maps_of_the_paper_s_figure_5(full):
    expected = {"block4_add": (19, 19, 728), "block12_add": (19, 19, 728), "block13_add": (10, 10, 1024)}
    assert {name: full.get_layer(name).output.shape[1:] for name in expected} == expected
    # What the paper's depth of 36 counts; shortcuts do not.
    convolutions = [layer for layer in full.layers if "conv" in type(layer).__name__.lower()]
    assert len(convolutions) - 4 == 36


@pytest.mark.slow
@every_layout
def test_official_files(official, top, save, tmp_path):
    """The file of the full network, and the one without a classifier, load into the builder that wants them."""
    reference = official if top else keras.Model(official.input, official.get_layer("block14_sepconv2_act").output)
    path = tmp_path / ("official.h5" if save is keras_legacy else "official.weights.h5")
    save(path, reference)
    mine = Xception(weights=str(path), include_top=top, input_shape=(96, 96, 3), classifier_activation=None)
    assert mine.count_params() == (22_910_480 if top else 20_861_480)
    images = pictures(2, 96, 96, 3)
    close(mine(images), reference(images))


@pytest.mark.slow
def test_a_full_file_without_its_classifier(official, tmp_path):
    """At a size with other roundings than those of 96: 139, 69, 67, 34, 17, 9, 5."""
    keras_legacy(tmp_path / "full.h5", official)
    mine = Xception(weights=str(tmp_path / "full.h5"), include_top=False, pooling="max", input_shape=(139, 139, 3))
    reference = keras.applications.Xception(weights=None, include_top=False, pooling="max", input_shape=(139, 139, 3))
    reference.set_weights(official.get_weights()[:-2])
    images = pictures(1, 139, 139, 3)
    close(mine(images), reference(images))


@pytest.mark.slow
def test_layers_with_names_have_the_official_ones(official):
    mine = xception.build(dataclasses.replace(DESCRIBED.config, input_shape=(96, 96, 3)))
    assert mine.count_params() == official.count_params()
    ours = {layer.name for layer in mine.layers if layer.weights}
    theirs = {layer.name for layer in official.layers if layer.weights}
    assert ours - theirs == SHORTCUTS
    assert all(name.startswith(("conv2d", "batch_normalization")) for name in theirs - ours)


@pytest.mark.slow
def test_our_own_file_comes_back(tmp_path):
    """Names that are ours already stay what they are."""
    mine, again = scatter(xception.build(DESCRIBED.small)), xception.build(DESCRIBED.small)
    mine.save_weights(tmp_path / "mine.weights.h5")
    restore(again, xception, "xception", DESCRIBED.small, tmp_path / "mine.weights.h5")
    images = pictures(1, *DESCRIBED.small.input_shape)
    close(again(images), mine(images), relative=0)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(71, 71, 3), (96, 72, 3), (None, None, 3)])
def test_smallest_and_unknown_sizes(shape):
    model = xception.build(dataclasses.replace(DESCRIBED.small, input_shape=shape))
    assert model(pictures(1, shape[0] or 80, shape[1] or 71, 3)).shape == (1, 50)


@pytest.mark.parametrize("shape", [(70, 71, 3), (71, 70, 3)])
def test_too_small_is_refused_as_keras_does(shape):
    with pytest.raises(UsageError, match="height and width at least 71"):
        Xception(weights=None, input_shape=shape)
    with pytest.raises(ValueError, match="at least 71"):
        keras.applications.Xception(weights=None, input_shape=shape)


def test_dropout_is_the_paper_s():
    dropout = xception.build(DESCRIBED.small).get_layer("dropout")
    assert dropout.rate == 0.5
    ones = np.ones((4, 512), "f")
    np.testing.assert_array_equal(dropout(ones, training=False), ones)
    assert set(np.unique(dropout(ones, training=True))) == {0, 2}


def test_every_layer_is_named(full):
    names = [layer.name for layer in full.layers]
    assert not [name for name in names if name.startswith(("conv2d", "batch_normalization", "activation", "add"))]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"classes": 10}, "has 1000 classes; 10 were asked for"),
        ({"weights": "imagenet-slim"}, "not known for xception: it has imagenet"),
        ({"weights": None, "pooling": "mean"}, "allowed are None, 'avg' and 'max'"),
        ({"input_shape": (299, 299, 1)}, "has 3 channels; 1 were asked for"),
    ],
)
def test_wrong_arguments(arguments, told):
    with pytest.raises(UsageError, match=told):
        Xception(**arguments)
