"""DeepLab's four papers: published names and counts, the files of several programs, real weights on photographs."""

import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerazoo import weights
from kerazoo.applications import deeplab_v1, deeplab_v2, deeplab_v3, deeplab_v3plus
from kerazoo.applications._slim import EPSILON, folded, from_keras_h5, from_slim
from kerazoo.errors import UsageError
from kerazoo.loading import load
from tests.applications.common import DATA_ENV, close, keras_warns, mirror, needs_data, pictures, scatter
from tests.weights import files

pytestmark = keras_warns

FAMILIES = (deeplab_v1, deeplab_v2, deeplab_v3, deeplab_v3plus)
SMALL = {name: (family, variant.small) for family in FAMILIES for name, variant in family.VARIANTS.items()}


@pytest.mark.slow
def test_kernels_that_look_far_keep_the_resolution():
    """An eighth of the picture; a sixteenth for Xception."""
    for name, (family, config) in SMALL.items():
        maps = {layer.output.shape[1] for layer in family.build(config).layers if len(layer.output.shape) == 4}
        # Besides what is pooled to one pixel.
        stride = 16 if name.endswith("xception") else 8
        assert min(maps - {1}) == -(-config.input_shape[0] // stride), name


def slim_name(layer, variable):
    """Of one of our layers in TensorFlow's checkpoints, by the rules of bonlime's `extract_weights.py`."""
    leaf = {"kernel": "weights", "bias": "biases"}.get(variable, f"BatchNorm/{variable}")
    scope = {"Conv1": "Conv", "bn_Conv1": "Conv"}.get(layer, layer).removesuffix("_BN")
    scope = re.sub(r"^block_(\d+)_(?=expand|depthwise|project)", r"expanded_conv_\1/", scope)
    scope = re.sub(r"^expanded_conv_(?=depthwise|project)", "expanded_conv/", scope)
    scope = re.sub(r"^(entry|exit)_flow_(block\d+)_", r"\1_flow/\2/unit_1/xception_module/", scope)
    scope = re.sub(r"^middle_flow_(unit_\d+)_", r"middle_flow/block1/\1/xception_module/", scope)
    scope = scope.replace("entry_flow_conv1", "entry_flow/conv1").replace("logits_semantic", "logits/semantic")
    if scope == "Conv" or scope.startswith("expanded_conv"):
        scope = f"MobilenetV2/{scope}"
    elif scope.startswith(("entry_flow", "middle_flow", "exit_flow")):
        scope = f"xception_65/{scope}"
    elif scope.startswith(("decoder", "feature_projection")):
        scope = f"decoder/{scope}"
    if leaf == "weights" and scope.endswith("depthwise"):
        leaf = "depthwise_weights"
    return f"{scope}/{leaf}"


@pytest.mark.parametrize(
    "name", ["deeplab_v3_mobilenetv2_dm05", "deeplab_v3plus_mobilenetv2", "deeplab_v3plus_xception"]
)
def test_a_checkpoint_of_tensorflow_and_the_keras_file_of_it(name):
    family, config = SMALL[name]
    model = scatter(family.build(config))
    own = {weight.path: weight.numpy() for weight in model.weights}
    stored = {slim_name(*path.rsplit("/", 1)): value for path, value in own.items()}
    assert len(stored) == len(own)
    momenta = {f"{key}/Momentum": value for key, value in stored.items()}
    found = from_slim(stored | momenta | {"global_step": np.array(30000)})
    assert found.keys() == own.keys()
    assert all(found[path] is stored[slim_name(*path.rsplit("/", 1))] for path in own)
    # bonlime's layers are called as the scopes, with one kind of slash.
    as_keras = {}
    for path in own:
        layer, variable = path.rsplit("/", 1)
        scope = slim_name(layer, variable).rsplit("/", 2 if "BatchNorm" in slim_name(layer, variable) else 1)[0]
        scope = re.sub(r"(block\d)/unit_1/xception_module", r"\1", scope.replace("middle_flow/block1/", "middle_flow/"))
        scope = scope.replace("/xception_module", "")
        scope = re.sub("^(MobilenetV2|xception_65|decoder)/", "", scope).replace("/", "_")
        as_keras[f"{scope}{'_BN' if layer.endswith('_BN') or layer == 'bn_Conv1' else ''}/{variable}"] = own[path]
    assert from_keras_h5(as_keras).keys() == own.keys()
    assert set(from_keras_h5({"custom_logits_semantic/kernel": 0})) == {"logits_semantic/kernel"}


def test_a_litert_file_of_the_half_mobilenet(tmp_path):
    family, config = SMALL["deeplab_v3_mobilenetv2_dm05"]
    source = scatter(family.build(config))
    own = {weight.path: weight.numpy().astype(np.float64) for weight in source.weights}
    stored = {}
    for path, value in own.items():
        layer, variable = path.rsplit("/", 1)
        scope = slim_name(layer, "kernel").rpartition("/")[0]
        depthwise = layer.endswith("depthwise")
        if variable == "bias":
            stored[f"{scope}/Conv2D_bias"] = value
        elif variable == "kernel":
            norm = "bn_Conv1" if layer == "Conv1" else f"{layer}_BN"
            kernel = value.transpose(3, 0, 1, 2)
            if norm.endswith("_BN") and f"{norm}/gamma" in own or layer == "Conv1":
                epsilon = source.get_layer(norm).epsilon
                scale = own[f"{norm}/gamma"] / np.sqrt(own[f"{norm}/moving_variance"] + epsilon)
                kernel = kernel * (scale if depthwise else scale[:, None, None, None])
                bias = own[f"{norm}/beta"] - scale * own[f"{norm}/moving_mean"]
                stored[f"{scope}/{'depthwise_bias' if depthwise else 'Conv2D_bias'}"] = bias
            stored[f"{scope}/{'depthwise_weights' if depthwise else 'weights'}"] = kernel
    files.tflite(tmp_path / "folded.tflite", stored)
    model = family.build(config)
    weights.load(
        model, config, family.SOURCES, weights.resolve("deeplab_v3_mobilenetv2_dm05", tmp_path / "folded.tflite")
    )
    images = pictures(1, 65, 65, 3)
    close(model(images), source(images), 1e-4)


def test_folded_normalisation_changes_nothing():
    assert np.float32(1 - EPSILON) + np.float32(EPSILON) == np.float32(1)
    made = folded({"aspp0/Conv2D_bias": np.float32([0.25, -3.0])})
    assert made["aspp0_BN/beta"].tolist() == [0.25, -3.0] and made["aspp0_BN/gamma"].tolist() == [1, 1]


def test_a_file_of_kazuto_s_with_and_without_scales(tmp_path):
    family, config = SMALL["deeplab_v2_resnet101"]
    source = scatter(family.build(config))
    own = {weight.path: weight.numpy() for weight in source.weights}
    kinds = {"0": "shortcut", "1": "reduce", "2": "conv3x3", "3": "increase"}
    leaves = {"kernel": "conv.weight", "gamma": "bn.weight", "beta": "bn.bias", "moving_mean": "bn.running_mean"}
    leaves["moving_variance"] = "bn.running_var"
    stored = {}
    for path, value in own.items():
        layer, variable = path.rsplit("/", 1)
        value = np.ascontiguousarray(value.transpose(3, 2, 0, 1)) if value.ndim == 4 else value
        if layer.startswith("aspp"):
            stored[f"aspp.c{int(layer[4:]) - 1}.{'weight' if variable == 'kernel' else 'bias'}"] = value
            continue
        part = layer.rpartition("_")[0]
        match = re.fullmatch(r"stage(\d)_block(\d+)_(\d)", part)
        scope = f"layer{int(match[1]) + 1}.block{match[2]}.{kinds[match[3]]}" if match else "layer1.conv1"
        stored[f"{scope}.{leaves[variable]}"] = value
    for prefix in ("", "base."):
        files.torch_zip(tmp_path / "file.pth", {prefix + key: value for key, value in stored.items()})
        model = family.build(config)
        weights.load(model, config, family.SOURCES, weights.resolve("deeplab_v2_resnet101", tmp_path / "file.pth"))
        assert all(np.array_equal(weight.numpy(), own[weight.path]) for weight in model.weights)
    lacking = {key: value for key, value in stored.items() if key != "aspp.c2.bias"}
    files.torch_zip(tmp_path / "file.pth", lacking)
    with pytest.raises(UsageError, match="aspp.c2.bias"):
        weights.load(model, config, family.SOURCES, weights.resolve("deeplab_v2_resnet101", tmp_path / "file.pth"))


def test_the_last_layer_of_a_caffe_file_may_be_called_after_its_data():
    config = SMALL["deeplab_v1_largefov"][1]
    own = {weight.path: weight.numpy() for weight in deeplab_v1.build(config).weights}
    stored = {}
    for path, value in own.items():
        layer, variable = path.rsplit("/", 1)
        layer = "fc8_voc12" if layer == "fc8" else layer
        value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
        stored[f"{layer}.{'weight' if variable == 'kernel' else variable}"] = value
    found = deeplab_v1.from_caffe(config, stored)
    assert found.keys() == own.keys() and all(np.array_equal(found[path], own[path]) for path in own)


@pytest.mark.slow
def test_any_size_and_other_classes():
    model = deeplab_v3.DeepLabV3MobileNetV2(None, (None, None, 3), 4, None)
    assert model(pictures(1, 70, 90, 3)).shape == (1, 70, 90, 4)
    fixed = deeplab_v3.DeepLabV3MobileNetV2(None, (73, 89, 3), 4, None)
    fixed.set_weights(scatter(model).get_weights())
    images = pictures(1, 73, 89, 3)
    close(model(images), fixed(images))
    named = deeplab_v3.DeepLabV3MobileNetV2(None, (65, 65, 3), 4)
    np.testing.assert_allclose(np.asarray(named(pictures(1, 65, 65, 3))).sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"classes": 0, "weights": None}, "positive whole number"),
        ({"input_shape": (20, 20, 3), "weights": None}, "at least 33"),
        ({"input_shape": (65, 65), "weights": None}, "height, width, channels"),
        ({"classes": 11}, "21 classes and 3 channels; 11 and 3 were asked for"),
        ({"weights": "cityscapes"}, "voc"),
    ],
)
def test_wrong_arguments(arguments, told):
    with pytest.raises(UsageError, match=told):
        deeplab_v3.DeepLabV3MobileNetV2(**arguments)


FOUND = {
    "cat_720p": "cat", "dog_segmentation": "dog", "bird": "bird", "owl": "bird", "parrot": "bird",
    "grace_hopper": "person", "pets": "dog",
}  # fmt: skip


@pytest.mark.slow
@needs_data
def test_real_weights_say_what_the_litert_file_says(monkeypatch, tmp_path):
    """Logits and masks of all ten photographs; cat, dogs, birds and the person are found."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    mirror(monkeypatch, tmp_path)
    folder = Path(os.environ[DATA_ENV])
    theirs = interpreter.Interpreter(str(folder / "weights" / "deeplabv3_257_mv_gpu.tflite"))
    theirs.allocate_tensors()
    given, gives = theirs.get_input_details()[0]["index"], theirs.get_output_details()[0]["index"]
    predictor = load("deeplab_v3_mobilenetv2_dm05:voc", "keras")
    network = deeplab_v3.DeepLabV3MobileNetV2(classifier_activation=None)
    photographs = sorted((folder / "photos").glob("*.jpg"))
    assert len(photographs) == 10
    for path in photographs:
        (pixels,) = predictor.task.input.prepare(predictor.network.ops, np.array([path.read_bytes()], object))
        seen = (pixels / 127.5 - 1)[None].astype(np.float32)
        theirs.set_tensor(given, seen)
        theirs.invoke()
        expected, found = theirs.get_tensor(gives), np.asarray(network(seen, training=False))
        close(found, expected, 1e-4)
        assert np.mean(found.argmax(-1) == expected.argmax(-1)) >= 0.995
        result = predictor(path)
        mask = np.asarray(Image.open(io.BytesIO(result.picture)))
        with Image.open(path) as picture:
            assert mask.shape == picture.size[::-1]
        shares = dict(zip(result.labels, result.shares, strict=True))
        if path.stem in FOUND:
            del shares["background"]
            assert max(shares, key=shares.get) == FOUND[path.stem] and shares[FOUND[path.stem]] > 0.1
