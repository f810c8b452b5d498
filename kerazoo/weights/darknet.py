"""Darknet's `.weights`, the numbers of a network's convolutions one after the other, and its `.cfg`, which says whose.

Formats: `load_weights` and `parse_network_cfg` of darknet's `src/parser.c`. A `.weights` file has no names and no
shapes: three int32 (major, minor, revision), how many pictures were seen (int64, before version 0.2 int32), then of
each convolution biases, where it is normalised scales, means and variances, and the kernel OIHW.

Bounds: the numbers are as many as the file has bytes for; a `.cfg` has at most `LONGEST_CFG` bytes, `MOST_SECTIONS`
sections and numbers of up to `LONGEST_NUMBER` digits.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights._arrays import Arrays, array

ABOUT = "Darknet .weights"

VALUES, CFG = "values", "cfg"
"""What `read` gives: all numbers, flat; and the bytes of the `.cfg` of that name, where one lies beside the file."""

HEADER = struct.Struct("<iii")
NEWEST_MINOR, NEWEST_REVISION = 9, 99
LONGEST_CFG, MOST_SECTIONS, LONGEST_NUMBER = 1 << 20, 4096, 9


ROOT_EPSILON = np.float32(1e-6)
"""Darknet divides by the root of the variance and this."""

EPSILON = 1e-12
"""What a network adds to the variance that `unpacked` gives it, so that both are the same."""


@dataclass(frozen=True)
class Conv:
    """A convolution, `size // 2` zeros around it, without a bias where it is normalised."""

    filters: int
    size: int = 3
    stride: int = 1
    groups: int = 1
    activation: str = "leaky"
    norm: bool = True


@dataclass(frozen=True)
class Pool:
    """The largest of each window."""

    size: int
    stride: int


@dataclass(frozen=True)
class Shortcut:
    """The sum with an earlier layer, by its number in the file."""

    other: int


@dataclass(frozen=True)
class Route:
    """Earlier layers side by side, by their numbers in the file."""

    layers: tuple[int, ...]


@dataclass(frozen=True)
class Upsample:
    """Each value four times."""

    stride: int = 2


@dataclass(frozen=True)
class Yolo:
    """An output.

    Attributes:
        anchors: Width and height of each in pixels of the network's picture.
        reach: `scale_x_y`, over how many places a centre moves.
    """

    anchors: tuple[tuple[float, float], ...]
    reach: float = 1.0


Layer = Conv | Pool | Shortcut | Route | Upsample | Yolo


def recognises(path: Path, head: bytes) -> bool:
    """The format has no signature: a version that there is, and whole numbers behind it."""
    if len(head) < HEADER.size:
        return False
    major, minor, revision = HEADER.unpack_from(head)
    rest = path.stat().st_size - _header(minor)
    return major == 0 and 1 <= minor <= NEWEST_MINOR and 0 <= revision <= NEWEST_REVISION and rest > 0


def _header(minor: int) -> int:
    return HEADER.size + (8 if minor >= 2 else 4)


def read(path: Path) -> dict[str, np.ndarray]:
    """`values`, float32 [n], and `cfg`, uint8 [bytes], where `NAME.cfg` lies beside `NAME.weights`."""
    data = memoryview(path.read_bytes())
    start = _header(HEADER.unpack_from(data)[1])
    if (over := (len(data) - start) % 4) != 0:
        raise WeightsDamaged(f"it ends {over} bytes after its last whole number")
    arrays = Arrays()
    arrays.add(VALUES, array(VALUES, data[start:], "<f4", [(len(data) - start) // 4]))
    beside = path.with_suffix(".cfg")
    if path.suffix == ".weights" and beside.is_file():
        with beside.open("rb") as file:
            arrays.add(CFG, np.frombuffer(file.read(LONGEST_CFG + 1), np.uint8))
    return arrays


def unpacked(layers: Sequence[Layer], channels: int, values: np.ndarray) -> dict[str, np.ndarray]:
    """All numbers of a file as variables of the network `built` makes of these layers.

    Args:
        layers: Of the network, in the order of the file.
        channels: Of its pictures.
        values: What `read` gave.

    Raises:
        UsageError: They end within a layer, or are more; it says which layer, and how many are left over.
    """
    tensors: dict[str, np.ndarray] = {}
    at = 0
    for name, conv, inputs in convolutions(layers, channels):
        kernel = (conv.filters, inputs // conv.groups, conv.size, conv.size)
        vectors = ("beta", "gamma", "moving_mean", "moving_variance") if conv.norm else ("bias",)
        wanted = len(vectors) * conv.filters + int(np.prod(kernel))
        if at + wanted > len(values):
            raise UsageError(
                f"The file does not fit this architecture: {name} wants {wanted:,} values, {len(values) - at:,} of "
                f"{len(values):,} are left.\nIs it of another .cfg?"
            )
        for vector in vectors:
            found = values[at : at + conv.filters]
            if vector == "moving_variance":
                # The square of darknet's root and what it adds, but for that square: `EPSILON` is added here.
                found = found + 2 * ROOT_EPSILON * np.sqrt(np.maximum(found, 0))
            tensors[f"{name}_bn/{vector}" if conv.norm else f"{name}/{vector}"] = found
            at += conv.filters
        # A kernel a map is [h, w, maps, 1] in Keras.
        order = (2, 3, 0, 1) if conv.groups > 1 else (2, 3, 1, 0)
        size = int(np.prod(kernel))
        tensors[f"{name}/kernel"] = values[at : at + size].reshape(kernel).transpose(order)
        at += size
    if at < len(values):
        raise UsageError(
            f"The file does not fit this architecture: {len(values) - at:,} of {len(values):,} values are left over "
            f"after {name}, the last.\nIs it of another .cfg?"
        )
    return tensors


def convolutions(layers: Sequence[Layer], channels: int) -> Iterator[tuple[str, Conv, int]]:
    """Each convolution with its name, `conv` and its number in the file, and the maps that go in."""
    maps: list[int] = []
    for index, layer in enumerate(layers):
        before = maps[-1] if maps else channels
        if isinstance(layer, Conv):
            yield name_of(index), layer, before
            maps.append(layer.filters)
        elif isinstance(layer, Route):
            maps.append(sum(maps[number] for number in layer.layers))
        else:
            maps.append(before)


def name_of(index: int) -> str:
    """What a layer is called that is the convolution of this number in the file."""
    return f"conv{index}"


def agree(layers: Sequence[Layer], cfg: bytes) -> None:
    """Holds a `.cfg` to the layers that a network is built of.

    Raises:
        UsageError: It is none, or of another network; the first layer that differs is named.
    """
    theirs = parsed(cfg)
    for index, (mine, its) in enumerate(zip(layers, theirs, strict=False)):
        if mine != its:
            raise UsageError(f"The .cfg is of another network: layer {index} is {its}; this architecture has {mine}.")
    if len(layers) != len(theirs):
        raise UsageError(f"The .cfg is of another network: it has {len(theirs)} layers, this one {len(layers)}.")


def parsed(cfg: bytes) -> tuple[Layer, ...]:
    """The layers that a `.cfg` describes.

    Raises:
        UsageError: It is none, or has sections that are not known here.
    """
    if len(cfg) > LONGEST_CFG:
        raise UsageError(f"The .cfg has more than {LONGEST_CFG} bytes.")
    found = list(_sections(cfg.decode(errors="replace")))
    if not found or found[0][0] not in ("net", "network"):
        raise UsageError("The .cfg does not begin with the section [net].")
    return tuple(_layer(index, kind, options) for index, (kind, options) in enumerate(found[1:]))


def _sections(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    kind, count = "", 0
    options: dict[str, str] = {}
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("["):
            if count:
                yield kind, options
            kind, options, count = line.strip("[] "), {}, count + 1
            if count > MOST_SECTIONS:
                raise UsageError(f"The .cfg has more than {MOST_SECTIONS} sections.")
        elif line and not line.startswith(";"):
            name, _, value = line.partition("=")
            options[name.strip()] = value.strip()
    if count:
        yield kind, options


NUMBER = re.compile(rf"-?[0-9]{{1,{LONGEST_NUMBER}}}(\.[0-9]{{0,{LONGEST_NUMBER}}})?")


@dataclass(frozen=True)
class _Section:
    """One of a `.cfg`, by the number of its layer."""

    index: int
    kind: str
    options: Mapping[str, str]

    def refused(self, name: str, why: str) -> UsageError:
        return UsageError(
            f"The .cfg's layer {self.index} [{self.kind}] has {name}={self.options.get(name, '')[:40]!r}: {why}."
        )

    def numbers(self, name: str, default: str = "") -> tuple[float, ...]:
        parts = [part.strip() for part in self.options.get(name, default).split(",")]
        if not all(NUMBER.fullmatch(part) for part in parts):
            raise self.refused(name, "no numbers")
        return tuple(float(part) for part in parts)

    def number(self, name: str, default: int) -> int:
        return int(self.numbers(name, str(default))[0])

    def earlier(self, name: str) -> tuple[int, ...]:
        """Layers by their numbers in the file; negative ones count from here."""
        found = tuple(int(number) + (self.index if number < 0 else 0) for number in self.numbers(name))
        if not all(0 <= place < self.index for place in found):
            raise self.refused(name, "no earlier layer")
        return found

    def anchors(self) -> tuple[tuple[float, float], ...]:
        """Those of all that the output has."""
        sides = self.numbers("anchors")
        pairs = tuple(zip(sides[::2], sides[1::2], strict=False))
        mask = [int(place) for place in self.numbers("mask", ",".join(map(str, range(len(pairs)))))]
        if not all(0 <= place < len(pairs) for place in mask):
            raise self.refused("mask", "no such anchors")
        return tuple(pairs[place] for place in mask)


def _layer(index: int, kind: str, options: Mapping[str, str]) -> Layer:
    its = _Section(index, kind, options)
    match kind:
        case "convolutional":
            filters, size, stride, groups = (its.number(name, 1) for name in ("filters", "size", "stride", "groups"))
            norm = bool(its.number("batch_normalize", 0))
            return Conv(filters, size, stride, groups, options.get("activation", "logistic")[:40], norm)
        case "maxpool":
            return Pool(its.number("size", its.number("stride", 1)), its.number("stride", 1))
        case "shortcut":
            return Shortcut(its.earlier("from")[0])
        case "route":
            return Route(its.earlier("layers"))
        case "upsample":
            return Upsample(its.number("stride", 2))
        case "yolo":
            return Yolo(its.anchors(), its.numbers("scale_x_y", "1")[0])
    raise UsageError(f"The .cfg's layer {index} is [{kind[:40]}], which is not known here.")
