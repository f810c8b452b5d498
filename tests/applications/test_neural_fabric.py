from pathlib import Path

import keras
import numpy as np
import pytest

import kerazoo
from kerazoo.applications import neural_fabric
from kerazoo.applications.neural_fabric import NeuralFabric
from kerazoo.errors import UsageError
from tests.applications.common import close, pictures, scatter

SEVEN = Path(__file__).parents[2] / "examples" / "seven.png"


def counted(layers, scales, channels, inputs=1, classes=10):
    """Every kernel of the trellis: to the same, a coarser and a finer scale between layers, and the two chains."""
    kernels = (layers - 1) * (3 * scales - 2) + (1 if layers == 1 else 2) * (scales - 1)
    norms = 4 * channels * layers * scales
    return 9 * channels * (kernels * channels + inputs) + norms + (channels + 1) * classes


@pytest.mark.parametrize(
    ("layers", "side", "scales", "channels"), [(4, 28, 6, 16), (1, 8, 4, 3), (2, 1, 1, 5), (3, 33, 7, 2), (9, 32, 6, 2)]
)
def test_count_by_arithmetic(layers, side, scales, channels):
    config = neural_fabric.Config("fabric", (side, side, 1), classes=10, layers=layers, channels=channels)
    assert neural_fabric.build(config).count_params() == counted(layers, scales, channels)


def test_count_of_the_variant():
    assert NeuralFabric(weights=None).count_params() == counted(4, 6, 16) == 135_482


def heard(model, name):
    """The nodes that a node hears, through its convolutions."""
    found, ahead = set(), [model.get_layer(name).input]
    while ahead:
        layer = ahead.pop()._keras_history.operation
        if isinstance(layer, (keras.layers.ReLU, keras.layers.InputLayer)):
            found.add(layer.name)
        else:
            ahead += layer.input if isinstance(layer.input, list) else [layer.input]
    return found


def test_who_hears_whom():
    config = neural_fabric.Config("fabric", (8, 8, 1), classes=10, layers=3, channels=2)
    model = neural_fabric.build(config)

    def nodes(*pairs):
        return {f"layer{layer}_scale{scale}" for layer, scale in pairs}

    # The first layer is a chain from the picture to ever coarser scales.
    assert heard(model, "layer1_scale0") == {"image"}
    assert heard(model, "layer1_scale3") == nodes((1, 2))
    # Between layers a node hears its own scale, and the next finer and coarser ones where there are.
    assert heard(model, "layer2_scale0") == nodes((1, 0), (1, 1))
    assert heard(model, "layer2_scale1") == nodes((1, 0), (1, 1), (1, 2))
    assert heard(model, "layer2_scale3") == nodes((1, 2), (1, 3))
    # In the last one, the next finer of the same layer too, down to the answer's.
    assert heard(model, "layer3_scale0") == nodes((2, 0), (2, 1))
    assert heard(model, "layer3_scale2") == nodes((2, 1), (2, 2), (2, 3), (3, 1))
    assert heard(model, "layer3_scale3") == nodes((2, 2), (2, 3), (3, 2))
    sides = [model.get_layer(f"layer2_scale{scale}").output.shape[1:3] for scale in range(4)]
    assert sides == [(8, 8), (4, 4), (2, 2), (1, 1)]


def edge(function, side):
    config = neural_fabric.Config("edge", (side, side, 3), channels=3)
    inputs = keras.Input((side, side, 3))
    return scatter(keras.Model(inputs, function(config, inputs, "edge")))


def window(x, kernel):
    """3x3 convolution with a border of zeros, each output centred on its pixel."""
    side, x = x.shape[1], np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(x[:, i : i + side, j : j + side] @ kernel[i, j] for i in range(3) for j in range(3))


@pytest.mark.parametrize("side", [1, 2, 4])
def test_to_a_finer_scale_zeros_come_between_the_pixels(side):
    model, x = edge(neural_fabric.finer, side), pictures(2, side, side, 3)
    spread = np.zeros((2, 2 * side, 2 * side, 3))
    spread[:, ::2, ::2] = x
    # A transposed convolution's kernel is that of the convolution it stands for, turned, and with swapped channels.
    kernel = model.get_layer("edge").kernel.numpy()[::-1, ::-1].transpose(0, 1, 3, 2)
    close(model(x), window(spread, kernel), 1e-5)


@pytest.mark.parametrize("side", [2, 4, 8])
def test_to_a_coarser_scale_every_second_window_counts(side):
    model, x = edge(neural_fabric.coarser, side), pictures(2, side, side, 3)
    close(model(x), window(x, model.get_layer("edge").kernel.numpy())[:, ::2, ::2], 1e-5)


@pytest.mark.parametrize(
    ("shape", "side"), [((28, 28, 1), 32), ((32, 32, 1), 32), ((5, 3, 2), 8), ((1, 1, 1), 1), ((3, 9, 1), 16)]
)
def test_pictures_stand_amid_zeros(shape, side):
    config = neural_fabric.Config("fabric", shape)
    inputs = keras.Input(shape)
    out, scales = neural_fabric.padded(config, inputs)
    x = np.abs(pictures(1, *shape)) + 1
    square = np.asarray(keras.Model(inputs, out)(x)) if out is not inputs else x
    assert square.shape == (1, side, side, shape[2])
    assert 2 ** (scales - 1) == side
    top, left = (side - shape[0]) // 2, (side - shape[1]) // 2
    np.testing.assert_array_equal(square[:, top : top + shape[0], left : left + shape[1]], x)
    assert np.count_nonzero(square) == x.size


@pytest.mark.parametrize(("pooling", "shape"), [(None, (1, 1, 1, 16)), ("avg", (1, 16)), ("max", (1, 16))])
def test_features(pooling, shape):
    model = NeuralFabric(weights=None, include_top=False, pooling=pooling)
    assert model(pictures(1, 28, 28, 1)).shape == shape


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 6, 2), (20, 12, 3)])
def test_other_sizes(shape):
    assert NeuralFabric(weights=None, input_shape=shape, classes=4)(pictures(2, *shape)).shape == (2, 4)


@pytest.mark.parametrize(("shape", "told"), [((0, 4, 1), "at least 1"), ((None, None, 1), "a fixed size")])
def test_sizes_that_do_not_fit(shape, told):
    with pytest.raises(UsageError, match=told):
        NeuralFabric(weights=None, input_shape=shape)


def test_reads_the_seven():
    answer = kerazoo.load("neural_fabric:mnist", engine="keras")(SEVEN)
    assert answer.indices[0] == 7
    assert answer.scores[0] > 0.9
