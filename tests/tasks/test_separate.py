"""Sounds through every engine: what a mask keeps, and that all engines keep the same."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import kerazoo
from kerazoo.codecs import audio
from kerazoo.errors import InputError, UsageError
from kerazoo.ops import numpy as ops
from kerazoo.tasks.separate import Separate, Stems
from tests.tasks.stubs import Stub, again, both, text

RATE = 8000
TASK = Separate(("low", "high"), rate=RATE, channels=2, frame=256, hop=64, frames=16)


def sound(samples: np.ndarray, rate: int = RATE) -> bytes:
    return ops.encode_wav(np.asarray(samples, np.float32), rate)


def samples(data: bytes) -> np.ndarray:
    return ops.open_sound(bytes(data))[0]


def mixture(seconds: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """A low and a high tone, [frames, 2] each."""
    time = np.arange(int(RATE * seconds))[:, None] / RATE
    sides = np.array([0.3, 0.2])
    return tuple(np.sin(2 * np.pi * pitch * time + sides) * sides for pitch in (400, 2500))  # type: ignore[return-value]


def split(task: Separate, at: int):
    """A network that gives all below a frequency's bin to the first stem, and the rest to the second."""

    def network(ops, magnitude):
        low = ops.cast(ops.arange(task.seen) < at, "float32")[:, None]
        if task.output == "masks":
            return {"stems": ops.concat([low + magnitude * 0.0, 1.0 - low + magnitude * 0.0], -1)}
        return {"stems": ops.concat([low * magnitude, (1.0 - low) * magnitude], -1)}

    return network


@pytest.mark.parametrize("output", ["masks", "magnitudes"])
def test_what_differs_in_frequency_comes_apart(output):
    task = Separate(("low", "high"), RATE, 2, 256, 64, 16, output=output)
    low, high = mixture()
    for answer in both(task, {"audio_bytes": text(sound(low + high))}, network=split(task, 40)):
        for name, expected in (("low", low), ("high", high)):
            got = samples(answer[f"{name}_bytes"][0])
            assert got.shape == expected.shape
            # Where a tone begins and ends it holds all frequencies.
            assert np.abs(got - expected)[256:-256].max() < 2e-3
    assert again(task) == task


@settings(max_examples=8, derandomize=True)
@given(st.integers(1, 3000), st.integers(1, 20))
def test_stems_add_up_to_the_mixture_whatever_its_length(count, frames):
    task = Separate(("a", "b"), RATE, 1, 64, 16, frames)
    mixed = np.random.default_rng(count).uniform(-0.4, 0.4, (count, 1))
    answer = task.answer(Stub(ops, {"network": split(task, 9)}), {"audio_bytes": text(sound(mixed))})
    total = sum(samples(answer[f"{name}_bytes"][0]) for name in ("a", "b"))
    np.testing.assert_allclose(total, mixed, atol=1e-4)


@pytest.mark.parametrize("count", [1, 63, 1024, 2777])
def test_both_op_sets_give_the_same_bytes_or_nearly(count):
    mixed = np.random.default_rng(count).uniform(-0.7, 0.7, (count, 2))
    host, graph = both(TASK, {"audio_bytes": text(sound(mixed))}, network=split(TASK, 30))
    for name in host:
        assert np.abs(samples(host[name][0]) - samples(graph[name][0])).max() <= 1.01 / 32768


def test_a_network_sees_chunks_of_its_length_and_silence_behind():
    network = Stub(ops, {"network": split(TASK, 30)})
    TASK.answer(network, {"audio_bytes": text(sound(np.full((64 * 40, 2), 0.5)))})
    assert [call["magnitude"].shape for call in network.calls] == [(1, 16, 129, 2)] * 3
    # 41 frames: the last chunk has nine.
    assert network.calls[-1]["magnitude"][0, :9].any(axis=(1, 2)).all()
    assert not network.calls[-1]["magnitude"][0, 9:].any()


@pytest.mark.parametrize(("above", "kept"), [("silent", 0.0), ("mean", 0.5)])
def test_what_the_network_does_not_see(above, kept):
    task = Separate(("half", "other"), RATE, 1, 256, 64, 16, bins=40, above=above)
    _, high = mixture()

    def halves(ops, magnitude):
        return {"stems": ops.concat([magnitude * 0.0 + 0.5] * 2, -1)}

    for answer in both(task, {"audio_bytes": text(sound(high[:, :1]))}, network=halves):
        got = samples(answer["half_bytes"][0])
        assert np.abs(got - kept * high[:, :1])[256:-256].max() < 2e-3


def test_magnitudes_that_are_nothing_are_shared_out():
    task = Separate(("a", "b"), RATE, 1, 64, 16, 4, output="magnitudes")
    network = Stub(ops, {"network": lambda ops, magnitude: {"stems": np.concatenate([magnitude * 0] * 2, -1)}})
    answer = task.answer(network, {"audio_bytes": text(sound(np.ones((100, 1)) * 0.5))})
    assert np.abs(samples(answer["a_bytes"][0]) - 0.25).max() < 1e-3


def test_a_network_has_magnitudes_at_its_own_scale():
    task = Separate(("a",), RATE, 1, 256, 64, 16, scale=128.0)
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE)[:, None] / RATE)
    network = Stub(ops, {"network": lambda ops, magnitude: {"stems": magnitude * 0 + 1}})
    task.answer(network, {"audio_bytes": text(sound(tone))})
    # 1000 Hz is the 32nd frequency; a tone's magnitude is half its amplitude.
    assert network.calls[1]["magnitude"][0, :, 32].mean() == pytest.approx(64, rel=1e-3)


def test_a_mono_sound_serves_a_stereo_network():
    low, _ = mixture()
    network = Stub(ops, {"network": split(TASK, 30)})
    answer = TASK.answer(network, {"audio_bytes": text(sound(low[:, :1]))})
    assert samples(answer["low_bytes"][0]).shape == low.shape


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (sound(np.zeros((100, 2)), 44100), "must have 8000 frames a second.*ffmpeg"),
        (sound(np.zeros((100, 3))), "must have 2 channels"),
    ],
)
def test_sounds_that_do_not_fit_are_refused_never_resampled(data, said):
    with pytest.raises(InputError, match=said):
        TASK.answer(Stub(ops, {"network": split(TASK, 30)}), {"audio_bytes": text(data)})
    with pytest.raises(tf.errors.InvalidArgumentError, match=said):
        from kerazoo.ops import tensorflow as graph

        TASK.answer(Stub(graph, {"network": split(TASK, 30)}), {"audio_bytes": tf.constant([data])})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"stems": ()}, "different words"),
        ({"stems": ("a", "a")}, "different words"),
        ({"stems": ("lead voice",)}, "different words"),
        ({"frame": 255}, "even"),
        ({"hop": 200}, "3/4"),
        ({"hop": 0}, "3/4"),
        ({"bins": 130}, "has 129"),
        ({"rate": 0}, "rate=0"),
        ({"scale": 0.0}, "scale=0"),
        ({"output": "phases"}, "masks, magnitudes"),
        ({"above": "loud"}, "silent, mean"),
    ],
)
def test_settings_that_mean_nothing(changed, said):
    fields = {"stems": ("a", "b"), "rate": 8000, "channels": 1, "frame": 256, "hop": 64, "frames": 16}
    with pytest.raises(UsageError, match=said):
        Separate(**fields | changed)


def test_result():
    quiet, loud = np.zeros((4000, 2)), np.full((4000, 2), 0.5)
    result = TASK.read({"low_bytes": text(sound(loud)), "high_bytes": text(sound(quiet))}, 0)
    assert isinstance(result, Stems)
    assert result.rows() == ["low   0.5 s  -6.0 dBFS", "high  0.5 s  silent"]
    plain = result.to_json()
    assert (plain["rate"], plain["seconds"]) == (8000, 0.5)
    assert base64.b64decode(plain["stems"]["low"]) == result.files()["low.wav"] == sound(loud)
    assert list(result.files()) == ["low.wav", "high.wav"]
    assert result._repr_html_().count("<audio controls") == 2


# --- one network on every engine ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    inputs = keras.Input((TASK.frames, TASK.seen, TASK.channels), name="magnitude")
    layer = keras.layers.Conv2D(2 * TASK.channels, 1, activation="sigmoid", name="masks")
    model = keras.Model(inputs, layer(inputs), name="tiny")
    # The louder, the more the first stem has of it.
    kernel = np.concatenate([np.eye(2), -np.eye(2)], -1)[None, None] * 40
    layer.set_weights([kernel, np.array([-1, -1, 1, 1.0])])
    return kerazoo.save(model, tmp_path_factory.mktemp("separate") / "tiny.keras", task=TASK)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnx", "litert", "savedmodel"])
def test_every_engine_separates_alike(saved, engine):
    low, high = mixture(0.9)
    item = (RATE, (low + 0.2 * high).astype(np.float32))
    expected = kerazoo.load(saved, engine="keras")(item)
    got = kerazoo.load(saved, engine=engine)(item)
    assert got.names == ("low", "high")
    assert min(expected.levels) > -40
    assert audio.distance(list(expected.sounds), list(got.sounds)) < 1e-3
    assert got.rows() == expected.rows()
    assert [result.names for result in kerazoo.load(saved, engine=engine)([item])] == [got.names]
    faster = kerazoo.load(saved, engine=engine)((16000, np.repeat(item[1], 2, 0)))
    assert (faster.rate, faster.seconds) == (16000, got.seconds)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnx", "savedmodel"])
def test_a_file_of_another_format_is_separated_too(saved, engine):
    low, high = mixture(0.3)
    out = io.BytesIO()
    soundfile.write(out, low + 0.2 * high, RATE, format="FLAC")
    results = list(kerazoo.load(saved, engine=engine)([out.getvalue(), b"no sound", sound(low + 0.2 * high)]))
    assert "Not a sound" in results[1].to_json()["error"]
    assert audio.distance(list(results[0].sounds), list(results[2].sounds)) < 1e-2
