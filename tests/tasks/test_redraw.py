from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerazoo.applications import espcn, johnson, srcnn
from kerazoo.assets import Assets
from kerazoo.codecs.image import Image as Fit
from kerazoo.engines import keras as keras_engine
from kerazoo.errors import InputError
from kerazoo.ops import numpy as ops
from kerazoo.registry import Built
from kerazoo.tasks import redraw
from kerazoo.tasks.redraw import Picture, Reconstruct, Repaint, SuperResolution, colour, luma_chroma
from tests.tasks.stubs import Stub, again, both, pixels, png, scene, text


def repeated(scale):
    """Every pixel as a block: the luma of a picture resized without interpolation."""

    def network(ops, image):
        shape = (tf.shape if tf.is_tensor(image) else np.shape)(image)
        blocks = ops.stack([ops.stack([image[..., 0]] * scale, -1)] * scale, -3) / 255.0
        return {"luma": ops.reshape(blocks, (shape[0], shape[1] * scale, shape[2] * scale, 1))}

    return network


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (12, 30)])
@pytest.mark.parametrize("scale", [2, 3])
def test_a_grey_picture_keeps_its_luma_pixel_by_pixel(size, scale):
    grey = scene(*size)[..., 1]
    host, graph = both(
        SuperResolution(scale, context=2, tile=8), {"image_bytes": text(png(grey))}, network=repeated(scale)
    )
    expected = np.repeat(grey.repeat(scale, 0).repeat(scale, 1)[..., None], 3, -1)
    for answer in (host, graph):
        np.testing.assert_array_equal(pixels(answer["image_bytes"][0]), expected)


def test_colours_are_those_of_a_bicubic_enlargement():
    picture = np.kron(scene(3, 4), np.ones((9, 9, 1), np.uint8))
    host, graph = both(SuperResolution(2, context=1), {"image_bytes": text(png(picture))}, network=repeated(2))
    drawn = pixels(host["image_bytes"][0])
    assert np.abs(pixels(graph["image_bytes"][0]).astype(int) - drawn).max() <= 3
    bicubic = Image.fromarray(picture).resize((72, 54), Image.Resampling.BICUBIC).convert("YCbCr")
    ours = Image.fromarray(drawn).convert("YCbCr")
    # Where the sum leaves 0..255 a colour is cut; those pixels are few.
    difference = np.abs(np.asarray(ours, int) - np.asarray(bicubic, int))[..., 1:]
    assert np.percentile(difference, 95) <= 3


def test_luma_and_chroma_are_pillows():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    ours = np.concatenate(luma_chroma(ops, picture), -1).astype(int)
    theirs = np.asarray(Image.fromarray(picture).convert("YCbCr"), int)
    assert np.abs(ours - theirs).max() <= 1
    y, cb, cr = (plane[..., 0].astype(np.float32) for plane in luma_chroma(ops, picture))
    assert np.abs(colour(ops, y, cb - 128, cr - 128) - picture).max() < 2


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (12, 30)])
def test_planes_that_pass_unchanged_give_the_enlarged_picture(size):
    """Of a network that sees the enlargement, and of one that sees luma and chroma."""

    picture = png(np.kron(scene(*size), np.ones((3, 3, 1), np.uint8)))
    bicubic = np.asarray(
        Image.fromarray(pixels(picture)).resize((size[1] * 6, size[0] * 6), Image.Resampling.BICUBIC).convert("YCbCr"),
        int,
    )
    for channels, name in ((1, "luma"), (3, "planes")):
        task = SuperResolution(2, context=2, tile=16, channels=channels, enlarged=True)
        host, graph = both(
            task, {"image_bytes": text(picture)}, network=lambda ops, image, name=name: {name: image / 255.0}
        )
        drawn = pixels(host["image_bytes"][0])
        assert np.abs(pixels(graph["image_bytes"][0]).astype(int) - drawn).max() <= 3
        difference = np.abs(np.asarray(Image.fromarray(drawn).convert("YCbCr"), int) - bicubic)
        assert np.percentile(difference, 90) <= 3


@pytest.mark.parametrize(("family", "variant", "context"), [(espcn, "espcn_x2", 4), (srcnn, "srcnn_915_ycbcr", 6)])
def test_no_seam_can_be_seen(family, variant, context):
    keras.utils.set_random_seed(0)
    config = family.VARIANTS[variant].config
    several = family.tasks(config, Assets())
    task = several["redraw"]
    assert task.context == context
    network = keras_engine.network(Built(variant, family.build(config), several, family.NORMALISE))
    request = {"image_bytes": text(png(scene(61, 50)))}
    whole, cut = (
        pixels(dataclasses.replace(task, tile=tile).answer(network, request)["image_bytes"][0]).astype(int)
        for tile in (64, 16)
    )
    # One grey level where a value lies between two of them.
    assert np.abs(whole - cut).max() <= 1
    assert (whole != cut).mean() < 1e-3
    seen = pixels(dataclasses.replace(task, tile=16, context=1).answer(network, request)["image_bytes"][0])
    assert (whole != seen).mean() > 1e-2, "a tile that sees too little must show, or this test proves nothing"


def test_too_large_a_picture_is_refused(monkeypatch):
    monkeypatch.setattr(redraw, "MAX_PIXELS", 1_000)
    task = SuperResolution(4, context=1)
    request = {"image_bytes": text(png(scene(10, 10)))}
    with pytest.raises(InputError, match="million pixels"):
        task.answer(Stub(ops, {"network": repeated(4)}), request)


def test_result():
    task = SuperResolution(3, context=4)
    result = task.read({"image_bytes": text(png(scene(4, 9)))}, 0)
    assert isinstance(result, Picture)
    assert result.rows() == ["9 x 4 pixels"]
    assert result.to_json()["size"] == [4, 9]
    assert again(task) == task


# --- reconstruction ---------------------------------------------------------------------------------------------------


def test_a_picture_goes_through_its_code_and_back():
    """A code that holds all of the picture: it comes back at the network's size, grey, whatever it was."""
    task = Reconstruct(Fit(6, 8, 1), code=48)
    coloured = scene(12, 16)
    host, graph = both(
        task,
        {"image_bytes": text(png(coloured), png(coloured[::-1]))},
        encoder=lambda ops, image: {"embedding": ops.reshape(image / 255.0, (-1, 48))},
        decoder=lambda ops, embedding: {"picture": ops.reshape(embedding, (-1, 6, 8, 1))},
    )
    for row, seen in enumerate((coloured, coloured[::-1])):
        small = Image.fromarray(np.ascontiguousarray(seen)).convert("L").resize((8, 6), Image.Resampling.BILINEAR)
        assert np.abs(pixels(host["image_bytes"][row]).astype(int) - np.asarray(small)).max() <= 1
        assert np.abs(pixels(graph["image_bytes"][row]).astype(int) - np.asarray(small)).max() <= 3
    assert again(task) == task
    assert task.read(host, 1).rows() == ["8 x 6 pixels"]


# --- repainting -------------------------------------------------------------------------------------------------------


def darker(ops, image, moments):
    """Each colour less half its mean."""
    return {"picture": image - moments[:, None, None, :] * 0.5}


def glanced(ops, image):
    height, width = ops.size(image[0])
    return {"moments": ops.sum(ops.sum(image, 1), 1) / ops.cast(height * width, "float32")}


def around(count):
    """Rows of an axis as they are seen: 4 mirrored ones on either side, and as many behind as make a multiple of 4."""
    places = np.arange(-4, -(-count // 4) * 4 + 4) % max(2 * (count - 1), 1)
    return np.minimum(places, max(2 * (count - 1), 1) - places)


@pytest.mark.parametrize(("size", "small"), [((1, 1), (1, 1)), ((7, 5), (7, 5)), ((50, 90), (31, 56))])
def test_every_tile_is_drawn_by_what_the_whole_picture_is_like(size, small):
    task = Repaint(context=4, tile=16, multiple=4, moments=3, glance=64)
    picture = scene(*size)
    host, graph = both(task, {"image_bytes": text(png(picture))}, moments=glanced, painter=darker)
    seen = np.asarray(Image.fromarray(picture).resize(small[::-1], Image.Resampling.BILINEAR), float)
    mean = seen[around(small[0])][:, around(small[1])].reshape(-1, 3).mean(0)
    expected = np.clip(picture - mean * 0.5, 0, 255)
    for answer in (host, graph):
        drawn = pixels(answer["image_bytes"][0])
        assert drawn.shape == picture.shape
        assert np.abs(drawn - expected).max() <= 2
    assert again(task) == task


def test_a_picture_of_one_tile_is_normalised_by_what_is_drawn():
    network = Stub(ops, {"moments": glanced, "painter": darker})
    Repaint(context=8, multiple=4, moments=3).answer(network, {"image_bytes": text(png(scene(30, 45)))})
    seen, drawn = (call["image"] for call in network.calls)
    assert seen.shape == (1, 32 + 16, 48 + 16, 3)
    np.testing.assert_array_equal(seen, drawn)


def test_a_style_shows_no_seam():
    keras.utils.set_random_seed(0)
    config = johnson.VARIANTS["faststyle"].small
    several = johnson.tasks(config, Assets())
    task = several["redraw"]
    network = keras_engine.network(Built("faststyle", johnson.build(config), several))
    request = {"image_bytes": text(png(scene(61, 50)))}
    whole, cut = (
        pixels(dataclasses.replace(task, tile=tile).answer(network, request)["image_bytes"][0]).astype(int)
        for tile in (64, 16)
    )
    assert np.abs(whole - cut).max() <= 1 and whole.shape == (61, 50, 3)
    assert (whole != cut).mean() < 1e-3
    seen = pixels(dataclasses.replace(task, tile=16, context=4).answer(network, request)["image_bytes"][0])
    assert (whole != seen).mean() > 1e-2, "a tile that sees too little must show, or this test proves nothing"


def test_grey_and_transparent_pictures_are_drawn_in_colours():
    task = Repaint(context=0)
    grey = scene(6, 5)[..., 0]
    see_through = np.dstack([scene(6, 5), np.full((6, 5), 128, np.uint8)])
    for picture in (grey, see_through):
        request = {"image_bytes": text(png(picture))}
        answer = task.answer(Stub(ops, {"network": lambda ops, image: {"picture": image}}), request)
        assert pixels(answer["image_bytes"][0]).shape == (6, 5, 3)


def test_too_large_a_style_is_refused(monkeypatch):
    monkeypatch.setattr(redraw, "MAX_PIXELS", 1_000)
    network = Stub(ops, {"moments": glanced, "painter": darker})
    with pytest.raises(InputError, match="million pixels"):
        Repaint(context=4, moments=3).answer(network, {"image_bytes": text(png(scene(40, 40)))})


def test_what_a_style_is_checked_by_is_nowhere_flat():
    asked = pixels(Repaint(context=0).golden()["image_bytes"])
    assert asked.shape == (80, 96, 3) and (np.abs(np.diff(asked.astype(int), axis=1)).sum(-1) > 0).mean() > 0.9
