"""Segmentation without a network: what dilation sees, why up-sampling needs a skip, and what IoU counts.

    python docs/learn/segmentation.py [--draw docs/images/learn/segmentation.png]

Chen et al., "DeepLab", TPAMI 40(4), 2018, arXiv:1606.00915; Ronneberger, Fischer, Brox, "U-Net", MICCAI 2015,
arXiv:1505.04597.
"""

from __future__ import annotations

import sys

import numpy as np


def field(layers: list[tuple[int, int, int]]) -> int:
    """Side of what one number depends on; each layer is the size of its kernel, its stride and its dilation."""
    seen, jump = 1, 1
    for size, stride, dilation in layers:
        seen += (size - 1) * dilation * jump
        jump *= stride
    return seen


def taps(dilations: list[int]) -> np.ndarray:
    """Along a line, how many ways lead from a place through 3-tap layers to one output; int64 [field]."""
    ways = np.ones(1, int)
    for dilation in dilations:
        kernel = np.zeros(2 * dilation + 1, int)
        kernel[[0, dilation, -1]] = 1
        ways = np.convolve(ways, kernel)
    return ways


def disc(side: int, radius: float, right: int = 0) -> np.ndarray:
    """A mask, bool [side, side], of a disc that lies so many pixels right of the middle."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return y**2 + (x - right) ** 2 <= radius**2


def coarse(mask: np.ndarray, stride: int) -> np.ndarray:
    """The mask as a network of that output stride has it: block by block, then made large again."""
    side = len(mask) // stride
    blocks = mask.reshape(side, stride, side, stride).mean(axis=(1, 3)) >= 0.5
    return blocks.repeat(stride, axis=0).repeat(stride, axis=1)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def drawn(path: str, truth: np.ndarray) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.1), layout="constrained")
    for axes, stride in zip(figure.subplots(1, 4), (1, 8, 16, 32), strict=True):
        made = coarse(truth, stride)
        axes.imshow(np.where(truth == made, truth * 2, 1), cmap="BrBG", vmin=0, vmax=2)
        axes.set_title(f"stride {stride}, IoU {iou(truth, made):.2f}", fontsize=9)
        axes.set_axis_off()
    figure.savefig(path, dpi=110)


def main(arguments: list[str]) -> None:
    print(f"four 3 x 3 layers see {field([(3, 1, 1)] * 4)} pixels; dilated by 1, 2, 4, 8 they see "
          f"{field([(3, 1, dilation) for dilation in (1, 2, 4, 8)])}")  # fmt: skip
    for dilations in ([1, 2, 4, 8], [2, 2, 2], [1, 2, 3]):
        ways = taps(dilations)
        print(f"dilated by {dilations}: {np.count_nonzero(ways)} of {len(ways)} pixels in a row are seen")
    truth = disc(256, 45)
    for stride in (8, 16, 32):
        print(f"a disc 90 pixels across, at output stride {stride:2}: IoU {iou(truth, coarse(truth, stride)):.3f}")
    wide, small = disc(256, 40), disc(256, 6)
    for right in (1, 4):
        told = iou(wide, disc(256, 40, right)), iou(small, disc(256, 6, right))
        print(f"{right} pixels aside: IoU {told[0]:.3f} of a large disc, {told[1]:.3f} of a small one")
    if arguments[:1] == ["--draw"]:
        drawn(arguments[1], truth)


if __name__ == "__main__":
    main(sys.argv[1:])
