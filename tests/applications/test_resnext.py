import keras
import numpy as np
import pytest

from kerazoo import applications
from kerazoo.applications import resnext
from kerazoo.errors import UsageError
from kerazoo.lazy import own_layers
from tests.applications import resnets
from tests.applications.common import close, keras_warns, pictures, scatter, weighted
from tests.weights import files

pytestmark = keras_warns

BLOCKS = {"resnext50_32x4d": (3, 4, 6, 3), "resnext101_32x4d": (3, 4, 23, 3)}
# What torchvision's resnext50_32x4d answers to `resnets.picture(65, 50)`, filled with `resnets.filled`.
TORCHVISION = [13650.7, 16445.4, -10047.6, 16274.3, -4647.11, -11690.7, 8091.45, -3654.29]


def sums(filters, depth):
    """The constant 1x1 kernel with which keras-applications adds up each group: output g * depth + j takes what
    every channel of group g made with its multiplier j."""
    kernel = np.zeros((1, 1, filters * depth, filters), np.float32)
    for channel in range(filters):
        for multiplier in range(depth):
            kernel[0, 0, channel * depth + multiplier, channel // depth * depth + multiplier] = 1
    return kernel


def grouped(x, filters, groups, strides, name, constant):
    """keras-applications' grouped convolution: depthwise, then sums, as a convolution in its newer files."""
    depth = filters // groups
    x = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = keras.layers.DepthwiseConv2D(3, strides, depth_multiplier=depth, use_bias=False, name=f"{name}_conv")(x)
    if constant:
        add_up = keras.layers.Conv2D(filters, 1, use_bias=False, trainable=False, name=f"{name}_gconv")
        add_up.build(x.shape)
        add_up.set_weights([sums(filters, depth)])
        return add_up(x)
    height, width = x.shape[1:3]
    x = keras.layers.Reshape((height, width, groups, depth, depth))(x)
    return keras.layers.Reshape((height, width, filters))(keras.ops.sum(x, axis=4))


def official(blocks, include_top=True, side=64, groups=32, constant=False, top="probs"):
    """ResNeXt in keras-applications' form and with its names."""
    layers = keras.layers

    def conv_bn(x, filters, size, strides, name):
        x = layers.Conv2D(filters, size, strides, use_bias=False, name=f"{name}_conv")(x)
        return layers.BatchNormalization(epsilon=1.001e-5, name=f"{name}_bn")(x)

    inputs = keras.Input((side, side, 3))
    x = layers.ReLU()(conv_bn(layers.ZeroPadding2D(3)(inputs), 64, 7, 2, "conv1"))
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    for stage, count in enumerate(blocks):
        filters = 128 << stage
        for block in range(count):
            name, strides = f"conv{stage + 2}_block{block + 1}", 2 if stage and not block else 1
            shortcut = x if block else conv_bn(x, 2 * filters, 1, strides, f"{name}_0")
            x = layers.ReLU()(conv_bn(x, filters, 1, 1, f"{name}_1"))
            x = grouped(x, filters, groups, strides, f"{name}_2", constant)
            x = layers.ReLU()(layers.BatchNormalization(epsilon=1.001e-5, name=f"{name}_2_bn")(x))
            x = layers.ReLU()(layers.Add()([shortcut, conv_bn(x, 2 * filters, 1, 1, f"{name}_3")]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(1000, name=top)(x) if include_top else x)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("strides", [1, 2])
def test_a_depthwise_kernel_becomes_that_of_the_grouped_convolution(strides, constant):
    """One convolution in both forms, the sums of each group done as files before and after 2019 do them."""
    inputs = keras.Input((9, 8, 24))
    model = keras.Model(inputs, grouped(inputs, 24, 8, strides, "conv2_block1_2", constant))
    depthwise = model.get_layer("conv2_block1_2_conv")
    depthwise.set_weights([pictures(3, 3, 24, 3)])
    tensors = {f"{layer.name}/kernel": layer.get_weights()[0] for layer in model.layers if layer.weights}
    config = resnext.Config("small", (9, 8, 3), groups=8)
    (name, kernel), *others = resnext.from_keras_h5(config, tensors).items()
    assert (name, kernel.shape, others) == ("conv2_block1_2_conv/kernel", (3, 3, 3, 24), [])
    ours = own_layers.GroupedConv2D(24, 3, strides=strides, groups=8, use_bias=False)
    ours.build((None, 11, 10, 24))
    ours.set_weights([kernel])
    maps = pictures(2, 9, 8, 24)
    close(ours(np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))), model(maps))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file as keras-applications wrote them, and the network that it is of."""
    model = scatter(official(BLOCKS["resnext50_32x4d"]))
    path = tmp_path_factory.mktemp("resnext") / "official.h5"
    files.keras_legacy(path, model)
    return str(path), model


@pytest.mark.slow
def test_official_file(file):
    path, reference = file
    model = applications.ResNeXt50_32x4d(weights=path, input_shape=(64, 64, 3), classifier_activation=None)
    images = pictures(2, 64, 64, 3)
    close(model(images), reference(images))


@pytest.mark.slow
def test_official_file_without_top(file, tmp_path):
    path, whole = file
    reference = official(BLOCKS["resnext50_32x4d"], include_top=False)
    reference.set_weights(whole.get_weights()[:-2])
    files.keras_legacy(tmp_path / "notop.h5", reference)
    images = pictures(2, 64, 64, 3)
    for source in (path, str(tmp_path / "notop.h5")):
        model = applications.ResNeXt50_32x4d(weights=source, include_top=False, input_shape=(64, 64, 3), pooling="avg")
        close(model(images), reference(images))


@pytest.mark.parametrize("kind", ["h5", "weights.h5"])
def test_files_of_our_own_form_stay_as_they_are(kind, tmp_path):
    config = resnext.VARIANTS["resnext50_32x4d"].small
    source = scatter(resnext.build(config))
    path = tmp_path / f"mine.{kind}"
    if kind == "h5":
        files.keras_legacy(path, source)
    else:
        source.save_weights(path)
    from kerazoo.weights import keras_h5

    tensors = keras_h5.load(path)
    kept = resnext.from_keras_h5(config, tensors)
    assert kept.keys() == tensors.keys()
    for name, tensor in keras_h5.match(source, kept).items():
        np.testing.assert_array_equal(tensor, next(w for w in source.weights if w.path == name))


def test_a_torchvision_file_answers_as_torchvision_does(tmp_path):
    files.torch_zip(tmp_path / "mine.pth", resnets.filled(resnets.shapes((3, 4, 6, 3), inner=128, groups=32)))
    model = applications.ResNeXt50_32x4d(
        weights=str(tmp_path / "mine.pth"), input_shape=(65, 50, 3), classifier_activation=None
    )
    close(resnets.sample(model(resnets.picture(65, 50))), TORCHVISION)


@pytest.mark.slow
@pytest.mark.parametrize("variant", BLOCKS)
def test_every_tensor_of_a_torch_file_has_its_place(variant):
    found = resnets.shapes(BLOCKS[variant], inner=128, groups=32)
    described = resnext.VARIANTS[variant]
    assert described.params == resnets.count(found)
    tensors = {name: np.broadcast_to(np.float32(0), shape) for name, shape in found.items()}
    converted = resnext.from_torch(described.config, tensors)
    model = resnext.build(described.config)
    assert {weight.path: tuple(weight.shape) for weight in model.weights} == {
        path: tensor.shape for path, tensor in converted.items()
    }


def test_names_are_those_of_the_official_files():
    """Every layer with weights, in order; the classifier's was renamed over the years."""
    mine = weighted(resnext.build(resnext.VARIANTS["resnext50_32x4d"].config))
    theirs = weighted(official(BLOCKS["resnext50_32x4d"], side=32, top="predictions"))
    assert [name for name, _ in mine] == [name for name, _ in theirs]


@pytest.mark.slow
def test_smallest_and_unknown_sizes():
    for shape in ((1, 1, 3), (None, None, 3)):
        model = applications.ResNeXt50_32x4d(weights=None, input_shape=shape, classes=3)
        assert model(pictures(1, shape[0] or 33, shape[1] or 47, 3)).shape == (1, 3)


def test_wrong_arguments():
    with pytest.raises(UsageError, match="it has imagenet, imagenet-torchvision, imagenet-torchvision-v2"):
        applications.ResNeXt50_32x4d(weights="imagenet-v2")
    with pytest.raises(UsageError, match="resnext50_32x4d has weights of that name"):
        applications.ResNeXt101_32x4d(weights="imagenet-torchvision")
