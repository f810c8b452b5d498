"""How a picture is made to fit, and the way back."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from kerazoo.codecs._placement import Placement
from kerazoo.codecs.image import Image
from kerazoo.errors import UsageError
from kerazoo.ops import numpy as host
from kerazoo.ops import tensorflow as graph
from tests.tasks.stubs import png, scene, text

RECIPES = {
    "stretch": Image(24, 40, exact=True),
    "caffe": Image(24, 40, resize=(32, 44), exact=True),
    "crop": Image(24, 24, resize=30, exact=True),
    "crop larger than the short side": Image(40, 24, resize=30, exact=True),
    "letterbox": Image(24, 40, fill="letterbox", pad=114.0, exact=True),
    "corner": Image(32, 40, resize=20, fill="corner", pad=9.0, exact=True),
}
every_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


def slopes(height: int, width: int) -> np.ndarray:
    """Red rises from left to right, green from top to bottom."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    return np.rint(np.stack([x * 255 / width, y * 255 / height, x * 0], -1)).astype(np.uint8)


@functools.cache
def traced(recipe: Image) -> Any:
    """The recipe in a graph, for any number of pictures."""

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string)])
    def place(data):
        seen, where = recipe.place(graph, data)
        return seen, where.size, where.scale, where.offset

    return place


def placed(recipe: Image, *pictures: bytes) -> tuple[np.ndarray, Placement]:
    """What NumPy says, after holding a traced graph's answer to it."""
    pixels, placement = recipe.place(host, text(*pictures))

    seen, *where = (each.numpy() for each in traced(recipe)(tf.constant(list(pictures))))
    assert np.abs(seen - pixels).max() <= 1
    for mine, theirs in zip((placement.size, placement.scale, placement.offset), where, strict=True):
        np.testing.assert_array_equal(theirs, mine)
    return pixels, placement


@every_recipe
@settings(max_examples=6, derandomize=True)
@given(st.integers(1, 90), st.integers(1, 90))
def test_every_pixel_shows_what_the_placement_says(recipe, height, width):
    pixels, placement = placed(recipe, png(slopes(height, width)))
    np.testing.assert_array_equal(pixels, recipe.prepare(host, text(png(slopes(height, width)))))
    assert placement.size.tolist() == [[height, width]]
    for axis, channel, side in ((0, 1, height), (1, 0, width)):
        fitted = np.arange((recipe.height, recipe.width)[axis]) + 0.5
        place = (fitted - placement.offset[0, axis]) / placement.scale[0, axis]
        # Near the border the slope is cut off by the filter.
        inside = (place > side * 0.1 + 1) & (place < side * 0.9 - 1)
        lines = np.moveaxis(pixels[0, ..., channel], axis, 0)[inside]
        # The picture's middle line: all of them would show the ground of a letterbox too.
        other = 1 - axis
        middle = placement.offset[0, other] + placement.scale[0, other] * (height, width)[other] / 2
        seen = lines[:, int(middle)]
        assert np.abs(seen - place[inside] * 255 / side).max(initial=0) <= 2


@pytest.mark.parametrize(("height", "width"), [(30, 30), (10, 400), (400, 10), (24, 40), (1, 1), (7, 2000), (97, 161)])
def test_a_letterbox_shows_the_whole_picture_on_its_ground(height, width):
    recipe = RECIPES["letterbox"]
    pixels, placement = placed(recipe, png(scene(height, width)))
    ratio = min(24 / height, 40 / width)
    tall, wide = max(round(height * ratio), 1), max(round(width * ratio), 1)
    top, left = (24 - tall) // 2, (40 - wide) // 2
    expected = np.full((24, 40, 3), 114.0)
    shown = Pillow.fromarray(scene(height, width)).resize((wide, tall), Pillow.Resampling.BILINEAR)
    expected[top : top + tall, left : left + wide] = np.asarray(shown)
    np.testing.assert_array_equal(pixels[0], expected)
    corners = np.array([[[top, left, top + tall, left + wide]]], np.float32)
    np.testing.assert_allclose(placement.boxes(host, corners)[0, 0], [0, 0, height, width], rtol=1e-5)


@pytest.mark.parametrize(
    ("height", "width", "tall", "wide"),
    [(30, 30, 20, 20), (10, 11, 20, 22), (300, 900, 13, 40), (900, 300, 32, 11), (48, 30, 32, 20), (1, 1, 20, 20)],
)
def test_in_a_corner_lies_a_picture_of_a_short_side_and_no_longer_than_the_ground(height, width, tall, wide):
    pixels, placement = placed(RECIPES["corner"], png(scene(height, width)))
    expected = np.full((32, 40, 3), 9.0)
    shown = Pillow.fromarray(scene(height, width)).resize((wide, tall), Pillow.Resampling.BILINEAR)
    expected[:tall, :wide] = np.asarray(shown)
    np.testing.assert_array_equal(pixels[0], expected)
    assert not placement.offset.any()


def test_a_batch_has_a_placement_a_picture():
    pictures = [png(scene(20, 50)), png(scene(60, 30)), png(scene(24, 40))]
    pixels, placement = placed(RECIPES["letterbox"], *pictures)
    boxes = np.tile(np.array([[4, 4, 20, 30], [0, 0, 24, 40]], np.float32), (3, 1, 1))
    together = placement.boxes(host, boxes)
    np.testing.assert_allclose(placement.boxes(graph, tf.constant(boxes)), together, rtol=1e-6)
    for row, picture in enumerate(pictures):
        alone, one = RECIPES["letterbox"].fit(host, host.decode_picture(picture, 3))
        np.testing.assert_array_equal(alone, pixels[row])
        np.testing.assert_allclose(one.boxes(host, boxes[row]), together[row], rtol=1e-6)
    assert together[2].tolist() == boxes[2].tolist()


def test_no_picture_is_an_empty_batch():
    pixels, placement = RECIPES["letterbox"].place(host, np.empty(0, object))
    assert pixels.shape == (0, 24, 40, 3)
    assert placement.size.shape == (0, 2)


@every_recipe
@settings(max_examples=5, derandomize=True)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([(24, 40), (6, 10), (3, 5)]))
def test_values_are_spread_over_the_picture_again(recipe, height, width, cells):
    _, placement = recipe.fit(host, scene(height, width))
    fitted = recipe.height, recipe.width
    # Each value is the place of its own middle: between them it is the place in between.
    places = [(np.arange(cell) + 0.5) * side / cell for cell, side in zip(cells, fitted, strict=True)]
    values = np.stack(np.meshgrid(*places, indexing="ij"), -1).astype(np.float32)
    spread = placement.spread(host, values, np.arange(height, dtype=np.int32), fitted)
    theirs = Placement(*(tuple(map(float, each)) for each in (placement.size, placement.scale, placement.offset)))
    theirs = theirs.spread(graph, tf.constant(values), tf.range(height), fitted)
    np.testing.assert_allclose(theirs.numpy(), spread, atol=1e-3)
    assert spread.shape == (height, width, 2)
    for axis, side in enumerate((height, width)):
        expected = (np.arange(side) + 0.5) * placement.scale[axis] + placement.offset[axis]
        expected = np.clip(expected, places[axis][0], places[axis][-1])
        got = np.moveaxis(spread[..., axis], axis, 0)
        np.testing.assert_allclose(got, np.broadcast_to(expected[:, None], got.shape), atol=1e-3)


def test_spreading_a_stretched_picture_is_bilinear_resizing():
    values = np.random.default_rng(0).standard_normal((6, 10, 3)).astype(np.float32)
    _, placement = Image(24, 40).fit(host, scene(33, 71))
    spread = placement.spread(host, values, np.arange(33, dtype=np.int32), (24, 40))
    np.testing.assert_allclose(spread, tf.image.resize(values, (33, 71)), atol=1e-4)


def test_a_fill_must_be_known_and_a_letterbox_crops_nothing():
    with pytest.raises(UsageError, match="allowed are crop, letterbox, corner"):
        Image(8, 8, fill="pad")
    with pytest.raises(UsageError, match="keeps a picture's proportions"):
        Image(8, 8, resize=(9, 9), fill="corner")
    with pytest.raises(UsageError, match="resize=256"):
        Image(8, 8, resize=256, fill="letterbox")


def test_a_very_long_picture_is_placed_too():
    out = io.BytesIO()
    Pillow.fromarray(scene(4, 3000)).save(out, "PNG")
    pixels, placement = placed(Image(8, 8, resize=8, exact=True), out.getvalue())
    assert pixels.shape == (1, 8, 8, 3)
    middle = placement.boxes(host, np.array([[[4, 4, 4, 4]]], np.float32))
    np.testing.assert_allclose(middle[0, 0], [2, 1500, 2, 1500], atol=1)
