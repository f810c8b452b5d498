"""Draws examples/seven.png: a handwritten-style seven, white on black as MNIST's digits are.

python examples/draw_seven.py examples/seven.png
"""

from __future__ import annotations

import sys

from PIL import Image, ImageDraw, ImageFilter

SIDE, SCALE = 280, 4
STROKES = [
    [(72, 84), (104, 76), (150, 78), (204, 70), (196, 96), (172, 142), (150, 190), (138, 224)],
    [(120, 152), (150, 146), (184, 148)],
]
"""Pen paths in pixels of the finished picture: the seven, and the bar through it."""


def draw() -> Image.Image:
    """The picture, 280 x 280 grey."""
    large = Image.new("L", (SIDE * SCALE, SIDE * SCALE), 0)
    pen = ImageDraw.Draw(large)
    for stroke, width in zip(STROKES, (21, 15), strict=True):
        points = [(x * SCALE, y * SCALE) for x, y in stroke]
        pen.line(points, fill=255, width=width * SCALE, joint="curve")
        for x, y in points:
            radius = width * SCALE // 2
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return large.resize((SIDE, SIDE), Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(1.5))


if __name__ == "__main__":
    draw().save(sys.argv[1], optimize=True)
