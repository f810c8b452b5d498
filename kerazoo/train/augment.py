"""Augmentation of picture batches with NumPy, deterministic for a given generator."""

from __future__ import annotations

import numpy as np


def crops(pictures: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A random square of each picture, mirrored left to right half of the time.

    Args:
        pictures: [batch, height, width, channels], each side at least `size`.
        size: Side of the squares in pixels.
        rng: Draws the rows, the columns and the mirroring, in that order.

    Returns:
        [batch, size, size, channels] of the same dtype.
    """
    count, height, width = pictures.shape[:3]
    if height != width or height < size:
        raise ValueError(f"Squares of {size} pixels cannot be cut from pictures of {height} x {width}.")
    top, left = rng.integers(0, height - size + 1, (2, count))
    mirrored = np.asarray(rng.random(count) < 0.5)
    span = np.arange(size)
    columns = np.where(mirrored[:, None], span[::-1], span) + left[:, None]
    return pictures[np.arange(count)[:, None, None], (top[:, None] + span)[:, :, None], columns[:, None, :]]


def mirrored(batch: tuple[np.ndarray, ...], rng: np.random.Generator, epoch: int) -> tuple[np.ndarray, ...]:
    """Left and right of half of the pictures [batch, height, width, channels] change places."""
    turns = rng.random(len(batch[0])) < 0.5
    return np.where(turns[:, None, None, None], batch[0][:, :, ::-1], batch[0]), *batch[1:]


def shifted(batch: tuple[np.ndarray, ...], rng: np.random.Generator, epoch: int) -> tuple[np.ndarray, ...]:
    """Square pictures moved by up to an eighth of their side, mirrored at the borders, and `mirrored`."""
    side = batch[0].shape[1]
    edge = (side // 8, side // 8)
    return crops(np.pad(batch[0], ((0, 0), edge, edge, (0, 0)), "reflect"), side, rng), *batch[1:]


def moved(
    batch: tuple[np.ndarray, ...], rng: np.random.Generator, epoch: int, **settings: float
) -> tuple[np.ndarray, ...]:
    """`affine` for a recipe's batch: the first array is moved, the others stay."""
    return affine(batch[0], rng, **settings), *batch[1:]


def turned(batch: tuple[np.ndarray, ...], rng: np.random.Generator, epoch: int) -> tuple[np.ndarray, ...]:
    """Each sample in one of the eight ways to lay down a square, all its arrays [batch, side, side, ...] alike."""
    ways = rng.integers(0, 8, len(batch[0]))
    return tuple(np.stack([_laid(one, way) for one, way in zip(array, ways, strict=True)]) for array in batch)


def _laid(square: np.ndarray, way: int) -> np.ndarray:
    square = np.rot90(square, way % 4)
    return square[:, ::-1] if way >= 4 else square


def affine(
    pictures: np.ndarray, rng: np.random.Generator, degrees: float = 10.0, scale: float = 0.1, shift: float = 2.0
) -> np.ndarray:
    """Turns, stretches, shears and moves each picture a little, bilinearly, with zeros beyond its edges.

    Args:
        pictures: [batch, height, width, channels].
        rng: Draws five numbers a picture.
        degrees: Largest turn.
        scale: Largest relative stretch of each axis, and largest shear.
        shift: Largest move in pixels.

    Returns:
        float32 of the same shape.
    """
    count, height, width = pictures.shape[:3]
    turn, tall, wide, down, right = rng.uniform(-1, 1, (5, count))
    shear = np.asarray(rng.uniform(-scale, scale, count))
    angle = np.deg2rad(turn * degrees)
    y, x = np.mgrid[0:height, 0:width].reshape(2, -1) - np.array([[(height - 1) / 2], [(width - 1) / 2]])
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    rows = (cos * y - sin * x) * (1 + tall * scale)[:, None] + (down * shift)[:, None] + (height - 1) / 2
    columns = (sin * y + cos * x) * (1 + wide * scale)[:, None] + shear[:, None] * y + (right * shift)[:, None]
    columns += (width - 1) / 2
    return _bilinear(pictures, rows, columns).reshape(pictures.shape)


def distorted(
    pictures: np.ndarray, rng: np.random.Generator, side: int, degrees: float, scale: tuple[float, float]
) -> np.ndarray:
    """Turns and scales each picture and puts it somewhere on a black square, bilinearly.

    With a side of 42, 45 degrees and scales 0.7 to 1.2 these are the RTS digits of Jaderberg et al., arXiv:1506.02025,
    section 4.1; with 28, 90 degrees and a scale of 1 the R digits.

    Args:
        pictures: [batch, size, size, channels].
        rng: Draws four numbers a picture.
        side: Side of the square in pixels, at least `size` times the largest scale; a scaled picture lies within it,
            its corners apart, where they are turned out.
        degrees: Largest turn.
        scale: Least and largest scale.

    Returns:
        float32 [batch, side, side, channels].
    """
    count, height, width = pictures.shape[:3]
    if height != width or height * scale[1] > side:
        raise ValueError(f"Pictures of {height} x {width}, {scale[1]} times as large, do not fit into {side} pixels.")
    turn, down, right = rng.uniform(-1, 1, (3, count, 1))
    factor = np.asarray(rng.uniform(*scale, (count, 1)))
    room = (side - factor * height) / 2
    angle = np.deg2rad(turn * degrees)
    y, x = np.mgrid[0:side, 0:side].reshape(2, -1) - (side - 1) / 2
    y, x = (y - down * room) / factor, (x - right * room) / factor
    rows = np.cos(angle) * y - np.sin(angle) * x + (height - 1) / 2
    columns = np.sin(angle) * y + np.cos(angle) * x + (width - 1) / 2
    return _bilinear(pictures, rows, columns).reshape(count, side, side, -1)


def _bilinear(pictures: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Pictures sampled at places [batch, n], zeros outside: float32 [batch, n, channels]."""
    count, height, width = pictures.shape[:3]
    padded = np.pad(pictures.astype(np.float32), ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = np.clip(rows + 1, 0, height + 0.999), np.clip(columns + 1, 0, width + 0.999)
    top, left = rows.astype(int), columns.astype(int)
    fy, fx = (rows - top)[..., None], (columns - left)[..., None]
    index = np.arange(count)[:, None]
    upper = padded[index, top, left] * (1 - fx) + padded[index, top, left + 1] * fx
    lower = padded[index, top + 1, left] * (1 - fx) + padded[index, top + 1, left + 1] * fx
    return (upper * (1 - fy) + lower * fy).astype(np.float32)
