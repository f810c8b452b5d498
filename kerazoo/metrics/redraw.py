"""Pictures against what they should be: PSNR and structural similarity of the luma."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

import numpy as np
from PIL import Image as Pillow

from kerazoo.codecs import image
from kerazoo.errors import InputError, UsageError
from kerazoo.metrics import plots
from kerazoo.metrics.report import Asked, Figure, Report, ask
from kerazoo.ops import numpy as ops
from kerazoo.predictor import Predictor
from kerazoo.sources import pictures
from kerazoo.sources.files import Sample, item_of
from kerazoo.tasks.redraw import Reconstruct

FIGURES = {
    "PSNR": Figure("dB", True, 0.1),
    "SSIM": Figure("", True, 0.005),
    "bicubic PSNR": Figure("dB", None),
    "bicubic SSIM": Figure("", None),
    "squared error": Figure("", False, 0.05),
}

SHOWN = 5
"""Pictures that are drawn: those with the lowest PSNR."""

DETAIL = 96
"""Side in pixels of what is drawn of each."""


def luma(picture: Any) -> np.ndarray:
    """The luma of a PIL image or uint8 [h, w, 3], in 16..235, float64 [h, w]; not rounded.

    ITU-R BT.601 in studio range, as MATLAB's rgb2ycbcr: what papers on super-resolution measure on.
    """
    pixels = np.asarray(picture.convert("RGB") if isinstance(picture, Pillow.Image) else picture, np.float64)
    return 16 + pixels @ np.array([65.481, 128.553, 24.966]) / 255


def without_border(plane: np.ndarray, border: int) -> np.ndarray:
    """A plane [h, w] without so many pixels on each side: papers leave out as many as the scale."""
    return plane[border : plane.shape[0] - border, border : plane.shape[1] - border]


def psnr(expected: np.ndarray, got: np.ndarray, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB; infinite where both are equal."""
    apart = float(np.mean(np.square(np.asarray(expected, np.float64) - got)))
    return float("inf") if apart == 0 else 10 * float(np.log10(peak**2 / apart))


def ssim(expected: np.ndarray, got: np.ndarray, peak: float = 255.0) -> float:
    """Mean structural similarity of two planes [h, w] of at least 11 pixels a side.

    Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE
    TIP 13(4), 2004, section III: a Gaussian window of 11 pixels and deviation 1.5, K = (0.01, 0.03), where the window
    fits.

    Raises:
        InputError: A side is shorter than the window.
    """
    a, b = np.asarray(expected, np.float64), np.asarray(got, np.float64)
    if min(a.shape) < 11:
        raise InputError(f"a side of {min(a.shape)} pixels is shorter than the window of 11 that SSIM looks through.")
    mean_a, mean_b = _blurred(a), _blurred(b)
    spread_a, spread_b = _blurred(a * a) - mean_a**2, _blurred(b * b) - mean_b**2
    both = _blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    similar = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float(np.mean(similar / ((mean_a**2 + mean_b**2 + c1) * (spread_a + spread_b + c2))))


def _blurred(plane: np.ndarray) -> np.ndarray:
    """[h, w] to [h - 10, w - 10]."""
    window = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window /= window.sum()
    along = np.lib.stride_tricks.sliding_window_view(plane, 11, axis=1) @ window
    return np.lib.stride_tricks.sliding_window_view(along, 11, axis=0) @ window


def whole(picture: Pillow.Image, scale: int) -> Pillow.Image:
    """A picture cut at the right and below to sides that the scale divides."""
    return picture.crop((0, 0, picture.width // scale * scale, picture.height // scale * scale))


def smaller(picture: Pillow.Image, scale: int) -> Pillow.Image:
    """The picture `scale` times less high and wide, bicubic with antialiasing: how papers make their test pictures."""
    return picture.resize((picture.width // scale, picture.height // scale), Pillow.Resampling.BICUBIC)


def alike(expected: Pillow.Image, got: Pillow.Image, border: int = 0) -> tuple[float, float]:
    """PSNR in dB and SSIM of the luma of two pictures of one size, without the border.

    Raises:
        InputError: The sizes differ, or nothing is left of them.
    """
    if expected.size != got.size:
        raise InputError("it was drawn as {} x {} pixels; {} x {} are right.".format(*got.size, *expected.size))
    a, b = (without_border(luma(each), border) for each in (expected, got))
    return psnr(a, b), ssim(a, b)


def measure(predictor: Predictor, asked: Asked) -> Report:
    """Of a model that redraws pictures.

    Of what reconstructs see `reconstructed`. Else on pairs, where the source holds them
    (`kerazoo.sources.pictures.pairs`); else, for super-resolution, on pictures alone: each is cut to sides that the
    scale divides, made smaller by `smaller`, drawn, and compared. The border that is left out is as wide as the scale.
    What bicubic resizing gives is measured beside it.

    Raises:
        UsageError: There are no pictures, or pairs are needed.
        InputError: Nothing of it can be read.
    """
    if isinstance(predictor.task, Reconstruct):
        return reconstructed(predictor, predictor.task, asked)
    scale: int | None = getattr(predictor.task, "scale", None)
    samples = pictures.pairs(asked.source, asked.only, asked.say)
    if not samples and scale is None:
        raise UsageError(
            f"{asked.source} holds no pairs of pictures: what {predictor.name} draws is compared with what it should "
            "be.\nA folder needs two, called input and target, with pictures of the same names."
        )
    if not samples and scale is not None:
        alone = pictures.alone(asked.source, asked.only, asked.say)
        samples = [Sample(each.name, partial(_degraded, each, scale), partial(_cut, each, scale)) for each in alone]
    border = scale or 0
    found: dict[str, list[float]] = {}
    answers = ask(predictor, samples, asked, "pictures")
    rows: list[tuple[float, Sample, bytes]] = []
    for sample, result in answers:
        try:
            right, seen = _right(sample), _seen(sample)
            drawn = Pillow.open(io.BytesIO(result.picture))
            line = [*alike(right, drawn, border)]
            if scale is not None:
                line += alike(right, seen.resize(right.size, Pillow.Resampling.BICUBIC), border)
        except InputError as error:
            answers.leave_out(sample, error, counted=True)
            continue
        found[sample.name] = line
        if asked.plots:
            rows = sorted([*rows, (line[0], sample, result.picture)], key=lambda row: row[0])[:SHOWN]
    if not found:
        raise InputError(
            f"None of the {len(samples)} pictures of {asked.source} could be measured.\n{answers.failed[0]}"
        )
    means = np.mean(np.array(list(found.values())), axis=0)
    figures = dict(zip(FIGURES, means.tolist(), strict=False))
    each = {name: {n: round(v, 4) for n, v in zip(FIGURES, line, strict=False)} for name, line in found.items()}
    plots_ = {"pictures.png": lambda: _drawn(rows, scale)} if asked.plots else {}
    return answers.report(figures, details={"each": each, "border": border}, plots=plots_)


def reconstructed(predictor: Predictor, task: Reconstruct, asked: Asked) -> Report:
    """The squared error a picture in 0..1, summed over its pixels, on average over pictures that are made to fit.

    Where the model takes noise away, it is added first, drawn from a picture's place in the source.

    Raises:
        UsageError: There are no pictures.
        InputError: Nothing of them can be read.
    """
    alone = pictures.alone(asked.source, asked.only, asked.say)
    samples = [
        Sample(each.name, partial(_noisy, each, task, row), partial(_fitted, each, task))
        for row, each in enumerate(alone)
    ]
    answers = ask(predictor, samples, asked, "pictures")
    rows: list[tuple[float, Sample, np.ndarray]] = []
    for sample, result in answers:
        drawn = np.asarray(Pillow.open(io.BytesIO(result.picture)))
        right = sample.truth()
        apart = (drawn.reshape(right.shape).astype(np.float64) - right) / 255
        rows.append((float(np.square(apart).sum()), sample, drawn))
    figures = {"squared error": float(np.mean([row[0] for row in rows]))}
    worst = sorted(rows, key=lambda row: -row[0])[:SHOWN] if asked.plots else []
    lines = [
        [("seen", _shown(sample.item())), (f"error {value:.1f}", drawn), ("right", _shown(sample.truth()))]
        for value, sample, drawn in worst
    ]
    plots_ = {"pictures.png": lambda: plots.side_by_side(lines, "Largest squared error")} if asked.plots else {}
    return answers.report(figures, details={"noise": task.noise} if task.noise else {}, plots=plots_)


def _fitted(sample: Sample, task: Reconstruct) -> np.ndarray:
    """The picture as the network sees it, without noise: uint8 [height, width, channels]."""
    fit = task.input
    pixels = ops.decode_picture(image.read(item_of(sample), fit.port), fit.channels)
    return ops.whole(fit.fit(ops, pixels)[0])


def _noisy(sample: Sample, task: Reconstruct, row: int) -> np.ndarray:
    right = _fitted(sample, task)
    if not task.noise:
        return right
    noise = np.random.default_rng((row, 0x5EED)).normal(0, 255 * task.noise, right.shape)
    return ops.whole(right + noise)


def _shown(picture: np.ndarray) -> np.ndarray:
    return picture[..., 0] if picture.shape[-1] == 1 else picture


def _cut(sample: Sample, scale: int) -> Pillow.Image:
    """The picture that is right."""
    picture = whole(pictures.opened(sample).convert("RGB"), scale)
    if 0 in picture.size:
        raise InputError(f"a picture needs sides of at least {scale} pixels.")
    return picture


def _degraded(sample: Sample, scale: int) -> Pillow.Image:
    """The picture that is asked about."""
    return smaller(_cut(sample, scale), scale)


def _right(sample: Sample) -> Pillow.Image:
    truth = sample.truth()
    return truth if isinstance(truth, Pillow.Image) else pictures.opened(Sample(sample.name, truth)).convert("RGB")


def _seen(sample: Sample) -> Pillow.Image:
    return pictures.opened(sample).convert("RGB")


def _drawn(rows: list[tuple[float, Sample, bytes]], scale: int | None) -> Any:
    """The piece of each picture where it is most wrong."""
    lines = []
    for value, sample, data in rows:
        right, drawn = _right(sample), Pillow.open(io.BytesIO(data)).convert("RGB")
        apart = np.abs(luma(right) - luma(drawn))
        side = min(DETAIL, *right.size)
        top, left = _worst_place(apart, side)
        box = (left, top, left + side, top + side)
        seen = _seen(sample)
        shown = [(f"right: {sample.name.rsplit('/', 1)[-1]}", right), (f"drawn: {value:.2f} dB", drawn)]
        name = "bicubic" if scale is not None else "before"
        shown.append((name, seen.resize(right.size, Pillow.Resampling.BICUBIC)))
        lines.append([(name, np.asarray(picture.crop(box))) for name, picture in shown])
    return plots.side_by_side(lines, "Lowest PSNR; of each picture the most wrong piece")


def _worst_place(apart: np.ndarray, side: int) -> tuple[int, int]:
    sums = np.pad(apart, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    totals = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(np.argmax(totals)), totals.shape)
    return int(top), int(left)
