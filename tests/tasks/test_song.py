"""Songs of any length, rate and kind, piece by piece: what people have in their folders."""

from __future__ import annotations

import io
import mmap
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.codecs import audio
from kerazoo.errors import InputError, KerazooError
from kerazoo.ops import numpy as ops
from kerazoo.predictor import Predictor
from kerazoo.tasks import _song
from kerazoo.tasks.separate import Separate
from tests.tasks.stubs import Stub

RATE = 8000
TASK = Separate(("a", "b"), rate=RATE, channels=2, frame=64, hop=16, frames=64)


def halves(ops, magnitude):
    return {"stems": ops.concat([magnitude * 0 + 0.25, magnitude * 0 + 0.75], -1)}


def predictor(task: Separate = TASK, network=halves, plain: bool = False) -> Predictor:
    return Predictor(
        "stub", task, "keras", lambda request: task.answer(Stub(ops, {"network": network}), request), plain
    )


def written(path: Path | io.BytesIO, samples: np.ndarray, rate: int = RATE, **kind: str) -> Path | io.BytesIO:
    soundfile.write(path, samples, rate, **kind)
    return path


def tone(seconds: float, rate: int = RATE, channels: int = 2) -> np.ndarray:
    time = np.arange(round(seconds * rate))[:, None] / rate
    return 0.4 * np.sin(2 * np.pi * 440 * time + np.arange(channels))


def stems(result) -> list[np.ndarray]:
    return [soundfile.read(io.BytesIO(sound), always_2d=True)[0] for sound in result.files().values()]


@pytest.fixture
def short_pieces(monkeypatch):
    """Pieces of a tenth of a second."""
    monkeypatch.setattr("kerazoo.tasks.separate.PIECE", 0.1)


@settings(max_examples=12, derandomize=True)
@given(st.integers(1, 9000), st.sampled_from([RATE, 11025, 44100, 192000]), st.integers(1, 2))
def test_stems_are_as_long_as_the_song_and_add_up_to_it(count, rate, channels):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kerazoo.tasks.separate.PIECE", 0.1)
        song = tone(count / rate, rate, channels) * np.hanning(count)[:, None]
        result = predictor()((rate, song.astype(np.float32)))
    a, b = stems(result)
    assert (a.shape, result.rate) == ((count, 2), rate)
    if count > rate // 100:  # Less holds frequencies that another rate does not have.
        assert np.abs(a + b - song).max() < 5e-3
    assert np.abs(3 * a - b).max() < 5e-3


def test_where_pieces_meet_nothing_is_heard(short_pieces):
    """Each piece has a network of its own mind; what they say is faded over, never cut."""
    calls = iter(range(100))

    def moody(ops, magnitude):
        share = magnitude * 0 + next(calls) % 2
        return {"stems": ops.concat([share, 1 - share], -1)}

    song = np.full((RATE, 2), 0.5)
    a, b = stems(predictor(network=moody)((RATE, song.astype(np.float32))))
    np.testing.assert_allclose(a + b, song, atol=1e-3)
    assert np.abs(np.diff(a, axis=0)[100:-100]).max() < 0.02
    assert a.min() < 0.01 and a.max() > 0.49


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [("wav", "PCM_U8"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("ogg", "VORBIS"), ("mp3", None)],
)
def test_files_of_many_kinds(tmp_path, suffix, kind):
    path = written(tmp_path / f"song.{suffix}", tone(0.3, 44100), 44100, **({"subtype": kind} if kind else {}))
    result = predictor()(str(path))
    assert result.rate == 44100
    assert result.seconds == pytest.approx(0.3, abs=0.06)
    assert np.abs(stems(result)[1] * 4 / 3).max() == pytest.approx(0.4, abs=0.1)


def test_a_mono_song_and_a_network_of_one_channel(tmp_path):
    path = written(tmp_path / "mono.wav", tone(0.2, channels=1))
    assert stems(predictor()(path))[0].shape == (1600, 2)
    task = Separate(("a", "b"), RATE, 1, 64, 16, 64)
    one = predictor(task, lambda ops, magnitude: {"stems": ops.concat([magnitude * 0 + 0.5] * 2, -1)})
    assert stems(one(written(tmp_path / "three.wav", tone(0.2, channels=3))))[0].shape == (1600, 1)


def with_nan() -> np.ndarray:
    song = tone(2).astype(np.float32)
    song[12000, 1] = np.nan
    return song


@pytest.mark.parametrize(
    ("samples", "kind", "said"),
    [
        (with_nan(), {"subtype": "FLOAT"}, r"NaN or infinity, first at 1\.500 s"),
        (np.zeros((0, 2)), {}, "holds no samples"),
        (tone(0.1, channels=3), {}, "must have 2 channels, or one"),
    ],
)
def test_sounds_that_are_none(tmp_path, samples, kind, said):
    path = written(tmp_path / "bad.wav", samples, **kind)
    for item in (path, path.read_bytes()):
        with pytest.raises(InputError, match=said):
            predictor()(item)


def test_damaged_files(tmp_path):
    whole = written(tmp_path / "song.wav", tone(1)).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:-900])
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_bytes(b"a list of songs")
    flac = written(tmp_path / "song.flac", np.random.default_rng(0).uniform(-1, 1, (9000, 2))).read_bytes()
    (tmp_path / "cut.flac").write_bytes(flac[: len(flac) // 2])
    for name, said in (
        ("cut.wav", "truncated: it declares 900"),
        ("empty.wav", "empty"),
        ("text.wav", "Not a sound"),
        ("cut.flac", "truncated"),
        ("gone.wav", "No such file"),
        ("", "folder"),
    ):
        with pytest.raises(InputError, match=said):
            predictor()(alone(tmp_path / name))


def alone(path: Path):
    """Behind a function an item is one, also where it is a folder."""
    return lambda: path


def test_mp3_where_no_decoder_is_installed(tmp_path, monkeypatch):
    path = written(tmp_path / "song.mp3", tone(0.3, 44100), 44100)

    def refuses(*_, **__):
        raise soundfile.LibsndfileError(1)

    monkeypatch.setattr(soundfile, "SoundFile", refuses)
    monkeypatch.setattr(soundfile, "available_formats", lambda: {"WAV": "WAV (Microsoft)"})
    with pytest.raises(InputError, match="MP3.*pip install soundfile"):
        predictor()(path)


@pytest.mark.parametrize("limit", ["MAX_SECONDS", "MAX_BYTES"])
def test_songs_that_are_too_long_are_refused_before_they_are_read(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(_song, limit, 1)
    with pytest.raises(InputError, match=r"at most .* Cut it\."):
        predictor()(written(tmp_path / "long.wav", tone(1.5)))


def test_what_a_network_says_goes_wrong_is_not_the_songs_fault(tmp_path):
    def broken(ops, magnitude):
        raise RuntimeError("no memory")

    with pytest.raises(KerazooError, match="no memory") as caught:
        predictor(network=broken)(written(tmp_path / "song.wav", tone(0.1)))
    assert not isinstance(caught.value, InputError)


def test_memory_does_not_grow_with_the_song(tmp_path, monkeypatch):
    monkeypatch.setattr("kerazoo.tasks.separate.PIECE", 1.0)
    monkeypatch.setattr(_song, "HELD", 1 << 16)
    task = Separate(("a", "b"), 8000, 2, 512, 256, 32)
    peaks = []
    for seconds in (20, 100):
        path = written(tmp_path / "song.wav", tone(seconds))
        tracemalloc.start()
        result = predictor(task)(path)
        assert result.rows()[0].startswith(f"a  {seconds}.0 s")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert all(isinstance(sound, mmap.mmap) for sound in result.sounds)
        assert audio.measured(result.files()["a.wav"])[0] == 8000 * seconds
    assert peaks[1] < 1.2 * peaks[0]
