"""`kerazoo train` for detectors: boxes that move with their pictures, darknet's losses, and a model that finds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kerazoo
from kerazoo import cli, own, registry
from kerazoo.applications import yolov3
from kerazoo.assets import Assets
from kerazoo.codecs.image import Image
from kerazoo.engines import card as card_
from kerazoo.errors import UsageError
from kerazoo.metrics.detect import Truth
from kerazoo.ops import numpy as ops
from kerazoo.tasks.detect import Anchors, Head, Retina
from kerazoo.train import fit
from kerazoo.train.data import boxes
from kerazoo.train.data.boxes import Boxed
from kerazoo.train.retinanet import ASIDE, NOTHING, Dense, moves
from kerazoo.train.yolo import Yolo
from tests.metrics.stubs import folder, png
from tests.metrics.test_detect import xml

SIDE = 64
KINDS = ("disc", "square")
VARIANT = "yolov3_tiny"


def scene(rng: np.random.Generator, side: int = SIDE) -> tuple[np.ndarray, list[tuple[str, int, int, int, int]]]:
    """A red disc and a green square on dark ground, and where they are."""
    picture = rng.normal(40, 5, (side, side, 3)).clip(0, 255)
    rows, columns = np.mgrid[0:side, 0:side]
    found = []
    for half, (kind, colour) in zip((0, side // 2), (("disc", 0), ("square", 1)), strict=True):
        radius = int(rng.integers(side // 8, side // 5))
        down, across = (int(rng.integers(radius, each - radius)) for each in (side, side // 2))
        across += half
        distance = np.abs(rows - down), np.abs(columns - across)
        inside = np.hypot(*distance) < radius if kind == "disc" else np.maximum(*distance) < radius
        picture[inside] = 30
        picture[inside, colour] = 220
        found.append((kind, down - radius, across - radius, down + radius, across + radius))
    return picture.astype(np.uint8), found


def source(root: Path, count: int = 12, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    files: dict[str, Any] = {}
    for number in range(count):
        picture, found = scene(rng)
        files |= {f"{number}.png": png(picture), f"{number}.xml": xml(found, (SIDE, SIDE))}
    return folder(root, files)


# --- boxes move with what they are around --------------------------------------------------------------------------


def bright(picture: np.ndarray, channel: int) -> list[float]:
    """Top, left, bottom and right of what is red or green."""
    others = np.delete(picture.astype(int), channel, -1).max(-1)
    rows, columns = np.nonzero(picture[..., channel].astype(int) - others > 80)
    return [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]


@pytest.mark.parametrize("options", [
    {}, {"crop": 0.15}, {"mosaic": True}, {"steps": 1},
    {"image": Image(64, 96, fill="letterbox", pad=99)}, {"image": Image(96, 64), "crop": 0.2},
], ids=["plain", "crop", "mosaic", "scales", "letterbox", "stretched"])  # fmt: skip
@pytest.mark.parametrize("augment", [boxes.mirrored, boxes.turned, lambda batch, *_: batch], ids=["mirror", "turn", ""])
def test_a_box_lies_where_its_thing_does(options: dict[str, Any], augment: Any) -> None:
    rng = np.random.default_rng(3)
    pictures, truths = [], []
    for _ in range(8):
        picture, found = scene(rng, 128)
        pictures.append(picture)
        truths.append(Truth(np.array([box[1:] for box in found], float), np.arange(2)))
    data = Boxed(tuple(pictures), tuple(truths), **{"image": Image(64, 64), **options})
    seen = 0
    for number in range(4):
        batch = data.batch(np.arange(8), np.random.default_rng(number))
        batch = augment(batch, np.random.default_rng(number), 0)
        assert batch[0].dtype == np.uint8 and batch[1].shape == (8, data.most, 5)
        for picture, its in zip(*batch, strict=True):
            tall, wide = picture.shape[:2]
            for *box, kind in its[its[:, 4] >= 0].tolist():
                assert 0 <= box[0] < box[2] <= tall and 0 <= box[1] < box[3] <= wide
                if not data.mosaic:  # Of four, several are red.
                    np.testing.assert_allclose(box, bright(picture, int(kind)), atol=2.5)
                    seen += 1
                else:
                    middle = picture[int((box[0] + box[2]) / 2), int((box[1] + box[3]) / 2)]
                    seen += int(middle[int(kind)]) > 150
    assert seen > 40
    again = data.batch(np.arange(8), np.random.default_rng(0))
    assert all(
        np.array_equal(*pair) for pair in zip(again, data.batch(np.arange(8), np.random.default_rng(0)), strict=True)
    )


def test_difficult_boxes_and_crowds_are_not_learnt_from() -> None:
    square = np.array([[0.0, 0, 9, 9]] * 3)
    truth = Truth(square, np.arange(3), np.array([True, False, False]), np.array([False, True, False]))
    _, found = Boxed((np.zeros((9, 9, 3), np.uint8),), (truth,), Image(32, 32)).batch(
        np.zeros(1, int), np.random.default_rng(0)
    )
    assert found[0, :, 4].tolist() == [2, -1, -1]


# --- darknet's losses ----------------------------------------------------------------------------------------------

HEADS = (Head(32, ((60.0, 60.0), (20.0, 80.0)), 1.1), Head(16, ((10.0, 10.0), (16.0, 30.0))))


def darknet(outputs: list[np.ndarray], found: np.ndarray, classes: int, ignored: float) -> list[np.ndarray]:
    """`forward_yolo_layer` and `delta_yolo_box` in plain loops, for one picture: minus the gradient of each output.

    `found` is [n, 5] of left, top, right, bottom and class, in pixels.
    """

    def squash(x: float) -> float:
        return 1 / (1 + np.exp(-x))

    def shared(one: Any, other: Any) -> float:
        width = min(one[2], other[2]) - max(one[0], other[0])
        height = min(one[3], other[3]) - max(one[1], other[1])
        both = max(width, 0) * max(height, 0)
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
        return both / (sum(areas) - both)

    deltas = [np.zeros_like(output) for output in outputs]
    side = outputs[0].shape[0] * HEADS[0].stride
    for head, output, delta in zip(HEADS, outputs, deltas, strict=True):
        for row, column, anchor in np.ndindex(*output.shape[:2], len(head.anchors)):
            at = slice(anchor * (5 + classes), (anchor + 1) * (5 + classes))
            x, y, w, h, there = output[row, column, at][:5]
            shift = (head.reach - 1) / 2
            cx, cy = ((squash(v) * head.reach - shift + at_) * head.stride for v, at_ in ((x, column), (y, row)))
            half = [np.exp(v) * extent / 2 for v, extent in zip((w, h), head.anchors[anchor], strict=True)]
            box = (cx - half[0], cy - half[1], cx + half[0], cy + half[1])
            best = max([shared(box, each) for each in found], default=0)
            delta[row, column, at][4] = 0 if best > ignored else -squash(there)
    for left, top, right, bottom, kind in found:
        sides = right - left, bottom - top
        shapes = [(number, anchor, shared((0, 0, *sides), (0, 0, *each)))
                  for number, head in enumerate(HEADS) for anchor, each in enumerate(head.anchors)]  # fmt: skip
        number, anchor, _ = max(shapes, key=lambda each: each[2])
        head, output, delta = HEADS[number], outputs[number], deltas[number]
        centre = (left + right) / 2 / head.stride, (top + bottom) / 2 / head.stride
        column, row = int(centre[0]), int(centre[1])
        at = slice(anchor * (5 + classes), (anchor + 1) * (5 + classes))
        values, its = output[row, column, at], delta[row, column, at]
        scale = 2 - sides[0] * sides[1] / side**2
        shift = (head.reach - 1) / 2
        for axis, place in enumerate((column, row)):
            its[axis] = scale * (centre[axis] - place - (squash(values[axis]) * head.reach - shift))
            its[2 + axis] = scale * (np.log(sides[axis] / head.anchors[anchor][axis]) - values[2 + axis])
        its[4] = 1 - squash(values[4])
        for number_ in range(classes):
            its[5 + number_] = (number_ == kind) - squash(values[5 + number_])
    return deltas


def test_gradients_are_those_of_darknet() -> None:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    classes, loss = 3, Yolo(HEADS, 3, ignored=0.3)
    found = [[[3, 5, 60, 62, 2], [30, 40, 41, 50, 0], [50, 2, 63, 33, 1]], [[8, 8, 30, 90, 1]], []]
    outputs = [rng.normal(0, 0.5, (3, 96 // head.stride, 96 // head.stride, 2 * 8)) for head in HEADS]
    marked = np.full((3, 4, 5), -1, np.float32)
    for row, each in enumerate(found):
        for number, (left, top, right, bottom, kind) in enumerate(each):
            marked[row, number] = top, left, bottom, right, kind
    _, targets, corners = loss.assigned((np.zeros((3, 96, 96, 3), np.uint8), marked))
    made = [tf.constant(output.astype(np.float32)) for output in outputs]
    with tf.GradientTape() as tape:
        tape.watch(made)
        value = loss(targets, made, corners)
    gradients = tape.gradient(value, made)
    ignored = 0
    for row, each in enumerate(found):
        wanted = darknet([output[row] for output in outputs], np.array(each).reshape(-1, 5), classes, 0.3)
        for delta, gradient in zip(wanted, gradients, strict=True):
            np.testing.assert_allclose(-3 * gradient[row], delta, atol=2e-5)
            ignored += int(np.sum(delta.reshape(-1, 8)[:, 4] == 0))
    assert ignored, "no box overlaps an object without answering for it"


def test_new_outputs_begin_with_little_belief() -> None:
    network = yolov3.YOLOv3Tiny(weights=None, classes=4, input_shape=(64, 64, 3))
    yolov3.first_weights(network)
    for output in network.outputs:
        bias = output._keras_history.operation.bias.numpy().reshape(3, 9)
        assert np.allclose(1 / (1 + np.exp(-bias[:, 4])), 0.01) and not bias[:, :4].any() and not bias[:, 5:].any()


# --- RetinaNet's ----------------------------------------------------------------------------------------------------

ANCHORS = Anchors((16, 32), ((16.0, 24.0), (32.0, 48.0)))


@pytest.mark.parametrize("corners", [False, True])
def test_what_is_learnt_of_a_box_is_what_is_answered(corners: bool) -> None:
    task = Retina(Image(64, 96), KINDS, ANCHORS, corners)
    anchors, rng = ANCHORS.boxes(64, 96), np.random.default_rng(0)
    near = rng.uniform(0, 50, (len(anchors), 2))
    boxes = np.concatenate([near, near + rng.uniform(3, 60, near.shape)], -1)
    said = moves(anchors, boxes, corners)
    np.testing.assert_allclose(task.moved(ops, said[None])[0], boxes, rtol=1e-4, atol=1e-3)


def test_anchors_answer_for_what_they_overlap() -> None:
    loss = Dense(ANCHORS, False, 3)
    found = np.full((2, 3, 5), -1, np.float32)
    found[0, :2] = [[0, 0, 16, 16, 2], [50, 60, 53, 62, 1]]
    _, targets = loss.assigned((np.zeros((2, 64, 96, 3), np.uint8), found))
    anchors = ANCHORS.boxes(64, 96).astype(float)
    for row in range(2):
        shared = np.zeros((len(anchors), 3))
        for index, (top, left, bottom, right, kind) in enumerate(found[row].tolist()):
            sides = [
                np.minimum(anchors[:, axis + 2], far) - np.maximum(anchors[:, axis], near)
                for axis, near, far in ((0, top, bottom), (1, left, right))
            ]
            both = np.maximum(sides[0], 0) * np.maximum(sides[1], 0) * (kind >= 0)
            areas = (anchors[:, 2:] - anchors[:, :2]).prod(-1) + (bottom - top) * (right - left)
            shared[:, index] = both / (areas - both)
        best = shared.max(-1)
        expected = np.where(best >= 0.5, 2, np.where(best >= 0.4, ASIDE, NOTHING))
        if row == 0:  # No anchor overlaps the small one by as much: its nearest answers all the same.
            assert best[shared[:, 1].argmax()] < 0.4
            expected[shared[:, 1].argmax()] = 1
            assert {ASIDE, NOTHING, 1, 2} == set(expected.tolist())
        np.testing.assert_array_equal(targets[row, :, 4], expected)


@pytest.mark.parametrize("gamma", [2.0, 0.0])
def test_the_loss_is_that_of_plain_loops(gamma: float) -> None:
    rng = np.random.default_rng(1)
    targets = np.concatenate([rng.normal(0, 1, (2, 30, 4)), rng.integers(-2, 3, (2, 30, 1))], -1).astype(np.float32)
    said, logits = (rng.normal(0, 1, (2, 30, size)).astype(np.float32) for size in (4, 3))
    total, positives = 0.0, 0
    for row, anchor in np.ndindex(2, 30):
        kind = targets[row, anchor, 4]
        if kind == ASIDE:
            continue
        for number, logit in enumerate(logits[row, anchor].astype(float)):
            p = 1 / (1 + np.exp(-logit))
            p, weight = (p, 0.25) if number == kind else (1 - p, 0.75)
            total -= np.log(p) * (weight * (1 - p) ** gamma if gamma else 1.0)
        if kind >= 0:
            positives += 1
            apart = np.abs(targets[row, anchor, :4] - said[row, anchor])
            total += float(np.where(apart < 1 / 9, 4.5 * apart**2, apart - 1 / 18).sum())
    assert float(Dense(ANCHORS, False, 3, gamma)(targets, [said, logits])) == pytest.approx(total / positives, rel=1e-4)


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> Any:
    """A detector of few filters."""
    family, described = registry.variants()[VARIANT]
    with pytest.MonkeyPatch.context() as patched:
        changed = replace(described, config=replace(described.small, classes=80))
        patched.setitem(registry.variants(), VARIANT, (family, changed))
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, small: Any) -> Any:
    """It saw 40 pictures a few times."""
    root = tmp_path_factory.mktemp("boxes")
    data, out = source(root / "data", 44), root / "out"
    settings = [f"--set={each}" for each in ("size=64", "rate=0.003", "batch=4", "augment=mirror")]
    assert cli.run(["train", VARIANT, "--data", str(data), "-o", str(out), "--epochs=6", *settings]) == 0
    return out, data


def test_a_source_of_boxes_becomes_a_model(trained: Any, capsys: pytest.CaptureFixture[str]) -> None:
    out, data = trained
    rows = [row.split(",") for row in (out / "log.csv").read_text().splitlines()]
    losses = [float(row[rows[0].index("loss")]) for row in rows[1:]]
    assert losses[-1] < 0.6 * losses[0]
    card = card_.of_archive(out / "model.keras")
    assert card.task.labels == KINDS and card.training["held out"] == 4 and card.training["boxes left out"] == 0
    assert card.training["classes"] == {"disc": 40, "square": 40}
    capsys.readouterr()
    assert cli.run(["evaluate", str(out / "model.keras"), str(data), "--engine=keras", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["count"] == 44 and [row["label"] for row in told["classes"]] == list(KINDS)
    assert [row["boxes"] for row in told["classes"]] == [44, 44] and 0 <= told["mAP@.5"] <= 100


def test_a_file_of_ones_own_gets_outputs_for_other_classes(tmp_path: Path) -> None:
    network = yolov3.YOLOv3Tiny(weights=None, classes=2, input_shape=(64, 64, 3))
    task = registry.variants()[VARIANT][0].tasks(yolov3.Config(VARIANT, (64, 64, 3), "tiny", 2), Assets(KINDS))
    path = kerazoo.save(network, tmp_path / "mine.keras", task=task, normalise=yolov3.NORMALISE)
    data = source(tmp_path / "data", 4)
    options: dict[str, Any] = {"settings": {"batch": 4}, "freeze": "body", "say": lambda line: None}
    heads = [output._keras_history.operation.name for output in network.outputs]
    for names, same in ((KINDS, True), (("disc", "ring", "square"), False)):
        (data / "0.xml").write_text((data / "0.xml").read_text().replace("<name>disc", f"<name>{names[-2]}"))
        job = fit.job(path, data, **options)
        made = job.recipe.model()
        assert job.tasks["detect"].labels == names and job.normalise == yolov3.NORMALISE  # type: ignore[attr-defined]
        assert job.tasks["detect"].input.height == 64  # type: ignore[attr-defined]
        assert {variable.path.split("/")[0] for variable in made.trainable_variables} == set(heads)
        for layer in network.layers:
            pairs = zip(layer.get_weights(), made.get_layer(layer.name).get_weights(), strict=True)
            kept = all(np.array_equal(*pair) for pair in pairs)
            assert kept == (same or layer.name not in heads), layer.name


@pytest.mark.slow
def test_pictures_of_many_sizes_put_together_of_four(small: Any, tmp_path: Path) -> None:
    settings = {"size": 64, "batch": 4, "scales": 1, "mosaic": True}
    data = source(tmp_path / "data", 8)
    made = fit.train(VARIANT, data, tmp_path / "out", epochs=1, settings=settings, say=lambda line: None)
    assert own.find(str(made.path)).build().keras.input.shape == (None, 64, 64, 3)


def test_sources_that_cannot_be_learnt_from_say_why(trained: Any, tmp_path: Path) -> None:
    out, data = trained
    empty = folder(
        tmp_path / "empty", {"a.png": png(scene(np.random.default_rng(0))[0]), "a.xml": xml([], (SIDE, SIDE))}
    )
    other = folder(tmp_path / "other", {"a.png": png(np.zeros((9, 9, 3))), "a.xml": xml([("cat", 1, 1, 5, 5)], (9, 9))})
    for source_, options, why in (
        (empty, {}, "has no boxes: there is nothing to learn from"),
        (data, {"validation": other}, "has boxes of cat; data has the classes disc, square"),
        (data, {"settings": {"augment": "mirror+affine"}}, "allowed are none, crops, mirror, turns, colour"),
        (data, {"settings": {"size": 50}}, "multiples? of 32"),
        (data, {"settings": {"loss": "focal"}}, "loss=focal does not suit yolov3_tiny; allowed: own"),
        (tmp_path / "nothing", {}, "no such file or folder"),
    ):
        with pytest.raises(UsageError, match=why):
            fit.job(VARIANT, source_, say=lambda line: None, **options)
