import dataclasses

import numpy as np
import pytest

from kerazoo.applications import squeezenet
from kerazoo.applications.squeezenet import SqueezeNetV1_0, SqueezeNetV1_1
from kerazoo.errors import UsageError
from kerazoo.weights import deep_compressed
from tests.applications import nchw
from tests.applications.common import classify, close, mirror, needs_data, pictures, scatter
from tests.weights import files


@pytest.mark.parametrize(
    ("variant", "params", "maps"),
    [("squeezenet_v1_0", 1_248_424, (15, 15)), ("squeezenet_v1_1", 1_235_496, (13, 13))],
)
def test_count_and_maps(variant, params, maps):
    """Sizes of the maps: 111, 55, 27, 13 for both, v1.1 at 224; v1.0 at 227, and a border."""
    described = squeezenet.VARIANTS[variant]
    model = squeezenet.build(described.config)
    assert model.count_params() == described.params == params
    assert model.get_layer("conv10").output.shape[1:3] == maps


def ceil_pool(x):
    """3x3/2 max-pooling, rounding up, window by window."""
    _, height, width, _ = x.shape
    rows, columns = (-(-(side - 3) // 2) + 1 for side in (height, width))
    return np.stack(
        [
            np.stack([x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((1, 2)) for j in range(columns)], 1)
            for i in range(rows)
        ],
        1,
    )


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 9), (8, 9), (15, 6), (2, 3), (27, 28)])
def test_max_pooling_rounds_up(height, width, known):
    import keras

    inputs = keras.Input((height, width, 2) if known else (None, None, 2), name="maps")
    model = keras.Model(inputs, squeezenet._max_pool(inputs, "pool"))
    x = np.maximum(pictures(2, height, width, 2), 0)
    np.testing.assert_array_equal(model(x), ceil_pool(x))


@pytest.mark.parametrize(("build", "least"), [(SqueezeNetV1_0, 21), (SqueezeNetV1_1, 17)])
def test_smallest_and_unknown_sizes(build, least):
    for shape in ((least, least, 3), (least + 1, least + 6, 3), (None, None, 3)):
        model = build(weights=None, input_shape=shape, classes=4)
        assert model(pictures(1, shape[0] or 50, shape[1] or 33, 3)).shape == (1, 4)


def test_known_and_unknown_sizes_agree():
    config = squeezenet.VARIANTS["squeezenet_v1_0"].config
    fixed = scatter(squeezenet.build(dataclasses.replace(config, input_shape=(80, 67, 3))))
    free = squeezenet.build(dataclasses.replace(config, input_shape=(None, None, 3)))
    free.set_weights(fixed.get_weights())
    close(free(pictures(1, 80, 67, 3)), fixed(pictures(1, 80, 67, 3)), relative=1e-6)


def test_deep_compressed_file(tmp_path):
    """Kernels of a codebook come out of the file in their places, and the head is left out where it is not wanted."""
    random = np.random.default_rng(4)
    codebook = np.concatenate([[0], random.normal(0, 0.1, 255)]).astype("f")
    kernels = {
        name: np.where(random.random(shape) < 0.02, codebook[random.integers(1, 256, shape)], 0).astype("f")
        for name, shape in deep_compressed.LAYERS.items()
    }
    biases = {name: random.normal(0, 0.1, shape[0]).astype("f") for name, shape in deep_compressed.LAYERS.items()}
    files.deep_compress(tmp_path / "mine.net", kernels, biases, codebook)
    model = SqueezeNetV1_0(weights=str(tmp_path / "mine.net"), input_shape=(67, 67, 3))
    for layer in model.layers:
        if layer.weights:
            source = layer.name.replace("_", "/")
            kernel, bias = layer.get_weights()
            np.testing.assert_array_equal(kernel, kernels[source].transpose(2, 3, 1, 0))
            np.testing.assert_array_equal(bias, biases[source])
    assert SqueezeNetV1_0(weights=str(tmp_path / "mine.net"), include_top=False, pooling="avg").output_shape == (
        None,
        512,
    )


TORCH_PLACES = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10, 8: 11, 9: 12}
"""Fire module of v1.1 -> its place in torchvision's sequence."""


def v1_1(name_of):
    """Made-up weights of v1.1 under the names that `name_of(module, part)` gives, in the order of computing."""
    kernels, channels = {name_of("conv1", ""): (64, 3, 3, 3)}, 64
    for fire, (squeeze, expand) in squeezenet.FIRES.items():
        kernels[name_of(fire, "squeeze1x1")] = (squeeze, channels, 1, 1)
        kernels[name_of(fire, "expand1x1")] = (expand, squeeze, 1, 1)
        kernels[name_of(fire, "expand3x3")] = (expand, squeeze, 3, 3)
        channels = 2 * expand
    kernels[name_of("conv10", "")] = (1000, channels, 1, 1)
    return nchw.drawn(nchw.layer_shapes(kernels))


def torch_name(module, part):
    if not part:
        return {"conv1": "features.0", "conv10": "classifier.1"}[module]
    return f"features.{TORCH_PLACES[module]}.{part.replace('squeeze1x1', 'squeeze')}"


def caffe_name(module, part):
    return f"fire{module}/{part}" if part else module


def v1_1_answer(tensors, images):
    """torchvision's sequence, channels first: pools round up, nothing is padded but the 3x3 of each fire module."""
    values = list(tensors.values())
    arrays = iter(zip(values[::2], values[1::2], strict=True))
    x = nchw.ceil_pool(nchw.relu(nchw.conv(images.transpose(0, 3, 1, 2), *next(arrays), stride=2)))
    for fire in squeezenet.FIRES:
        x = nchw.relu(nchw.conv(x, *next(arrays)))
        left = nchw.relu(nchw.conv(x, *next(arrays)))
        right = nchw.relu(nchw.conv(x, *next(arrays), pad=1))
        x = np.concatenate([left, right], 1)
        x = nchw.ceil_pool(x) if fire in (3, 5) else x
    return nchw.relu(nchw.conv(x, *next(arrays))).mean((2, 3))


@pytest.mark.parametrize(("height", "width"), [(67, 67), (64, 90)])
def test_torch_file(height, width, tmp_path):
    tensors = v1_1(torch_name)
    files.torch_zip(tmp_path / "mine.pth", tensors)
    arguments = {"weights": str(tmp_path / "mine.pth"), "input_shape": (height, width, 3)}
    images = pictures(2, height, width, 3)
    close(SqueezeNetV1_1(**arguments, classifier_activation=None)(images), v1_1_answer(tensors, images))
    assert SqueezeNetV1_1(**arguments, include_top=False)(images).shape[-1] == 512


def test_caffe_and_onnx_weights():
    config = squeezenet.VARIANTS["squeezenet_v1_1"].config
    expected = squeezenet.from_torch(config, v1_1(torch_name))
    caffe = v1_1(caffe_name)
    onnx = {f"tensor{index}": value for index, value in enumerate(caffe.values())} | {"shape": np.asarray([0, -1])}
    for found in (squeezenet.from_caffe(config, caffe), squeezenet.from_onnx(config, onnx)):
        assert found.keys() == expected.keys()
        for path, value in found.items():
            np.testing.assert_array_equal(value, expected[path])
    with pytest.raises(UsageError, match="Unexpected: fire10/squeeze1x1.weight"):
        squeezenet.from_caffe(config, caffe | {"fire10/squeeze1x1.weight": np.zeros((1, 1, 1, 1), "f")})
    with pytest.raises(UsageError, match="has 51 weights, not 52"):
        squeezenet.from_onnx(config, {name: value for name, value in onnx.items() if name != "tensor7"})


def test_torchvision_s_v1_0_is_another_network():
    with pytest.raises(UsageError, match=r"pads nothing, this one does.*squeezenet_v1_1"):
        squeezenet.from_torch(squeezenet.VARIANTS["squeezenet_v1_0"].config, {})


@needs_data
def test_real_file_classifies(monkeypatch, tmp_path):
    mirror(monkeypatch, tmp_path)
    photos = ("parrot.jpg", "hot_dog.jpg", "cat_720p.jpg")
    parrot, hot_dog, cat = classify(SqueezeNetV1_0(), "squeezenet_v1_0:imagenet", *photos)
    assert (parrot, hot_dog) == ("macaw", "hotdog")
    assert "cat" in cat or cat == "tabby"
