"""Draws the pictures that the notebooks ask about, so that they need no data. Yours take their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FINE = 4
"""Pictures are drawn so many times as large, and made smaller, which smooths their edges."""

Colour = Sequence[float] | np.ndarray


def weather(kind: str, rng: np.random.Generator, side: int = 64) -> Image.Image:
    """A `sun`, a `cloud` or a `moon` somewhere in its sky."""
    sky = rng.integers(-12, 13, 3) + {"sun": (120, 180, 240), "cloud": (165, 190, 215), "moon": (25, 30, 70)}[kind]
    pen = _Pen(side, side, sky)
    x, y = rng.uniform(0.42, 0.58, 2) * side
    radius = rng.uniform(0.16, 0.22) * side
    if kind == "sun":
        for angle in rng.uniform(0, np.pi) + np.arange(10) * np.pi / 5:
            pen.line((x, y), angle, 1.25 * radius, 1.7 * radius, radius / 5, (250, 210, 60))
        pen.disc(x, y, radius, (255, 215, 60))
    elif kind == "cloud":
        for right, down, size in ((-1.0, 0.15, 0.65), (-0.3, -0.3, 0.8), (0.45, -0.1, 0.75), (1.05, 0.2, 0.6)):
            pen.disc(x + right * radius, y + down * radius, size * radius, (245, 247, 250))
    else:
        pen.disc(x, y, 1.1 * radius, (240, 235, 200))
        pen.disc(x + rng.choice([-0.55, 0.55]) * radius, y - 0.2 * radius, radius, sky)
        for star in rng.uniform(0, side, (6, 2)):
            pen.disc(*star, 0.8, (230, 230, 230))
    return pen.finished(rng, noise=4)


def letter(kind: str, rng: np.random.Generator, side: int = 32) -> Image.Image:
    """A letter, white on black as MNIST's digits are: leaning, turned, thick or thin."""
    large = side * FINE
    canvas = Image.new("L", (large, large))
    font = ImageFont.load_default(large * rng.uniform(0.6, 0.75))
    middle = large / 2
    pen = ImageDraw.Draw(canvas)
    pen.text((middle, middle), kind, 255, font, anchor="mm", stroke_width=int(rng.integers(4)))
    lean = rng.uniform(-0.25, 0.25)
    leaning = canvas.transform(canvas.size, Image.Transform.AFFINE, (1, lean, -lean * middle, 0, 1, 0))
    shift = tuple(int(pixels) for pixels in rng.integers(-8, 9, 2))
    turned = leaning.rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR, translate=shift)
    return _seen(turned.resize((side, side), Image.Resampling.BOX), rng, noise=8, blur=0.4)


def blood(rng: np.random.Generator, width: int = 640, height: int = 480) -> Image.Image:
    """A stained blood smear under a microscope: red cells, one white cell, and four platelets."""
    pen = _Pen(width, height, (228, 218, 208))
    white = np.array([0.55 * width, 0.45 * height])
    taken = [(*white, 82.0)]

    def free(x: float, y: float, radius: float) -> bool:
        return all(np.hypot(x - a, y - b) > radius + other for a, b, other in taken)

    for x, y, radius in rng.uniform((-10, -10, 44), (width + 10, height + 10, 52), (4000, 3)):
        if free(x, y, 0.85 * radius):
            taken.append((x, y, 0.9 * radius))
            colour = np.array((200, 150, 150)) + rng.integers(-8, 9, 3)
            pen.blob(x, y, radius, colour, 0.03, rng)
            for share in np.linspace(0.72, 0.25, 8):  # They are thinner in the middle.
                pen.blob(x, y, radius * share, colour + (0.75 - share) * np.array((50, 70, 60)), 0.02, rng)
    pen.blob(*white, 80, (178, 158, 196), 0.03, rng)
    for off in ((-24, -20), (22, -16), (-2, 26)):
        pen.blob(*(white + off), 34, (96, 62, 150), 0.08, rng)
    gaps = (place for place in rng.uniform(20, (width - 20, height - 20), (4000, 2)) if free(*place, 22))
    for _, (x, y) in zip(range(4), gaps, strict=False):
        taken.append((x, y, 16.0))
        pen.blob(x, y, rng.uniform(10, 13), (134, 92, 160), 0.1, rng)
    return pen.finished(rng, noise=3, blur=1.6)


def tissue(rng: np.random.Generator, side: int = 256, cells: int = 42) -> Image.Image:
    """A slice of nerve tissue under an electron microscope: grey cells, and dark membranes between them."""
    middles = rng.uniform(-20, side + 20, (cells, 2))
    bends = rng.normal(0, 5, (2, side // 16 + 1, side // 16 + 1)).astype(np.float32)
    bent = [np.asarray(Image.fromarray(bend).resize((side, side), Image.Resampling.BICUBIC)) for bend in bends]
    places = np.stack(np.mgrid[:side, :side] + np.array(bent), axis=-1)
    far = np.linalg.norm(places[:, :, None] - middles, axis=-1)
    near, next_ = np.sort(far, axis=-1)[..., :2].transpose(2, 0, 1)
    membrane = np.exp(-(((next_ - near) / 4) ** 2))  # Where two cells are as near as each other.
    grey = rng.normal(160, 12, cells)[far.argmin(axis=-1)] * (1 - 0.62 * membrane)
    grain = Image.fromarray(rng.normal(128, 60, (side, side)).clip(0, 255).astype(np.uint8))
    grain = grain.filter(ImageFilter.GaussianBlur(1.2))
    return Image.fromarray((grey + np.asarray(grain, float) - 128).clip(0, 255).astype(np.uint8))


def folder(
    path: str, draw: Callable[[str, np.random.Generator], Image.Image], kinds: Sequence[str], each: int, seed: int
) -> Path:
    """A folder with a folder of pictures for each kind, as `kerazoo train` takes it."""
    rng = np.random.default_rng(seed)
    for kind in kinds:
        (Path(path) / kind).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            draw(kind, rng).save(Path(path) / kind / f"{number:03}.png")
    return Path(path)


def sheet(path: Path, across: int = 10) -> Image.Image:
    """The first pictures of each kind in a folder, a row a kind."""
    rows = [[Image.open(file) for file in sorted(kind.glob("*.png"))[:across]] for kind in sorted(path.iterdir())]
    side = rows[0][0].width
    made = Image.new("RGB", (across * side, len(rows) * side), "white")
    for top, row in enumerate(rows):
        for left, picture in enumerate(row):
            made.paste(picture, (left * side, top * side))
    return made


class _Pen:
    """Draws on a picture in its own pixels, finer than they are."""

    def __init__(self, width: int, height: int, ground: Colour) -> None:
        self._picture = Image.new("RGB", (width * FINE, height * FINE), _levels(ground))
        self._draw = ImageDraw.Draw(self._picture)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        self._draw.ellipse([FINE * side for side in (x - radius, y - radius, x + radius, y + radius)], _levels(colour))

    def line(
        self, middle: tuple[float, float], angle: float, begin: float, end: float, width: float, colour: Colour
    ) -> None:
        ends = FINE * (np.array(middle) + np.outer((begin, end), (np.cos(angle), np.sin(angle))))
        self._draw.line([tuple(point) for point in ends], _levels(colour), round(FINE * width))

    def blob(self, x: float, y: float, radius: float, colour: Colour, rough: float, rng: np.random.Generator) -> None:
        """A disc whose edge goes in and out by about this share of the radius."""
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        waves = sum(rng.normal() / n * np.sin(n * angles + rng.uniform(0, 2 * np.pi)) for n in (2, 3, 4))
        outline = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (radius * (1 + rough * waves))[:, None] + (x, y)
        self._draw.polygon([tuple(point) for point in FINE * outline], _levels(colour))

    def finished(self, rng: np.random.Generator, noise: float, blur: float = 0.0) -> Image.Image:
        size = self._picture.width // FINE, self._picture.height // FINE
        return _seen(self._picture.resize(size, Image.Resampling.BOX), rng, noise, blur)


def _levels(colour: Colour) -> tuple[int, ...]:
    return tuple(int(level) for level in colour)


def _seen(picture: Image.Image, rng: np.random.Generator, noise: float, blur: float) -> Image.Image:
    """As a camera would: a little out of focus, with noise."""
    pixels = np.asarray(picture.filter(ImageFilter.GaussianBlur(blur)), float)
    return Image.fromarray((pixels + rng.normal(0, noise, pixels.shape)).clip(0, 255).astype(np.uint8))
