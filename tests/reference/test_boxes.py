"""Networks that find boxes say what public implementations do that hold the same numbers, and make the same of it.

`recipes/reference_boxes.py` wrote what those say; `pytest tests/reference --accept-goldens` writes `docs/fidelity.md`.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from kerazoo import registry, weights
from kerazoo.assets import Assets
from kerazoo.ops import numpy as ops
from recipes.seeded import pictures, tensor
from tests.reference import table
from tests.reference.references import GOLDENS, WRITERS, Agreement, agreement

NAMES = tuple(sorted(path.stem for path in (GOLDENS / "boxes").glob("*.json")))

WITHOUT = {
    "mobilenetv2_yolov3_nano": "independent code's answers with the published file: a test compares them",
    "retinanet_resnet18_slim": "a form of `retinanet_resnet50`",
    "yolov3": "a second reading of the authors' `.cfg`: a test compares what both say of random numbers",
    "yolov3_tiny": "a second reading of the authors' `.cfg`: a test compares what both say of random numbers",
}
"""Detector -> what it is held against instead."""


def golden(name):
    return json.loads((GOLDENS / "boxes" / f"{name}.json").read_text(encoding="utf-8"))


def said_by(name, folder):
    """Logits, moves and boxes of the anchors that are kept, as rows."""
    stored = golden(name)
    rows = stored["tensors"].items()
    path = folder / "weights"
    arrays = {key: tensor(stored["seed"], key, tuple(shape), *given) for key, (shape, *given) in rows}
    WRITERS[stored["reader"]](path, arrays)
    family, described = registry.variants()[name]
    config = replace(described.config, input_shape=tuple(stored["input"]["shape"]))
    model = family.build(config)
    weights.load(model, config, family.SOURCES, weights.resolve(name, path))
    path.unlink()
    moves, logits = map(np.asarray, model(pictures(stored["seed"], config.input_shape, stored["input"]["scale"])))
    assert logits.shape[1] == stored["anchors"]
    boxes = family.tasks(config, Assets())["detect"].moved(ops, moves)[..., [1, 0, 3, 2]]
    found = {"logits": logits, "moves": moves, "boxes": boxes}
    return {port: values[:, stored["kept"]].reshape(len(values), -1) for port, values in found.items()}


def closed(rows):
    """Of boxes whose corners have crossed nothing is left; fizyr's code hands them on."""
    boxes = np.reshape(rows, (len(rows), -1, 4))
    return np.concatenate([boxes[..., :2], np.maximum(boxes[..., 2:], boxes[..., :2])], -1).reshape(len(rows), -1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_same_boxes(name, tmp_path, shared, request):
    stored = golden(name)
    found = said_by(name, tmp_path)
    outputs = stored["outputs"] | {"boxes": closed(stored["outputs"]["boxes"])}
    agreed = {port: agreement(found[port], rows) for port, rows in outputs.items()}
    print(f"{name}: {', '.join(f'{port} {each.error:.2g}' for port, each in agreed.items())}")
    worst = max(each.error for each in agreed.values())
    assert worst <= table.TOLERANCE
    classes = len(stored["outputs"]["logits"][0]) // len(stored["kept"])
    mine, theirs = (np.reshape(rows, (-1, classes)) for rows in (found["logits"], stored["outputs"]["logits"]))
    best = agreement(mine, theirs)
    assert best.top1 >= 0.99 * best.of
    version = stored["versions"].get("torchvision", "").partition("+")[0]
    row = table.row(name, f"{stored['reference']} {version}".strip(), Agreement(worst, best.top1, best.of))
    if request.config.getoption("--accept-goldens"):
        table.accept(table.BOXES, [row], shared)
    kept_row = table.rows(table.BOXES).get(row[0])
    assert kept_row is not None, f"docs/fidelity.md has no row for {name}; write it with --accept-goldens"
    assert kept_row[1] == row[1] and worst <= float(kept_row[3])


def test_every_detector_has_a_reference_or_a_reason():
    known = [name for name, (_, variant) in registry.variants().items() if variant.task == "detect"]
    assert sorted([*NAMES, *WITHOUT]) == sorted(known)
    assert table.rows(table.BOXES).keys() == {f"`{name}`" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_reference_s_answer_says_something(name):
    """Neither flat nor the same for both pictures."""
    stored = golden(name)
    for port, rows in stored["outputs"].items():
        rows = np.asarray(rows)
        size = np.abs(rows).max()
        assert np.isfinite(rows).all() and rows.std(axis=1).min() > 0.02 * size
        assert np.abs(rows[0] - rows[1]).max() > 0.05 * size, port
