import dataclasses

import keras
import numpy as np
import pytest

from kerazoo import registry, weights
from kerazoo.applications import googlenet
from kerazoo.applications.googlenet import GoogLeNet
from kerazoo.errors import UsageError
from tests.applications import nchw
from tests.applications.common import close, pictures, scatter
from tests.reference import references
from tests.weights import files

FULL = googlenet.VARIANTS["googlenet"].config
SMALL = googlenet.VARIANTS["googlenet"].small
# The smallest size at which the maps of 4a and 4d are as large as the pool of the auxiliary classifiers.
AUX = dataclasses.replace(SMALL, input_shape=(79, 79, 3), modules=("3a", "4a", "4d", "5a"), aux=True)

# Of the small network: input channels of its modules, and what follows from table 1 divided by eight.
CHANNELS = {"3a": 24, "4a": 32, "5a": 64}
SIZES = {"3a": (8, 12, 16, 2, 4, 4), "4a": (24, 12, 26, 2, 6, 8), "5a": (32, 20, 40, 4, 16, 16)}


@pytest.mark.parametrize(("aux", "params"), [(False, 6_998_552), (True, 13_378_280)])
def test_count(aux, params):
    model = GoogLeNet(weights=None, aux=aux)
    assert model.count_params() == params
    assert len(model.outputs) == (3 if aux else 1)
    assert {tuple(output.shape) for output in model.outputs} == {(None, 1000)}


def test_maps():
    """Table 1: sizes of the maps, and how many there are; Caffe reaches them by rounding up."""
    model = googlenet.build(dataclasses.replace(FULL, aux=True))
    shapes = {name: tuple(model.get_layer(name).output.shape[1:]) for name in (
        "conv1_7x7_s2", "pool1_3x3_s2", "conv2_3x3", "pool2_3x3_s2", "inception_3a_output", "inception_3b_output",
        "inception_4a_output", "inception_4e_output", "inception_5b_output", "loss1_ave_pool", "loss2_conv",
    )}  # fmt: skip
    assert list(shapes.values()) == [
        (112, 112, 64), (56, 56, 64), (56, 56, 192), (28, 28, 192), (28, 28, 256), (28, 28, 480),
        (14, 14, 512), (14, 14, 832), (7, 7, 1024), (4, 4, 512), (4, 4, 128),
    ]  # fmt: skip
    rates = {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
    assert rates == {"pool5_drop": 0.4, "loss1_drop_fc": 0.7, "loss2_drop_fc": 0.7}


def small_caffe():
    """Made-up weights of the small network under Caffe's names, in the order in which they compute."""
    kernels = {"conv1/7x7_s2": (8, 3, 7, 7), "conv2/3x3_reduce": (8, 8, 1, 1), "conv2/3x3": (24, 8, 3, 3)}
    for module, channels in CHANNELS.items():
        one, reduce_3, three, reduce_5, five, projection = SIZES[module]
        kernels |= {
            f"inception_{module}/1x1": (one, channels, 1, 1),
            f"inception_{module}/3x3_reduce": (reduce_3, channels, 1, 1),
            f"inception_{module}/3x3": (three, reduce_3, 3, 3),
            f"inception_{module}/5x5_reduce": (reduce_5, channels, 1, 1),
            f"inception_{module}/5x5": (five, reduce_5, 5, 5),
            f"inception_{module}/pool_proj": (projection, channels, 1, 1),
        }
    return nchw.drawn(nchw.layer_shapes(kernels | {"loss3/classifier": (50, 104)}))


def small_answer(tensors, images):
    """Caffe's definition, channels first: normalisation after the first pool and before the second."""
    arrays = iter(zip(list(tensors.values())[::2], list(tensors.values())[1::2], strict=True))

    def conv(x, **options):
        return nchw.relu(nchw.conv(x, *next(arrays), **options))

    x = nchw.lrn(nchw.ceil_pool(conv(images.transpose(0, 3, 1, 2), stride=2, pad=3)))
    x = nchw.ceil_pool(nchw.lrn(conv(conv(x), pad=1)))
    for module in CHANNELS:
        x = nchw.ceil_pool(x) if module in ("4a", "5a") else x
        ends = [conv(x), conv(conv(x), pad=1), conv(conv(x), pad=2)]
        around = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
        x = np.concatenate([*ends, conv(nchw.max_pool(around, 3, stride=1))], 1)
    return nchw.dense(x.mean((2, 3)), *next(arrays))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (67, 67), (71, 90)])
def test_says_what_caffe_s_definition_says(height, width, known):
    """Pixels as large as Caffe's, so that response normalisation shows."""
    shape = (height, width, 3) if known else (None, None, 3)
    model = googlenet.build(dataclasses.replace(SMALL, input_shape=shape))
    tensors = small_caffe()
    weights.assign(model, googlenet.from_caffe(SMALL, tensors), "made up")
    images = 100 * pictures(2, height, width, 3)
    close(model(images), small_answer(tensors, images))


@pytest.mark.slow
def test_a_caffemodel_with_and_without_its_auxiliary_classifiers(tmp_path):
    """The three answers are those of the transcription of Caffe's definition; without `aux` the first is there."""
    path, kept = tmp_path / "googlenet.caffemodel", references.golden("googlenet")
    references.caffemodel(path, references.tensors("googlenet"))
    images = references.images("googlenet")
    model = GoogLeNet(weights=str(path), aux=True, classifier_activation=None)
    found = model(images, training=False)
    for logits, port in zip(found, ("logits", "loss1", "loss2"), strict=True):
        close(logits, kept["outputs"][port])
    plain = GoogLeNet(weights=str(path), classifier_activation=None)
    close(plain(images), found[0], relative=1e-6)
    close(keras.Model(model.input, model.outputs[0])(images), found[0], relative=1e-6)
    assert GoogLeNet(weights=str(path), include_top=False, pooling="avg")(images).shape == (2, 1024)


def aux_caffe():
    """The small network's weights with those of `loss1`, whose maps have the published 4x4 places."""
    heads = {"loss1/conv": (16, 64, 1, 1), "loss1/fc": (128, 16 * 4 * 4), "loss1/classifier": (50, 128)}
    return small_caffe() | nchw.drawn(nchw.layer_shapes(heads))


def test_auxiliary_classifiers_of_a_file_are_taken_or_left():
    tensors = aux_caffe()
    without = googlenet.from_caffe(SMALL, tensors)
    assert not [path for path in without if path.startswith("loss")]
    model = googlenet.build(dataclasses.replace(SMALL, aux=True, input_shape=(224, 224, 3)))
    found = googlenet.from_caffe(dataclasses.replace(SMALL, aux=True), tensors)
    assert found.keys() - without.keys() == {
        f"loss1_{part}/{kind}" for part in ("conv", "fc", "classifier") for kind in ("kernel", "bias")
    }
    weights.assign(model, found, "made up")
    # The dense kernel sees channels first in the file and last here.
    maps = nchw.drawn({"maps": (2, 16, 4, 4)})["maps"]
    flat = model.get_layer("loss1_flatten")(maps.transpose(0, 2, 3, 1))
    expected = nchw.relu(nchw.dense(maps, tensors["loss1/fc.weight"], tensors["loss1/fc.bias"]))
    close(model.get_layer("loss1_fc")(flat), expected)


def test_files_that_do_not_fit():
    tensors = small_caffe()
    with pytest.raises(UsageError, match=r"Missing: loss1/conv\.weight"):
        googlenet.from_caffe(dataclasses.replace(SMALL, aux=True), tensors)
    with pytest.raises(UsageError, match=r"Unexpected: loss4/fc\.weight"):
        googlenet.from_caffe(SMALL, tensors | {"loss4/fc.weight": np.zeros((1, 1), "f")})


def test_onnx_weights():
    """By order; the shape of a Reshape is no weight."""
    tensors = references.tensors("googlenet")
    caffe = {name: tensor for name, tensor in tensors.items() if not name.startswith(("loss1/", "loss2/"))}
    expected = googlenet.from_caffe(FULL, tensors)
    onnx = {f"tensor{index}": value for index, value in enumerate(caffe.values())} | {"shape": np.int64([1, 1024])}
    found = googlenet.from_onnx(FULL, onnx)
    assert found.keys() == expected.keys()
    for path, value in found.items():
        np.testing.assert_array_equal(value, expected[path])
    with pytest.raises(UsageError, match="has 115 weights, not 116"):
        googlenet.from_onnx(FULL, {name: value for name, value in onnx.items() if name != "tensor7"})
    with pytest.raises(UsageError, match=r"no auxiliary classifiers.*\.caffemodel"):
        googlenet.from_onnx(dataclasses.replace(FULL, aux=True), onnx)


@pytest.mark.slow
def test_fit_trains_all_three():
    """The loss is the sum of the three with their weights; all fall, and every weight moves."""
    keras.utils.set_random_seed(0)
    model = googlenet.build(dataclasses.replace(AUX, classes=4, dropout=0.0, aux_dropout=0.0))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss=[loss] * 3, loss_weights=list(googlenet.LOSS_WEIGHTS))
    images, labels = pictures(8, 79, 79, 3), np.arange(8) % 4
    before = [weight.numpy() for weight in model.trainable_weights]
    first = [float(loss(labels, logits)) for logits in model(images)]
    history = model.fit(images, [labels] * 3, batch_size=8, epochs=12, verbose=0).history
    assert history["loss"][0] == pytest.approx(first[0] + 0.3 * first[1] + 0.3 * first[2], rel=1e-4)
    assert history["loss"][-1] < history["loss"][0]
    last = [float(loss(labels, logits)) for logits in model(images)]
    assert all(after < at_first for after, at_first in zip(last, first, strict=True))
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert not np.array_equal(weight, old), weight.path


def test_auxiliary_gradients_reach_the_middle():
    """What the second output says depends on 4a and on what comes before it alone."""
    import tensorflow as tf

    model = scatter(googlenet.build(AUX))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(model(pictures(1, 79, 79, 3))[1])
    gradients = tape.gradient(value, [weight.value for weight in model.trainable_weights])
    reached = {
        w.path.partition("/")[0] for w, g in zip(model.trainable_weights, gradients, strict=True) if g is not None
    }
    assert "conv1_7x7_s2" in reached and "inception_4a_5x5" in reached and "loss1_fc" in reached
    assert not [name for name in reached if name.startswith(("inception_4d", "inception_5", "loss2", "predictions"))]


def test_dropout_in_training_alone():
    model = scatter(googlenet.build(AUX))
    images = pictures(1, 79, 79, 3)
    for port in range(3):
        close(model(images)[port], model(images)[port], relative=1e-6)
        assert np.abs(np.asarray(model(images, training=True)[port]) - np.asarray(model(images)[port])).max() > 0


@pytest.mark.parametrize("aux", [False, True])
def test_smallest_input(aux):
    least = 79 if aux else 31
    config = dataclasses.replace(AUX, aux=aux, input_shape=(least, least, 3))
    outputs = googlenet.build(config)(pictures(1, least, least, 3))
    assert [output.shape for output in (outputs if aux else [outputs])] == [(1, 50)] * (3 if aux else 1)
    with pytest.raises(ValueError, match="zero or negative|negative dimension"):
        googlenet.build(dataclasses.replace(config, input_shape=(least - 1, least, 3)))
    with pytest.raises(UsageError, match=f"at least {least}"):
        GoogLeNet(weights=None, aux=aux, input_shape=(least - 1, least, 3))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"include_top": False}, "aux=True needs include_top=True"),
        ({"input_shape": (None, None, 3)}, "height and width are numbers"),
        ({"weights": "imagenet", "classes": 10}, "1000 classes; 10 were asked for"),
        ({"weights": "imagnet"}, "Did you mean imagenet"),
    ],
)
def test_wrong_arguments(arguments, told):
    with pytest.raises(UsageError, match=told):
        GoogLeNet(**{"weights": None, "aux": True, **arguments})


def test_softmax_on_all_outputs():
    model = GoogLeNet(weights=None, aux=True, classes=7, input_shape=(96, 112, 3), name="mine")
    assert model.name == "mine"
    for scores in model(pictures(2, 96, 112, 3)):
        np.testing.assert_allclose(np.sum(scores, axis=1), 1, rtol=1e-5)


def test_the_task_has_one_answer():
    made = registry.variants()["googlenet"]
    assert len(googlenet.build(made[1].config).outputs) == 1
    assert not made[1].config.aux


def test_a_file_without_what_is_asked_for(tmp_path):
    tensors = small_caffe()
    layers = {}
    for name, array in tensors.items():
        layers.setdefault(name.rpartition(".")[0], ("Convolution", []))[1].append(array)
    files.caffe(tmp_path / "small.caffemodel", layers)
    with pytest.raises(UsageError, match="does not fit"):
        GoogLeNet(weights=str(tmp_path / "small.caffemodel"), aux=True)
