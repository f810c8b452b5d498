"""Sounds: decoding with libsndfile, encoding, and the short-time Fourier transform.

The transform is that of `scipy.signal.stft` and `istft` with their defaults: a periodic Hann window, zeros around the
signal so that the first frame is centred on its first sample, and a spectrum scaled by the sum of the window.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from kerazoo.errors import InputError

MAX_SECONDS = 3600
"""Longest sound that is decoded."""

HEAD = 1 << 16
"""Bytes in which the header of a WAV is looked for."""

MAX_SAMPLES = 64_000_000
"""Most samples, all channels counted, that are decoded: a tiny file can declare any number."""


def open_sound(data: bytes, dtype: str = "float32") -> tuple[np.ndarray, int]:
    """An encoded sound of any kind that libsndfile reads to samples [frames, channels] and frames a second.

    Args:
        data: WAV, FLAC, Ogg, ...
        dtype: `float32` in -1..1, or `int16`.

    Raises:
        InputError: The bytes are empty, no sound, truncated, or declare more than `MAX_SECONDS` or `MAX_SAMPLES`.
    """
    with sound_file(io.BytesIO(data)) as file:
        frames, channels, rate = file.frames, file.channels, file.samplerate
        if frames > MAX_SECONDS * rate or frames * channels > MAX_SAMPLES:
            raise InputError(
                f"The sound declares {frames} frames of {channels} channels at {rate} Hz; at most "
                f"{MAX_SECONDS // 60} minutes and {MAX_SAMPLES // 10**6} million samples are read at once."
            )
        samples = next(blocks(file, frames, dtype), np.zeros((0, channels), dtype))
    return samples, rate


@contextlib.contextmanager
def sound_file(source: IO[bytes]) -> Iterator[Any]:
    """A `soundfile.SoundFile` of an open file of any kind that libsndfile reads.

    Raises:
        InputError: It is empty, no sound, or truncated.
    """
    # Loading libsndfile takes longer than a small picture's whole answer.
    import soundfile

    head = source.read(HEAD)
    source.seek(0, io.SEEK_END)
    size = source.tell()
    source.seek(0)
    if not head:
        raise InputError("The sound is empty (0 bytes).")
    if (declared := _declared(head)) > size:
        raise InputError(f"The sound is truncated: it declares {declared - size} bytes more.")
    try:
        file = soundfile.SoundFile(source)
    except Exception as error:  # LibsndfileError for most, TypeError and ValueError for some.
        why = _told(error, head)
        raise InputError(f"Not a sound that can be read ({size} bytes, beginning {head[:8]!r}): {why}") from None
    with file:
        yield file


def blocks(file: Any, size: int, dtype: str = "float32") -> Iterator[np.ndarray]:
    """The samples of a `sound_file`, [size or less, channels] at a time.

    Raises:
        InputError: It ends too early, or holds what is no number.
    """
    left = file.frames
    while left:
        try:
            samples = file.read(min(size, left), dtype, always_2d=True)
        except Exception as error:
            raise InputError(f"The sound is truncated or damaged: {error}") from None
        if len(samples) < min(size, left):
            missing = left - len(samples)
            raise InputError(
                f"The sound is truncated: of {file.frames} frames that it declares, {missing} are missing."
            )
        if dtype == "float32" and not np.isfinite(samples).all():
            second = (file.frames - left + int(np.argmin(np.isfinite(samples).all(axis=1)))) / file.samplerate
            raise InputError(f"The sound holds NaN or infinity, first at {second:.3f} s; write it again without.")
        left -= len(samples)
        yield samples


def _told(error: Exception, head: bytes) -> str:
    import soundfile

    # A tag, or the first frame of layer III.
    mp3 = head.startswith(b"ID3") or (head[:1] == b"\xff" and head[1:2] > b"\xe0" and head[1] & 6 == 2)
    if mp3 and "MP3" not in soundfile.available_formats():
        return (
            "it is MP3, which this libsndfile does not decode; install libsndfile 1.1 or newer (pip install soundfile)"
        )
    return str(error)


def _declared(data: bytes) -> int:
    """Bytes that a RIFF file must have for its samples to be whole; 0 where it does not say."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return 0
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            # What is written into a pipe does not know its length, and says the largest.
            return at + 8 + size if size < 0x7FFFF000 else 0
        at += 8 + size + size % 2
    return 0


def decode_audio(data: bytes, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """One encoded sound to float32 [frames, channels] in -1..1 and its frames a second, int32.

    One channel is the mean of all that there are; a single one is repeated as often as it takes.
    """
    samples, rate = open_sound(bytes(data))
    if channels == 1:
        samples = samples.mean(axis=1, keepdims=True)
    elif samples.shape[1] == 1:
        samples = np.repeat(samples, channels, axis=1)
    elif samples.shape[1] != channels:
        raise InputError(CHANNELS.format(channels))
    return samples, np.asarray(rate, np.int32)


CHANNELS = "The sound must have {0} channels, or one."


def encode_wav(samples: np.ndarray, rate: int) -> bytes:
    """Samples float32 [frames, channels] to 16-bit PCM WAV; what lies outside -1..1 is limited."""
    import soundfile

    out = io.BytesIO()
    soundfile.write(out, levels(samples), int(rate), format="WAV", subtype="PCM_16")
    return out.getvalue()


def levels(samples: np.ndarray) -> np.ndarray:
    """Samples as numbers of 16 bits; what lies outside -1..1 is limited."""
    return np.clip(np.rint(samples * np.float32(32768)), -32768, 32767).astype(np.int16)


def stft(signal: np.ndarray, frame: int, hop: int) -> np.ndarray:
    """Signals float32 [..., samples] to complex64 [..., frames, frame // 2 + 1].

    There are `samples // hop + 1` frames or more, so many that all samples are covered.

    Args:
        signal: At least one sample.
        frame: Samples of a frame, even.
        hop: Samples from the beginning of a frame to that of the next.
    """
    count, around = signal.shape[-1], frame // 2
    behind = around + -count % hop
    padded = np.pad(signal, [(0, 0)] * (signal.ndim - 1) + [(around, behind)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame, axis=-1)[..., ::hop, :]
    window = hann(frame)
    return np.fft.rfft(frames * window).astype(np.complex64) / window.sum()


def istft(spectrum: np.ndarray, frame: int, hop: int) -> np.ndarray:
    """The inverse of `stft`, as long as its frames reach: float32 [..., (frames - 1) * hop + frame - frame // 2 * 2].

    Frames are added up under the window, and divided by what the squared windows add up to.
    """
    window = hann(frame)
    segments = np.fft.irfft(spectrum, frame).astype(np.float32) * (window * window.sum())
    total, weight = _overlapped(segments, hop), _window_sum(segments.shape[-2], frame, hop)
    around = frame // 2
    return (total / weight)[..., around : total.shape[-1] - around]


def hann(frame: int) -> np.ndarray:
    """The periodic Hann window, float32 [frame]."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)).astype(np.float32)


def _overlapped(segments: np.ndarray, hop: int) -> np.ndarray:
    """Segments [..., count, frame], each `hop` behind the one before it, added up to [..., (count-1) * hop + frame]."""
    *lead, count, frame = segments.shape
    pieces = -(-frame // hop)
    padded = np.pad(segments, [(0, 0)] * (segments.ndim - 1) + [(0, pieces * hop - frame)])
    padded = padded.reshape(*lead, count, pieces, hop)
    out = np.zeros((*lead, count + pieces - 1, hop), segments.dtype)
    for piece in range(pieces):
        out[..., piece : piece + count, :] += padded[..., piece, :]
    return out.reshape(*lead, -1)[..., : (count - 1) * hop + frame]


def _window_sum(count: Any, frame: int, hop: int) -> np.ndarray:
    """What the squared windows of `count` frames add up to; 1 where they are nothing."""
    squared = np.broadcast_to(hann(frame) ** 2, (int(count), frame))
    weight = _overlapped(squared, hop)
    return np.where(weight > 1e-10, weight, np.float32(1))
