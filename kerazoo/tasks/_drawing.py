"""Answers drawn on the picture that was asked about: for people to look at."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kerazoo.ops import numpy as ops
from kerazoo.ops.pictures import open_image
from kerazoo.packages import needed

LONGEST = 1024
"""Pixels of the longer side of what is drawn."""

SHOWN = 0.6
"""Share of a class's colour in its pixels; the rest is the picture."""


CELL = 24
"""Pixels of a word's cell in a chart of attention."""

INCH = 100
"""Pixels of an inch in it."""

LETTERS = 24
"""Of the longest word beside it."""

SIDES = ((1, "left"), (-1, "right"))

BESIDE = [(way * far, side, up) for far in (5, 20, 50) for up in (0, 7, -7, 14, -14) for way, side in SIDES]
"""Where a word may stand beside its point in a map, the best first."""

GOLDEN = 0.618034
"""Share of the circle of colours between those of two classes that follow each other."""


class Drawn(Mapping[str, bytes]):
    """Files by name, each drawn when it is asked for, once."""

    def __init__(self, **drawn: Callable[[], bytes]) -> None:
        self._drawn, self._done = drawn, dict[str, bytes]()

    def __getitem__(self, name: str) -> bytes:
        if name not in self._done:
            self._done[name] = self._drawn[name]()
        return self._done[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._drawn)

    def __len__(self) -> int:
        return len(self._drawn)


def palette(classes: int) -> np.ndarray:
    """Colours uint8 [classes, 3] as PASCAL VOC gives them: the first is black, and near numbers lie far apart."""
    numbers = np.arange(classes)
    colours = np.zeros((classes, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((numbers >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def coloured(mask: bytes, classes: int) -> bytes:
    """A grey PNG of class numbers as one with a palette: the same numbers, shown in colours."""
    image = open_image(mask)
    image.putpalette(palette(classes).ravel().tolist())
    return _png(image)


def overlaid(mask: bytes, classes: int, picture: bytes) -> bytes:
    """The picture, tinted by the class of each pixel; the first class leaves it as it is."""
    ground = ground_of(picture)
    numbers = np.asarray(open_image(mask).resize(ground.size, Image.Resampling.NEAREST))
    pixels = np.asarray(ground, np.float32)
    tinted = pixels * (1 - SHOWN) + palette(classes)[numbers] * np.float32(SHOWN)
    return _png(Image.fromarray(np.where(numbers[..., None] > 0, tinted, pixels).astype(np.uint8)))


def skeleton(
    points: np.ndarray, drawn: np.ndarray, bones: Iterable[tuple[int, int]], size: tuple[int, int], picture: bytes
) -> bytes:
    """The picture with lines between joints and a dot on each.

    Args:
        points: Float32 [joints, 2], right and down in pixels of the picture.
        drawn: bool [joints], which joints are shown, and bones between two of them.
        bones: Pairs of joints.
        size: Height and width of the picture.
        picture: Its bytes.
    """
    image = ground_of(picture)
    at = points * (np.array(image.size) / size[::-1])
    draw, thick = ImageDraw.Draw(image), max(2, max(image.size) // 160)
    colours = palette(len(points) + 1)[1:]
    for one, other in bones:
        if drawn[one] and drawn[other]:
            draw.line([tuple(at[one]), tuple(at[other])], tuple(colours[other]), thick)
    for index in np.flatnonzero(drawn):
        (x, y), radius = at[index], 1.5 * thick
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), tuple(colours[index]))
    return _png(image)


def boxed(
    boxes: Sequence[Sequence[float]],
    captions: Sequence[str],
    kinds: Sequence[int],
    size: tuple[int, int],
    picture: bytes,
) -> bytes:
    """The picture with a frame around each box, its name within, the surest on top.

    Args:
        boxes: Left, top, right, bottom in pixels of the picture, the surest first.
        captions: What is written at each.
        kinds: Number of each box's class, by which it has its colour.
        size: Height and width of the picture.
        picture: Its bytes.
    """
    image = ground_of(picture)
    draw, thick = ImageDraw.Draw(image), max(2, max(image.size) // 256)
    font = ImageFont.load_default(max(10, max(image.size) // 40))
    sides = np.tile(np.array(image.size) / size[::-1], 2)
    for box, caption, kind in reversed(list(zip(boxes, captions, kinds, strict=True))):
        left, top, right, bottom = np.minimum(np.array(box) * sides, np.tile(np.array(image.size) - 1, 2))
        colour = _bright(kind)
        draw.rectangle((left, top, right, bottom), outline=colour, width=thick)
        written = draw.textbbox((left + thick, top), caption, font)
        draw.rectangle((left, top, written[2] + thick, written[3] + thick), colour)
        draw.text((left + thick, top), caption, "black", font)
    return _png(image)


def aligned(source: Sequence[str], target: Sequence[str], shares: np.ndarray) -> bytes:
    """A chart of which words were looked at: those that were read above, those that were written at the left.

    Args:
        source, target: The words; only their first letters where they are long.
        shares: Float [target, source], from 0, which is white, to 1, which is black.

    Raises:
        PackageMissing: Matplotlib is not installed.
    """
    above, left = ([_short(word) for word in each] for each in (source, target))
    # Not pyplot: it keeps figures, and looks for a screen. Pillow's own font has no letters but those of English.
    figure = needed("matplotlib.figure").Figure(dpi=INCH)
    axes = figure.subplots()
    axes.imshow(shares, "Greys", vmin=0, vmax=1, interpolation="nearest", extent=(0, len(above), len(left), 0))
    axes.set_xticks(np.arange(len(above)) + 0.5, above, rotation=90)
    axes.set_yticks(np.arange(len(left)) + 0.5, left)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    figure.set_size_inches(CELL * len(above) / INCH, CELL * len(left) / INCH)
    axes.set_position((0, 0, 1, 1))
    out = io.BytesIO()
    figure.savefig(out, format="png", bbox_inches="tight", pad_inches=0.1)
    return out.getvalue()


def mapped(at: np.ndarray, words: Sequence[str], kinds: Sequence[int], big: int) -> bytes:
    """Words on a plane, each in the colour of its kind.

    Args:
        at: Where each lies, [words, 2].
        words: Only their first letters where they are long.
        kinds: Number of each one's kind.
        big: So many of them, the first, are written large.

    Raises:
        PackageMissing: Matplotlib is not installed.
    """
    figure = needed("matplotlib.figure").Figure((9, 7), INCH)
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    axes.margins(0.14, 0.06)
    axes.set_xticks([])
    axes.set_yticks([])
    colours = [colorsys.hsv_to_rgb(kind * GOLDEN % 1, 0.9, 0.7) for kind in kinds]
    axes.scatter(*at.T, s=6, c=colours)
    axes.autoscale_view()
    taken: list[Any] = []
    points, pixels = axes.transData.transform(at), figure.get_size_inches() * INCH
    for place, (point, word, colour) in enumerate(zip(points, words, colours, strict=True)):
        size, weight = (13, "bold") if place < big else (9, "normal")
        text = figure.text(0, 0, _short(word), color=colour, fontsize=size, fontweight=weight, va="center")
        for right, side, up in BESIDE:
            text.set(position=(point + (right, up)) / pixels, ha=side)
            extent = text.get_window_extent()
            if not any(extent.overlaps(other) for other in taken):
                break
        taken.append(extent)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _short(word: str) -> str:
    # A dollar sign would begin a formula.
    return (word if len(word) <= LETTERS else f"{word[: LETTERS - 1]}…").replace("$", r"\$")


def network(at: np.ndarray, edges: np.ndarray, kinds: np.ndarray, names: Sequence[str], sides: int = LONGEST) -> bytes:
    """A graph as points joined by lines, each in the colour of its class, the names of the classes that occur beside.

    Args:
        at: Points in a square, [nodes, 2] from 0 to 1.
        edges: int64 [n, 2].
        kinds: Number of each node's class.
        names: Of all classes.
        sides: Pixels of the square.
    """
    many = 2 * sides  # Drawn twice as large, so that lines come out smooth.
    radius = float(np.clip(many / 8 / np.sqrt(len(at)), 3, many / 50))
    points = at * (many - 6 * radius) + 3 * radius
    square = Image.new("RGB", (many, many), "white")
    draw = ImageDraw.Draw(square)
    for one, other in np.unique(np.sort(edges, axis=1), axis=0):
        draw.line([tuple(points[one]), tuple(points[other])], (200, 200, 200), 1)
    for (x, y), kind in zip(points, kinds, strict=True):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), _bright(int(kind)))
    font = ImageFont.load_default(sides // 50)
    line, shown = sides // 40, np.unique(kinds)
    width = max(round(font.getlength(names[kind])) for kind in shown) + 3 * line
    image = Image.new("RGB", (sides + width, max(sides, line * (len(shown) + 2))), "white")
    image.paste(square.resize((sides, sides), Image.Resampling.LANCZOS))
    draw = ImageDraw.Draw(image)
    for place, kind in enumerate(shown, 1):
        top = place * line
        draw.ellipse((sides + line // 2, top, sides + line, top + line // 2), _bright(int(kind)))
        draw.text((sides + 1.5 * line, top + line // 4), names[kind], "black", font, anchor="lm")
    return _png(image)


def _bright(kind: int) -> tuple[int, ...]:
    """The colour of a class on any ground; those of near numbers lie far apart."""
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(kind * GOLDEN % 1, 0.8, 1.0))


def ground_of(picture: bytes) -> Image.Image:
    """The picture in colour and upright, no longer than `LONGEST`."""
    pixels = ops.decode_picture(picture, 3)
    height, width = ops.size(pixels)
    ratio = min(1.0, LONGEST / max(height, width))
    sides = (max(1, round(height * ratio)), max(1, round(width * ratio)))
    return Image.fromarray(ops.resize(pixels, *sides, "bilinear").astype(np.uint8))


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
