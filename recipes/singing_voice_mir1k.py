"""Trains `singing_voice_unet` on songs of MIR-1K, music on the left and voice on the right, as far as a part goes.

    python recipes/singing_voice_mir1k.py mir1k.tar out/
    python recipes/singing_voice_mir1k.py mir1k.tar out/ --measure
    kerazoo predict song.wav -m out/model.keras -o stems/

The archive holds `train/*.flac` and `test/*.flac`, of other singers. Voices are laid over the music of other songs, so
that a few clips become many mixtures. Measured is what the separated voice and music gain over the mixture of both at
equal loudness (GNSDR, by mir_eval), at the network's own 8,192 frames a second. MIR-1K has no licence under which what
was learnt from it may be given on: these weights do not ship.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.applications import singing_voice
from kerazoo.lazy import keras
from kerazoo.loading import load
from kerazoo.metrics.separate import separation
from kerazoo.ops.numpy import open_sound, stft
from kerazoo.packages import needed
from kerazoo.train import script
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.recipe import Batch, Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.supervised import Supervised

CONFIG = singing_voice.VARIANTS["singing_voice_unet"].config
MIXTURES = 160
"""In an epoch."""
LOUDER = 6.0
"""By so many dB at most a voice is louder or softer than its music."""

Song = tuple[np.ndarray, np.ndarray]
"""Voice and music, equally loud, float32 [samples]."""


def opened(path: Path) -> dict[str, list[Song]]:
    """Songs of `train` and `test`, at the network's rate."""
    resample = needed("soxr").resample
    found: dict[str, list[Song]] = {"train": [], "test": []}
    with tarfile.open(path) as archive:
        for name in sorted(archive.getnames()):
            part, _, file = name.partition("/")
            if part not in found or not file:
                continue
            samples, rate = open_sound(archive.extractfile(name).read())  # type: ignore[union-attr]
            music, voice = (resample(side, rate, CONFIG.rate) for side in samples.T)
            found[part].append((voice / np.sqrt(np.mean(voice**2)), music / np.sqrt(np.mean(music**2))))
    return found


@dataclass(frozen=True)
class Mixed:
    """Makes mixtures of spectra [frames, bins]: any voice with any music.

    A batch of numbers becomes magnitudes [batch, frames, bins, 1], and what a loss compares: magnitudes of the voice
    and of the mixture as shares of its largest, [batch, frames, bins, 2].
    """

    voices: Sequence[np.ndarray]
    music: Sequence[np.ndarray]

    def __call__(self, batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
        count = len(batch[0])
        voice, music = (np.stack([self._some(each, rng) for _ in range(count)]) for each in (self.voices, self.music))
        voice = voice * 10 ** (rng.uniform(-LOUDER, LOUDER, (count, 1, 1)) / 20)
        mixture, voice = np.abs(voice + music), np.abs(voice)
        largest = np.maximum(mixture.max((1, 2), keepdims=True), 1e-8)
        known = np.stack([voice, mixture], -1) / largest[..., None]
        return mixture[..., None].astype(np.float32), known.astype(np.float32)

    @staticmethod
    def _some(spectra: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """As many frames as the network sees, from anywhere in a song, which begins again after its end."""
        song = spectra[rng.integers(len(spectra))]
        return song[(rng.integers(len(song)) + np.arange(CONFIG.frames)) % len(song)]


def apart(known: Any, masks: Any) -> Any:
    """The mean distance of the masked mixture from the voice (section 3.2 of the paper)."""
    return keras.ops.mean(keras.ops.abs(masks[..., 0] * known[..., 1] - known[..., 0]))


def recipe(data: dict[str, list[Song]]) -> Recipe:
    voices, music = ([stft(song[side], CONFIG.frame, CONFIG.hop) for song in data["train"]] for side in (0, 1))
    return Recipe(
        name="singing_voice_unet:mir1k",
        model=lambda: singing_voice.build(CONFIG),
        data=Arrays((np.arange(MIXTURES),)),
        step=Supervised(apart),
        optimizer=Optimizer("adam"),
        schedule=Cosine(1e-3),
        augment=Mixed(voices, music),
        seed=2017,
        batch=8,
        epochs=20,
    )


def measure(word: str, data: dict[str, list[Song]]) -> dict[str, float]:
    """GNSDR of voice and music in dB: means over the test songs, weighted by their lengths."""
    predictor: Any = load(word, "keras")
    gains, lengths = [], []
    for voice, music in data["test"]:
        loudest = 2 * np.abs(voice + music).max()
        truth = np.stack([voice, music]) / loudest
        mixture = truth.sum(0)
        result = predictor((CONFIG.rate, mixture.astype(np.float32)))
        guess = np.stack([open_sound(bytes(sound))[0].mean(1) for sound in result.sounds])
        gains.append(separation(truth, guess)[0] - separation(truth, np.stack([mixture] * 2))[0])
        lengths.append(len(voice))
    gained = np.average(gains, axis=0, weights=lengths)
    return {f"GNSDR of the {name}": float(each) for name, each in zip(("voice", "music"), gained, strict=True)}


if __name__ == "__main__":
    script.main(__doc__, recipe, opened=opened, measure=measure)
