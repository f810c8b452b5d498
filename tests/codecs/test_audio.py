"""Sounds: what is read, what is refused, and what a graph can decode."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import scipy.signal
import soundfile
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.codecs import audio
from kerazoo.contract import Port
from kerazoo.errors import GateError, InputError
from kerazoo.ops import numpy as ops
from kerazoo.ops.numpy import sound

PORT = Port("audio_bytes", "string", (None,), "audio")
RNG = np.random.default_rng(0)
STEREO = RNG.uniform(-1, 1, (500, 2)).astype(np.float32)


def written(samples=STEREO, rate=8000, **options) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, **({"format": "WAV"} | options))
    return out.getvalue()


def test_what_is_a_sound(tmp_path):
    data = written()
    (tmp_path / "a b.wav").write_bytes(data)
    with (tmp_path / "a b.wav").open("rb") as file:
        for item in (data, str(tmp_path / "a b.wav"), tmp_path / "a b.wav", file):
            assert audio.read(item, PORT) == data
    levels = (STEREO * 32767).astype(np.int16)
    for given_, tolerance in ((STEREO, 0), (STEREO[:, 0].astype(np.float64), 1e-7), (levels, 0), (levels[:, 0], 0)):
        samples, rate = ops.open_sound(audio.read((11025, given_), PORT))
        expected = given_ / 32768 if given_.dtype == np.int16 else given_
        assert rate == 11025
        np.testing.assert_allclose(samples, expected.reshape(500, -1), atol=tolerance)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (3.5, "a pair"),
        ((8000, np.zeros((2, 2, 2), np.float32)), r"\[2, 2, 2\]"),
        ((8000, np.zeros(0, np.float32)), r"\[0\]"),
        ((8000, np.zeros(4, np.int32)), "int32"),
        ((8000, np.array([0.5, 1.5])), "-1..1"),
        ((8000, np.array([0.5, np.nan])), "NaN"),
        ((0, np.zeros(4, np.float32)), "positive"),
        ((True, np.zeros(4, np.float32)), "positive"),
        ((44100.5, np.zeros(4, np.float32)), "positive"),
        ((8000, np.zeros((1, 5000), np.float32)), "cannot be written"),
        ("nowhere.wav", "No such file"),
    ],
)
def test_what_is_none(item, said):
    with pytest.raises(InputError, match=said):
        audio.read(item, PORT)


@pytest.mark.parametrize(
    "options",
    [
        {"subtype": "PCM_16"},
        {"subtype": "PCM_24"},
        {"subtype": "FLOAT"},
        {"subtype": "PCM_U8"},
        {"format": "WAVEX", "subtype": "PCM_16"},
        {"format": "FLAC"},
        {"format": "OGG"},
        {"format": "AIFF"},
    ],
    ids=str,
)
def test_whatever_it_is_a_graph_decodes_it_once_it_is_plain(options):
    data = written(STEREO * 0.4, **options)
    mine, rate = ops.decode_audio(data, 2)
    plain = audio.plain(data)
    theirs, other = tf.audio.decode_wav(plain)
    assert rate == other == 8000
    np.testing.assert_allclose(theirs, mine, atol=1 / 32768 + 1e-6)
    assert audio.plain(plain) == plain


def test_a_plain_sound_passes_as_it_is():
    assert audio.plain(written(subtype="PCM_16")) == written(subtype="PCM_16")


def test_what_is_beyond_full_scale_is_limited():
    plain = audio.plain(written(np.array([0.0, 1.5, -1.5], np.float32), subtype="FLOAT"))
    np.testing.assert_allclose(tf.audio.decode_wav(plain)[0][:, 0], [0, 1, -1], atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_single_channel_serves_all_and_all_serve_a_single_one(channels):
    data = written(STEREO[:, :channels], subtype="FLOAT")
    np.testing.assert_allclose(ops.decode_audio(data, 1)[0][:, 0], STEREO[:, :channels].mean(1), atol=1e-6)
    two = STEREO if channels == 2 else STEREO[:, [0, 0]]
    np.testing.assert_allclose(ops.decode_audio(data, 2)[0], two, atol=1e-6)


def test_other_channels_are_refused():
    with pytest.raises(InputError, match="must have 2 channels"):
        ops.decode_audio(written(np.zeros((9, 3), np.float32)), 2)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"no sound at all", "Not a sound"),
        (b"RIFF\xff\xff\xff\xffWAVE", "Not a sound"),
        (written()[:30], "Not a sound"),
        (written()[:-100], "truncated"),
        (written(format="FLAC")[:-700], "truncated|Not a sound"),
    ],
)
def test_damage(data, said):
    for read in (audio.plain, lambda data: ops.decode_audio(data, 1)):
        with pytest.raises(InputError, match=said):
            read(data)


def test_what_was_written_into_a_pipe_does_not_know_its_length():
    data = bytearray(written(subtype="PCM_16"))
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    np.testing.assert_allclose(ops.decode_audio(bytes(data), 2)[0], STEREO, atol=1e-4)


@pytest.mark.parametrize(("name", "most"), [("MAX_SAMPLES", 999), ("MAX_SECONDS", 0)])
def test_more_than_is_allowed_is_refused_by_what_is_declared(name, most, monkeypatch):
    monkeypatch.setattr(sound, name, most)
    with pytest.raises(InputError, match="declares 500 frames of 2 channels at 8000 Hz"):
        ops.decode_audio(written(), 2)


def test_a_small_file_that_declares_hours_costs_nothing():
    # 36 bits of a FLAC header are the number of samples.
    data = bytearray(written(format="FLAC"))
    packed = int.from_bytes(data[18:26], "big") | (2**36 - 1)
    data[18:26] = packed.to_bytes(8, "big")
    with pytest.raises(InputError, match="declares|Not a sound"):
        ops.decode_audio(bytes(data), 2)


@settings(max_examples=150, derandomize=True)
@given(st.sampled_from(["PCM_16", "PCM_24", "FLOAT"]), st.integers(0, 80), st.binary(min_size=1, max_size=4))
def test_a_damaged_header_is_refused_or_read_but_nothing_else(subtype, at, junk):
    data = bytearray(written(STEREO[:20], subtype=subtype))
    data[at : at + len(junk)] = junk
    try:
        samples, rate = ops.open_sound(bytes(data))
    except InputError:
        return
    assert samples.ndim == 2 and rate >= 0


def test_a_chunk_of_odd_length_is_followed():
    plain = written(subtype="PCM_16")
    odd = plain[:12] + b"junk" + struct.pack("<I", 3) + b"abc\0" + plain[12:]
    np.testing.assert_array_equal(ops.open_sound(odd)[0], ops.open_sound(plain)[0])
    with pytest.raises(InputError, match="truncated"):
        ops.open_sound(odd[:-10])


def test_distance():
    one = ops.encode_wav(STEREO * 0.5, 8000)
    assert audio.distance([one, one], [one, one]) == 0
    louder = ops.encode_wav(STEREO * 0.55, 8000)
    assert audio.distance([one, one], [one, louder]) == pytest.approx(0.1, rel=1e-3)
    # One step of 16 bits in silence is nothing.
    quiet = np.zeros((100, 1), np.float32)
    assert audio.distance([ops.encode_wav(quiet, 8000)], [ops.encode_wav(quiet + 1 / 32768, 8000)]) < 0.01
    for other, said in (
        (ops.encode_wav(STEREO[:-1], 8000), r"\[499, 2\]"),
        (ops.encode_wav(STEREO, 16000), "16000 Hz"),
        (b"nothing", "is no sound"),
    ):
        with pytest.raises(GateError, match=said):
            audio.distance([one], [other])
    with pytest.raises(GateError, match="2 sounds"):
        audio.distance([one], [one, one])


def test_the_example_is_heard():
    data = audio.example(PORT, RNG)
    assert audio.plain(data) == data
    assert audio.level(ops.open_sound(data)[0]) > 0.05


@settings(max_examples=30)
@given(st.integers(64, 700), st.sampled_from([(64, 16), (64, 32), (64, 20), (32, 8), (10, 3)]), st.integers(1, 2))
def test_the_transform_is_scipys(samples, sizes, channels):
    frame, hop = sizes
    signal = np.random.default_rng(samples).standard_normal((channels, samples)).astype(np.float32)
    options = {"nperseg": frame, "noverlap": frame - hop}
    expected = scipy.signal.stft(signal, **options)[2]
    spectrum = ops.stft(signal, frame, hop)
    np.testing.assert_allclose(spectrum, np.swapaxes(expected, -1, -2), atol=1e-6)
    back = ops.istft(spectrum, frame, hop)
    np.testing.assert_allclose(back, scipy.signal.istft(expected, **options)[1], atol=1e-5)
    np.testing.assert_allclose(back[:, :samples], signal, atol=1e-4)
    assert spectrum.shape[1] == -(-samples // hop) + 1


def test_a_signal_shorter_than_a_frame_is_transformed_too():
    signal = np.ones((1, 3), np.float32)
    np.testing.assert_allclose(ops.istft(ops.stft(signal, 64, 16), 64, 16)[:, :3], signal, atol=1e-5)
