"""Augmentation of picture batches with NumPy, deterministic for a given generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


def colours(
    pictures: np.ndarray, rng: np.random.Generator, brightness: float = 0.4, contrast: float = 0.4, colour: float = 0.4
) -> np.ndarray:
    """Brightness, contrast and strength of the colours of each picture, each times something around 1.

    The ranges are those of He et al., arXiv:1812.01187, section 2.1: 0.6 to 1.4.

    Args:
        pictures: [batch, height, width, channels], of 0..255; grey ones have no colours to change.
        rng: Draws three numbers a picture.
        brightness, contrast, colour: Largest distance from 1.

    Returns:
        float32 of the same shape, within 0..255.
    """
    widths = np.array([brightness, contrast, colour], np.float32).reshape(3, 1, 1, 1, 1)
    bright, strong, rich = 1 + widths * rng.uniform(-1, 1, (3, len(pictures), 1, 1, 1)).astype(np.float32)
    made = pictures.astype(np.float32) * bright
    mean = made.mean(axis=(1, 2, 3), keepdims=True)
    made = mean + (made - mean) * strong
    if pictures.shape[-1] == 3:
        grey = (made @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
        made = grey + (made - grey) * rich
    return np.clip(made, 0, 255)


def cutout(pictures: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """A square of each picture, which may reach over its edges, is filled with the picture's mean.

    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", arXiv:1708.04552,
    section 3.2, where the pictures' mean is 0.

    Args:
        pictures: [batch, height, width, channels].
        rng: Draws the middle of each square.
        size: Side of the squares in pixels.
    """
    count, height, width, _ = pictures.shape
    down, right = rng.integers(0, height, (count, 1)), rng.integers(0, width, (count, 1))
    rows, columns = (
        np.abs(2 * (np.arange(side) - np.asarray(place)) + (size + 1) % 2) < size
        for side, place in ((height, down), (width, right))
    )
    hole = rows[:, :, None, None] & columns[:, None, :, None]
    mean = pictures.mean(axis=(1, 2), keepdims=True)
    if pictures.dtype.kind != "f":
        mean = np.rint(mean)
    return np.where(hole, mean.astype(pictures.dtype), pictures)


def mixup(
    pictures: np.ndarray, shares: np.ndarray, rng: np.random.Generator, alpha: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    """Each picture mixed with another of the batch, and their labels alike.

    Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018, arXiv:1710.09412; a share
    for each pair, drawn from Beta(alpha, alpha), as in He et al., arXiv:1812.01187, section 5.4.

    Args:
        pictures: [batch, height, width, channels].
        shares: What each class has of a picture, [batch, classes].
        rng: Draws the pairs and the shares.
        alpha: Small values leave most pictures nearly as they are.

    Returns:
        Both as float32.
    """
    partner = rng.permutation(len(pictures))
    part = rng.beta(alpha, alpha, len(pictures)).astype(np.float32)
    mixed = [
        each * np.reshape(part, (-1, *[1] * (each.ndim - 1)))
        + each[partner] * np.reshape(1 - part, (-1, *[1] * (each.ndim - 1)))
        for each in (pictures.astype(np.float32), shares.astype(np.float32))
    ]
    return mixed[0], mixed[1]


def coloured(batch: tuple[np.ndarray, ...], rng: np.random.Generator, epoch: int) -> tuple[np.ndarray, ...]:
    """`colours` for a recipe's batch."""
    return colours(batch[0], rng), *batch[1:]


def holed(batch: tuple[np.ndarray, ...], rng: np.random.Generator, epoch: int) -> tuple[np.ndarray, ...]:
    """`cutout` of half of the side, for a recipe's batch."""
    return cutout(batch[0], rng, batch[0].shape[1] // 2), *batch[1:]


@dataclass(frozen=True)
class Mixed:
    """`mixup` for a recipe's batch of pictures and class numbers.

    Attributes:
        classes: How many there are.
        alpha: See `mixup`.
    """

    classes: int
    alpha: float = 0.2

    def __call__(self, batch: tuple[np.ndarray, ...], rng: np.random.Generator, epoch: int) -> tuple[np.ndarray, ...]:
        return *mixup(batch[0], np.eye(self.classes, dtype=np.float32)[batch[1]], rng, self.alpha), *batch[2:]


@dataclass(frozen=True)
class Chain:
    """Several augmentations of a recipe's batch, one after the other.

    Attributes:
        links: From a batch, a generator and the number of the epoch to a batch.
    """

    links: tuple[Callable[..., tuple[np.ndarray, ...]], ...]

    def __call__(self, batch: tuple[np.ndarray, ...], rng: np.random.Generator, epoch: int) -> tuple[np.ndarray, ...]:
        for link in self.links:
            batch = link(batch, rng, epoch)
        return batch


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
