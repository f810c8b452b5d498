"""Pictures that a model draws of noise: walks from one to another, grids, and films."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from kerazoo.errors import UsageError
from kerazoo.ops import numpy as ops
from kerazoo.predictor import Predictor
from kerazoo.tasks.redraw import MAX_PIXELS
from kerazoo.tasks.sample import FromNoise, Sample

FILMS = {".gif": "GIF", ".png": "PNG", ".apng": "PNG", ".webp": "WEBP"}
"""Files of moving pictures. Of colours a GIF has 256; the others keep every pixel."""


def from_noise(predictor: Predictor) -> Predictor:
    """The same model, of which noise is asked in place of a seed: `{"noise": float32 [latents]}`.

    Raises:
        UsageError: It does not sample, or its task runs within the engine.
    """
    task = predictor.task
    if not isinstance(task, Sample):
        raise UsageError(f"{predictor.name} does {task.kind}; noise is what models draw from that sample.")
    if predictor.network is None:
        raise UsageError(
            f"The engine of {predictor.name}, {predictor.engine}, makes noise from seeds itself; temperatures and what "
            "lies between seeds are drawn on this machine by keras, onnx or litert."
        )
    asked = FromNoise(**{each.name: getattr(task, each.name) for each in fields(task)})
    return replace(predictor, task=asked, answer=functools.partial(asked.answer, predictor.network))


def noise(latents: int, seed: int, temperature: float = 1.0) -> np.ndarray:
    """What a seed is drawn from, float32 [latents], made smaller: at 0 all seeds draw the same picture."""
    return np.float32(temperature) * ops.normal(np.array([seed], np.int64), latents)[0]


def between(first: np.ndarray, last: np.ndarray, share: float) -> np.ndarray:
    """The noise a share of the way from one to another, along the sphere and not through it.

    Normal noise of many numbers lies near a sphere; halfway along the straight line it would be too short by the root
    of 2, and pictures there would be those of a lower temperature. Shoemake, "Animating Rotation with Quaternion
    Curves", SIGGRAPH 1985, section 3.3; for noise White, "Sampling Generative Networks", arXiv:1609.04468, section 2.1.

    Args:
        first, last: float32 [latents].
        share: From 0, the first, to 1, the last.
    """
    a, b = first.astype(np.float64), last.astype(np.float64)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    angle = math.acos(np.clip(a @ b / lengths, -1.0, 1.0)) if lengths else 0.0
    if math.sin(angle) < 1e-6:  # One direction, in which the line is the sphere.
        return ((1 - share) * a + share * b).astype(np.float32)
    return ((math.sin((1 - share) * angle) * a + math.sin(share * angle) * b) / math.sin(angle)).astype(np.float32)


def walk(latents: int, first: int, last: int, frames: int, temperature: float = 1.0) -> list[np.ndarray]:
    """Noise from one seed to another, both included, in equal steps along the sphere."""
    start, end = (noise(latents, seed, temperature) for seed in (first, last))
    return [between(start, end, number / (frames - 1)) for number in range(frames)]


def across(count: int) -> int:
    """Pictures in a row of a grid: as many as there are rows, or more where the last one is so filled."""
    least = math.isqrt(count - 1) + 1
    return next((width for width in range(least, 2 * least) if count % width == 0), least)


def tiled(pixels: np.ndarray, across: int) -> np.ndarray:
    """Pictures uint8 [n, height, width, channels], row by row, as one; what the last row lacks is black."""
    missing = -len(pixels) % across
    whole = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), pixels.dtype)])
    count, height, width, channels = whole.shape
    rows = whole.reshape(count // across, across, height, width, channels)
    return rows.transpose(0, 2, 1, 3, 4).reshape(count // across * height, across * width, channels)


def room(task: Sample, count: int) -> None:
    """Whether so many pictures can lie in one file.

    Raises:
        UsageError: They have more than `MAX_PIXELS` together.
    """
    if count * task.height * task.width > MAX_PIXELS:
        raise UsageError(
            f"{count} pictures of {task.width} x {task.height} pixels are more than {MAX_PIXELS // 10**6} million "
            "pixels, the most that is drawn into one file.\nGive a folder: -o drawn/"
        )


def grid(pictures: Sequence[bytes], columns: int | None = None) -> bytes:
    """PNGs of one size as one PNG, row by row, `across` where no columns are given."""
    pixels = np.stack([ops.decode_image(each, 3) for each in pictures])
    grey = (pixels == pixels[..., :1]).all()
    return ops.encode_png(tiled(pixels[..., :1] if grey else pixels, columns or across(len(pictures))))


def film(pictures: Sequence[bytes], suffix: str, seconds: float = 0.08) -> bytes:
    """PNGs of one size as one moving picture that begins anew at its end.

    Args:
        pictures: In order.
        suffix: Of `FILMS`.
        seconds: Each is shown.
    """
    from PIL import Image

    images = [Image.open(io.BytesIO(each)) for each in pictures]
    made = {".webp": {"lossless": True}, ".gif": {"optimize": False}}
    out = io.BytesIO()
    options: dict[str, Any] = {"duration": round(1000 * seconds), "loop": 0, **made.get(suffix, {})}
    images[0].save(out, FILMS[suffix], save_all=True, append_images=images[1:], **options)
    return out.getvalue()
