"""Sounds: from what a person gives to encoded bytes, and how far two of them lie apart."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from kerazoo.codecs._files import read_bytes
from kerazoo.contract import Port
from kerazoo.errors import GateError, InputError

SUFFIXES: tuple[str, ...] = (".wav", ".flac", ".ogg")
MIME = "audio/wav"
AGREES = ("signal to noise in dB", 25.0)

QUIET = 1e-2
"""Level below which differences are not compared with the sound itself but with this (-40 dBFS): there, 16-bit numbers
are a coarse scale."""


def read(item: Any, port: Port) -> bytes:
    """A path, encoded bytes, an open file, or a pair (rate, samples) to one encoded sound.

    Samples are [frames] or [frames, channels], floats in -1..1 or int16; the rate is in frames a second. Nothing is
    ever resampled.

    Raises:
        InputError: It is none of these, or cannot be read.
    """
    data = read_bytes(item, "A sound")
    if data is not None:
        return data
    if not isinstance(item, tuple) or len(item) != 2:
        raise InputError(
            f"A sound is a path, bytes, an open file or a pair (rate, samples); this is {type(item).__name__}."
        )
    rate, samples = item
    array = np.asarray(samples)
    # `bool` is a whole number to Python, and no rate.
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or not 1 <= rate <= 2**31 - 1:
        raise InputError(f"A rate is a positive whole number of frames a second; this is {rate!r}.")
    if array.ndim not in (1, 2) or array.size == 0 or not (array.dtype.kind == "f" or array.dtype == np.int16):
        raise InputError(
            f"Samples are floats or int16, [frames] or [frames, channels]; these are {array.dtype} {list(array.shape)}."
        )
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or np.abs(array).max() > 1:
            raise InputError("Samples that are floats lie in -1..1; these hold NaN, infinity or something beyond.")
        array = array.astype(np.float32)
    return encoded(array, int(rate))


def is_item(item: Any) -> bool:
    """Whether a tuple is one sound, a pair (rate, samples), and not two of them."""
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], (int, np.integer))


def encoded(samples: np.ndarray, rate: int) -> bytes:
    """Samples [frames] or [frames, channels], float32 or int16, as a WAV that loses none of them.

    Raises:
        InputError: There are more channels than a file can have.
    """
    import soundfile

    out = io.BytesIO()
    kind = "PCM_16" if samples.dtype == np.int16 else "FLOAT"
    try:
        soundfile.write(out, samples, rate, format="WAV", subtype=kind)
    except (RuntimeError, ValueError, TypeError) as error:  # LibsndfileError is a RuntimeError.
        raise InputError(f"Samples {list(samples.shape)} cannot be written as WAV: {error}") from None
    return out.getvalue()


def plain(value: bytes) -> bytes:
    """The same sound as a TensorFlow graph decodes it: 16-bit PCM WAV, at the same rate and with the same channels.

    Raises:
        InputError: The bytes are no sound that can be read.
    """
    import soundfile

    from kerazoo.ops.numpy import open_sound

    samples, rate = open_sound(value)
    with soundfile.SoundFile(io.BytesIO(value)) as file:
        if (file.format, file.subtype) == ("WAV", "PCM_16") and value[:4] == b"RIFF":
            return value
    from kerazoo.ops.numpy import encode_wav

    return encode_wav(samples, rate)


def example(port: Port, rng: np.random.Generator) -> bytes:
    return tones()


def drawn(port: Port, rng: np.random.Generator) -> bytes:
    """A made-up second of noise and a tone, others every time."""
    time = np.arange(8000) / 8000
    sound = 0.3 * np.sin(2 * np.pi * rng.uniform(100, 1500) * time) + rng.normal(0, rng.uniform(0.01, 0.2), len(time))
    return encoded(np.clip(np.rint(sound[:, None] * 16000), -32768, 32767).astype(np.int16), 8000)


def tones(rate: int = 8000, seconds: float = 0.25, channels: int = 1) -> bytes:
    """A 16-bit WAV of two tones, one that fades and one that rises, the same on every machine."""
    time = np.arange(int(rate * seconds)) / rate
    low = 0.4 * np.exp(-4 * time / seconds) * np.sin(2 * np.pi * 220 * time)
    high = 0.2 * (time / seconds) * np.sin(2 * np.pi * (660 + 220 * time / seconds) * time)
    sides = [low * (1 - 0.3 * side) + high * (0.7 + 0.3 * side) for side in range(channels)]
    return encoded(np.rint(np.stack(sides, -1) * 32767).astype(np.int16), rate)


def distance(expected: Any, got: Any) -> float:
    """Root mean square of the difference over that of the expected sound, `QUIET` at least; of the sounds the largest.

    Raises:
        GateError: Another number of sounds, or a sound of another length, rate or number of channels.
    """
    a, b = (np.asarray(value, object).reshape(-1).tolist() for value in (expected, got))
    if len(a) != len(b):
        raise GateError(f"holds {len(b)} sounds; {len(a)} are expected")
    return max(map(_apart, a, b), default=0.0)


def agreement(expected: Any, got: Any) -> float:
    """Signal to noise ratio in dB, of the sounds where it is least; 100 where they are equal.

    Raises:
        GateError: Another number of sounds, or a sound of another length, rate or number of channels.
    """
    apart = distance(expected, got)
    return min(-20 * float(np.log10(apart)), 100.0) if apart else 100.0


def _apart(a: bytes, b: bytes) -> float:
    (first, rate), (second, other) = (_opened(data) for data in (a, b))
    if (first.shape, rate) != (second.shape, other):
        raise GateError(
            f"is a sound of {list(second.shape)} samples at {other} Hz; {list(first.shape)} at {rate} Hz are expected"
        )
    difference = first.astype(np.float64) - second
    return level(difference) / max(level(first), QUIET)


def level(samples: np.ndarray) -> float:
    """Root mean square of samples, full scale being 1; 0 where there are none."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if samples.size else 0.0


def _opened(data: bytes) -> tuple[np.ndarray, int]:
    from kerazoo.ops.numpy import open_sound

    try:
        return open_sound(bytes(data))
    except InputError as error:
        raise GateError(f"is no sound: {error}") from None
