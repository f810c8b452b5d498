"""Heads to boxes: decoded, thinned out, back in the pixels of the picture; and what people get to see of them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from kerazoo.codecs.image import Image
from kerazoo.errors import InputError
from kerazoo.ops import numpy as ops
from kerazoo.tasks.detect import Anchored, Anchors, Boxes, Head, Retina
from tests.tasks.stubs import Stub, again, both, png, scene, text

LABELS = ("cat", "dog", "owl")
COARSE = Head(32, ((40.0, 30.0), (90.0, 80.0)), 1.1)
FINE = Head(16, ((10.0, 14.0),))
NOTHING = -12.0


def task(**options):
    return Anchored(Image(64, 96, fill="letterbox", pad=127.5), LABELS, (COARSE, FINE), **{"count": 6, **options})


def logit(share):
    return float(np.log(share / (1 - share)))


def heads(*found):
    """A network that sees fixed things: (head, down, across, anchor, [tx, ty, tw, th], there, {class: share})."""
    places = [np.full((64 // h.stride, 96 // h.stride, len(h.anchors), 8), NOTHING, np.float32) for h in (COARSE, FINE)]
    for head, down, across, anchor, shape, there, classes in found:
        cell = places[head][down, across, anchor]
        cell[:4], cell[4] = shape, logit(there)
        for index, share in classes.items():
            cell[5 + index] = logit(share)
    flat = [place.reshape(*place.shape[:2], -1)[None] for place in places]

    def network(ops, image):
        return {f"head{index}": place + image[:, :1, :1, :1] * 0.0 for index, place in enumerate(flat)}

    return network


def close(answer, expected):
    for name, value in expected.items():
        np.testing.assert_allclose(answer[name][0], value, rtol=1e-5, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("size", [(64, 96), (128, 192), (200, 60), (33, 77)])
def test_boxes_lie_in_the_picture_s_pixels(size):
    network = heads(
        (0, 1, 2, 0, [logit(0.5), logit(0.25), np.log(0.5), np.log(0.8)], 0.95, {1: 0.9, 2: 0.1}),
        (1, 0, 3, 0, [0.0, 0.0, 0.0, 0.0], 0.9, {0: 0.8}),
    )
    host, graph = both(task(), {"image_bytes": text(png(scene(*size)))}, network=network)
    # As the paper has it: bx = sigmoid(tx) + cx, bw = pw e^tw; the coarse centres reach 1.1 places far.
    x, y = (0.5 * 1.1 - 0.05 + 2) * 32, (0.25 * 1.1 - 0.05 + 1) * 32
    fitted = np.array([[x - 10, y - 12, x + 10, y + 12], [56 - 5, 8 - 7, 56 + 5, 8 + 7]])
    ratio = min(64 / size[0], 96 / size[1])
    inner = max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))
    corner = np.array([(96 - inner[1]) // 2, (64 - inner[0]) // 2] * 2)
    scale = np.array([inner[1] / size[1], inner[0] / size[0]] * 2)
    boxes = np.clip((fitted - corner) / scale, 0, np.array([size[1], size[0]] * 2))
    for answer in (host, graph):
        close(answer, {"box": np.concatenate([boxes, np.zeros((4, 4))]), "score": [0.855, 0.72, 0, 0, 0, 0]})
        close(answer, {"index": [1, 0, 0, 0, 0, 0], "count": 2, "size": size})
        assert answer["label"][0].tolist() == [b"dog", b"cat", b"", b"", b"", b""]
    assert again(task()) == task()
    assert task().compare(host, graph)["box"] < 1e-3


def test_the_same_answer_as_tensorflows_api_has_it():
    network = heads((0, 1, 2, 0, [0.0, 0.0, 0.0, 0.0], 0.95, {1: 0.9, 2: 0.8}))
    (named,) = task().also.values()
    request = {"image_bytes": text(png(scene(128, 300)))}
    answer, (host, graph) = both(task(), request, network=network)[0], both(named, request, network=network)
    assert [port.name for port in named.response] == list(host) and len(host) == 4
    for mine in (host, graph):
        close(mine, {"num_detections": 2, "detection_classes": [2, 3, 0, 0, 0, 0]})
        close(mine, {"detection_scores": answer["score"][0]})
        pixels = mine["detection_boxes"][0] * np.array([128, 300, 128, 300])
        np.testing.assert_allclose(pixels[:, [1, 0, 3, 2]], answer["box"][0], atol=1e-3)
        for port in named.response:
            assert mine[port.name].dtype == np.float32 and mine[port.name].shape[1:] == port.shape[1:]


def test_of_one_thing_seen_twice_the_surer_stays_and_other_classes_stay_too():
    here = [0.0, 0.0, 0.0, 0.0]
    network = heads(
        (0, 0, 0, 0, here, 0.9, {0: 0.9}),
        (0, 0, 0, 1, [0.0, 0.0, np.log(40 / 90), np.log(30 / 80)], 0.95, {0: 0.95, 1: 0.8}),
    )
    answer = task().answer(Stub(ops, {"network": network}), {"image_bytes": text(png(scene(64, 96)))})
    assert answer["index"][0][: answer["count"][0]].tolist() == [0, 1]
    np.testing.assert_allclose(answer["score"][0][:2], [0.95**2, 0.95 * 0.8], rtol=1e-5)


@pytest.mark.parametrize("size", [(40, 60), (1, 1)])
def test_a_picture_with_nothing_in_it(size):
    host, graph = both(task(), {"image_bytes": text(png(scene(*size)))}, network=heads())
    for answer in (host, graph):
        result = task().read(answer, 0)
        assert answer["count"].tolist() == [0] and not answer["box"].any()
        assert result.to_json() == {"boxes": []}
        assert result.rows() == ["nothing"]
        drawn = Pillow.open(io.BytesIO(result.on(png(scene(*size))).files()["boxes.png"]))
        np.testing.assert_array_equal(np.asarray(drawn), scene(*size))


def test_a_logit_without_measure_gives_a_box_of_the_whole_picture():
    network = heads((1, 1, 1, 0, [0.0, 0.0, 1e4, 1e30], 0.99, {2: 0.99}))
    for answer in both(task(), {"image_bytes": text(png(scene(64, 96)))}, network=network):
        close(answer, {"box": [[0, 0, 96, 64], *np.zeros((5, 4))]})


def test_a_batch_answers_row_by_row_and_no_rows_none():
    network = heads((0, 1, 2, 0, [0.0] * 4, 0.95, {1: 0.9}))
    pictures = [png(scene(64, 96)), png(scene(128, 96)), png(scene(64, 200))]
    stub = Stub(ops, {"network": network})
    together = task().answer(stub, {"image_bytes": text(*pictures)})
    for row, picture in enumerate(pictures):
        alone = task().answer(stub, {"image_bytes": text(picture)})
        assert task().read(together, row) == task().read(alone, 0)
    assert len(together["box"]) == 3


BOXES = Boxes(("dog", "cat"), (1, 0), (0.9, 0.6), ((10.0, 20.0, 50.0, 60.0), (60.0, 5.0, 95.0, 40.0)), (100, 120))


def test_result_is_json_and_lines_and_drawn_on_the_picture():
    assert BOXES.to_json()["boxes"][0] == {"label": "dog", "index": 1, "score": 0.9, "box": [10.0, 20.0, 50.0, 60.0]}
    assert BOXES.rows()[1].split() == ["60.00%", "60.0", "5.0", "95.0", "40.0", "cat"]
    assert BOXES.files() == {}
    black = np.zeros((100, 120, 3), np.uint8)
    drawn = np.asarray(Pillow.open(io.BytesIO(BOXES.on(png(black)).files()["boxes.png"])))
    assert drawn.shape == (100, 120, 3)
    frames = [drawn[45, 10], drawn[60, 30], drawn[38, 60], drawn[30, 94]]
    assert all(pixel.any() for pixel in frames)
    assert (frames[0] != frames[2]).any() and not drawn[45, 30].any() and not drawn[80, 80].any()
    # A large picture is drawn small, its boxes with it.
    large = Boxes(("dog",), (1,), (0.9,), ((1000.0, 1000.0, 2999.0, 2999.0),), (3000, 3000))
    drawn = np.asarray(Pillow.open(io.BytesIO(large.on(png(np.zeros((3000, 3000, 3), np.uint8))).files()["boxes.png"])))
    assert drawn.shape == (1024, 1024, 3) and drawn[600, 342].any() and not drawn[300, 300].any()


def response(*found, count=6):
    """Of one picture of 100 x 100: (score, class, box)."""
    made = {
        "box": np.zeros((1, count, 4), np.float32),
        "score": np.zeros((1, count), np.float32),
        "index": np.zeros((1, count), np.int64),
        "label": np.full((1, count), b"", object),
        "count": np.array([len(found)], np.int32),
        "size": np.array([[100.0, 100.0]], np.float32),
    }
    for place, (score, kind, box) in enumerate(found):
        made["score"][0, place], made["index"][0, place], made["box"][0, place] = score, kind, box
        made["label"][0, place] = LABELS[kind].encode()
    return made


ONE, TWO = (10, 10, 50, 50), (50, 50, 90, 90)


def test_answers_are_compared_by_what_overlaps():
    mine = response((0.8, 0, ONE), (0.79, 1, TWO))
    assert set(task().compare(mine, mine).values()) == {0.0}
    swapped = task().compare(mine, response((0.8, 1, TWO), (0.79, 0, ONE)))
    assert swapped["box"] == swapped["count"] == 0 and swapped["score"] == pytest.approx(0.01)
    moved = task().compare(mine, response((0.8, 0, (10, 10, 50, 49)), (0.79, 1, TWO)))
    assert moved["box"] == pytest.approx(1 / 40)
    renamed = response((0.8, 0, ONE), (0.79, 1, TWO))
    renamed["label"][0, 0] = b"rat"
    assert task().compare(mine, renamed)["label"] == 1
    for other in (response((0.8, 0, ONE)), response(), response((0.8, 0, ONE), (0.79, 2, TWO))):
        assert task().compare(mine, other)["count"] >= 0.25
        assert task().compare(other, mine)["count"] >= 0.25
    # What is hardly shown may be missing.
    assert task().compare(mine, response((0.8, 0, ONE), (0.79, 1, TWO), (0.505, 2, ONE)))["count"] == 0
    assert task().compare(response(), response())["count"] == 0
    # What lies beside the picture has no area in it.
    beside = response((0.8, 0, (0, 0, 50, 0)), (0.7, 0, (0, 0, 90, 0)))
    assert set(task().compare(beside, beside).values()) == {0.0}
    assert task().compare(beside, response((0.8, 0, (0, 0, 50, 0))))["count"] > 0
    # Two that the picture's border makes the same are still two.
    twice = response((0.9, 0, ONE), (0.7, 0, ONE))
    assert task().compare(twice, twice)["score"] == 0
    assert task().compare(twice, response((0.9, 0, ONE), (0.8, 0, ONE)))["score"] == pytest.approx(0.1)


def test_what_cannot_be_answered():
    with pytest.raises(InputError):
        task().answer(Stub(ops, {"network": heads()}), {"image_bytes": text(b"no picture")})


# --- anchors that are moved ----------------------------------------------------------------------------------------


def test_anchors_of_whole_pixels_are_torchvisions():
    """Of a picture of 800x1088 pixels: 61 and 64 pixels lie between two places of 13x17, 114 and 120 of 7x9."""
    anchors = Anchors((64, 128), ((256.0, 322.0, 406.0), (512.0, 645.0, 812.0)), whole=True)
    boxes = anchors.boxes(800, 1088)
    assert len(boxes) == 9 * (13 * 17 + 7 * 9)
    assert boxes[0].tolist() == [-91, -181, 91, 181]  # Half of 256 over and times the root of 2.
    assert boxes[4].tolist() == [-161, -161, 161, 161]
    assert (boxes[9] - boxes[0]).tolist() == [0, 64, 0, 64]
    assert (boxes[9 * 17] - boxes[0]).tolist() == [61, 0, 61, 0]
    coarse = boxes[9 * 13 * 17 :]
    assert coarse[4].tolist() == [-322, -322, 322, 322]  # Half of 645, to the even number.
    assert (coarse[9 * 9 + 9] - coarse[0]).tolist() == [114, 120, 114, 120]


def test_other_anchors_stand_in_the_middle_of_their_places():
    anchors = Anchors((8, 16), ((32.0, 40.0), (64.0, 80.0)))
    boxes = anchors.boxes(20, 40)
    assert len(boxes) == anchors.each * (3 * 5 + 2 * 3) == 6 * 21
    sides = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(sides[:6].prod(-1), [32**2, 40**2] * 3, rtol=1e-5)
    np.testing.assert_allclose(sides[:6, 0] / sides[:6, 1], [0.5, 0.5, 1, 1, 2, 2], rtol=1e-5)
    np.testing.assert_allclose((boxes[:, 2:] + boxes[:, :2])[6:12] / 2, [[4, 12]] * 6, atol=1e-5)


def moved(*said, corners=False):
    """A task of one map, of places of 32 pixels, and a network that says (down, across, anchor, moves, {class: share})
    and of all other anchors that they are nothing."""
    task = Retina(Image(64, 96, fill="letterbox"), LABELS, Anchors((32,), ((20.0, 40.0),)), corners, count=6)
    moves, logits = np.zeros((1, 36, 4), np.float32), np.full((1, 36, 3), NOTHING, np.float32)
    for down, across, anchor, move, classes in said:
        row = (down * 3 + across) * 6 + anchor
        moves[0, row] = move
        for index, share in classes.items():
            logits[0, row, index] = logit(share)

    def network(ops, image):
        nothing = image[:, :1, :1, 0] * 0.0
        return {"moves": moves + nothing, "logits": logits + nothing}

    return task, network


@pytest.mark.parametrize(("corners", "move", "expected"), [
    # The square of 40 pixels around (48, 16), as far as the picture shows it.
    (False, [0, 0, 0, 0], [28, 0, 68, 36]),
    (False, [0.25, 0.5, np.log(0.5), np.log(0.25)], [48, 31, 68, 41]),
    (False, [0, 0, 1e6, 0], [0, 0, 96, 36]),
    (True, [0.5, 2.0, -1.0, 0.0], [32, 12, 60, 36]),
])  # fmt: skip
def test_an_anchor_is_moved(corners, move, expected):
    task, network = moved((0, 1, 3, move, {1: 0.9, 2: 0.6}), corners=corners)
    answers = both(task, {"image_bytes": text(png(scene(64, 96)))}, network=network)
    for answer in answers:
        close(answer, {"box": [expected, expected, *np.zeros((4, 4))], "score": [0.9, 0.6, 0, 0, 0, 0], "count": 2})
        assert answer["label"][0].tolist() == [b"dog", b"owl", b"", b"", b"", b""]
    assert again(task) == task
    # In a picture of twice the size, it lies twice as far.
    for answer in both(task, {"image_bytes": text(png(scene(128, 192)))}, network=network):
        close(answer, {"box": np.array([expected, expected, *np.zeros((4, 4))]) * 2})


@pytest.mark.parametrize("size", [(40, 60), (1, 1)])
def test_no_anchor_is_anything(size):
    task, network = moved()
    for answer in both(task, {"image_bytes": text(png(scene(*size)))}, network=network):
        assert task.read(answer, 0).to_json() == {"boxes": []}
