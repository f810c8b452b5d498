"""HRNet's two other heads: published counts, the authors' files, and sizes that cannot be."""

import numpy as np
import pytest

from kerazoo import weights
from kerazoo.applications import hrnet_pose, hrnet_seg
from kerazoo.applications._hrnet import names
from kerazoo.errors import UsageError
from kerazoo.weights.recipes import TORCH_NORM
from tests.applications.common import close, keras_warns, pictures, scatter
from tests.weights import files

pytestmark = keras_warns

CASES = {
    "hrnet_w18_seg": (hrnet_seg, {"head": ("last_layer.0", "last_layer.1")}, ("logits", "last_layer.3"), 4),
    "hrnet_w32_pose": (hrnet_pose, {}, ("heat", "final_layer"), 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_authors_files(name, tmp_path):
    """As they are; for segmentation also with the loss beside, as their training saves it."""
    family, further, (last, theirs), maps = CASES[name]
    config = family.VARIANTS[name].small
    source = scatter(family.build(config))
    own = {weight.path: weight.numpy() for weight in source.weights}
    stored = {f"{theirs}.weight": own[f"{last}/kernel"].transpose(3, 2, 0, 1), f"{theirs}.bias": own[f"{last}/bias"]}
    known = {ours: (kernel, norm) for ours, kernel, norm in names(config, last=maps)} | further
    for ours, (kernel, norm) in known.items():
        stored[f"{kernel}.weight"] = own[f"{ours}_conv/kernel"].transpose(3, 2, 0, 1)
        if f"{ours}_conv/bias" in own:
            stored[f"{kernel}.bias"] = own[f"{ours}_conv/bias"]
        stored |= {f"{norm}.{its}": own[f"{ours}_bn/{mine}"] for mine, its in TORCH_NORM.items()}
        stored[f"{norm}.num_batches_tracked"] = np.array(7, np.float32)
    stored = {key: np.ascontiguousarray(value) for key, value in stored.items()}
    images = pictures(1, *config.input_shape)
    wrapped = {f"model.{key}": value for key, value in stored.items()} | {
        "loss.criterion.weight": np.ones(5, np.float32)
    }
    for tensors in (stored, wrapped) if name.endswith("seg") else (stored,):
        files.torch_zip(tmp_path / "file.pth", tensors)
        model = family.build(config)
        weights.load(model, config, family.SOURCES, weights.resolve(name, tmp_path / "file.pth"))
        close(model(images), source(images))
    files.torch_zip(tmp_path / "file.pth", {key: value for key, value in stored.items() if key != "conv2.weight"})
    with pytest.raises(UsageError, match=r"conv2\.weight"):
        weights.load(model, config, family.SOURCES, weights.resolve(name, tmp_path / "file.pth"))


def test_a_pose_s_last_exchange_makes_one_map():
    config = hrnet_pose.VARIANTS["hrnet_w32_pose"].small
    layers = {layer.name for layer in hrnet_pose.build(config).layers}
    assert "stage4_module1_from4_to1_conv" in layers and not any("_to2" in name for name in layers if "stage4" in name)


@pytest.mark.parametrize(
    ("build", "arguments", "told"),
    [
        (hrnet_seg.HRNetW18Seg, {"input_shape": (100, 128, 3)}, "multiple of 32"),
        (hrnet_pose.HRNetW32Pose, {"input_shape": (256, 100, 3)}, "multiple of 32"),
        (hrnet_pose.HRNetW32Pose, {"classes": 0}, "positive whole number"),
        (hrnet_seg.HRNetW48Seg, {"classes": 5}, "19 classes and 3 channels; 5 and 3 were asked for"),
    ],
)
def test_wrong_arguments(build, arguments, told):
    with pytest.raises(UsageError, match=told):
        build(**arguments)
