"""RetinaNet: the names of three programs' files, where a new network begins, and what it learns."""

from dataclasses import replace

import numpy as np
import pytest

from kerazoo import registry, weights
from kerazoo.applications import retinanet
from kerazoo.applications.retinanet import VARIANTS, RetinaNetResNet18Slim, RetinaNetResNet50
from kerazoo.errors import UsageError
from kerazoo.own import find
from kerazoo.train import fit
from tests.applications.common import keras_warns
from tests.reference.references import WRITERS
from tests.train.test_boxes import KINDS, SIDE, source

pytestmark = keras_warns


def test_a_new_network_is_as_sure_as_the_paper_wants():
    """One in a hundred of each class at each anchor, whatever it sees, before its first step."""
    model = RetinaNetResNet18Slim(weights=None, input_shape=(64, 96, 3), classes=3)
    pictures = np.random.default_rng(0).normal(0, 1, (2, 64, 96, 3)).astype("f")
    moves, logits = map(np.asarray, model(pictures))
    anchors = 9 * (8 * 12 + 4 * 6 + 2 * 3 + 1 * 2 + 1)
    assert moves.shape == (2, anchors, 4) and logits.shape == (2, anchors, 3)
    sure = 1 / (1 + np.exp(-logits))
    assert sure.mean() == pytest.approx(0.01, rel=0.1) and sure.max() < 0.05


def test_pictures_of_any_size():
    model = RetinaNetResNet18Slim(weights=None, input_shape=(None, None, 3), classes=3)
    assert [each.shape for each in model(np.zeros((1, 32, 64, 3)))] == [(1, 396, 4), (1, 396, 3)]


@pytest.mark.parametrize(("arguments", "told"), [
    ({"input_shape": (100, 96, 3)}, "multiples of 32"),
    ({"classes": 0}, "positive whole number"),
    ({"weights": "coco", "classes": 3}, "80 classes"),
    ({"weights": "voc"}, "not known"),
])  # fmt: skip
def test_wrong_arguments(arguments, told):
    with pytest.raises(UsageError, match=told):
        RetinaNetResNet50(**{"weights": None, **arguments})


def small(name):
    """The variant with few filters, and random values of its variables."""
    config = VARIANTS[name].small
    model, random = retinanet.build(config), np.random.default_rng(0)
    return config, {each.path: random.uniform(0.5, 1, each.shape).astype("f") for each in model.weights}


def read(name, config, tensors, path, form):
    """Our variables, of a file with these tensors."""
    WRITERS[form](path, tensors)
    model = retinanet.build(config)
    weights.load(model, config, retinanet.SOURCES, weights.resolve(name, path))
    return {each.path: each.numpy() for each in model.weights}


def as_torch(values):
    """Kernels with their outputs first."""
    return {
        key: np.ascontiguousarray(value.transpose(3, 2, 0, 1)) if value.ndim == 4 else value
        for key, value in values.items()
    }


def test_torchvisions_first_file_has_other_names_than_its_networks_now(tmp_path):
    """`conv.2` for `conv.1.0`; both are read, and the epsilon that they are asked without is taken off."""
    name = "retinanet_resnet50_fpn"
    config, values = small(name)
    its = {path: source for path, (source, _) in recipe(config).items()}
    now = as_torch({its[path]: value for path, value in values.items()})
    old = {
        key.replace("conv.1.0.", "conv.2.").replace("conv.0.0.", "conv.0.").replace("_blocks.0.0.", "_blocks.0.")
        .replace("_blocks.1.0.", "_blocks.1.").replace("_blocks.2.0.", "_blocks.2."): value
        for key, value in now.items()
    }  # fmt: skip
    assert "head.regression_head.conv.2.weight" in old and "head.regression_head.conv.1.0.weight" in now
    for number, tensors in enumerate((now, old)):
        found = read(name, config, tensors, tmp_path / f"{number}.pth", "torch")
        for path, value in values.items():
            np.testing.assert_allclose(found[path], value - 1e-5 * ("variance" in path), rtol=1e-6)


def recipe(config):
    """What the converter makes of which tensor."""
    kept = {}

    def noted(tensors, recipe, dropped):
        kept.update(recipe)
        return {}

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(retinanet, "convert", noted)
        retinanet.from_torch(config, {})
    return kept


FIZYR = {
    "conv1_conv": "conv1",
    "conv1_bn": "bn_conv1",
    "stage1_block1_0_conv": "res2a_branch1",
    "stage1_block1_3_bn": "bn2a_branch2c",
    "stage3_block2_2_conv": "res4b_branch2b",
    "lateral4": "C4_reduced",
    "p6": "P6",
    "moves2_conv": "regression_submodel/pyramid_regression_1",
    "moves_conv": "regression_submodel/pyramid_regression",
    "logits1_conv": "classification_submodel/pyramid_classification_0",
    "logits_conv": "classification_submodel/pyramid_classification",
}
"""Some of our layers, and what fizyr's files call them."""


def test_fizyrs_files_are_read_by_their_names(tmp_path):
    name = "retinanet_resnet50"
    config, values = small(name)
    calls = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(retinanet, "renamed", lambda tensors, names: calls.update(names))
        retinanet.from_keras(config, {})
    nested = {"pyramid_regression": "regression_submodel/", "pyramid_classification": "classification_submodel/"}
    theirs = {}
    for its, mine in calls.items():
        prefix = next((folder for start, folder in nested.items() if its.startswith(start)), "")
        theirs[mine] = prefix + its
    assert {mine: theirs[mine] for mine in FIZYR} == FIZYR
    stored = {f"{theirs[path.partition('/')[0]]}/{path.partition('/')[2]}": value for path, value in values.items()}
    found = read(name, config, stored, tmp_path / "fizyr.h5", "keras_h5")
    for path, value in values.items():
        np.testing.assert_array_equal(found[path], value)
    del stored["P6/bias"]
    with pytest.raises(UsageError, match="p6"):
        read(name, config, stored, tmp_path / "half.h5", "keras_h5")


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["focal", "binary_cross_entropy"])
def test_a_source_of_boxes_becomes_a_model(loss, tmp_path):
    name = "retinanet_resnet18_slim"
    family, described = registry.variants()[name]
    with pytest.MonkeyPatch.context() as patched:
        config = replace(described.small, input_shape=(SIDE, SIDE, 3))
        patched.setitem(registry.variants(), name, (family, replace(described, config=config)))
        settings = {"batch": 4, "rate": 3e-3, "augment": "mirror", "loss": loss}
        data = source(tmp_path / "data", 24)
        made = fit.train(name, data, tmp_path / "out", epochs=8, settings=settings, say=lambda line: None)
        losses = [row["loss"] for row in made.history]
        assert losses[-1] < 0.7 * losses[0]
        assert find(str(made.path)).build().task.labels == KINDS
