"""A convolution in NumPy: the same small kernel at every place of a picture.

    python docs/learn/convolution.py [--draw docs/images/learn/convolution.png]

LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86(11), 1998.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

SEVEN = Path(__file__).parents[2] / "examples" / "seven.png"

SOBEL = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], float)
"""Bright above and dark below; its transpose is bright to the left."""


def convolved(picture: np.ndarray, kernel: np.ndarray, stride: int = 1) -> np.ndarray:
    """Without padding, [height, width, channels] by [rows, columns, channels, maps] to [.., .., maps].

    As everywhere in this field the kernel is not turned round: strictly, it is a cross-correlation.
    """
    rows, columns, _, maps = kernel.shape
    height, width = ((side - size) // stride + 1 for side, size in zip(picture.shape, (rows, columns), strict=False))
    result = np.zeros((height, width, maps))
    for row in range(rows):
        for column in range(columns):
            seen = picture[row : row + stride * height : stride, column : column + stride * width : stride]
            result += seen @ kernel[row, column]
    return result


def pooled(maps: np.ndarray, size: int = 2) -> np.ndarray:
    """The largest of each block of size x size; what does not fill one is left out."""
    height, width, count = maps.shape
    blocks = maps[: height - height % size, : width - width % size]
    return blocks.reshape(height // size, size, width // size, size, count).max(axis=(1, 3))


def receptive(layers: list[tuple[int, int]]) -> int:
    """Side of what one number of the last map depends on; each layer is the size of its kernel and its stride."""
    field, jump = 1, 1
    for size, stride in layers:
        field += (size - 1) * jump
        jump *= stride
    return field


def edges() -> tuple[np.ndarray, np.ndarray]:
    """The digit [32, 32, 1] in 0..1, and where it is brighter above than below, and left than right."""
    picture = np.asarray(Image.open(SEVEN).convert("L").resize((32, 32)), float)[..., None] / 255
    return picture, convolved(picture, np.stack([SOBEL, SOBEL.T], axis=-1)[:, :, None])


def drawn(path: str) -> None:
    from matplotlib.figure import Figure

    picture, maps = edges()
    small = pooled(np.maximum(maps, 0))
    figure = Figure(figsize=(8, 2), layout="constrained")
    shown = {"the digit": picture[..., 0], "brighter above": maps[..., 0], "brighter left": maps[..., 1],
             "above, ReLU, pooled": small[..., 0]}  # fmt: skip
    for axes, (title, values) in zip(figure.subplots(1, 4), shown.items(), strict=True):
        axes.imshow(values, cmap="gray")
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    figure.savefig(path, dpi=110)


def main(arguments: list[str]) -> None:
    picture, maps = edges()
    moved = convolved(np.roll(picture, 3, axis=1), np.stack([SOBEL, SOBEL.T], axis=-1)[:, :, None])
    print(f"moved by 3, its edges move by 3: {np.abs(np.roll(maps, 3, axis=1) - moved)[:, 3:].max():.1f} off")
    weights = 5 * 5 * 1 * 6 + 6
    dense = 32 * 32 * 28 * 28 * 6 + 28 * 28 * 6
    print(f"six maps of 28 x 28 from 32 x 32: {weights:,} weights; a dense layer to as many numbers: {dense:,}")
    print(f"LeNet-5's last map sees {receptive([(5, 1), (2, 2), (5, 1), (2, 2)])} pixels across")
    print(f"three 3 x 3 layers see {receptive([(3, 1)] * 3)}, as one of 7 x 7, with {3 * 9} weights a channel for 49")
    if arguments[:1] == ["--draw"]:
        drawn(arguments[1])


if __name__ == "__main__":
    main(sys.argv[1:])
