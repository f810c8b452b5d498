"""Heat maps to joints: the places of the authors' program, back in the pixels of the picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from kerazoo.assets import labels
from kerazoo.codecs.image import Image
from kerazoo.errors import InputError
from kerazoo.ops import numpy as ops
from kerazoo.tasks.pose import BONES, Joints, Pose, _warmest
from tests.tasks.stubs import Stub, again, both, png, scene, text

JOINTS = labels("coco_keypoints")


def authors(heat):
    """`get_final_preds` of the authors' program, step by step: down and across."""
    batch, height, width, joints = heat.shape
    found = np.zeros((batch, joints, 2), np.float32)
    for row in range(batch):
        for joint in range(joints):
            each = heat[row, :, :, joint]
            y, x = np.unravel_index(each.argmax(), each.shape)
            if each[y, x] <= 0:
                continue
            place = np.float32([y, x])
            if 1 < x < width - 1 and 1 < y < height - 1:
                place += 0.25 * np.sign([each[y + 1, x] - each[y - 1, x], each[y, x + 1] - each[y, x - 1]])
            found[row, joint] = place
    return found


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 10**6), st.sampled_from([2, 100]))
def test_places_are_those_of_the_authors_program(height, width, seed, levels):
    heat = np.random.default_rng(seed).integers(-levels, levels, (2, height, width, 3)).astype(np.float32)
    places, score = _warmest(ops, heat)
    np.testing.assert_array_equal(places, authors(heat))
    np.testing.assert_array_equal(score, heat.max((1, 2)))


def blobs(at):
    """A network whose heat lies at fixed places, down and across, of a map a quarter as large as the picture."""

    def network(ops, image):
        y, x = np.mgrid[: image.shape[1] // 4, : image.shape[2] // 4].astype(np.float32)
        heat = np.stack([np.exp(-((y - down) ** 2 + (x - across) ** 2) / 8) for down, across in at], -1)
        return {"logits": heat[None] + image[:, :1, :1, :1] * 0.0}

    return network


@pytest.mark.parametrize("size", [(64, 48), (128, 96), (200, 40), (1, 1)])
def test_points_lie_in_the_picture_s_pixels(size):
    task = Pose(Image(64, 48, fill="letterbox"), ("nose", "left eye"))
    at = [(8.0, 6.0), (4.3, 7.0)]
    host, graph = both(task, {"image_bytes": text(png(scene(*size)))}, network=blobs(at))
    ratio = min(64 / size[0], 48 / size[1])
    inner = max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))
    top, left = (64 - inner[0]) // 2, (48 - inner[1]) // 2
    for answer in (host, graph):
        # The second is warmer below: by a quarter of a cell, a cell being four pixels.
        for (down, across), point in zip([(8.0, 6.0), (4.25, 7.0)], answer["points"][0], strict=True):
            expected = (across * 4 - left) * size[1] / inner[1], (down * 4 - top) * size[0] / inner[0]
            np.testing.assert_allclose(point, expected, rtol=1e-4)
        assert answer["size"].tolist() == [list(size)]
    assert again(task) == task


def test_the_mirrored_picture_answers_too():
    """The authors' flip test: sides change places, and the mirrored map is moved by a pixel."""
    task = Pose(Image(32, 16), ("nose", "left eye", "right eye"), mirror=True)
    rng = np.random.default_rng(0)
    plain, mirrored = rng.random((2, 1, 8, 4, 3)).astype(np.float32)
    network = Stub(ops, {"network": lambda ops, image: {"logits": plain if image[0, 0, 0, 0] == 0 else mirrored}})
    picture = np.zeros((32, 16, 3), np.uint8)
    picture[:, 8:] = 255
    flipped = mirrored[:, :, ::-1][..., [0, 2, 1]].copy()
    flipped[:, :, 1:] = flipped[:, :, :-1].copy()
    expected, _ = _warmest(ops, (plain + flipped) / 2)
    answer = task.answer(network, {"image_bytes": text(png(picture))})
    np.testing.assert_allclose(answer["points"][0][:, ::-1], expected[0] * 4)
    assert len(network.calls) == 2


def test_result_is_drawn_on_the_picture():
    points = tuple((10.0 + 3 * index, 20.0 + 2 * index) for index in range(17))
    result = Joints(JOINTS, points, (0.9,) * 16 + (0.1,), (100, 120))
    assert result.files() == {}
    assert result.to_json()["joints"][0] == {"label": "nose", "point": [10.0, 20.0], "score": 0.9}
    assert result.rows()[0].split() == ["0.900", "10.0", "20.0", "nose"]
    drawn = result.on(png(np.zeros((100, 120, 3), np.uint8))).files()["pose.png"]
    pixels = np.asarray(Pillow.open(io.BytesIO(drawn)))
    assert (
        pixels.shape == (100, 120, 3) and pixels[20, 10].any() and not pixels[52, 58].any() and not pixels[90, 5].any()
    )
    # A large picture is drawn small.
    large = Joints(JOINTS, points, (0.9,) * 17, (3000, 100)).on(png(np.zeros((3000, 100, 3), np.uint8)))
    assert Pillow.open(io.BytesIO(large.files()["pose.png"])).size == (34, 1024)


def test_bones_are_between_joints_that_there_are():
    assert {name for bone in BONES for name in bone} == set(JOINTS)


def test_places_that_differ_by_rounding_are_alike():
    task = Pose(Image(8, 8), ("a", "b", "c"))
    one = {"points": np.zeros((1, 3, 2)), "score": np.ones((1, 3)), "size": np.array([[10.0, 20.0]])}
    other = {**one, "points": one["points"] + np.array([[[0, 0], [0, 0], [19, 9]]])}
    assert task.compare(one, other)["points"] == 0
    assert task.compare(one, {**one, "points": one["points"] + 2})["points"] == pytest.approx(0.15)


def test_what_cannot_be_answered():
    with pytest.raises(InputError):
        Pose(Image(8, 8), ("a",)).answer(Stub(ops, {"network": blobs([(0, 0)])}), {"image_bytes": text(b"no picture")})
