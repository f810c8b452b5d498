"""Foreign pictures within bounds: formats, sides, memory; and what is decoded is what it always was."""

import io
import threading
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from kerazoo.errors import InputError
from kerazoo.ops import pictures
from kerazoo.ops.pictures import SERVED, Decoding, Memory, open_image


def encode(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def noise(*shape, kind=np.uint8, high=255):
    return np.random.default_rng(0).integers(0, high, shape).astype(kind)


@pytest.fixture
def within():
    """Decodes within bounds of one's own."""
    tokens = []

    def within(**how):
        tokens.append(pictures.decoding.set(Decoding(**how)))

    yield within
    for token in reversed(tokens):
        pictures.decoding.reset(token)


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("kind", ["EPS", "ICNS", "SGI", "JPEG2000", "TGA", "PCX", "SPIDER", "ICO", "MSP"])
def test_formats_that_nobody_needs_are_none(kind):
    if kind == "EPS":
        data = POSTSCRIPT
    else:
        data = encode(Image.new("1" if kind == "MSP" else "F" if kind == "SPIDER" else "RGB", (16, 16)), kind)
    with pytest.raises(InputError, match="Not a picture that can be read.* JPEG, PNG"):
        open_image(data)


@pytest.mark.parametrize("kind", [*SERVED, "PPM"])
def test_formats_that_are_decoded(kind, within):
    data = encode(Image.fromarray(noise(9, 7, 3)), kind)
    assert open_image(data).size == (7, 9)
    within(formats=SERVED)
    if kind == "PPM":
        with pytest.raises(InputError, match="it may be JPEG"):
            open_image(data)
    else:
        assert open_image(data).size == (7, 9)


def reference(image):
    """The conversions as they were, on the whole picture at once."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        deep = np.asarray(image).astype(np.float64)
        if image.mode.startswith("I;16") or deep.max(initial=0) > 255:
            deep = deep / 257
        return Image.fromarray(np.clip(np.rint(deep), 0, 255).astype(np.uint8))
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (Image.fromarray(noise(50, 37, kind=np.uint16, high=65535)), "PNG"),
        (Image.fromarray(noise(50, 37, kind=np.int32, high=65535)), "TIFF"),
        (Image.fromarray(noise(50, 37, kind=np.int32, high=200)), "TIFF"),
        (Image.fromarray(noise(50, 37, kind=np.float32, high=60000)), "TIFF"),
        (Image.fromarray(np.where(noise(50, 37) > 250, np.nan, 300).astype(np.float32)), "TIFF"),
        (Image.fromarray(noise(50, 37, 4)), "PNG"),
        (Image.fromarray(noise(50, 37, 2)), "PNG"),
        (Image.fromarray(noise(50, 37, 3)).quantize(16), "GIF"),
    ],
    ids=["I;16", "I", "small I", "F", "F that is no number", "RGBA", "LA", "P"],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_strips_make_what_the_whole_makes(image, kind, monkeypatch):
    monkeypatch.setattr(pictures, "STRIP", 37 * 7)
    options = {"transparency": 3} if kind == "GIF" else {}
    data = encode(image, kind, **options)
    made, whole = open_image(data), reference(Image.open(io.BytesIO(data)))
    assert made.mode == whole.mode
    assert np.array_equal(np.asarray(made), np.asarray(whole))


def test_a_png_is_not_loaded_to_learn_how_it_is_turned(monkeypatch, within):
    loaded = []
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda self: loaded.append(self))
    within(memory=Memory(1000))
    with pytest.raises(InputError, match="too large to decode: it needs"):
        open_image(encode(Image.new("L", (500, 500)), "PNG"))
    assert not loaded


@pytest.mark.parametrize("early", [True, False])
def test_a_png_is_turned_wherever_it_says_so(early, within):
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = 6
    data = encode(Image.fromarray(noise(20, 30)), "PNG", exif=exif)
    if not early:
        at = data.index(b"eXIf") - 4
        end = at + int.from_bytes(data[at : at + 4], "big") + 12
        data = data[:at] + data[end:-12] + data[at:end] + data[-12:]
    memory = Memory(1200, patience=0.2)
    within(memory=memory)
    made = open_image(data)
    assert made.size == (20, 30)
    assert (memory.taken, memory.highest) == (600, 1200)
    with pytest.raises(InputError, match="Other pictures"):
        open_image(data)
    del made
    assert memory.taken == 0


@pytest.mark.parametrize("size", [(65_536, 1), (1, 65_536), (80_000_000, 1)])
def test_sides_that_no_camera_makes(size):
    with pytest.raises(InputError, match="a side has at most 65535"):
        open_image(encode(Image.new("1", size), "PNG"))


@pytest.mark.parametrize(("mode", "kind"), [("I;16", "PNG"), ("RGBA", "PNG"), ("I", "TIFF"), ("RGB", "WEBP")])
def test_memory_is_bounded_before_pixels_are_read(mode, kind, within):
    data = encode(Image.new(mode, (3000, 3000)), kind)
    within(memory=Memory(1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="pictures may take 1 MiB"):
            open_image(data)
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()


def test_conversion_takes_no_copies_of_the_whole():
    data = encode(Image.new("I;16", (3000, 3000)), "PNG")
    tracemalloc.start()
    try:
        open_image(data)
        assert tracemalloc.get_traced_memory()[1] < 40 << 20  # NumPy's part; one float64 copy would be 72 MB.
    finally:
        tracemalloc.stop()


def test_pictures_share_memory_and_give_it_back(within):
    data = encode(Image.new("RGB", (500, 500)), "PNG")
    memory = Memory(1_500_000, patience=0.3)
    within(memory=memory)
    held = open_image(data)
    assert memory.taken == 1_000_000
    with pytest.raises(InputError, match="Other pictures take all the memory"):
        open_image(data)
    del held
    assert memory.taken == 0
    for damaged in (data[:-30], data[:60] + b"x" * 50 + data[110:]):
        with pytest.raises(InputError):
            open_image(damaged)
    assert memory.taken == 0


def test_the_largest_photographs_that_pillow_takes_are_decoded():
    assert pictures._cost(Image.new("RGB", (1, 1)), None) * Image.MAX_IMAGE_PIXELS < Memory().most
    assert pictures._cost(Image.new("L", (1, 1)), "RGB") * Image.MAX_IMAGE_PIXELS < Memory().most


def test_who_waits_for_memory_gets_it_when_it_is_free():
    memory = Memory(100)
    memory.take(80, lambda: None)
    threading.Timer(0.2, memory.give_back, (80,)).start()
    memory.take(90, lambda: None)
    assert memory.taken == 90


def test_a_check_ends_the_work_as_it_wants(within):
    class Gone(Exception):
        pass

    def check():
        raise Gone

    within(check=check, passed=(Gone,))
    with pytest.raises(Gone):
        open_image(encode(Image.new("L", (3, 3)), "PNG"))
