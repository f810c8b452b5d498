"""Masks: pictures of one byte a pixel, whose value is the number of a class."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image as Pillow

from kerazoo.codecs import image
from kerazoo.contract import Port
from kerazoo.errors import GateError

SUFFIXES: tuple[str, ...] = (".png",)
MIME = "image/png"
AGREES = ("mean overlap (IoU)", 0.98)

read = image.read
plain = image.plain
rows = image.rows
ranged = image.ranged


def example(port: Port, rng: np.random.Generator) -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(np.kron(rng.integers(0, 2, (6, 8)), np.ones((10, 10))).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def distance(expected: Any, got: Any) -> float:
    """Share of the pixels whose classes differ, of the mask where it is largest.

    Raises:
        GateError: Another number of masks, or a mask of another size.
    """
    return max(map(_differing, *image.pairs(expected, got)), default=0.0)


def agreement(expected: Any, got: Any) -> float:
    """Overlap of the classes (intersection over union), averaged over those that are there; of the worst mask.

    Raises:
        GateError: Another number of masks, or a mask of another size.
    """
    return min(map(_overlap, *image.pairs(expected, got)), default=1.0)


def _overlap(a: bytes, b: bytes) -> float:
    first, second = (np.asarray(image.opened(data)) for data in (a, b))
    if first.shape != second.shape:
        raise GateError(f"is a mask of the shape {list(second.shape)}; {list(first.shape)} is expected")
    shares = [
        np.sum((first == each) & (second == each)) / np.sum((first == each) | (second == each))
        for each in np.union1d(first, second)
    ]
    return float(np.mean(shares))


def _differing(a: bytes, b: bytes) -> float:
    first, second = (np.asarray(image.opened(data)) for data in (a, b))
    if first.shape != second.shape:
        raise GateError(f"is a mask of the shape {list(second.shape)}; {list(first.shape)} is expected")
    return float(np.mean(first != second))
