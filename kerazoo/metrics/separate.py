"""Separated sounds: SDR, SIR and SAR as mir_eval computes them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from kerazoo.codecs import audio
from kerazoo.errors import InputError
from kerazoo.metrics import plots
from kerazoo.metrics.report import Asked, Figure, Report, ask
from kerazoo.ops.numpy import open_sound
from kerazoo.packages import needed
from kerazoo.predictor import Predictor
from kerazoo.sources import songs
from kerazoo.sources.files import Sample

NAMES = ("SDR", "SIR", "SAR")

FIGURES = {name: Figure("dB", True, 0.2) for name in (*NAMES, "NSDR")}


def separation(truths: np.ndarray, guesses: np.ndarray) -> np.ndarray:
    """Distortion, interference and artefact ratios in dB of each stem, [3, stems].

    BSS Eval version 3: Vincent, Gribonval, Fevotte, "Performance Measurement in Blind Audio Source Separation", IEEE
    TASLP 14(4), 2006, over the whole of the sounds. Of several channels each is measured, and the mean taken.

    Args:
        truths, guesses: [stems, samples] or [stems, samples, channels], floats.

    Raises:
        InputError: A stem is silent, where no ratio is defined; or the shapes differ.
        PackageMissing: mir_eval is not installed.
    """
    if truths.shape != guesses.shape:
        raise InputError(f"stems of the shape {list(guesses.shape)} were given; {list(truths.shape)} are right.")
    ratios = needed("mir_eval.separation").bss_eval_sources
    wide = truths.ndim == 3
    if (np.abs(truths).max(axis=tuple(range(1, truths.ndim))) == 0).any():
        raise InputError("a stem is silent throughout: there is nothing to measure it with.")
    found = []
    for channel in range(truths.shape[2] if wide else 1):
        mine, theirs = (each[..., channel] if wide else each for each in (truths, guesses))
        # Nothing can be said of a channel that is silent on either side.
        if not (np.abs(mine).max(1).all() and np.abs(theirs).max(1).all()):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            found.append(np.stack(ratios(mine, theirs, compute_permutation=False)[:3]))
    if not found:
        raise InputError("every channel is silent in a stem, or in what was made of it.")
    return np.mean(found, axis=0)


def measure(predictor: Predictor, asked: Asked) -> Report:
    """Of a model that separates, on songs whose stems are known; see `kerazoo.sources.songs.stems`.

    Means over songs are weighted by their lengths. NSDR is what SDR gains over taking the mixture for every stem.

    Raises:
        UsageError: There are no such songs.
        InputError: Nothing of them can be read.
        PackageMissing: mir_eval is not installed.
    """
    needed("mir_eval.separation")
    task: Any = predictor.task
    samples = [
        Sample(each.name, each.item or _Mixed(each.truth), each.truth)
        for each in songs.stems(asked.source, task.stems, asked.only, asked.say)
    ]
    answers = ask(predictor, samples, asked, "songs")
    rows, lengths, each_song = [], [], {}
    for sample, result in answers:
        try:
            truths = _stems([sample.truth[stem]() for stem in task.stems])
            mixture = _stems([sample.item()])[0]
            ratios = separation(truths, _stems(result.sounds)[:, : truths.shape[1]])
            before = separation(truths, np.broadcast_to(mixture[: truths.shape[1]], truths.shape))[0]
        except InputError as error:
            answers.leave_out(sample, error, counted=True)
            continue
        rows.append(np.vstack([ratios, ratios[0] - before]))
        lengths.append(truths.shape[1])
        each_song[sample.name] = {
            stem: {name: round(float(v), 3) for name, v in zip(FIGURES, rows[-1][:, at], strict=True)}
            for at, stem in enumerate(task.stems)
        }
    if not rows:
        raise InputError(f"None of the {len(samples)} songs of {asked.source} could be measured.\n{answers.failed[0]}")
    means = np.average(rows, axis=0, weights=lengths)
    classes = {name: means[at] for at, name in enumerate(FIGURES)}
    figures = {name: float(np.mean(values)) for name, values in classes.items()}
    drawn = {}
    if asked.plots:
        sdr = {f"{song} {stem}": told["SDR"] for song, held in each_song.items() for stem, told in held.items()}
        lowest = dict(sorted(sdr.items(), key=lambda pair: pair[1])[:40])
        drawn["songs.png"] = lambda: plots.bars(lowest, "SDR in dB", "Lowest first")
    return answers.report(figures, labels=tuple(task.stems), classes=classes, details={"each": each_song}, plots=drawn)


class _Mixed:
    """The sum of stems, as a WAV."""

    def __init__(self, truth: Any) -> None:
        self.truth = truth

    def __call__(self) -> bytes:
        opened = [open_sound(read()) for read in self.truth.values()]
        rate = opened[0][1]
        whole = np.sum(_same([samples for samples, _ in opened]), axis=0)
        return audio.encoded(whole.astype(np.float32), rate)


def _stems(sounds: Any) -> np.ndarray:
    return np.stack(_same([open_sound(bytes(sound))[0] for sound in sounds])).astype(np.float64)


def _same(sounds: list[np.ndarray]) -> list[np.ndarray]:
    shapes = {sound.shape for sound in sounds}
    if len(shapes) > 1:
        raise InputError(f"its stems differ in length or channels: {', '.join(map(str, sorted(shapes)))}.")
    return sounds
