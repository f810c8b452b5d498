import dataclasses

import keras
import numpy as np
import pytest

from kerazoo.applications import inception_v3
from kerazoo.applications._builder import restore
from kerazoo.applications.inception_v3 import InceptionV3
from kerazoo.errors import UsageError
from tests.applications.common import close, every_layout, keras_warns, pictures, scatter
from tests.weights.files import keras_legacy

pytestmark = keras_warns

DESCRIBED = inception_v3.VARIANTS["inception_v3"]


@pytest.fixture(scope="module")
def official():
    """Keras' own definition, whose layers are numbered from wherever the session stands."""
    keras.layers.Conv2D(1, 1)
    return scatter(
        keras.applications.InceptionV3(weights=None, input_shape=(96, 96, 3), classifier_activation=None), seed=3
    )


@pytest.mark.slow
def test_all_logits_at_full_size():
    """Both definitions with the same arrays, in the order in which Keras creates its layers."""
    reference = scatter(keras.applications.InceptionV3(weights=None, classifier_activation=None))
    mine = inception_v3.build(DESCRIBED.config)
    mine.set_weights(reference.get_weights())
    assert mine.count_params() == reference.count_params() == DESCRIBED.params == 23_851_784
    assert sum(int(np.prod(weight.shape)) for weight in mine.trainable_weights) == 23_817_352
    images = pictures(2, 299, 299, 3)
    close(mine(images), reference(images), relative=1e-4)


@pytest.fixture(scope="module")
def full():
    return inception_v3.build(DESCRIBED.config)


def test_maps_of_the_released_definition(full):
    expected = {
        "conv1_relu": (149, 149, 32), "conv2_relu": (147, 147, 32), "conv3_pool": (73, 73, 64),
        "conv5_relu": (71, 71, 192), "mixed2": (35, 35, 288), "mixed7": (17, 17, 768), "mixed8": (8, 8, 1280),
        "mixed10": (8, 8, 2048),
    }  # fmt: skip
    assert {name: full.get_layer(name).output.shape[1:] for name in expected} == expected


@pytest.mark.slow
@every_layout
def test_official_files(official, top, save, tmp_path):
    """The file of the full network, and the one without a classifier, load into the builder that wants them."""
    reference = official if top else keras.Model(official.input, official.get_layer("mixed10").output)
    path = tmp_path / ("official.h5" if save is keras_legacy else "official.weights.h5")
    save(path, reference)
    mine = InceptionV3(weights=str(path), include_top=top, input_shape=(96, 96, 3), classifier_activation=None)
    assert mine.count_params() == (23_851_784 if top else 21_802_784)
    images = pictures(2, 96, 96, 3)
    close(mine(images), reference(images))


@pytest.mark.slow
def test_a_full_file_without_its_classifier(official, tmp_path):
    """At a size with other roundings than those of 96: 139, 69, 67, 33, 31, 15, 7, 3."""
    keras_legacy(tmp_path / "full.h5", official)
    mine = InceptionV3(weights=str(tmp_path / "full.h5"), include_top=False, pooling="max", input_shape=(139, 139, 3))
    reference = keras.applications.InceptionV3(
        weights=None, include_top=False, pooling="max", input_shape=(139, 139, 3)
    )
    reference.set_weights(official.get_weights()[:-2])
    images = pictures(1, 139, 139, 3)
    close(mine(images), reference(images))


@pytest.mark.slow
def test_our_own_file_comes_back(tmp_path):
    """Names that are ours already stay what they are."""
    mine, again = scatter(inception_v3.build(DESCRIBED.small)), inception_v3.build(DESCRIBED.small)
    mine.save_weights(tmp_path / "mine.weights.h5")
    restore(again, inception_v3, "inception_v3", DESCRIBED.small, tmp_path / "mine.weights.h5")
    images = pictures(1, *DESCRIBED.small.input_shape)
    close(again(images), mine(images), relative=0)


def test_another_network_s_file_is_refused(tmp_path):
    """Numbered layers of the wrong number are not taken for ours."""
    inputs = keras.Input((96, 96, 3))
    other = keras.Model(inputs, keras.layers.Conv2D(32, 3, use_bias=False)(inputs))
    keras_legacy(tmp_path / "other.h5", other)
    with pytest.raises(UsageError, match="Missing: conv1_conv/kernel"):
        InceptionV3(weights=str(tmp_path / "other.h5"), input_shape=(96, 96, 3))


def scopes():
    """TF-Slim's variable scopes in the order of its definition, as a list of the checkpoint's variables has them."""
    yield from ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
    dbl = "2/Conv2d_0a_1x1 2/Conv2d_0b_3x3 2/Conv2d_0c_3x3 3/Conv2d_0b_1x1"
    grid_35 = f"0/Conv2d_0a_1x1 1/Conv2d_0a_1x1 1/Conv2d_0b_5x5 {dbl}"
    grid_17 = (
        "0/Conv2d_0a_1x1 1/Conv2d_0a_1x1 1/Conv2d_0b_1x7 1/Conv2d_0c_7x1 2/Conv2d_0a_1x1 2/Conv2d_0b_7x1 "
        "2/Conv2d_0c_1x7 2/Conv2d_0d_7x1 2/Conv2d_0e_1x7 3/Conv2d_0b_1x1"
    )
    end_8 = "2/Conv2d_0a_1x1 2/Conv2d_0b_3x3 2/Conv2d_0c_1x3 2/Conv2d_0d_3x1 3/Conv2d_0b_1x1"
    blocks = {
        "5b": grid_35,
        "5c": f"0/Conv2d_0a_1x1 1/Conv2d_0b_1x1 1/Conv_1_0c_5x5 {dbl}",
        "5d": grid_35,
        "6a": "0/Conv2d_1a_1x1 1/Conv2d_0a_1x1 1/Conv2d_0b_3x3 1/Conv2d_1a_1x1",
        "6b": grid_17,
        "6c": grid_17,
        "6d": grid_17,
        "6e": grid_17,
        "7a": "0/Conv2d_0a_1x1 0/Conv2d_1a_3x3 1/Conv2d_0a_1x1 1/Conv2d_0b_1x7 1/Conv2d_0c_7x1 1/Conv2d_1a_3x3",
        "7b": f"0/Conv2d_0a_1x1 1/Conv2d_0a_1x1 1/Conv2d_0b_1x3 1/Conv2d_0b_3x1 {end_8}",
        "7c": f"0/Conv2d_0a_1x1 1/Conv2d_0a_1x1 1/Conv2d_0b_1x3 1/Conv2d_0c_3x1 {end_8}",
    }
    for block, names in blocks.items():
        yield from (f"Mixed_{block}/Branch_{name}" for name in names.split())


@pytest.fixture(scope="module")
def checkpoint(official):
    """The arrays of the official model as TF-Slim's checkpoint names them, with what training left in it."""
    convs, norms = (
        sorted(
            (layer for layer in official.layers if isinstance(layer, kind)),
            key=lambda layer: int(layer.name.rpartition("_")[2]) if layer.name[-1].isdigit() else 0,
        )
        for kind in (keras.layers.Conv2D, keras.layers.BatchNormalization)
    )
    out = {"global_step": np.asarray(5.0)}
    for scope, conv, norm in zip(scopes(), convs, norms, strict=True):
        name = f"InceptionV3/{scope}"
        (out[f"{name}/weights"],) = conv.get_weights()
        beta, mean, variance = norm.get_weights()
        out |= {f"{name}/BatchNorm/beta": beta, f"{name}/BatchNorm/moving_mean": mean}
        out[f"{name}/BatchNorm/moving_variance"] = variance
    kernel, bias = official.get_layer("predictions").get_weights()
    background = np.full((2048, 1), 9.0)
    head = "InceptionV3/Logits/Conv2d_1c_1x1"
    out[f"{head}/weights"] = np.concatenate([background, kernel], axis=1)[None, None]
    out[f"{head}/biases"] = np.concatenate([[9.0], bias])
    for name in ("Conv2d_2a_5x5/BatchNorm/beta", "Conv2d_2b_1x1/biases"):
        out[f"InceptionV3/AuxLogits/{name}"] = np.zeros(3)
    for extra in ("ExponentialMovingAverage", "RMSProp", "RMSProp_1"):
        out[f"InceptionV3/Conv2d_1a_3x3/weights/{extra}"] = np.zeros(3)
    return out


@pytest.mark.slow
def test_slim_checkpoint(official, checkpoint):
    assert len(list(scopes())) == 94
    mine = inception_v3.build(dataclasses.replace(DESCRIBED.config, input_shape=(96, 96, 3)))
    arrays = inception_v3.SOURCES["slim"](DESCRIBED.config, checkpoint)
    assert arrays.keys() == {weight.path for weight in mine.weights}
    for weight in mine.weights:
        weight.assign(arrays[weight.path])
    images = pictures(2, 96, 96, 3)
    close(mine(images), official(images))


def test_slim_checkpoint_that_does_not_fit(checkpoint):
    convert = inception_v3.SOURCES["slim"]
    gone = {name: value for name, value in checkpoint.items() if "Mixed_6e/Branch_2/Conv2d_0e" not in name}
    with pytest.raises(UsageError, match="Missing: InceptionV3/Mixed_6e/Branch_2/Conv2d_0e_1x7/weights"):
        convert(DESCRIBED.config, gone)
    with pytest.raises(UsageError, match="Unexpected: InceptionV3/Conv2d_1a_3x3/BatchNorm/gamma"):
        convert(DESCRIBED.config, checkpoint | {"InceptionV3/Conv2d_1a_3x3/BatchNorm/gamma": np.ones(32)})
    with pytest.raises(UsageError, match="does not become predictions/kernel"):
        convert(DESCRIBED.config, checkpoint | {"InceptionV3/Logits/Conv2d_1c_1x1/weights": np.ones((2048, 1001))})


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(75, 75, 3), (107, 76, 3), (None, None, 3)])
def test_smallest_and_unknown_sizes(shape):
    model = inception_v3.build(
        dataclasses.replace(DESCRIBED.small, input_shape=shape, blocks=tuple(inception_v3.BLOCKS))
    )
    assert model(pictures(1, shape[0] or 80, shape[1] or 75, 3)).shape == (1, 50)


@pytest.mark.parametrize("shape", [(74, 75, 3), (75, 74, 3)])
def test_too_small_is_refused_and_does_not_work(shape):
    with pytest.raises(UsageError, match="height and width at least 75"):
        InceptionV3(weights=None, input_shape=shape)
    with pytest.raises(ValueError):
        inception_v3.build(dataclasses.replace(DESCRIBED.small, input_shape=shape))


def test_mean_pools_do_not_count_their_padding():
    """A constant map stays constant under TensorFlow's mean pool, borders too."""
    model = inception_v3.build(DESCRIBED.small)
    for layer in model.layers:
        if isinstance(layer, keras.layers.AveragePooling2D):
            np.testing.assert_allclose(layer(np.ones((1, 4, 5, 2), "f")), 1)


def test_dropout_is_there_in_training_only():
    dropout = inception_v3.build(DESCRIBED.small).get_layer("dropout")
    assert dropout.rate == 0.2
    ones = np.ones((4, 512), "f")
    np.testing.assert_array_equal(dropout(ones, training=False), ones)
    assert set(np.unique(dropout(ones, training=True))) == {0, np.float32(1.25)}


def test_every_layer_is_named(full):
    names = [layer.name for layer in full.layers]
    assert not [name for name in names if name.startswith(("conv2d", "batch_normalization", "activation", "concat"))]
    numbers = [f"mixed9_branch3x3dbl_{part}_conv" for part in ("1", "2", "3a", "3b")]
    assert set(numbers) <= set(names)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"classes": 10}, "has 1000 classes; 10 were asked for"),
        ({"weights": "imagnet"}, "not known for inception_v3: it has imagenet, imagenet-slim"),
        ({"weights": None, "pooling": "mean"}, "allowed are None, 'avg' and 'max'"),
        ({"input_shape": (299, 299, 1)}, "has 3 channels; 1 were asked for"),
    ],
)
def test_wrong_arguments(arguments, told):
    with pytest.raises(UsageError, match=told):
        InceptionV3(**arguments)
