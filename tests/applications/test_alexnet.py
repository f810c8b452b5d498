import dataclasses

import keras
import numpy as np
import pytest

from kerazoo import weights
from kerazoo.applications import alexnet
from kerazoo.applications.alexnet import AlexNet, AlexNetOneTower
from kerazoo.errors import UsageError
from kerazoo.layers import GroupedConv2D, LocalResponseNormalization
from tests.applications import nchw
from tests.applications.common import close, pictures, scatter

TWO = alexnet.VARIANTS["alexnet"].small
ONE = alexnet.VARIANTS["alexnet_one_tower"].small
CAFFE = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
TORCH = [*(f"features.{place}" for place in (0, 3, 6, 8, 10)), *(f"classifier.{place}" for place in (1, 4, 6))]


def arrays(config, layers):
    """Made-up weights under a framework's names, in the order of the layers."""
    shapes, channels = [], 3
    for filters, size, apart in zip(config.filters, (11, 5, 3, 3, 3), (0, 1, 0, 1, 1), strict=True):
        shapes.append((filters, channels // (config.towers if apart else 1), size, size))
        channels = filters
    units = config.units
    shapes += [(units, channels * 36), (units, units), (config.classes, units)]
    return nchw.drawn(nchw.layer_shapes(dict(zip(layers, shapes, strict=True))))


def answer(config, tensors, images, divided_lrn=None):
    """What the network of these weights says, channels first; torch's classifier averages, Caffe's maps are 6x6."""
    pairs = list(tensors.values())
    kernels, biases = iter(pairs[::2]), iter(pairs[1::2])
    x = images.transpose(0, 3, 1, 2)
    for number, (stride, pad, apart) in enumerate(
        [(4, config.border, 0), (1, 2, 1), (1, 1, 0), (1, 1, 1), (1, 1, 1)], start=1
    ):
        x = nchw.relu(nchw.conv(x, next(kernels), next(biases), stride, pad, config.towers if apart else 1))
        if number < 3 and divided_lrn:
            k, alpha = divided_lrn
            x = nchw.lrn(x, 5, k, alpha, 0.75)
        if number in (1, 2, 5):
            x = nchw.max_pool(x, 3)
    x = nchw.adaptive_average(x, 6)
    for _ in range(2):
        x = nchw.relu(nchw.dense(x, next(kernels), next(biases)))
    return nchw.dense(x, next(kernels), next(biases))


def test_caffe_weights_and_constants():
    """k is 1 and alpha 1e-4, divided by five channels; pixels are as far from their mean as real ones."""
    tensors = arrays(TWO, CAFFE)
    model = alexnet.build(TWO)
    weights.assign(model, alexnet.from_caffe(TWO, tensors), "the test")
    images = 100 * pictures(2, 227, 227, 3)
    said = model(images)
    close(said, answer(TWO, tensors, images, (1.0, 1e-4)))
    papers = answer(TWO, tensors, images, (2.0, 5e-4))
    assert np.abs(papers - said).max() > 0.01 * np.abs(papers).max()


def test_the_papers_constants_can_be_had():
    config = alexnet.Config("paper", TWO.input_shape, TWO.classes, filters=TWO.filters, units=TWO.units)
    tensors = arrays(config, CAFFE)
    model = alexnet.build(config)
    weights.assign(model, alexnet.from_caffe(config, tensors), "the test")
    images = 100 * pictures(1, 227, 227, 3)
    close(model(images), answer(config, tensors, images, (2.0, 5e-4)))
    norms = [layer for layer in model.layers if isinstance(layer, LocalResponseNormalization)]
    assert [(norm.name, norm.bias, norm.alpha, norm.beta, norm.radius) for norm in norms] == [
        ("norm1", 2.0, 1e-4, 0.75, 2),
        ("norm2", 2.0, 1e-4, 0.75, 2),
    ]


def test_order_of_layers():
    """Convolution, normalisation, pooling, as in the paper; dropout after the dense layers, in torch's form before."""
    names = [layer.name for layer in alexnet.build(TWO).layers[1:]]
    assert names[:6] == ["conv1", "norm1", "pool1", "conv2", "norm2", "pool2"]
    assert names[6:] == ["conv3", "conv4", "conv5", "pool5", "flatten", "fc6", "drop6", "fc7", "drop7", "predictions"]
    one = [layer.name for layer in alexnet.build(ONE).layers[1:]]
    assert one[-6:] == ["flatten", "drop6", "fc6", "drop7", "fc7", "predictions"]
    assert not [name for name in one if name.startswith(("norm", "avgpool"))]
    grouped = [layer.name for layer in alexnet.build(TWO).layers if isinstance(layer, GroupedConv2D)]
    assert grouped == ["conv2", "conv4", "conv5"]


def test_onnx_weights_come_by_order():
    """Whatever the tensors are called, and with the shape that a Reshape wants among them."""
    caffe = arrays(TWO, CAFFE)
    values = list(caffe.values())
    named = {f"anything_{index}": value for index, value in enumerate(values[:10])}
    named["shape"] = np.asarray([1, 576])
    named |= {f"anything_{index}": value for index, value in enumerate(values[10:], start=10)}
    expected, found = alexnet.from_caffe(TWO, caffe), alexnet.from_onnx(TWO, named)
    assert found.keys() == expected.keys()
    for path, value in found.items():
        np.testing.assert_array_equal(value, expected[path])
    del named["anything_15"]
    with pytest.raises(UsageError, match="has 15 weights, not 16"):
        alexnet.from_onnx(TWO, named)


@pytest.mark.parametrize("size", [(224, 224), (256, 224), (100, 131), (63, 63)])
def test_torch_weights_at_any_size(size):
    config = dataclasses.replace(ONE, input_shape=(*size, 3))
    tensors = arrays(config, TORCH)
    model = alexnet.build(config)
    weights.assign(model, alexnet.from_torch(config, tensors), "the test")
    images = pictures(2, *size, 3)
    close(model(images), answer(config, tensors, images))


def test_a_model_for_another_size_is_saved_and_comes_back(tmp_path):
    model = scatter(alexnet.build(dataclasses.replace(ONE, input_shape=(96, 100, 3))))
    model.save(tmp_path / "mine.keras")
    images = pictures(1, 96, 100, 3)
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "mine.keras")(images), model(images))


def test_left_over_and_missing():
    tensors = arrays(ONE, TORCH)
    with pytest.raises(UsageError, match=r"Unexpected: features\.12\.weight"):
        alexnet.from_torch(ONE, tensors | {"features.12.weight": np.zeros(3, np.float32)})
    with pytest.raises(UsageError, match=r"Missing: classifier\.6\.bias"):
        alexnet.from_torch(ONE, {name: value for name, value in tensors.items() if name != "classifier.6.bias"})
    with pytest.raises(UsageError, match="Missing"):
        alexnet.from_caffe(TWO, tensors)


@pytest.mark.slow
@pytest.mark.parametrize(("config", "public", "least"), [(TWO, AlexNet, 67), (ONE, AlexNetOneTower, 63)])
def test_smallest_and_unknown_sizes(config, public, least):
    model = alexnet.build(dataclasses.replace(config, input_shape=(least, least + 5, 3)))
    assert model(pictures(1, least, least + 5, 3)).shape == (1, 50)
    for shape in ((least - 1, least + 5, 3), (least, least - 1, 3)):
        with pytest.raises(ValueError):
            alexnet.build(dataclasses.replace(config, input_shape=shape, include_top=False))
        with pytest.raises(UsageError, match=f"at least {least}"):
            public(weights=None, input_shape=shape)
    free = alexnet.build(dataclasses.replace(config, input_shape=(None, None, 3), include_top=False, pooling="avg"))
    assert free(pictures(2, least, 90, 3)).shape == (2, 16)
    with pytest.raises(UsageError, match="height and width must be numbers; include_top=False"):
        public(weights=None, input_shape=(None, None, 3))


@pytest.mark.parametrize("config", [TWO, ONE])
def test_half_is_dropped_in_training_only(config):
    model = scatter(alexnet.build(config))
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.5, 0.5]
    images = pictures(1, *config.input_shape)
    calm, again, wild = model(images), model(images), model(images, training=True)
    np.testing.assert_array_equal(calm, again)
    assert np.abs(np.asarray(wild) - calm).max() > 0.01 * np.abs(calm).max()


def test_biases_begin_as_in_the_paper():
    """At 1 where ReLU shall see something from the start: second, fourth and fifth convolution, hidden dense layers."""
    model = alexnet.build(TWO)
    biases = {layer.name: layer.bias.numpy() for layer in model.layers if layer.weights}
    ones = {name for name, bias in biases.items() if (bias == 1).all()}
    assert ones == {"conv2", "conv4", "conv5", "fc6", "fc7"}
    assert all((bias == 0).all() for name, bias in biases.items() if name not in ones)
    assert 0.009 < model.get_layer("fc6").kernel.numpy().std() < 0.011


@pytest.mark.parametrize(
    ("public", "arguments", "told"),
    [
        (AlexNet, {"weights": "imagenet-torchvision"}, "it has imagenet, imagenet-onnx"),
        (AlexNetOneTower, {"weights": "imagenet-onnx"}, "not known for alexnet_one_tower: it has imagenet;"),
        (AlexNetOneTower, {"classes": 2}, "1000 classes; 2 were asked for"),
    ],
)
def test_wrong_arguments(public, arguments, told):
    with pytest.raises(UsageError, match=told):
        public(**arguments)
