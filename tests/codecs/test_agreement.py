"""How far answers say the same, media by media: 1 (or 100 dB) for equal ones, less the further they lie apart."""

import io

import numpy as np
import pytest
from PIL import Image

from kerazoo import codecs
from kerazoo.codecs import audio, image, mask, number, text
from kerazoo.contract import Port
from kerazoo.errors import GateError


def texts(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(out, "PNG")
    return out.getvalue()


def test_pictures_by_signal_to_noise():
    grey = np.full((8, 8), 100)
    assert image.agreement(texts(png(grey)), texts(png(grey))) == 100.0
    assert image.agreement(texts(png(grey)), texts(png(grey + 1))) == pytest.approx(48.13, abs=0.01)


def test_masks_by_overlap():
    left, half = np.zeros((4, 4)), np.zeros((4, 4))
    left[:, :2], half[:, :1] = 1, 1
    assert mask.agreement(texts(png(left)), texts(png(left))) == 1.0
    assert mask.agreement(texts(png(left)), texts(png(half))) == pytest.approx((4 / 8 + 8 / 12) / 2)


def test_sounds_by_signal_to_noise():
    tone = audio.tones()
    assert audio.agreement(texts(tone), texts(tone)) == 100.0
    rng = np.random.default_rng(0)
    drawn = audio.drawn(Port("x", "string", (None,), "audio"), rng)
    assert audio.agreement(texts(drawn), texts(audio.drawn(Port("x", "string", (None,), "audio"), rng))) < 10


def test_words_and_numbers():
    assert text.agreement(texts(b"a b c d"), texts(b"a b x d")) == 0.75
    assert text.agreement(texts(b""), texts(b"")) == 1.0
    assert number.agreement(np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])) == 0.0
    assert number.agreement(np.array([[1.0, 2.0]]), np.array([[2.0, 4.0]])) == pytest.approx(1.0)
    with pytest.raises(GateError):
        number.agreement(np.zeros(2), np.zeros(3))


@pytest.mark.parametrize("media", [name for name in codecs.names() if name not in ("category", "seed", "graph")])
def test_what_a_response_holds_has_a_measure(media):
    codec = codecs.of(Port("x", "string", (None,), media))
    name, enough = codec.AGREES
    assert name and enough > 0 and callable(codec.agreement)


@pytest.mark.parametrize("media", ["image", "audio", "text", "seed"])
def test_what_is_made_up_is_another_one_every_time_and_can_be_read(media):
    port = Port("x", "int64" if media == "seed" else "string", (None,), media)
    codec, rng = codecs.of(port), np.random.default_rng(1)
    first, second = codec.drawn(port, rng), codec.drawn(port, rng)
    assert first != second
    codec.read(first, port)
