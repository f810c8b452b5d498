"""A song of any length and rate, piece by piece: the memory that it takes does not grow with it."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from kerazoo.codecs import audio
from kerazoo.errors import InputError
from kerazoo.ops.numpy.sound import CHANNELS, blocks, levels
from kerazoo.packages import needed

MAX_SECONDS = 4 * 3600
"""Longest song: a file of some bytes can declare any length."""

MAX_BYTES = 2**32 - 2**16
"""Of one stem; a WAV counts its bytes in 32 bits."""

HELD = 64 << 20
"""A stem of more bytes stays in its file."""

BLOCK = 1 << 16
"""Frames that are read at once."""

Ask = Callable[[np.ndarray], list[np.ndarray]]
"""From samples [frames, channels] at the network's rate to those of each stem."""


def separated(item: Any, rate: int, channels: int, stems: int, length: int, overlap: int, ask: Ask) -> list[Any]:
    """The stems of one song as 16-bit WAV files, as long as the song and at its rate.

    Pieces of `length` frames overlap by `overlap`, over which one is faded into the next.

    Args:
        item: As `codecs.audio.opened` takes it.
        rate, channels: What the network takes.
        stems: How many.

    Returns:
        `bytes` each, or `mmap` objects of files without a name where they are larger than `HELD`.

    Raises:
        InputError: It cannot be read, is empty or too long, or has channels that do not fit.
        PackageMissing: It has another rate, and soxr is not installed.
    """
    with contextlib.ExitStack() as closing:
        song = closing.enter_context(audio.opened(item))
        _check(song, channels)
        files = [closing.enter_context(tempfile.TemporaryFile()) for _ in range(stems)]
        with contextlib.ExitStack() as writing:
            writers = [_Writer(writing, file, song, rate, channels) for file in files]
            pieces = _pieces(_resampled(blocks(song, BLOCK), song, rate, channels), length, overlap)
            for sounds, last in _faded(pieces, overlap, ask):
                for writer, sound in zip(writers, sounds, strict=True):
                    writer(sound, last)
        return [_held(file) for file in files]


def _check(song: Any, channels: int) -> None:
    frames, rate = song.frames, song.samplerate
    if not frames:
        raise InputError("The sound holds no samples.")
    if frames > MAX_SECONDS * rate or frames * channels * 2 > MAX_BYTES:
        raise InputError(
            f"The sound declares {frames} frames at {rate} Hz, {frames / rate / 3600:.1f} hours; at most "
            f"{MAX_SECONDS // 3600} hours and {MAX_BYTES >> 20} MiB a stem are separated. Cut it."
        )
    if channels > 1 and song.channels not in (1, channels):
        raise InputError(CHANNELS.format(channels))


def _resampled(read: Iterable[np.ndarray], song: Any, rate: int, channels: int) -> Iterator[np.ndarray]:
    change = _resampler(song.samplerate, rate, channels)
    for block in read:
        if channels == 1:
            block = block.mean(axis=1, keepdims=True)
        yield change(np.broadcast_to(block, (len(block), channels)), False)
    yield change(np.zeros((0, channels), np.float32), True)


def _resampler(source: int, target: int, channels: int) -> Callable[[np.ndarray, bool], np.ndarray]:
    """A function from blocks to blocks at another rate; what it holds back comes with the last."""
    if source == target:
        return lambda block, last: block
    stream = needed("soxr").ResampleStream(source, target, channels, dtype="float32")
    return lambda block, last: stream.resample_chunk(np.ascontiguousarray(block), last=last).reshape(-1, channels)


def _pieces(given: Iterable[np.ndarray], length: int, overlap: int) -> Iterator[tuple[np.ndarray, bool]]:
    """Stretches of `length` that overlap, and whether each is the last, which is longer than the overlap."""
    held: np.ndarray | None = None
    for block in given:
        held = block if held is None else np.concatenate([held, block])
        while len(held) > length:
            yield held[:length], False
            held = held[length - overlap :]
    if held is not None and len(held):
        yield held, True


def _faded(
    pieces: Iterable[tuple[np.ndarray, bool]], overlap: int, ask: Ask
) -> Iterator[tuple[list[np.ndarray], bool]]:
    """Stretches of the stems, one behind the other."""
    rise = ((np.arange(overlap, dtype=np.float32) + 0.5) / max(overlap, 1))[:, None]
    tails: list[np.ndarray] | None = None
    for piece, last in pieces:
        sounds = ask(piece)
        if tails is not None:
            for sound, tail in zip(sounds, tails, strict=True):
                sound[:overlap] = tail * (1 - rise) + sound[:overlap] * rise
        until = len(piece) if last else len(piece) - overlap
        tails = [sound[until:] for sound in sounds]
        yield [sound[:until] for sound in sounds], last


class _Writer:
    """Takes stretches of a stem at the network's rate, and writes as many frames at the song's as that has."""

    def __init__(self, closing: contextlib.ExitStack, file: Any, song: Any, rate: int, channels: int) -> None:
        import soundfile

        self.change = _resampler(rate, song.samplerate, channels)
        self.left = song.frames
        self.file = closing.enter_context(
            soundfile.SoundFile(file, "w", song.samplerate, channels, "PCM_16", format="WAV")
        )

    def __call__(self, sound: np.ndarray, last: bool) -> None:
        sound = self.change(sound, last)[: self.left]
        self.left -= len(sound)
        if last and self.left:
            # Two resamplings round the length twice.
            sound = np.pad(sound, ((0, self.left), (0, 0)))
        self.file.write(levels(sound))


def _held(file: Any) -> Any:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return file.read() if size <= HELD else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
