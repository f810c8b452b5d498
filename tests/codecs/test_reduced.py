"""Pictures decoded only as far as needed: near those that are decoded whole, and never of another size or place."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from kerazoo.codecs.image import MARGIN, Image
from kerazoo.errors import InputError
from kerazoo.ops import numpy as host
from kerazoo.ops import pictures
from kerazoo.ops.pictures import Decoding, Memory, Picture, open_image, open_picture
from tests.tasks.stubs import text

RECIPES = {
    "stretch": Image(24, 40),
    "caffe": Image(24, 40, resize=(32, 44)),
    "crop": Image(24, 24, resize=30),
    "bicubic": Image(24, 24, resize=30, interpolation="bicubic"),
    "grey": Image(28, 28, 1, resize=32),
    "crop larger than the short side": Image(40, 24, resize=30),
    "letterbox": Image(24, 40, fill="letterbox", pad=114.0),
    "corner": Image(32, 40, resize=20, fill="corner", pad=9.0),
}


def waves(height: int, width: int) -> Pillow.Image:
    """As a photograph is: no detail as fine as a pixel, and no side like another."""
    y, x = np.mgrid[0:height, 0:width]
    down, across = (y + 0.5) / height, (x + 0.5) / width
    red = 128 + 100 * np.sin(5 * across + 3 * down)
    green = 255 * down * (1 - across / 2)
    blue = 128 + 120 * np.cos(7 * (down - 0.2) * (across + 0.3))
    return Pillow.fromarray(np.rint(np.clip(np.stack([red, green, blue], -1), 0, 255)).astype(np.uint8))


def _deep(image: Pillow.Image) -> Pillow.Image:
    return Pillow.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def _fading(image: Pillow.Image) -> Pillow.Image:
    image.putalpha(image.convert("L"))
    return image


KINDS = {
    "jpeg": (lambda image: image, "JPEG", {"quality": 92}),
    "jpeg without subsampling": (lambda image: image, "JPEG", {"quality": 92, "subsampling": 0}),
    "progressive jpeg": (lambda image: image, "JPEG", {"quality": 92, "progressive": True}),
    "grey jpeg": (lambda image: image.convert("L"), "JPEG", {"quality": 92}),
    "cmyk jpeg": (lambda image: image.convert("CMYK"), "JPEG", {"quality": 92}),
    "png": (lambda image: image, "PNG", {}),
    "16-bit png": (_deep, "PNG", {}),
    "palette png": (lambda image: image.quantize(64), "PNG", {}),
    "transparent png": (_fading, "PNG", {}),
    "webp": (lambda image: image, "WEBP", {"quality": 90}),
    "tiff": (lambda image: image, "TIFF", {}),
}


def encoded(image: Pillow.Image, kind: str, orientation: int = 1) -> bytes:
    made, form, options = KINDS[kind]
    exif = Pillow.Exif()
    exif[pictures.ORIENTATION] = orientation
    out = io.BytesIO()
    made(image).save(out, form, exif=exif, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=14, derandomize=True)
@given(st.sampled_from(list(RECIPES)), st.integers(1, 8), st.integers(1, 420), st.integers(1, 420))
@example("crop", 6, 403, 301)
@example("letterbox", 3, 257, 419)
@example("stretch", 8, 411, 333)
@example("letterbox", 1, 3, 112)
def test_the_reduced_way_stays_near_the_exact_way(kind, recipe, orientation, height, width):
    data, fit = encoded(waves(height, width), kind, orientation), RECIPES[recipe]
    whole, place = dataclasses.replace(fit, exact=True).place(host, text(data))
    near, same = fit.place(host, text(data))
    assert near.shape == whole.shape == (1, *fit.tensor.shape[1:])
    for field in ("size", "scale", "offset"):
        np.testing.assert_array_equal(getattr(same, field), getattr(place, field))
    turned = (width, height) if orientation > 4 else (height, width)
    assert tuple(same.size[0]) == turned
    step = open_picture(data, "RGB", fit.enough).step
    if step == 1:
        np.testing.assert_array_equal(near, whole)
    else:
        assert np.abs(near - whole).mean() <= 1.5
        assert np.abs(near - whole).max() <= (24 if "palette" in kind else 12)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, derandomize=True)
@given(st.integers(1, 8), st.integers(1, 600), st.integers(1, 600), st.integers(1, 90), st.integers(1, 90))
@example(1, 599, 600, 20, 20)
def test_enough_is_left_and_no_more_than_needed(kind, orientation, height, width, tall, wide):
    data = encoded(waves(height, width), kind, orientation)
    picture = open_picture(data, None, lambda height, width: (tall, wide))
    upright = (width, height) if orientation > 4 else (height, width)
    assert (picture.height, picture.width) == upright
    assert (picture.image.height, picture.image.width) == tuple(
        -(-(side + before) // picture.step) for side, before in zip(upright, (picture.top, picture.left), strict=True)
    )
    if picture.step > 1:
        assert picture.height / picture.step >= tall
        assert picture.width / picture.step >= wide
    assert min(upright[0] / tall, upright[1] / wide) / picture.step < 2 or kind == "jpeg"


def test_a_small_picture_is_decoded_whole():
    data = encoded(waves(int(30 * MARGIN * 2) - 1, 300), "jpeg")
    assert open_picture(data, "RGB", RECIPES["crop"].enough).step == 1
    data = encoded(waves(int(30 * MARGIN * 2) + 1, 300), "jpeg")
    assert open_picture(data, "RGB", RECIPES["crop"].enough).step == 2


def test_a_photograph_of_720_lines_is_decoded_to_half():
    fit = Image(224, 224, resize=256)
    assert open_picture(encoded(waves(720, 1280), "jpeg"), "RGB", fit.enough).step == 2


@settings(max_examples=40, derandomize=True)
@given(st.data())
def test_a_rectangle_of_a_reduced_picture_is_where_it_was(data):
    height, width, step = (data.draw(st.integers(1, most)) for most in (90, 90, 8))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    tall, wide = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    picture = Picture(waves(height, width).reduce(step), height, width, step)
    part = picture.crop(top, left, tall, wide)
    assert (part.height, part.width) == (tall, wide)
    again = part.crop(0, 0, tall, wide)
    assert again is part
    # The same pixels, whichever way they are reached: by its corner in the image and by its corner in the picture.
    first = part.image.getpixel((part.left // step, part.top // step))
    assert first == picture.image.getpixel((left // step, top // step))
    assert 0 <= part.top < step
    assert part.image.height == -(-(top + tall) // step) - top // step


@pytest.fixture
def memory():
    """What pictures may take: a megabyte."""
    memory = Memory(1 << 20, patience=0.2)
    token = pictures.decoding.set(Decoding(memory=memory))
    yield memory
    pictures.decoding.reset(token)


def test_what_is_not_decoded_takes_no_memory(memory):
    data = encoded(waves(1200, 1600), "jpeg")
    with pytest.raises(InputError, match="it needs 7 MiB"):
        open_image(data)
    picture = open_picture(data, "RGB", lambda height, width: (70, 70))
    assert picture.step == 16
    assert memory.highest == 150 * 200 * 4
    assert memory.taken == 75 * 100 * 4
    del picture
    assert memory.taken == 0


@pytest.mark.parametrize(("kind", "needs"), [("progressive jpeg", 14), ("webp", 29), ("png", 7)])
def test_what_a_decoder_takes_for_itself_is_counted_for_the_whole_picture(memory, kind, needs):
    with pytest.raises(InputError, match=f"it needs {needs} MiB"):
        open_picture(encoded(waves(1200, 1600), kind), "RGB", lambda height, width: (10, 10))
    assert memory.taken == 0


def test_bounds_and_damage_are_those_of_the_exact_way(monkeypatch):
    data = encoded(waves(1200, 1600), "jpeg")
    for broken in (b"", data[: len(data) // 2], data[:100], b"GIF89a" + data):
        with pytest.raises(InputError):
            open_picture(broken, "RGB", lambda height, width: (10, 10))
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 1600 * 1200 - 1)
    with pytest.raises(InputError, match="too large to decode"):
        open_picture(data, "RGB", lambda height, width: (10, 10))
