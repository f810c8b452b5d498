"""Networks that segment or find joints answer as public implementations do that hold the same numbers.

`recipes/reference_dense.py` wrote what those say; `pytest tests/reference --accept-goldens` writes `docs/fidelity.md`.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from kerazoo import registry, weights
from recipes.seeded import pictures, tensor
from tests.reference import table
from tests.reference.references import GOLDENS, WRITERS, agreement

NAMES = tuple(sorted(path.stem for path in (GOLDENS / "dense").glob("*.json")))
PLACES = 5
"""About so many places each way are kept of an answer."""

WITHOUT = {
    "deeplab_v3_mobilenetv2_dm05": "TensorFlow's own LiteRT file: a test compares all its logits on photographs",
    "unet": "the paper's figure; no library has it",
    "unet_retina": "the author's stored predictions: a test reproduces them",
    "unet_same": "a form of `unet`",
    "unet_slim": "a form of `unet`",
}
"""Segmenter or finder of joints -> what it is held against instead."""


def golden(name):
    return json.loads((GOLDENS / "dense" / f"{name}.json").read_text(encoding="utf-8"))


def said_by(name, folder):
    kept = golden(name)
    rows = kept["tensors"].items()
    arrays = {key: tensor(kept["seed"], key, tuple(shape), *given) for key, (shape, *given) in rows}
    path = folder / "weights"
    WRITERS[kept["reader"]](path, arrays)
    family, described = registry.variants()[name]
    config = replace(described.config, input_shape=tuple(kept["input"]["shape"]))
    model = family.build(config)
    weights.load(model, config, family.SOURCES, weights.resolve(name, path))
    path.unlink()
    maps = np.asarray(model(pictures(kept["seed"], tuple(kept["input"]["shape"]), kept["input"]["scale"])))
    assert list(maps.shape[1:]) == kept["map"]
    down, across = (max(1, side // PLACES) for side in maps.shape[1:3])
    sampled = maps[:, ::down, ::across]
    return sampled.reshape(-1, sampled.shape[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_same_maps(name, tmp_path, shared, request):
    kept = golden(name)
    found = said_by(name, tmp_path)
    agreed = agreement(found, np.asarray(kept["outputs"]["logits"]).reshape(found.shape))
    print(f"{name}: relative error {agreed.error:.2g}, best class the same at {agreed.top1} of {agreed.of} places")
    assert agreed.error <= table.TOLERANCE
    assert agreed.top1 >= 0.99 * agreed.of
    row = table.row(name, kept["reference"], agreed)
    if request.config.getoption("--accept-goldens"):
        table.accept(table.MAPS, [row], shared)
    kept_row = table.rows(table.MAPS).get(row[0])
    assert kept_row is not None, f"docs/fidelity.md has no row for {name}; write it with --accept-goldens"
    assert kept_row[1] == row[1] and agreed.error <= float(kept_row[3])


def test_every_network_of_maps_has_a_reference_or_a_reason():
    kinds = ("segment", "pose")
    known = [name for name, (_, variant) in registry.variants().items() if variant.task in kinds]
    assert sorted([*NAMES, *WITHOUT]) == sorted(known)
    assert table.rows(table.MAPS).keys() == {f"`{name}`" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_reference_s_answer_says_something(name):
    rows = np.asarray(golden(name)["outputs"]["logits"])
    size = np.abs(rows).max()
    assert np.isfinite(rows).all() and rows.std(axis=1).min() > 0.02 * size
    assert np.abs(rows[0] - rows[1]).max() > 0.05 * size
