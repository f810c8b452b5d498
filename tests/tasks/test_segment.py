from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.codecs.image import Image
from kerazoo.errors import InputError, UsageError
from kerazoo.ops import numpy as ops
from kerazoo.tasks import segment
from kerazoo.tasks._tiles import mirrored, over_tiles
from kerazoo.tasks.segment import Mask, Tiled, Whole
from tests.tasks.stubs import Stub, again, both, pixels, png, scene, text


def bands(shrink):
    """A network whose class is the brightness in steps of 64, of the pixel `shrink` below and right of the corner."""

    def network(ops, image):
        inner = image[:, shrink : image.shape[1] - shrink, shrink : image.shape[2] - shrink]
        return {"logits": ops.concat([0.0 - (inner - 32.0 - 64.0 * k) ** 2 for k in range(4)], -1)}

    return network


@pytest.mark.parametrize(("shrink", "overlap"), [(0, 0), (3, 0), (0, 2), (2, 1)])
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (10, 10), (9, 31), (33, 20)])
def test_every_pixel_gets_its_own_class(shrink, overlap, size):
    task = Tiled(("dark", "dim", "light", "bright"), tile=16, shrink=shrink, overlap=overlap, together=3)
    grey = scene(*size)[..., 0]
    host, graph = both(task, {"image_bytes": text(png(grey))}, network=bands(shrink))
    expected = np.clip(np.rint((grey - 32.0) / 64.0 - 1e-6), 0, 3).astype(np.uint8)
    for answer in (host, graph):
        np.testing.assert_array_equal(pixels(answer["mask_bytes"][0]), expected)
        np.testing.assert_allclose(answer["share"][0], np.bincount(expected.ravel(), minlength=4) / expected.size)


def test_tiles_see_the_picture_mirrored_at_its_borders():
    picture = scene(13, 22)[..., :1]

    def mean(tiles):
        # A 5x5 mean without padding, whose border pixels depend on what surrounds the picture.
        return sum(tiles[:, y : y + 8, x : x + 8, 0] for y in range(5) for x in range(5)) / 25

    tiled = over_tiles(ops, picture, (8, 8), 2, mean, together=2)
    around = np.pad(picture[..., 0].astype(np.float32), 2, mode="reflect")
    whole = sum(around[y : y + 13, x : x + 22] for y in range(5) for x in range(5)) / 25
    np.testing.assert_allclose(tiled, whole, rtol=1e-6)


@given(st.integers(1, 9), st.integers(-40, 40))
def test_mirrored(size, place):
    around = np.pad(np.arange(size), 45, mode="reflect")
    assert mirrored(ops, np.array([place]), size)[0] == around[place + 45]


@settings(max_examples=15)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 4))
def test_tiles_go_through_together_but_never_more_than_allowed(height, width, together):
    task = Tiled(("a", "b", "c", "d"), tile=16, shrink=2, together=together)
    network = Stub(ops, {"network": bands(2)})
    task.answer(network, {"image_bytes": text(png(scene(height, width)))})
    counts = {call["image"].shape[0] for call in network.calls}
    tiles = -(-height // 12) * -(-width // 12)
    assert len(counts) == 1
    assert max(counts) <= together
    assert tiles <= len(network.calls) * max(counts) < tiles + len(network.calls)


def everywhere(ops, image):
    """Two classes by where the red is bright, at half the resolution."""
    coarse = (image[:, ::2, ::2, :1] + image[:, 1::2, 1::2, :1]) / 2.0
    return {"logits": ops.concat([coarse * 0.0 + 127.5, coarse], -1)}


def halves(height: int, width: int) -> np.ndarray:
    """Dark on the left, bright on the right, with a soft border between."""
    slope = np.clip((np.arange(width) + 0.5 - width / 2) * 8 + 127.5, 0, 255)
    return np.broadcast_to(slope[None, :, None], (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("fill", ["crop", "letterbox"])
@pytest.mark.parametrize("size", [(10, 40), (64, 200), (60, 57)])
def test_a_mask_has_the_pictures_size_and_lies_where_it_should(fill, size):
    task = Whole(Image(32, 48, fill=fill), ("left", "right"))
    host, graph = both(task, {"image_bytes": text(png(halves(*size)), png(halves(20, 20)))}, network=everywhere)
    for answer in (host, graph):
        mask = pixels(answer["mask_bytes"][0])
        assert mask.shape == size
        assert pixels(answer["mask_bytes"][1]).shape == (20, 20)
        # The border lies in the middle, as well as a network of a coarser grid can say; at the ends the grid sees
        # the ground of a letterbox.
        blunt = 3 * max(size[0] / 32, size[1] / 48)
        middle = np.abs(np.arange(size[1]) + 0.5 - size[1] / 2) > blunt
        middle &= np.abs(np.arange(size[1]) + 0.5 - size[1] / 2) < size[1] / 2 - blunt
        rows = slice(int(blunt), size[0] - int(blunt))
        expected = np.broadcast_to(np.arange(size[1]) + 0.5 > size[1] / 2, size)
        np.testing.assert_array_equal(mask[rows, middle], expected[rows, middle])
        assert expected[rows, middle].any() and not expected[rows, middle].all()
        np.testing.assert_allclose(answer["share"][0], [np.mean(mask == 0), np.mean(mask == 1)], rtol=1e-5)
    assert np.mean(pixels(host["mask_bytes"][0]) != pixels(graph["mask_bytes"][0])) < 0.01
    assert again(task) == task


def test_bands_are_not_seen(monkeypatch):
    task = Whole(Image(16, 16), ("a", "b"))
    request = {"image_bytes": text(png(scene(50, 37)))}
    whole = both(task, request, network=everywhere)
    monkeypatch.setattr(segment, "TOGETHER", 37 * 2 * 7)
    for one, other in zip(whole, both(task, request, network=everywhere), strict=True):
        np.testing.assert_array_equal(pixels(other["mask_bytes"][0]), pixels(one["mask_bytes"][0]))


def test_a_cropped_picture_has_the_class_of_the_border_where_it_was_not_seen():
    task = Whole(Image(8, 8, resize=8), ("left", "right"))
    host, graph = both(task, {"image_bytes": text(png(halves(8, 80)))}, network=everywhere)
    for answer in (host, graph):
        mask = pixels(answer["mask_bytes"][0])
        assert mask.shape == (8, 80)
        assert not mask[:, :35].any() and mask[:, 45:].all()


def test_result():
    task = Tiled(("ground", "cell"), tile=8, shrink=0)
    mask = png(np.zeros((2, 3), np.uint8))
    result = task.read({"mask_bytes": text(mask), "share": np.array([[0.25, 0.75]], np.float32)}, 0)
    assert result == Mask(("ground", "cell"), (0.25, 0.75), mask)
    assert result.rows() == [" 75.00%  cell", " 25.00%  ground"]
    assert result.to_json()["share"] == {"ground": 0.25, "cell": 0.75}
    assert again(task) == task


def test_what_cannot_be_answered():
    with pytest.raises(UsageError, match="256 classes"):
        Tiled(tuple(map(str, range(257))), tile=8, shrink=0)
    with pytest.raises(UsageError, match="256 classes"):
        Whole(Image(8, 8), ())
    with pytest.raises(InputError):
        task = Tiled(("a", "b"), tile=8, shrink=0)
        task.answer(Stub(ops, {"network": bands(0)}), {"image_bytes": text(b"no picture")})
