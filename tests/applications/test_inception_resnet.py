import dataclasses

import h5py
import keras
import numpy as np
import pytest

from kerazoo.applications import inception_resnet
from kerazoo.applications._builder import restore
from kerazoo.applications.inception_resnet import InceptionResNetV1, InceptionResNetV1Face, InceptionResNetV2
from kerazoo.errors import UsageError
from tests.applications.common import close, keras_warns, pictures, scatter
from tests.weights.files import keras_legacy

pytestmark = keras_warns

VARIANTS = inception_resnet.VARIANTS


def config(variant, **changes):
    return dataclasses.replace(VARIANTS[variant].config, **changes)


def small(variant, **changes):
    return dataclasses.replace(VARIANTS[variant].small, **changes)


# --- Keras' own files -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def official():
    """Keras' model at the smallest size, in a session that has numbered other layers before."""
    keras.Sequential([keras.Input((9, 9, 1)), keras.layers.Conv2D(1, 3), keras.layers.BatchNormalization()])
    return scatter(
        keras.applications.InceptionResNetV2(weights=None, input_shape=(75, 75, 3), classifier_activation=None)
    )


@pytest.fixture(scope="module")
def mine():
    return inception_resnet.build(config("inception_resnet_v2", input_shape=(75, 75, 3)))


def save(model, path, layout):
    if layout == "legacy":
        keras_legacy(path, model)
    else:
        model.save_weights(path)


def forget(model):
    for weight in model.weights:
        weight.assign(np.full(weight.shape, 0.5))


@pytest.fixture(scope="module")
def answer(official):
    return np.asarray(official(pictures(2, 75, 75, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["legacy", "keras 3"])
def test_official_file(official, answer, mine, layout, tmp_path):
    path = tmp_path / "official.weights.h5"
    save(official, path, layout)
    forget(mine)
    restore(mine, inception_resnet, "inception_resnet_v2", config("inception_resnet_v2"), path)
    close(mine(pictures(2, 75, 75, 3)), answer)
    if layout == "legacy":
        return
    # Early versions of Keras 3 did not note the layers' names, only the numbered groups of each class.
    with h5py.File(path, "r+") as file:
        for layer in file["layers"].values():
            layer["vars"].attrs.pop("name", None)
    forget(mine)
    restore(mine, inception_resnet, "inception_resnet_v2", config("inception_resnet_v2"), path)
    close(mine(pictures(2, 75, 75, 3)), answer)


@pytest.mark.slow
def test_official_file_without_top(official, tmp_path):
    features = keras.Model(official.input, keras.layers.GlobalMaxPooling2D()(official.get_layer("conv_7b_ac").output))
    images = pictures(2, 75, 75, 3)
    expected = np.asarray(features(images))
    path = tmp_path / "official.weights.h5"
    save(features, path, "legacy")
    model = InceptionResNetV2(weights=str(path), include_top=False, input_shape=(75, 75, 3), pooling="max")
    assert model.count_params() == 54_336_736  # as keras.applications counts
    close(model(images), expected)
    save(features, path, "keras 3")
    forget(model)
    headless = config("inception_resnet_v2", input_shape=(75, 75, 3), include_top=False, pooling="max")
    restore(model, inception_resnet, "inception_resnet_v2", headless, path)
    close(model(images), expected)


@pytest.mark.slow
def test_feature_maps_have_keras_names(official, mine):
    theirs = {layer.name: tuple(layer.output.shape) for layer in official.layers}
    for name in ("mixed_5b", "block35_10_ac", "mixed_6a", "block17_20_ac", "mixed_7a", "block8_10_conv", "conv_7b_ac"):
        assert tuple(mine.get_layer(name).output.shape) == theirs[name]


# --- TF-Slim's checkpoint and PyTorch's files -------------------------------------------------------------------

BLOCKS = {
    35: [["1x1"], ["0a_1x1", "0b_3x3"], ["0a_1x1", "0b_3x3", "0c_3x3"]],
    17: [["1x1"], ["0a_1x1", "0b_1x7", "0c_7x1"]],
    8: [["1x1"], ["0a_1x1", "0b_1x3", "0c_3x1"]],
}
MIXED = {
    "5b": [["1x1"], ["0a_1x1", "0b_5x5"], ["0a_1x1", "0b_3x3", "0c_3x3"], ["0b_1x1"]],
    "6a": [["1a_3x3"], ["0a_1x1", "0b_3x3", "1a_3x3"]],
    "7a": [["0a_1x1", "1a_3x3"], ["0a_1x1", "1a_3x3"], ["0a_1x1", "0b_3x3", "1a_3x3"]],
}


def layout(version, counts, repeats):
    """What the files hold, written down from TF-Slim's, timm's and facenet-pytorch's definitions.

    Yields:
        (layer, scope in the checkpoint, path in PyTorch, whether it is a residual block's last convolution), in the
        order in which the layers are built.
    """
    single = ["1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3"] + (["4b_3x3"] if version == 1 else [])
    for name in single:
        yield f"conv2d_{name}", f"Conv2d_{name}", f"conv2d_{name[:2]}", False

    def branches(layer, slim, torch, module):
        for number, branch in enumerate(module):
            for place, name in enumerate(branch):
                inner = f".{place}" if len(branch) > 1 else ".1" if branch == ["0b_1x1"] else ""
                yield (
                    f"{layer}_branch_{number}_conv2d_{name}",
                    f"{slim}/Branch_{number}/Conv2d_{name}",
                    f"{torch}.branch{number}{inner}",
                    False,
                )

    for repeat, (size, count) in enumerate(counts.items()):
        before = {35: "5b" if version == 2 else None, 17: "6a", 8: "7a"}[size]
        if before:
            yield from branches(f"mixed_{before}", f"Mixed_{before}", f"mixed_{before}", MIXED[before])
        for block in range(1, count + 1):
            slim = f"{('Repeat', 'Repeat_1', 'Repeat_2')[repeat]}/block{size}_{block}"
            torch = f"{repeats[repeat]}.{block - 1}"
            if size == 8 and block == count:
                slim, torch = "Block8", "block8"
            yield from branches(f"block{size}_{block}", slim, torch, BLOCKS[size])
            yield f"block{size}_{block}_conv", f"{slim}/Conv2d_1x1", f"{torch}.conv2d", True
    if version == 2:
        yield "conv_7b", "Conv2d_7b_1x1", "conv2d_7b", False


V2 = (2, {35: 10, 17: 20, 8: 10}, ("repeat", "repeat_1", "repeat_2"))
FACE = (1, {35: 5, 17: 10, 8: 6}, ("repeat_1", "repeat_2", "repeat_3"))


class Arrays(dict):
    """Made-up source tensors that take no room: each holds one number throughout."""

    def add(self, name, shape):
        self[name] = np.broadcast_to(np.float32(len(self) + 1), shape)
        return len(self)


def check(found, shapes, expected):
    """Every variable has its shape and the one number that its source tensor holds."""
    assert {path: array.shape for path, array in found.items()} == shapes
    assert {path: float(array.flat[-1]) for path, array in found.items()} == expected


def shapes_of(model):
    return {weight.path: tuple(weight.shape) for weight in model.weights}


def torch_tensors(which, shapes):
    """PyTorch's names and shapes, every `gamma` 2; what each variable must become."""
    tensors, expected = Arrays(), {}
    theirs = {"beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    for layer, _, torch, bare in layout(*which):
        height, width, inputs, filters = shapes[f"{layer}/kernel"]
        kernel = (filters, inputs, height, width)
        if bare:
            expected[f"{layer}/kernel"] = tensors.add(f"{torch}.weight", kernel)
            expected[f"{layer}/bias"] = tensors.add(f"{torch}.bias", (filters,))
            continue
        expected[f"{layer}/kernel"] = 2 * tensors.add(f"{torch}.conv.weight", kernel)
        tensors[f"{torch}.bn.weight"] = np.full(filters, 2, np.float32)
        for name, torch_name in theirs.items():
            number = tensors.add(f"{torch}.bn.{torch_name}", (filters,))
            expected[f"{layer}_bn/{name}"] = number * (2 if name == "moving_mean" else 1)
        tensors.add(f"{torch}.bn.num_batches_tracked", ())
    return tensors, expected


@pytest.mark.slow
def test_timm_s_tensors_find_their_places(mine):
    tensors, expected = torch_tensors(V2, shapes_of(mine))
    expected["predictions/kernel"] = tensors.add("classif.weight", (1000, 1536))
    expected["predictions/bias"] = tensors.add("classif.bias", (1000,))
    check(inception_resnet.from_torch(config("inception_resnet_v2"), tensors), shapes_of(mine), expected)


@pytest.mark.slow
def test_the_checkpoint_s_tensors_find_their_places(mine):
    shapes = shapes_of(mine)
    tensors, expected, root = Arrays(), {}, "InceptionResnetV2"
    for layer, scope, _, bare in layout(*V2):
        expected[f"{layer}/kernel"] = tensors.add(f"{root}/{scope}/weights", shapes[f"{layer}/kernel"])
        if bare:
            expected[f"{layer}/bias"] = tensors.add(f"{root}/{scope}/biases", shapes[f"{layer}/bias"])
            continue
        for name in ("beta", "moving_mean", "moving_variance"):
            path = f"{layer}_bn/{name}"
            expected[path] = tensors.add(f"{root}/{scope}/BatchNorm/{name}", shapes[path])
    expected["predictions/kernel"] = tensors.add(f"{root}/Logits/Logits/weights", (1536, 1001))
    expected["predictions/bias"] = tensors.add(f"{root}/Logits/Logits/biases", (1001,))
    for unused in ("Conv2d_1b_1x1/weights", "Conv2d_2a_5x5/BatchNorm/beta", "Logits/biases"):
        tensors.add(f"{root}/AuxLogits/{unused}", ())
    full = config("inception_resnet_v2")
    check(inception_resnet.from_slim(full, tensors), shapes, expected)
    del tensors[f"{root}/Block8/Conv2d_1x1/biases"]
    with pytest.raises(UsageError, match=f"Missing: {root}/Block8/Conv2d_1x1/biases"):
        inception_resnet.from_slim(full, tensors)


@pytest.mark.slow
def test_facenet_s_tensors_find_their_places():
    full = config("inception_resnet_v1_face")
    shapes = shapes_of(inception_resnet.build(full))
    tensors, expected = torch_tensors(FACE, shapes)
    expected["bottleneck/kernel"] = 2 * tensors.add("last_linear.weight", (512, 1792))
    tensors["last_bn.weight"] = np.full(512, 2, np.float32)
    expected["bottleneck_bn/beta"] = tensors.add("last_bn.bias", (512,))
    expected["bottleneck_bn/moving_mean"] = 2 * tensors.add("last_bn.running_mean", (512,))
    expected["bottleneck_bn/moving_variance"] = tensors.add("last_bn.running_var", (512,))
    tensors.add("last_bn.num_batches_tracked", ())
    expected["predictions/kernel"] = tensors.add("logits.weight", (8631, 512))
    expected["predictions/bias"] = tensors.add("logits.bias", (8631,))
    check(inception_resnet.from_torch(full, tensors), shapes, expected)
    # facenet-pytorch counts what is trained, with gamma; here it is without, and with the moving statistics.
    filters = sum(shape[0] for path, shape in shapes.items() if path.endswith("/beta"))
    assert sum(np.prod(shape) for shape in shapes.values()) == 27_910_327 - filters + 2 * filters


# --- What the blocks do -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["inception_resnet_v1", "inception_resnet_v2"])
@pytest.mark.parametrize(
    ("block", "scale", "relu"),
    [("block35_1", 0.17, True), ("block17_1", 0.1, True), ("block8_1", 0.2, True), ("block8_2", 1.0, False)],
)
def test_a_block_adds_its_scaled_result(variant, block, scale, relu):
    """With a last convolution that says -1 everywhere, what is added is -scale."""
    model = scatter(inception_resnet.build(small(variant)))
    conv = model.get_layer(f"{block}_conv")
    conv.set_weights([np.zeros(conv.kernel.shape), np.full(conv.bias.shape, -1)])
    add = model.get_layer(f"{block}_add")
    end = model.get_layer(f"{block}_ac") if relu else add
    entered, left = map(np.asarray, keras.Model(model.input, [add.input[0], end.output])(pictures(2, 107, 107, 3)))
    assert entered.std() > 0.01
    expected = entered - scale
    np.testing.assert_allclose(left, np.maximum(expected, 0) if relu else expected, atol=1e-5)
    assert (left < 0).any() != relu


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_smallest_and_unknown_sizes(variant):
    least = inception_resnet.build(small(variant, input_shape=(75, 75, 3)))
    assert least(pictures(1, 75, 75, 3)).shape == (1, 50)
    with pytest.raises(ValueError, match="zero or negative"):
        inception_resnet.build(small(variant, input_shape=(74, 75, 3)))
    scatter(least)
    free = inception_resnet.build(small(variant, input_shape=(None, None, 3)))
    free.set_weights(least.get_weights())
    close(free(pictures(2, 75, 75, 3)), least(pictures(2, 75, 75, 3)), relative=1e-6)
    assert free(pictures(1, 80, 131, 3)).shape == (1, 50)


@pytest.mark.parametrize("build", [InceptionResNetV1, InceptionResNetV1Face, InceptionResNetV2])
def test_too_small_is_refused(build):
    with pytest.raises(UsageError, match="at least 75"):
        build(weights=None, input_shape=(74, 75, 3))


def test_weights_of_another_kind_are_refused():
    with pytest.raises(UsageError, match="no pretrained ones"):
        InceptionResNetV1(weights="imagenet")
    with pytest.raises(UsageError, match="it has vggface2"):
        InceptionResNetV1Face(weights="imagenet")
    with pytest.raises(UsageError, match="1000 classes; 10 were asked for"):
        InceptionResNetV2(classes=10)


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_top(variant):
    channels = 192 if variant == "inception_resnet_v2" else 224
    for pooling, shape in ((None, (1, 2, 2, channels)), ("avg", (1, channels))):
        model = inception_resnet.build(small(variant, include_top=False, pooling=pooling))
        assert model(pictures(1, 107, 107, 3)).shape == shape


def test_dropout_in_training_alone():
    model = scatter(inception_resnet.build(small("inception_resnet_v1_face")))
    model.trainable = False  # so that batch normalisation keeps its statistics
    images = pictures(1, 107, 107, 3)
    close(model(images), model(images), relative=1e-6)
    assert np.abs(np.asarray(model(images, training=True)) - np.asarray(model(images))).max() > 0
    assert [described.config.dropout for described in VARIANTS.values()] == [0.2, 0.2, 0.6]
