"""Our networks answer as public implementations do that hold the same numbers.

`pytest tests/reference --accept-goldens` writes the tables of `docs/fidelity.md` anew.
"""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from kerazoo import registry
from recipes import seeded
from tests.reference import table
from tests.reference.references import (
    GOLDENS,
    NAMES,
    NO_REFERENCE,
    agreement,
    golden,
    images,
    library,
    loaded,
    measured,
    tensors,
)

CLASSIFIERS = [name for name, (_, variant) in registry.variants().items() if variant.task == "classify"]
EASY = "mobilenet_v1_025"
"""The quickest of the variants."""


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_same_logits(name, tmp_path, shared, request):
    found = measured(name, loaded(name, tmp_path))
    print(f"{name}: relative error {found.error:.2g}")
    assert found.error <= table.TOLERANCE
    assert found.top1 == found.of
    row = table.row(name, library(name), found)
    if request.config.getoption("--accept-goldens"):
        table.accept(table.MEASURED, [row], shared)
    kept = table.rows(table.MEASURED).get(row[0])
    assert kept is not None, f"docs/fidelity.md has no row for {name}; write it with --accept-goldens"
    assert (kept[1], kept[4]) == (row[1], row[4])
    # What was measured when the row was written differs between processors; the bound holds on all of them.
    assert found.error <= float(kept[3])


def test_every_classifier_has_a_reference_or_a_reason():
    assert sorted([*NAMES, *NO_REFERENCE]) == sorted(CLASSIFIERS)


def test_the_page_names_all_of_them(shared, request):
    without = [(f"`{name}`", why) for name, why in NO_REFERENCE.items()]
    if request.config.getoption("--accept-goldens"):
        table.accept(table.WITHOUT, without, shared, alone=True)
    assert sorted(table.rows(table.WITHOUT).values()) == sorted(without)
    assert table.rows(table.MEASURED).keys() <= {f"`{name}`" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_reference_s_answer_says_something(name):
    """Neither flat nor the same for both pictures, and no two classes so close that rounding chooses."""
    for logits in golden(name)["outputs"].values():
        logits = np.asarray(logits)
        assert logits.shape == (2, 1000)
        assert np.isfinite(logits).all()
        size = np.abs(logits).max()
        assert logits.std(axis=1).min() > 0.02 * size
        assert np.abs(logits[0] - logits[1]).max() > 0.05 * size
        first, second = np.sort(logits)[:, :-3:-1].T
        assert (first - second).min() >= 1e-3 * size


def test_two_tensors_in_each_other_s_place_are_noticed(tmp_path):
    arrays = tensors(EASY)
    one, other = "conv_pw_7_bn/gamma", "conv_pw_8_bn/gamma"
    arrays[one], arrays[other] = arrays[other], arrays[one]
    assert measured(EASY, loaded(EASY, tmp_path, arrays)).error > table.TOLERANCE


def test_another_epsilon_is_noticed(tmp_path):
    model = loaded(EASY, tmp_path)
    for layer in model.layers:
        if hasattr(layer, "epsilon"):
            layer.epsilon /= 2
    assert measured(EASY, model).error > 1e-3


def test_another_order_of_classes_is_noticed():
    logits = np.asarray(golden(EASY)["outputs"]["logits"])
    assert agreement(logits, logits).error == 0
    found = agreement(np.roll(logits, 1, axis=1), logits)
    assert found.error > 0.1 and found.top1 == 0


def test_seeded_numbers_are_the_same_everywhere():
    """As they were when the references answered."""
    pixels = [[1.3209882, 0.27333935, -1.5095891], [-2.1553392, 1.6664972, 0.6282431]]
    np.testing.assert_allclose(images("resnet50")[:, 100, 37], pixels, rtol=1e-6)
    kernel = np.asarray([-0.11660734, -0.1999225, 0.12196441, -0.15351507], np.float32)
    np.testing.assert_array_equal(tensors("resnet50")["conv1_conv/kernel"][3, 4, 2, :4], kernel)


@pytest.mark.parametrize(
    ("error", "written"),
    [(0, "0 1e-5"), (2e-7, "2e-7 1e-5"), (1.9e-6, "2e-6 1e-5"), (3.1e-6, "4e-6 1e-4"), (4e-5, "4e-5 1e-4")],
)
def test_a_bound_leaves_room_for_other_processors(error, written):
    assert f"{table.up(error)} {table.bound(error)}" == written


@pytest.mark.slow
def test_the_recipe_writes_what_is_kept(tmp_path, monkeypatch):
    """For the quickest variant, with the Keras that is installed."""
    monkeypatch.syspath_prepend(str(Path(seeded.__file__).parent))
    recipe = importlib.import_module("reference_goldens")
    monkeypatch.setattr(sys, "argv", ["recipe", "--library", "keras", "--only", EASY, "--out", str(tmp_path)])
    recipe.main()
    written, kept = json.loads((tmp_path / f"{EASY}.json").read_text(encoding="utf-8")), golden(EASY)
    for same in ("reference", "reader", "seed", "input"):
        assert written[same] == kept[same]
    assert list(written["tensors"]) == list(kept["tensors"])
    for name, (shape, *given) in kept["tensors"].items():
        assert written["tensors"][name][0] == shape
        # Variances were measured, so they may round the other way in their third digit.
        np.testing.assert_allclose(written["tensors"][name][1:], given, rtol=0.011)
    assert sorted(recipe.REFERENCES) == list(NAMES)
    assert GOLDENS == recipe.FOLDER
